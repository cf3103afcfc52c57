"""Compares universal perturbations: python universal.py BLINDSPOT IMAGES SHARE MODEL.onnx...

Found on the first IMAGES of MNIST's training images, judged on as many test images, one thread each. For each network
and norm, ours first looks for the smallest norm that fools SHARE of the training images; all methods then fool as many
as they can within that norm. Shares are of the images that the network gets right; images are clipped to [0, 1] by all.
Seconds are of processor time, of ours that of the whole command.

The published methods are implemented here after their papers:

DeepFool   Moosavi-Dezfooli et al., Universal adversarial perturbations, CVPR 2017, algorithm 1: pass after pass over
           the images, each that is not fooled adds DeepFool's step from where it is (overshoot 0.02), and the sum is
           projected into the ball.
SGD        Shafahi et al., Universal adversarial training, AAAI 2020, algorithm 1 without the training: steps up the
           mean cross entropy, clipped at 9, of batches of 128, of the gradient's signs in Linf, of its direction in L2,
           each projected. Steps of a tenth of the norm; and the same with Adam, which the paper prefers.

Of each pass the perturbation with which most training images are fooled is kept.
"""

import gzip
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

program, count, wanted, *models = sys.argv[1:]
count = int(count)
torch.set_num_threads(1)


def mnist(part):
    folder = pathlib.Path(os.environ["BLINDSPOT_DATA"]) / "mnist"

    def read(name, skipped):
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8)[skipped:]

    images = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:count]
    labels = read(f"{part}-labels-idx1-ubyte.gz", 8)[:count]
    return torch.tensor(images.astype(np.float32) / np.float32(255)), torch.tensor(labels.astype(np.int64))


class Net(torch.nn.Module):
    """The network of an ONNX file that is a chain, to its logits."""

    def __init__(self, path):
        super().__init__()
        graph = onnx.load(path).graph
        known = {w.name: torch.tensor(numpy_helper.to_array(w)) for w in graph.initializer}
        self.shape = [axis.dim_value for axis in graph.input[0].type.tensor_type.shape.dim[1:]]
        self.steps = []
        for node in graph.node:
            given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            weight = [known.get(name) for name in node.input[1:]] + [None]
            match node.op_type:
                case "Gemm" | "MatMul":
                    turned = weight[0] if given.get("transB") else weight[0].T.contiguous()
                    step = lambda x, w=turned, b=weight[1]: functional.linear(x, w, b)
                case "Add":
                    step = lambda x, b=weight[0]: x + b
                case "Conv":
                    pads, stride = given.get("pads", [0] * 4), given.get("strides", [1, 1])
                    assert pads[:2] == pads[2:] and given.get("group", 1) == 1
                    step = lambda x, w=weight[0], b=weight[1], s=stride, p=tuple(pads[:2]): (
                        functional.conv2d(x, w, b, s, p))
                case "MaxPool":
                    step = lambda x, k=given["kernel_shape"], s=given["strides"]: functional.max_pool2d(x, k, s)
                case "Relu" | "Sigmoid":
                    step = getattr(torch, node.op_type.lower())
                case "Flatten" | "Reshape":
                    step = lambda x: x.flatten(1)
                case "Softmax" | "Dropout":
                    continue
                case other:
                    sys.exit(f"no {other} here")
            self.steps.append(step)

    def forward(self, x):
        x = x.reshape(len(x), *self.shape)
        for step in self.steps:
            x = step(x)
        return x


def project(delta, norm, epsilon):
    if norm == "linf":
        return delta.clamp(-epsilon, epsilon)
    return delta * min(1.0, epsilon / max(delta.norm().item(), 1e-12))


def fooled(net, x, y, delta):
    with torch.no_grad():
        return (net((x + delta).clamp(0, 1)).argmax(1) != y).double().mean().item()


def by_deepfool(net, x, y, norm, epsilon, passes=5):
    delta, best = torch.zeros(784), (-1.0, None)
    for turn in range(passes):
        for i in torch.randperm(len(x), generator=torch.Generator().manual_seed(turn)):
            start = (x[i] + delta).clamp(0, 1)
            if net(start[None]).argmax() == y[i]:
                delta = project(delta + deepfool(net, start, y[i], norm), norm, epsilon)
        best = max(best, (fooled(net, x, y, delta), delta), key=lambda found: found[0])
    return best[1]


def deepfool(net, image, label, norm, steps=50):
    """The change to the other side of the nearest boundary, for the perturbation's norm, with an overshoot."""
    change = torch.zeros(784)
    for _ in range(steps):
        point = (image + 1.02 * change)[None].requires_grad_()
        logits = net(point)[0]
        if logits.argmax() != label:
            break
        gradients = [torch.autograd.grad(logits[c], point, retain_graph=True)[0][0] for c in range(10)]
        nearest = None
        for c in range(10):
            if c == label:
                continue
            way, lead = gradients[c] - gradients[label], (logits[label] - logits[c]).item()
            size = (way.abs().sum() if norm == "linf" else way.norm()).item() + 1e-12
            if nearest is None or (lead + 1e-4) / size < nearest[0]:
                step = way.sign() if norm == "linf" else way / way.norm().clamp_min(1e-12)
                nearest = (lead + 1e-4) / size, step
        change = change + nearest[0] * nearest[1]
    return 1.02 * change


def by_sgd(net, x, y, norm, epsilon, iterations=1000, adam=False):
    delta, best = torch.zeros(784, requires_grad=True), (-1.0, None)
    random = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([delta], lr=epsilon / (10 if norm == "linf" else 200))
    batches = []
    for i in range(iterations):
        if not batches:
            batches = list(torch.randperm(len(x), generator=random).split(128))
            with torch.no_grad():
                best = max(best, (fooled(net, x, y, delta), delta.clone()), key=lambda found: found[0])
        batch = batches.pop()
        loss = functional.cross_entropy(net((x[batch] + delta).clamp(0, 1)), y[batch], reduction="none")
        optimizer.zero_grad()
        (-loss.clamp_max(9).mean()).backward()
        with torch.no_grad():
            if adam:
                optimizer.step()
            elif norm == "linf":
                delta -= epsilon / 10 * delta.grad.sign()
            else:
                delta -= epsilon / 10 * delta.grad / delta.grad.norm().clamp_min(1e-12)
            delta.copy_(project(delta, norm, epsilon))
    return max(best, (fooled(net, x, y, delta), delta.detach()), key=lambda found: found[0])[1].detach()


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(model, norm, *aim):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "universal.npz"
        command = [program, "universal", model, "--data", "mnist:train", "--held-out", "mnist:test", "--samples",
                   str(count), "--norm", norm, *aim, "--threads", "1", "--quiet", "--out", out]
        begun = children()
        subprocess.run(command, check=True)
        seconds = children() - begun
        return torch.tensor(np.load(out)["delta"].reshape(784)), seconds


others = {
    "DeepFool, 5 passes": by_deepfool,
    "SGD, 1,000 steps": by_sgd,
    "SGD with Adam, 1,000 steps": lambda *given: by_sgd(*given, adam=True),
}
(x, y), (held_x, held_y) = mnist("train"), mnist("t10k")
print(f"{count} training images and {count} test images; PyTorch {torch.__version__}, one thread.\n")
print("| network | norm | method | size | fooled | fooled, held out | seconds |")
print("|---|---|---|---:|---:|---:|---:|")
for path in models:
    net = Net(path)
    with torch.no_grad():
        right, held_right = net(x).argmax(1) == y, net(held_x).argmax(1) == held_y
    for norm in ("l2", "linf"):
        def tell(method, delta, seconds):
            size = delta.abs().max() if norm == "linf" else delta.norm()
            shares = (fooled(net, x[right], y[right], delta), fooled(net, held_x[held_right], held_y[held_right], delta))
            print(f"| {pathlib.Path(path).stem} | {norm} | {method} | {size:.4f} | {shares[0]:.1%} | {shares[1]:.1%} "
                  f"| {seconds:.1f} |", flush=True)
            return size.item()

        epsilon = tell(f"Blindspot, share {wanted}", *ours(path, norm, "--share", wanted))
        tell("Blindspot, within this norm", *ours(path, norm, "--epsilon", str(epsilon)))
        for name, method in others.items():
            begun = time.process_time()
            delta = method(net, x[right], y[right], norm, epsilon)
            tell(name, delta, time.process_time() - begun)
