"""Compares attacks on one network: success, norms, time.

python compare.py PROGRAM MODEL.onnx IMAGES THREADS SCIPY_IMAGES WITHOUT,... DATA TARGET NORM

Methods that have one of the words WITHOUT in their names are left out. TARGET is `untargeted`, or `random`: one class
for each image, the same for all methods; images whose class no method reaches are left out, and counted.

Every method attacks the same images of DATA, those of the first IMAGES that the network gets right,
on the same number of threads, in turn, three times (SciPy's once); the median time counts. `ratio`
is the mean ratio to the smallest change that any method found for the image; `optimality` is
AttackBench's (Cina et al. 2025): 1 - (A - B) / (M - B), A the area below the curve of the accuracy
over the L2 norm, up to M, the largest of the smallest changes; B that of the smallest changes.
Evaluations are an image's, for Blindspot's methods.
"""

import importlib.metadata
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import adv_lib.attacks as attacks
import foolbox
import numpy as np
import onnx
import scipy
import scipy.optimize
import torch
from adv_lib.attacks.auto_pgd import minimal_apgd
from onnx import numpy_helper
from torch.nn import functional

program, path, count, threads, scipy_images, without, data, target, norm = sys.argv[1:]
count, threads, scipy_images = int(count), int(threads), int(scipy_images)
torch.set_num_threads(threads)


def convolution(given, weight, bias):
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    stride, groups = given.get("strides", [1, 1]), given.get("group", 1)
    assert set(given.get("dilations", [1])) == {1}
    if (top, left) == (bottom, right):
        return lambda x: functional.conv2d(x, weight, bias, stride, (top, left), groups=groups)
    return lambda x: functional.conv2d(functional.pad(x, (left, right, top, bottom)), weight, bias,
                                       stride, groups=groups)


class Net(torch.nn.Module):
    """The network of an ONNX file: its operators one after the other, on named values."""

    def __init__(self, graph):
        super().__init__()
        known = {w.name: torch.tensor(numpy_helper.to_array(w)) for w in graph.initializer}
        self.weights, self.steps = known, []
        # Without the batch's axis.
        self.shape = [axis.dim_value for axis in graph.input[0].type.tensor_type.shape.dim[1:]]
        self.input = graph.input[0].name
        for node in graph.node:
            given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            kind, inputs = node.op_type, list(node.input)
            weight = [known.get(name) for name in inputs[1:]] + [None]
            if kind in ("Gemm", "MatMul"):
                turned = weight[0] if given.get("transB") else weight[0].T.contiguous()
                step = lambda x, w=turned, b=weight[1]: functional.linear(x, w, b)
            elif kind == "Conv":
                step = convolution(given, weight[0], weight[1])
            elif kind == "MaxPool":
                assert not any(given.get("pads", []))
                step = lambda x, k=given["kernel_shape"], s=given["strides"]: (
                    functional.max_pool2d(x, k, s))
            elif kind == "GlobalAveragePool":
                step = lambda x: x.mean((2, 3), keepdim=True)
            elif kind == "Clip":
                low, high = (w.item() for w in weight[:2])
                # Faster than clamp, where there is such an activation.
                relu6 = (low, high) == (0, 6)
                step = functional.relu6 if relu6 else lambda x, l=low, h=high: x.clamp(l, h)
            elif kind in ("Add", "Sub", "Mul", "Div"):
                self.steps.append((getattr(torch, kind.lower()), inputs, node.output[0]))
                continue
            elif kind in ("Sigmoid", "Relu"):
                step = getattr(torch, kind.lower())
            elif kind in ("Reshape", "Flatten"):
                step = lambda x: x.flatten(1)
            elif kind in ("Dropout", "Identity", "Softmax"):
                # Attacks are on the logits.
                step = lambda x: x
            else:
                sys.exit(f"no PyTorch counterpart for {kind}")
            self.steps.append((step, inputs[:1], node.output[0]))

    def forward(self, x):
        values = self.weights | {self.input: x.reshape(len(x), *self.shape)}
        for step, inputs, output in self.steps:
            values[output] = step(*(values[name] for name in inputs))
        return values[output]


class Ours:
    """Blindspot, in a process of its own, timed by itself."""

    def __init__(self, method, target, *most):
        self.command = [program, path, data, str(count), method, target, str(threads), norm, *most]
        self.process = None

    def ask(self, line=""):
        if self.process is None:
            self.process = subprocess.Popen(self.command, text=True, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE)
            assert self.process.stdout.readline() == "ready\n"
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __call__(self):
        answer = self.ask()
        size = np.array(answer["norms"])[right.numpy()]
        self.seconds = answer["seconds"]
        self.evaluations = answer["evaluations"] / len(size)
        return np.where(size > 0, size, np.inf)


net = Net(onnx.load(path).graph).eval()
with tempfile.NamedTemporaryFile() as file:
    labels = Ours("sqp", "untargeted").ask(file.name)
    images = np.fromfile(file.name, np.float32)
x = torch.tensor(images.reshape(len(labels), -1))
y = torch.tensor(labels)
with torch.no_grad():
    right = torch.cat([net(part) for part in x.split(64)]).argmax(1) == y
x, y = x[right], y[right]
model = foolbox.PyTorchModel(net, bounds=(0, 1))
if target != "untargeted":
    goal = foolbox.criteria.TargetedMisclassification(torch.tensor(Ours("fgsm", target).ask()["targets"])[right])
else:
    goal = y


order = {"l2": 2, "linf": torch.inf, "l1": 1, "l0": 0}[norm]


def norms(changed, fooled):
    change = (changed - x).flatten(1)
    size = (change != 0).sum(1) if norm == "l0" else change.norm(dim=1, p=order)
    size = size.double().numpy()
    return np.where(fooled.numpy(), size, np.inf)


def attack(method, **options):
    def run():
        _, changed, fooled = method(**options)(model, x, goal, epsilons=None)
        return norms(changed, fooled)
    return run


def adv_lib(method, **options):
    """An attack of adv-lib."""
    def run():
        changed = method(net, x, y, **options)
        with torch.no_grad():
            return norms(changed, net(changed).argmax(1) != y)
    return run


def others():
    """Attacks for any wrong class that make the norm small, by their names, with the options of their papers."""
    fmn = {"l2": foolbox.attacks.L2FMNAttack, "linf": foolbox.attacks.LInfFMNAttack,
           "l1": foolbox.attacks.L1FMNAttack, "l0": foolbox.attacks.L0FMNAttack}[norm]
    all = {f"Foolbox FMN, {steps} steps": attack(fmn, steps=steps) for steps in (100, 1000)}
    all |= {f"adv-lib FMN, {steps} steps": adv_lib(attacks.fmn, norm=order, steps=steps) for steps in (100, 1000)}
    all["adv-lib PDPGD, 500 steps"] = adv_lib(attacks.pdpgd, norm=order)
    if norm == "l0":
        return all | {f"adv-lib sigma-zero, {steps} steps": adv_lib(attacks.sigma_zero, num_steps=steps)
                      for steps in (100, 1000)}
    if norm == "l2":
        all["adv-lib PDGD, 500 steps"] = adv_lib(attacks.pdgd)
        all["adv-lib SuperDeepFool"] = adv_lib(attacks.sdf)
    most = {"l2": 5.0, "linf": 0.5, "l1": 40.0}[norm]
    return all | {
        "adv-lib FAB, 100 steps": adv_lib(attacks.fab, norm=order),
        "adv-lib APGD, bisection": adv_lib(minimal_apgd, norm=order, max_eps=most),
        "adv-lib APGD_t, bisection": adv_lib(minimal_apgd, norm=order, max_eps=most, targeted_version=True),
    }


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
            point, *_ = scipy.optimize.fmin_l_bfgs_b(loss, image, args=(c,), bounds=[(0, 1)] * len(image),
                                                     maxiter=100)
            if net(torch.tensor(point, dtype=torch.float32)[None]).argmax() != y[i]:
                best[i] = min(best[i], np.linalg.norm(point - image))
                low, c = c, 10 * c if high is None else (c + high) / 2
            else:
                high, c = c, (low + c) / 2
    return best


targeted = {f"Blindspot {method}, {target}": Ours(method, target)
            for method in ("sqp", "lbfgs", "ddn", "deepfool", "pgd", "cw")}
targeted |= {
    f"Blindspot sqp, {target}, at most {most}": Ours("sqp", target, most) for most in ("200", "600")
}
targeted |= {
    "Foolbox DDN, 100 steps": attack(foolbox.attacks.DDNAttack, steps=100),
    "Foolbox C&W, 9x1000": attack(foolbox.attacks.L2CarliniWagnerAttack),
}
untargeted = {
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
if norm != "l2":
    scipy_images = 0
    assert target == "untargeted", "other norms are compared for any wrong class"
    untargeted = {"Blindspot sqp, untargeted": Ours("sqp", "untargeted"), "Blindspot sqp, all": Ours("sqp", "all")}
untargeted |= others()
without = without.split(",") if without else []
methods = untargeted if target == "untargeted" else targeted
methods = {name: method for name, method in methods.items()
           if not any(word in name for word in without)}
once = {"Foolbox C&W, 9x1000", f"Blindspot cw, {target}", "adv-lib APGD, bisection", "adv-lib APGD_t, bisection"}
found, times = {}, {name: [] for name in methods}
for turn in range(3):
    for name, method in methods.items():
        if turn and name in once:
            continue
        start = time.perf_counter()
        found[name] = method()
        times[name].append(getattr(method, "seconds", time.perf_counter() - start))
if scipy_images and target == "untargeted":
    start = time.perf_counter()
    found["SciPy L-BFGS-B, nearest"] = scipys()
    times["SciPy L-BFGS-B, nearest"] = [time.perf_counter() - start]
best = np.min(list(found.values()), axis=0)
reached = np.isfinite(best)
unreached = f" ({(~reached).sum()} more that no method fooled)" if not reached.all() else ""
print(f"{pathlib.Path(path).name}, {target}: {reached.sum()} images{unreached}, {threads} threads; PyTorch {torch.__version__}, "
      f"Foolbox {foolbox.__version__}, adv-lib {importlib.metadata.version('adv-lib')}, SciPy {scipy.__version__}\n")
print(f"| method | success | mean {norm} | median {norm} | ratio | largest ratio | optimality | evaluations | ms an image |")
print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
for name, size in found.items():
    part = slice(0, scipy_images) if name.startswith("SciPy") else slice(None)
    kept = reached[part]
    size, least = size[part][kept], best[part][kept]
    fooled = np.isfinite(size)
    ratio = size[fooled] / least[fooled]
    most = least.max()
    area = np.minimum(size, most).mean() - least.mean()
    optimality = 1 - area / (most - least.mean())
    evaluations = f"{methods[name].evaluations:.0f}" if isinstance(methods.get(name), Ours) else ""
    milliseconds = 1e3 * statistics.median(times[name]) / len(kept)
    print(f"| {name} | {fooled.mean():.1%} | {size[fooled].mean():.4f} | {np.median(size[fooled]):.4f} "
          f"| {ratio.mean():.5f} | {ratio.max():.4f} | {optimality:.4f} | {evaluations} | {milliseconds:.3f} |")
