"""Compares universal perturbations: python universal.py BLINDSPOT IMAGES SHARE NETWORK...

A NETWORK is a chain for MNIST, as an ONNX file, or `cifar10`: the residual network of cifar.py, trained for 3 epochs.
Perturbations are found on the first IMAGES training images (of CIFAR-10, on chosen ones) and judged on all test images,
one thread each. For each network and norm, ours first looks for the smallest norm that fools SHARE of the
training images; all methods then fool as many as they can within that norm. Shares are of the images that the network
gets right; images are clipped to [0, 1] by all. Seconds are of processor time, of ours that of the whole command.

The published methods are implemented here after their papers:

DeepFool   Moosavi-Dezfooli et al., Universal adversarial perturbations, CVPR 2017, algorithm 1: pass after pass over
           the images, each that is not fooled adds DeepFool's step from where it is (overshoot 0.02), and the sum is
           projected into the ball.
SGD        Shafahi et al., Universal adversarial training, AAAI 2020, algorithm 1 without the training: steps up the
           mean cross entropy, clipped at 9, of batches of 128, of the gradient's signs in Linf, of its direction in L2,
           each projected. Steps of a tenth of the norm; and the same with Adam, which the paper prefers.

Of each pass the perturbation with which most training images are fooled is kept.
"""

import dataclasses
import gzip
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

from cifar import cifar, trained

program, count, wanted, *models = sys.argv[1:]
count = int(count)
torch.set_num_threads(1)


@dataclasses.dataclass
class Task:
    """A network, as a file and in PyTorch; images as ours takes them and as tensors, with their labels."""

    name: str
    path: pathlib.Path
    net: torch.nn.Module
    training: tuple[str, torch.Tensor, torch.Tensor]
    held_out: tuple[str, torch.Tensor, torch.Tensor]


def task(word, folder):
    """The task of a NETWORK."""
    if word != "cifar10":
        path = pathlib.Path(word)
        return Task(path.stem, path, Net(path), ("mnist:train", *mnist("train", count)), ("mnist:test", *mnist("t10k")))
    pixels, labels, test, truth = cifar()
    net = trained("residual", pixels, labels, epochs=3).cpu()
    path = folder / "cifar10.onnx"
    torch.onnx.export(net, torch.zeros(1, 3, 32, 32), path, dynamo=False, input_names=["input"],
                      dynamic_axes={"input": {0: "n"}})
    parts = []
    for part, images, classes in (("train", pixels, labels), ("test", test, truth)):
        chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        chosen = chosen[:count] if part == "train" else chosen
        images, classes = images[chosen].float() / 255, classes[chosen]
        np.savez(folder / f"{part}.npz", x=images.numpy(), y=classes.numpy())
        parts.append((f"npz:{folder / part}.npz,nchw", images, classes))
    return Task("residual (CIFAR-10)", path, net, *parts)


def mnist(part, most=None):
    folder = pathlib.Path(os.environ["BLINDSPOT_DATA"]) / "mnist"

    def read(name, skipped):
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8)[skipped:]

    images = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:most]
    labels = read(f"{part}-labels-idx1-ubyte.gz", 8)[:most]
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
    return (answers(net, x, delta) != y).double().mean().item()


def answers(net, x, delta=0.0):
    with torch.no_grad():
        return torch.cat([net((part + delta).clamp(0, 1)).argmax(1) for part in x.split(500)])


def by_deepfool(net, x, y, norm, epsilon, passes=5):
    delta, best = torch.zeros(x[0].shape), (-1.0, None)
    for turn in range(passes):
        for i in torch.randperm(len(x), generator=torch.Generator().manual_seed(turn)):
            start = (x[i] + delta).clamp(0, 1)
            if net(start[None]).argmax() == y[i]:
                delta = project(delta + deepfool(net, start, y[i], norm), norm, epsilon)
        best = max(best, (fooled(net, x, y, delta), delta), key=lambda found: found[0])
    return best[1]


def deepfool(net, image, label, norm, steps=50):
    """The change to the other side of the nearest boundary, for the perturbation's norm, with an overshoot."""
    change = torch.zeros(image.shape)
    for _ in range(steps):
        # One copy for each class: all gradients come at once.
        points = (image + 1.02 * change).repeat(10, *[1] * image.dim()).requires_grad_()
        outputs = net(points)
        logits = outputs[0].detach()
        if logits.argmax() != label:
            break
        (gradients,) = torch.autograd.grad(outputs.diagonal().sum(), points)
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
    delta, best = torch.zeros(x[0].shape, requires_grad=True), (-1.0, None)
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


def ours(task, norm, *aim):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "universal.npz"
        command = [program, "universal", task.path, "--data", task.training[0], "--held-out", task.held_out[0],
                   "--samples", str(count), "--norm", norm, *aim, "--threads", "1", "--quiet", "--out", out]
        begun = children()
        subprocess.run(command, check=True)
        seconds = children() - begun
        return torch.tensor(np.load(out)["delta"]).reshape(task.training[1][0].shape), seconds


others = {
    "DeepFool, 5 passes": by_deepfool,
    "SGD, 1,000 steps": by_sgd,
    "SGD with Adam, 1,000 steps": lambda *given: by_sgd(*given, adam=True),
}


def compare(task):
    net = task.net
    parts = []
    for _, x, y in (task.training, task.held_out):
        right = answers(net, x) == y
        parts.append((x[right], y[right]))
    for norm in ("l2", "linf"):
        def tell(method, delta, seconds):
            size = delta.abs().max() if norm == "linf" else delta.norm()
            shares = [fooled(net, x, y, delta) for x, y in parts]
            print(f"| {task.name} | {norm} | {method} | {size:.4f} | {shares[0]:.1%} | {shares[1]:.1%} "
                  f"| {seconds:.1f} |", flush=True)
            return size.item()

        epsilon = tell(f"Blindspot, share {wanted}", *ours(task, norm, "--share", wanted))
        tell("Blindspot, within this norm", *ours(task, norm, "--epsilon", str(epsilon)))
        for name, method in others.items():
            begun = time.process_time()
            delta = method(net, *parts[0], norm, epsilon)
            tell(name, delta, time.process_time() - begun)


print(f"{count} training images, all test images; PyTorch {torch.__version__}, one thread.\n")
print("| network | norm | method | size | fooled | fooled, held out | seconds |")
print("|---|---|---|---:|---:|---:|---:|")
with tempfile.TemporaryDirectory() as folder:
    for word in models:
        compare(task(word, pathlib.Path(folder)))
