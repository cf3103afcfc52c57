"""Times loss and input gradient of convolutional networks and of a transformer, ours and PyTorch's in turn.

python input_gradient.py PROGRAM FOLDER [NAME,...]

conv and AlexNet are built here; the others are timm's by name, with random weights, exported to FOLDER. PyTorch runs
them with batch normalisations folded in, weights without gradients, and in the layout of memory in which it is faster.
"""

import pathlib
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
NAMES = ["tf_efficientnet_lite0", "mobilenetv3_large_100", "resnet50", "vit_tiny_patch16_224"]
wanted = sys.argv[3].split(",") if len(sys.argv) > 3 else ["conv", "alexnet", *NAMES]
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


def fold(net):
    """Folds batch normalisations into the convolutions before them."""
    children = list(net.named_children())
    for (name, layer), (next_name, norm) in zip(children, children[1:]):
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(net, name, fuse_conv_bn_eval(layer, norm))
            # timm's have the activation inside.
            setattr(net, next_name, getattr(norm, "act", nn.Identity()))
    for child in net.children():
        fold(child)
    return net


def from_timm(name):
    """timm's network of a name, and the file that it was exported to."""
    import timm
    net = timm.create_model(name, pretrained=False, exportable=True).eval()
    file = folder / f"{name}.onnx"
    torch.onnx.export(net, torch.rand(1, 3, 224, 224), str(file), dynamo=False, input_names=["x"],
                      dynamic_axes={"x": {0: "n"}})
    return fold(net), str(file)


def compare(name, file, net, shape, batch, rounds):
    net = net.eval()
    for weight in net.parameters():
        weight.requires_grad_(False)
    x = torch.rand(batch, *shape)
    y = torch.arange(batch) % (10 if shape[0] == 1 else 1000)
    ours = subprocess.Popen([program, file, str(batch)], text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    assert ours.stdout.readline() == "ready\n"

    def ours_once():
        ours.stdin.write("\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    def torch_in(layout):
        laid_out = net.to(memory_format=layout)
        at = x.to(memory_format=layout).requires_grad_(True)

        def once():
            at.grad = None
            start = time.perf_counter()
            nn.functional.cross_entropy(laid_out(at), y, reduction="sum").backward()
            return time.perf_counter() - start

        once()
        return once

    layouts = [torch.contiguous_format, torch.channels_last]
    def median(layout):
        once = torch_in(layout)
        return statistics.median(once() for _ in range(5))

    torch_once = torch_in(min(layouts, key=median))
    times = [(ours_once(), torch_once()) for _ in range(rounds)]
    ours.stdin.close()
    ratio = statistics.median(a / b for a, b in times)
    medians = [1e3 * statistics.median(column) for column in zip(*times)]
    print(f"| {name} | {batch} | {medians[0]:.2f} | {medians[1]:.2f} | {ratio:.2f} |", flush=True)


print(f"PyTorch {torch.__version__}, one thread, medians\n")
print("| network | batch | ours, ms | PyTorch, ms | ratio |\n|---|---:|---:|---:|---:|")
for name in wanted:
    if name == "conv":
        for batch, rounds in [(64, 101), (500, 31)]:
            compare("conv (MNIST)", "conv", conv(), (1, 28, 28), batch, rounds)
        continue
    net, file = (alexnet(), "alexnet") if name == "alexnet" else from_timm(name)
    side = 227 if name == "alexnet" else 224
    for batch, rounds in [(1, 31), (8, 9)]:
        compare(name, file, net, (3, side, side), batch, rounds)
