"""Times loss and input gradient of convolutional networks, ours and PyTorch's in turn.

python input_gradient.py PROGRAM [EFFICIENTNET_LITE0.onnx]
"""

import statistics
import subprocess
import sys
import time

import torch
from torch import nn

program, model = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
torch.set_num_threads(1)


def conv():
    return nn.Sequential(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(4608, 128), nn.ReLU(), nn.Linear(128, 10))


def alexnet():
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.LocalResponseNorm(5, 5e-4, 0.75, 2),
        nn.MaxPool2d(3, 2), nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(),
        nn.LocalResponseNorm(5, 5e-4, 0.75, 2), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000))


def efficientnet():
    import timm
    return timm.create_model("tf_efficientnet_lite0", pretrained=False)


def compare(name, file, net, shape, batch, rounds):
    net = net().eval()
    for weight in net.parameters():
        weight.requires_grad_(False)
    x = torch.rand(batch, *shape, requires_grad=True)
    y = torch.arange(batch) % (10 if shape[0] == 1 else 1000)
    ours = subprocess.Popen([program, file, str(batch)], text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    assert ours.stdout.readline() == "ready\n"

    def ours_once():
        ours.stdin.write("\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    def torch_once():
        x.grad = None
        start = time.perf_counter()
        nn.functional.cross_entropy(net(x), y, reduction="sum").backward()
        return time.perf_counter() - start

    torch_once()
    times = [(ours_once(), torch_once()) for _ in range(rounds)]
    ours.stdin.close()
    ratio = statistics.median(a / b for a, b in times)
    medians = [1e3 * statistics.median(column) for column in zip(*times)]
    print(f"| {name} | {batch} | {medians[0]:.2f} | {medians[1]:.2f} | {ratio:.2f} |", flush=True)


print(f"PyTorch {torch.__version__}, one thread, medians\n")
print("| network | batch | ours, ms | PyTorch, ms | ratio |\n|---|---:|---:|---:|---:|")
for batch, rounds in [(64, 101), (500, 31)]:
    compare("conv (MNIST)", "conv", conv, (1, 28, 28), batch, rounds)
for batch, rounds in [(1, 31), (8, 9)]:
    compare("AlexNet", "alexnet", alexnet, (3, 227, 227), batch, rounds)
if model:
    for batch, rounds in [(1, 31), (8, 9)]:
        compare("EfficientNet-Lite0", model, efficientnet, (3, 224, 224), batch, rounds)
