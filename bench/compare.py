"""Compares attacks on one network: success, L2 norms, time.

python compare.py PROGRAM MODEL.onnx IMAGES THREADS SCIPY_IMAGES [WITHOUT,...]

Methods that have one of the words WITHOUT in their names are left out.

Every method attacks the same images of MNIST's test set, those of the first IMAGES that the network
gets right, on the same number of threads, in turn, three times (SciPy's once); the median time
counts. `ratio` is the mean ratio to the smallest change that any method found for the image;
`optimality` is AttackBench's (Cina et al. 2025): 1 - (A - B) / (M - B), A the area below the curve
of the accuracy over the L2 norm, up to M, the largest of the smallest changes; B that of the
smallest changes.
"""

import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import foolbox
import numpy as np
import onnx
import scipy
import scipy.optimize
import torch
from onnx import numpy_helper

program, path, count, threads, scipy_images = sys.argv[1:4] + [int(n) for n in sys.argv[4:6]]
count = int(count)
torch.set_num_threads(threads)
data = pathlib.Path(os.environ["BLINDSPOT_DATA"]) / "mnist"


class Net(torch.nn.Module):
    """The network of an ONNX file made of Gemm, Conv, MaxPool, Sigmoid, Relu and Reshape."""

    def __init__(self, graph):
        super().__init__()
        weights = {w.name: torch.tensor(numpy_helper.to_array(w)) for w in graph.initializer}
        self.steps = []
        # Without the batch's axis.
        axes = graph.input[0].type.tensor_type.shape.dim[1:]
        self.shape = [axis.dim_value for axis in axes]
        for node in graph.node:
            if node.op_type == "Gemm":
                given = {a.name: a for a in node.attribute}
                weight = weights[node.input[1]]
                if not ("transB" in given and given["transB"].i):
                    weight = weight.T.contiguous()
                bias = weights[node.input[2]] if len(node.input) > 2 else None
                self.steps.append(lambda x, w=weight, b=bias: torch.nn.functional.linear(x, w, b))
            elif node.op_type == "MatMul":
                weight = weights[node.input[1]].T.contiguous()
                self.steps.append(lambda x, w=weight: torch.nn.functional.linear(x, w))
            elif node.op_type == "Conv":
                given = {a.name: list(a.ints) for a in node.attribute}
                pads = given.get("pads", [0, 0, 0, 0])
                assert pads[:2] == pads[2:] and set(given.get("dilations", [1])) == {1}
                weight, bias = (weights[name] for name in node.input[1:3])
                stride = given.get("strides", [1, 1])
                self.steps.append(lambda x, w=weight, b=bias, s=stride, p=pads[:2]:
                                  torch.nn.functional.conv2d(x, w, b, s, p))
            elif node.op_type == "MaxPool":
                given = {a.name: list(a.ints) for a in node.attribute}
                assert not any(given.get("pads", []))
                kernel, stride = given["kernel_shape"], given.get("strides", [1, 1])
                self.steps.append(lambda x, k=kernel, s=stride:
                                  torch.nn.functional.max_pool2d(x, k, s))
            elif node.op_type in ("Dropout", "Identity"):
                pass
            elif node.op_type in ("Sigmoid", "Relu"):
                self.steps.append(getattr(torch, node.op_type.lower()))
            elif node.op_type in ("Reshape", "Flatten"):
                self.steps.append(lambda x: x.flatten(1))
            elif node.op_type != "Softmax":
                sys.exit(f"no PyTorch counterpart for {node.op_type}")

    def forward(self, x):
        x = x.reshape(len(x), *self.shape)
        for step in self.steps:
            x = step(x)
        return x


net = Net(onnx.load(path).graph).eval()
images = np.frombuffer(gzip.open(data / "t10k-images-idx3-ubyte.gz").read(), np.uint8, offset=16)
labels = np.frombuffer(gzip.open(data / "t10k-labels-idx1-ubyte.gz").read(), np.uint8, offset=8)
x = torch.tensor(images.reshape(-1, 784)[:count].astype(np.float32) / np.float32(255))
y = torch.tensor(labels[:count].astype(np.int64))
right = net(x).argmax(1) == y
x, y = x[right], y[right]
model = foolbox.PyTorchModel(net, bounds=(0, 1))


def norms(changed, fooled):
    size = (changed - x).norm(dim=1).double().numpy()
    return np.where(fooled.numpy(), size, np.inf)


def attack(method, **options):
    def run():
        _, changed, fooled = method(**options)(model, x, y, epsilons=None)
        return norms(changed, fooled)
    return run


def ddn_targets():
    """DDN at the three targets nearest by the linearised distance."""
    point = x.clone().requires_grad_()
    logits = net(point)
    distance = torch.full(logits.shape, torch.inf)
    for rival in range(logits.shape[1]):
        lead = logits.gather(1, y[:, None])[:, 0] - logits[:, rival]
        gradient, = torch.autograd.grad(lead.sum(), point, retain_graph=True)
        distance[:, rival] = (lead / gradient.norm(dim=1).clamp_min(1e-12)).detach()
    distance[torch.arange(len(y)), y] = torch.inf
    best = np.full(len(y), np.inf)
    for target in distance.topk(3, largest=False).indices.T:
        goal = foolbox.criteria.TargetedMisclassification(target)
        _, changed, fooled = foolbox.attacks.DDNAttack(steps=100)(model, x, goal, epsilons=None)
        best = np.minimum(best, norms(changed, fooled))
    return best


def scipys():
    """The paper's search with SciPy's L-BFGS-B and bisection on c, nearest class, one by one."""
    best = np.full(len(y), np.inf)
    for i in range(min(scipy_images, len(y))):
        image = x[i].double().numpy()
        logits = net(x[i:i + 1])[0].detach()
        target = logits.index_fill(0, y[i], -torch.inf).argmax()[None]

        def loss(point, c):
            at = torch.tensor(point, dtype=torch.float32)[None].requires_grad_()
            value = torch.nn.functional.cross_entropy(net(at), target)
            value.backward()
            change = point - image
            return (c * change @ change + value.item(),
                    2 * c * change + at.grad[0].double().numpy())

        low, high, c = 0.0, None, 1.0
        for _ in range(12):
            point, *_ = scipy.optimize.fmin_l_bfgs_b(loss, image, args=(c,), bounds=[(0, 1)] * 784,
                                                     maxiter=100)
            if net(torch.tensor(point, dtype=torch.float32)[None]).argmax() != y[i]:
                best[i] = min(best[i], np.linalg.norm(point - image))
                low, c = c, 10 * c if high is None else (c + high) / 2
            else:
                high, c = c, (low + c) / 2
    return best


class Ours:
    """Blindspot, in a process of its own, timed by itself."""

    def __init__(self, method, target):
        command = [program, path, str(count), method, target, str(threads)]
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def __call__(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        size = np.array(answer["l2"])[right.numpy()]
        self.seconds = answer["seconds"]
        return np.where(size > 0, size, np.inf)


methods = {
    "Blindspot sqp, untargeted": Ours("sqp", "untargeted"),
    "Blindspot sqp, all": Ours("sqp", "all"),
    "Blindspot lbfgs, all": Ours("lbfgs", "all"),
    "Blindspot ddn, untargeted": Ours("ddn", "untargeted"),
    "Blindspot ddn, all": Ours("ddn", "all"),
    "Blindspot deepfool, untargeted": Ours("deepfool", "untargeted"),
    "Foolbox DDN, 100 steps": attack(foolbox.attacks.DDNAttack, steps=100),
    "Foolbox DDN, three targets": ddn_targets,
    "Foolbox DeepFool": attack(foolbox.attacks.L2DeepFoolAttack),
    "Foolbox C&W, 9x1000": attack(foolbox.attacks.L2CarliniWagnerAttack),
}
without = sys.argv[6].split(",") if len(sys.argv) > 6 else []
methods = {name: method for name, method in methods.items()
           if not any(word in name for word in without)}
once = {"Foolbox C&W, 9x1000"}
found, times = {}, {name: [] for name in methods}
for turn in range(3):
    for name, method in methods.items():
        if turn and name in once:
            continue
        start = time.perf_counter()
        found[name] = method()
        times[name].append(getattr(method, "seconds", time.perf_counter() - start))
if scipy_images:
    start = time.perf_counter()
    found["SciPy L-BFGS-B, nearest"] = scipys()
    times["SciPy L-BFGS-B, nearest"] = [time.perf_counter() - start]
best = np.min(list(found.values()), axis=0)
print(f"{pathlib.Path(path).name}: {len(y)} images, {threads} threads; PyTorch {torch.__version__}, "
      f"Foolbox {foolbox.__version__}, SciPy {scipy.__version__}")
print("| method | success | mean L2 | median L2 | ratio | largest ratio | optimality | ms an image |")
print("|---|---:|---:|---:|---:|---:|---:|---:|")
for name, size in found.items():
    part = slice(0, scipy_images) if name.startswith("SciPy") else slice(None)
    size, least = size[part], best[part]
    fooled = np.isfinite(size)
    ratio = size[fooled] / least[fooled]
    most = least.max()
    area = np.minimum(size, most).mean() - least.mean()
    optimality = 1 - area / (most - least.mean())
    milliseconds = 1e3 * statistics.median(times[name]) / len(size)
    print(f"| {name} | {fooled.mean():.1%} | {size[fooled].mean():.4f} | {np.median(size[fooled]):.4f} "
          f"| {ratio.mean():.5f} | {ratio.max():.4f} | {optimality:.4f} | {milliseconds:.3f} |")
