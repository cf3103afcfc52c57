"""Times loss and weight gradient of 784-100-100-10, ours and PyTorch's in turn.

python gradients.py PROGRAM IMAGES THREADS
"""

import statistics
import subprocess
import sys
import time

import torch

program, images, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
ours = subprocess.Popen([program, str(images), str(threads)], text=True,
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert ours.stdout.readline() == "ready\n"

x = torch.rand(images, 784)
y = torch.arange(images) % 10
net = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.Sigmoid(), torch.nn.Linear(100, 100),
                          torch.nn.Sigmoid(), torch.nn.Linear(100, 10))


def torch_once(chunk):
    net.zero_grad()
    start = time.perf_counter()
    for at in range(0, images, chunk):
        loss = torch.nn.functional.cross_entropy(net(x[at:at + chunk]), y[at:at + chunk],
                                                 reduction="sum")
        loss.backward()
    return time.perf_counter() - start


def ours_once():
    ours.stdin.write("\n")
    ours.stdin.flush()
    return float(ours.stdout.readline())


torch_once(images)
times = {"ours": [], "torch, one batch": [], "torch, batches of 500": []}
for _ in range(15):
    times["ours"].append(ours_once())
    times["torch, one batch"].append(torch_once(images))
    times["torch, batches of 500"].append(torch_once(500))
median = {name: statistics.median(values) for name, values in times.items()}
print(f"PyTorch {torch.__version__}, {images} images, {threads} threads, medians of 15\n")
print("| | ms | ours / this |\n|---|---:|---:|")
for name, seconds in median.items():
    print(f"| {name} | {1e3 * seconds:.1f} | {median['ours'] / seconds:.2f} |")
