"""Times local filtering and its gradients by images and weights, ours and PyTorch's in turn.

python local.py PROGRAM
"""

import statistics
import subprocess
import sys
import time

import torch

program = sys.argv[1]
torch.set_num_threads(1)


def einsum(x, w, field):
    return torch.einsum("nkp,pkm->nmp", torch.nn.functional.unfold(x, field), w)


def batched(x, w, field):
    columns = torch.nn.functional.unfold(x, field).permute(2, 0, 1)
    return torch.bmm(columns, w).permute(1, 2, 0).contiguous()


def compare(name, channels, side, field, maps, batch, rounds):
    x = torch.rand(batch, channels, side, side, requires_grad=True)
    positions = (side - field + 1) ** 2
    w = torch.rand(positions, channels * field * field, maps, requires_grad=True)
    by_output = torch.rand(batch, maps, positions)
    sizes = [str(size) for size in (channels, side, field, maps, batch)]
    ours = subprocess.Popen([program, *sizes], text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    assert ours.stdout.readline() == "ready\n"

    def ours_once():
        ours.stdin.write("\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    def torch_once(way):
        x.grad = w.grad = None
        start = time.perf_counter()
        way(x, w, field).backward(by_output)
        return time.perf_counter() - start

    # The faster of two ways to write it.
    way = min((einsum, batched), key=lambda way: min(torch_once(way) for _ in range(3)))
    times = [(ours_once(), torch_once(way)) for _ in range(rounds)]
    ours.stdin.close()
    ratio = statistics.median(a / b for a, b in times)
    medians = [1e3 * statistics.median(column) for column in zip(*times)]
    print(f"| {name} | {batch} | {medians[0]:.2f} | {medians[1]:.2f} | {ratio:.2f} |", flush=True)


print(f"PyTorch {torch.__version__}, one thread, medians\n")
print("| fields | batch | ours, ms | PyTorch, ms | ratio |\n|---|---:|---:|---:|---:|")
for batch in (16, 100):
    compare("6x6 over 3x32x32, 16 maps", 3, 32, 6, 16, batch, 15)
    compare("5x5 over 16x26x26, 16 maps", 16, 26, 5, 16, batch, 9)
    compare("18x18 over 3x48x48, 8 maps", 3, 48, 18, 8, batch, 9)
