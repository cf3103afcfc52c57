"""Random networks, and what must hold on every one of them, by onnxruntime on the saved file.

    random_networks.py BLINDSPOT FOLDER [--networks N | --seconds S] [--seed SEED] [--target TARGET] [--keep]

Each network is dense, convolutional, pooled or residual, with any activation, with or without batch normalisation,
in float16, float32, float64 or a mixture of the first two, its logits scaled from 1e-6 to 1e6 and moved by up to 1e6. On six images each:

- every success that an attack reports is one in onnxruntime;
- nothing is "not found" by sqp that another attack finds, where the image has an answer beyond the rounding noise;
- with evaluations left, sqp ends at most 1% above the best of the other attacks;
- every certificate is below every change that any attack finds, and on linear networks below the exact distance;
- the number of images that the model gets right is onnxruntime's.

TARGET is `untargeted`, or `random`: one given class for each image, where C&W, with its thousands of evaluations, is the
other attack, and sqp may on average end no farther with at most 600 evaluations, and at 1.05 of it with at most 200.

A network that is refused (exit codes 3 and 4) is counted with the reason. What fails stays in FOLDER with the commands
that show it. Exits with 1 if anything failed, or if more than a fifth of the networks was refused.
"""
import argparse
import collections
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

IMAGES = 6
CLASSES = (2, 3, 5, 10)
ACTIVATIONS = (
    "Relu", "LeakyRelu", "PRelu", "Elu", "Sigmoid", "Tanh", "Softplus", "HardSigmoid", "Clip", "Gelu", "Silu", "Erf",
)
# Seeds beyond those of the CI on which something failed once: they come first.
FAILED_ONCE = (1627, 1771, 2038, 2879, 3265, 3330, 3616, 4241)
BASELINES = {"untargeted": ("ddn", "deepfool", "pgd", "fgsm"), "random": ("cw",)}
# Where sqp ends above a baseline, it is asked again with as many as all of them take together, and some more.
EVALUATIONS = 3000
# One class: with at most so many evaluations the mean ratio to C&W's norm may be so much.
RATIOS = {200: 1.05, 600: 1.0}
DTYPES = {np.float16: TensorProto.FLOAT16, np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE}


class Network:
    """A network as it grows, node by node."""

    def __init__(self, random, dtype, shape):
        self.random, self.dtype, self.shape = random, dtype, list(shape)
        self.nodes, self.weights, self.top = [], [], "x"

    def node(self, op, weights=(), others=(), **attributes):
        inputs = [self.top, *others]
        for weight in weights:
            inputs.append(f"w{len(self.weights)}")
            with np.errstate(over="ignore"):
                self.weights.append(numpy_helper.from_array(np.asarray(weight).astype(self.dtype), inputs[-1]))
        self.top = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [self.top], **attributes))
        return self.top

    def normal(self, *shape, gain=1.0):
        return self.random.standard_normal(shape) * gain

    def dense(self, outputs, gain=1.5):
        inputs = self.shape[0]
        weights, biases = self.normal(inputs, outputs, gain=gain / inputs**0.5), self.normal(outputs, gain=0.3)
        if self.random.random() < 0.5:
            self.node("Gemm", [weights.T, biases], transB=1)
        else:
            self.node("MatMul", [weights])
            self.node("Add", [biases])
        self.shape = [outputs]

    def convolution(self, features, kernel=3, pad=1, stride=1):
        channels = self.shape[0]
        weights = self.normal(features, channels, kernel, kernel, gain=1.5 / (channels * kernel * kernel) ** 0.5)
        biases = self.normal(features, gain=0.3)
        self.node("Conv", [weights, biases], kernel_shape=[kernel] * 2, pads=[pad] * 4, strides=[stride] * 2)
        self.shape = [features] + [(side + 2 * pad - kernel) // stride + 1 for side in self.shape[1:]]

    def batch_normalisation(self):
        """Of all sizes, yet such that what comes out stays within reach of the activations."""
        # Variances beyond float16's range are no networks.
        reach = 1 if self.dtype == np.float16 else 3
        channels, spread = self.shape[0], 10 ** self.random.uniform(-reach, reach)
        variance = (self.normal(channels) * spread) ** 2 + 1e-3 * spread**2
        scale = np.sqrt(variance + 1e-5) * self.random.uniform(0.5, 2, channels)
        mean = self.normal(channels, gain=10 ** self.random.uniform(-2, 2))
        shift = mean * scale / np.sqrt(variance + 1e-5) + self.normal(channels, gain=0.3)
        shift -= mean * scale / np.sqrt(variance + 1e-5) * self.random.choice([0.0, 1.0])
        if self.random.random() < 0.5:
            mean, shift = mean * 0.1, shift * 0.1
        self.node("BatchNormalization", [scale, shift, mean, variance], epsilon=1e-5)

    def activation(self, name):
        if name == "PRelu":
            slopes = self.random.uniform(-0.2, 0.5, [self.shape[0]] + [1] * (len(self.shape) - 1))
            self.node("PRelu", [slopes])
        elif name == "LeakyRelu":
            self.node("LeakyRelu", alpha=0.1)
        elif name == "Clip":
            self.node("Clip", [np.array(0.0), np.array(6.0)])
        elif name == "Gelu":
            below = self.top
            self.node("Mul", [np.array(0.5**0.5)])
            self.node("Erf")
            self.node("Add", [np.array(1.0)])
            self.node("Mul", others=[below])
            self.node("Mul", [np.array(0.5)])
        elif name == "Silu":
            below = self.top
            self.node("Sigmoid")
            self.node("Mul", others=[below])
        else:
            self.node(name)

    def flatten(self):
        if len(self.shape) > 1:
            self.node("Flatten")
            self.shape = [int(np.prod(self.shape))]

    def pool(self, kind):
        if kind == "GlobalAveragePool":
            self.node(kind)
            self.shape = [self.shape[0], 1, 1]
        else:
            self.node(kind, kernel_shape=[2, 2], strides=[2, 2])
            self.shape = [self.shape[0]] + [side // 2 for side in self.shape[1:]]

    def model(self, shape, end):
        if end:
            self.node(end, **({"axis": 1} if end != "Sigmoid" else {}))
        kind = DTYPES[self.dtype]
        output = helper.make_tensor_value_info(self.top, kind, ["n", self.shape[0]])
        graph = helper.make_graph(
            self.nodes, "network", [helper.make_tensor_value_info("x", kind, ["n", *shape])], [output], self.weights
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def generate(seed):
    """A network as an ONNX model, its images as float32, and what is known of it."""
    random = np.random.default_rng(seed)
    dtype = random.choice([np.float32, np.float32, np.float32, np.float64, np.float16])
    kind = random.choice(["linear", "dense", "dense", "convolutional", "pooled", "residual"])
    classes = int(random.choice(CLASSES))
    activation = str(random.choice(ACTIVATIONS))
    normalised = kind != "residual" and random.random() < 0.4
    if kind in ("linear", "dense", "residual"):
        shape = [int(random.integers(4, 24))]
    else:
        shape = [int(random.choice([1, 3])), *[int(random.integers(5, 9))] * 2]
    network = Network(random, dtype, shape)
    if kind == "linear":
        if random.random() < 0.5:
            network.dense(int(random.integers(3, 12)))
        if normalised:
            network.batch_normalisation()
    elif kind == "dense":
        for _ in range(int(random.integers(1, 4))):
            network.dense(int(random.integers(4, 24)))
            if normalised:
                network.batch_normalisation()
            network.activation(activation)
    elif kind == "residual":
        width = int(random.integers(6, 16))
        network.dense(width)
        for _ in range(int(random.integers(1, 4))):
            below = network.top
            network.dense(width)
            network.activation(activation)
            network.dense(width, gain=0.7)
            network.node("Add", others=[below])
    else:
        for layer in range(int(random.integers(1, 3))):
            network.convolution(int(random.integers(2, 7)))
            if normalised:
                network.batch_normalisation()
            network.activation(activation)
            if kind == "pooled" and network.shape[1] >= 4:
                network.pool(str(random.choice(["MaxPool", "AveragePool"])))
        if kind == "pooled" and random.random() < 0.5:
            network.pool("GlobalAveragePool")
    network.flatten()
    network.dense(classes, gain=float(random.choice([1.5, 4.0])))
    # What is moved is moved for all classes alike: otherwise one would win everywhere.
    half = dtype == np.float16
    scale = 10 ** random.uniform(-2, 2) if half else 10 ** random.uniform(-6, 6)
    if random.random() < 0.6:
        network.node("Mul", [np.array(scale)])
    if random.random() < 0.4:
        network.node("Add", [np.array(random.choice([-1, 1]) * 10 ** random.uniform(0, 3 if half else 6))])
    end = random.choice(["", "", "", "", "Softmax", "LogSoftmax", "Sigmoid"])
    model = network.model(shape, str(end))
    images = random.random((IMAGES, *shape)).astype(np.float32)
    # Drawn apart, so that all other networks are as they would be without it.
    mixing = np.random.default_rng((seed, 16))
    mixed = bool(half and mixing.random() < 0.5)
    if mixed:
        mix(model, mixing)
    facts = {"seed": seed, "kind": str(kind), "dtype": "mixed" if mixed else np.dtype(dtype).name, "activation": activation,
             "normalised": bool(normalised), "end": str(end), "classes": classes}
    return model, images, facts


def mix(model, random):
    """Puts some nodes of a float16 model into float32, with Casts between, as autocast and converters leave it."""
    graph, half, single = model.graph, TensorProto.FLOAT16, TensorProto.FLOAT
    weights = {weight.name: weight for weight in graph.initializer}
    formats = {graph.input[0].name: half}
    nodes, copies = [], {}
    for node in graph.node:
        chosen = single if random.random() < 0.5 else half
        for i, name in enumerate(node.input):
            if name in weights:
                numbers = numpy_helper.to_array(weights[name])
                numbers = numbers.astype(np.float32 if chosen == single else np.float16)
                weights[name].CopyFrom(numpy_helper.from_array(numbers, name))
            elif formats[name] != chosen:
                if (name, chosen) not in copies:
                    copies[name, chosen] = f"{name}/{chosen}"
                    nodes.append(helper.make_node("Cast", [name], [copies[name, chosen]], to=chosen))
                node.input[i] = copies[name, chosen]
        formats[node.output[0]] = chosen
        nodes.append(node)
    nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.output[0].type.tensor_type.elem_type = formats[graph.output[0].name]


def logits_of(outputs):
    """Margins of outputs in the unit of logits, as far as they can be told: of probabilities, their logarithms."""
    probabilities = (outputs >= 0).all() and (outputs <= 1).all()
    return np.log(np.maximum(outputs, 1e-300)) if probabilities else outputs


class Runtime:
    """The saved file in onnxruntime, as people run it."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options)
        given = self.session.get_inputs()[0]
        self.name = given.name
        self.dtype = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}[given.type]

    def outputs(self, images):
        rows = [self.session.run(None, {self.name: image[None].astype(self.dtype)})[0] for image in images]
        return np.concatenate(rows).astype(np.float64)


def linear_map(model, count):
    """Weights and biases of a linear network in extended precision, from the numbers that its file holds."""
    weights = {w.name: numpy_helper.to_array(w).astype(np.longdouble) for w in model.graph.initializer}
    matrix, offset = np.eye(count, dtype=np.longdouble), np.zeros(count, dtype=np.longdouble)
    for node in model.graph.node:
        w = [weights[name] for name in node.input if name in weights]
        if node.op_type == "Gemm":
            matrix, offset = matrix @ w[0].T, offset @ w[0].T + w[1]
        elif node.op_type == "MatMul":
            matrix, offset = matrix @ w[0], offset @ w[0]
        elif node.op_type == "Add":
            offset = offset + w[0]
        elif node.op_type == "Mul":
            matrix, offset = matrix * w[0], offset * w[0]
        elif node.op_type == "BatchNormalization":
            scale, shift, mean, variance = w
            factor = scale / np.sqrt(variance + np.longdouble(np.float32(1e-5)))
            matrix, offset = matrix * factor, (offset - mean) * factor + shift
        else:
            # An end that keeps the order of the classes, or a copy.
            assert node.op_type in ("Softmax", "LogSoftmax", "Sigmoid", "Flatten", "Cast"), node.op_type
    return matrix, offset


def exact_distance(matrix, offset, image, label):
    """The L2 distance in [0, 1]^n to where another class leads, infinite where none can."""
    x = image.astype(np.longdouble)
    nearest = np.inf
    for k in range(len(offset)):
        if k == label:
            continue
        a, b = matrix[:, k] - matrix[:, label], offset[k] - offset[label]
        if a @ x + b >= 0:
            return 0.0
        moved = lambda reach: np.clip(x + reach * a, 0, 1)
        if a @ (a > 0) + b < 0:
            continue
        low, high = np.longdouble(0), np.longdouble(2) / np.abs(a[a != 0]).min()
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (low, middle) if a @ moved(middle) + b >= 0 else (middle, high)
        nearest = min(nearest, float(np.linalg.norm((moved(low) - x).astype(np.float64))))
    return nearest


class Trial:
    """One network through all commands."""

    # An image's answer is clear if its margin is above so many times the rounding noise.
    noises = 1

    def __init__(self, program, folder, seed, target="untargeted"):
        self.program, self.seed, self.target = program, seed, target
        self.folder = os.path.join(folder, str(seed))
        self.failures, self.refused, self.counts = [], None, collections.Counter()
        self.ratios = collections.defaultdict(list)
        # What an earlier run has kept of a failure is not this run's.
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def command(self, *arguments):
        """Runs a command; False if it refuses the network, with the reason kept."""
        words = [self.program, *arguments, "--quiet", "--threads", "1", "--data", "npz:" + self.path("data.npz")]
        with open(self.path("commands.sh"), "a") as file:
            file.write(" ".join(words) + "\n")
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        if done.returncode in (3, 4):
            self.refused = done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else f"exit {done.returncode}"
            return False
        if done.returncode != 0:
            self.failures.append(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
            return False
        return True

    def run(self):
        model, images, facts = generate(self.seed)
        self.facts = facts
        onnx.save(model, self.path("network.onnx"))
        try:
            runtime = Runtime(self.path("network.onnx"))
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            # Some operators have no kernel for float64.
            self.counts["not in onnxruntime"] += 1
            return self
        clean = runtime.outputs(images)
        if not np.isfinite(clean).all():
            np.savez(self.path("data.npz"), x=images, y=np.zeros(len(images), int))
            if self.command("attack", self.path("network.onnx"), "--out", self.path("sqp.npz"), "--target", self.target):
                self.failures.append("logits that are not finite were attacked")
            return self
        labels = clean.argmax(1)
        np.savez(self.path("data.npz"), x=images, y=labels)
        if facts["end"] in ("Softmax", "Sigmoid"):
            # Where probabilities round to the same number, argmax is no answer of the logits.
            top = np.sort(clean, 1)
            if (top[:, -1] == top[:, -2]).any():
                self.counts["ties"] += 1
                return self
        changes = self.compare(runtime, labels, clean)
        if changes is not None:
            self.certificates(model, images, labels, changes)
        return self

    def compare(self, runtime, labels, clean):
        """sqp beside the baselines; the smallest norm that any has found for each image. None if refused."""
        found, baselines = {}, BASELINES[self.target]
        for method in ("sqp", *baselines):
            done = self.attack(method, self.target, runtime, labels, clean)
            if done is None:
                return None
            found[method] = done
        best = np.min([found[m] for m in baselines], axis=0)
        with np.errstate(invalid="ignore"):
            above = np.isfinite(best) & np.isfinite(found["sqp"]) & (found["sqp"] > 1.01 * best)
        if self.target == "random":
            for evaluations in RATIOS:
                less = self.attack("sqp", self.target, runtime, labels, clean, "--max-evaluations", str(evaluations))
                if less is None:
                    return None
                both = np.isfinite(best) & np.isfinite(less) & self.clear
                self.ratios[evaluations] += list(less[both] / best[both])
                missed = np.isfinite(best) & ~np.isfinite(less) & self.clear
                self.counts[f"missed with at most {evaluations} evaluations"] += int(missed.sum())
        elif above.any():
            more = self.attack("sqp", self.target, runtime, labels, clean, "--max-evaluations", str(EVALUATIONS))
            if more is None:
                return None
            for i in np.flatnonzero(above & (more > 1.01 * best)):
                ratio = f"{more[i] / best[i]:.3f} of a baseline's norm with {EVALUATIONS} evaluations"
                if self.clear[i]:
                    self.failures.append(f"image {i}: sqp ends at {ratio}")
                else:
                    self.counts[f"1% above a baseline with {EVALUATIONS} evaluations, without a clear answer"] += 1
        for i in range(len(labels)):
            others = [m for m in baselines if np.isfinite(found[m][i])]
            if not self.clear[i]:
                self.counts["without a clear answer"] += 1
            elif others and not np.isfinite(found["sqp"][i]):
                self.failures.append(f"image {i}: sqp finds nothing, {', '.join(others)} do")
            if others and np.isfinite(found["sqp"][i]):
                ratio = found["sqp"][i] / min(found[m][i] for m in others)
                self.counts["compared"] += 1
                self.counts["1% above a baseline"] += ratio > 1.01
                self.counts["5% above a baseline"] += ratio > 1.05
        return np.min(list(found.values()), axis=0)

    def attack(self, method, target, runtime, labels, clean, *options):
        """The norms of an attack's changes, infinite where it has none; None if the network is refused."""
        out = self.path(f"{method}{''.join(options)}.npz")
        arguments = ["--method", method, "--target", target, *options, "--out", out]
        if not self.command("attack", self.path("network.onnx"), *arguments):
            return None
        result, record = np.load(out), json.load(open(out[:-4] + ".json"))
        success = result["success"].astype(bool)
        answers = runtime.outputs(result["adversarial"]).argmax(1)
        false = success & (answers == labels if target == "untargeted" else answers != result["target"])
        if false.any():
            self.failures.append(f"{method}: {false.sum()} of {success.sum()} successes are none in onnxruntime")
        self.counts["successes"] += int(success.sum())
        self.counts["false successes"] += int(false.sum())
        # Within the rounding noise an answer is no answer.
        two = np.sort(logits_of(clean), 1)[:, -2:]
        clear = two[:, 1] - two[:, 0] > self.noises * result["noise"]
        if self.facts["end"] == "LogSoftmax" and self.facts["dtype"] == "float64":
            # Nor where both are one number of single precision, in which answers are told.
            clear &= two[:, 1] - two[:, 0] > 2 * np.finfo(np.float32).eps * abs(two[:, 1])
        if self.facts["end"] in ("Softmax", "Sigmoid"):
            # Nor where the probabilities are as near as exponential functions of two runtimes may be apart.
            two = np.sort(clean, 1)[:, -2:]
            eps = np.finfo(np.float16 if self.facts["dtype"] == "mixed" else runtime.dtype).eps
            clear &= two[:, 1] - two[:, 0] > 2 * eps * two[:, 1]
        self.clear = clear
        if method == "sqp" and (clear & (result["prediction_before"] != labels)).any():
            self.failures.append("onnxruntime answers otherwise to images as they are")
        return np.where(success & ~false, result["l2"], np.inf)

    def certificates(self, model, images, labels, changes):
        out = self.path("certified.npz")
        if not self.command("certify", self.path("network.onnx"), "--out", out):
            self.counts["no certificates"] += 1
            self.refused = None
            return
        result = np.load(out)
        name = "certificate" if "certificate" in result else "radius"
        radii = result[name]
        self.counts["certificates"] += int((radii > 0).sum())
        for i in np.flatnonzero(radii > changes * (1 + 1e-9)):
            self.failures.append(f"image {i}: certificate {radii[i]:.9g} above a change of {changes[i]:.9g}")
        if self.facts["kind"] == "linear":
            matrix, offset = linear_map(model, images[0].size)
            for i, image in enumerate(images):
                distance = exact_distance(matrix, offset, image.reshape(-1), labels[i])
                self.counts["exact distances"] += 1
                if radii[i] > distance:
                    self.failures.append(f"image {i}: certificate {radii[i]:.12g}, exact distance {distance:.12g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--networks", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=BASELINES, default="untargeted")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    program, end = os.path.abspath(options.program), time.monotonic() + options.seconds
    counts, refused, failed, tried = collections.Counter(), collections.Counter(), 0, 0
    ratios = collections.defaultdict(list)

    def trial(seed):
        if time.monotonic() > end:
            return None
        done = Trial(program, options.folder, seed, options.target)
        try:
            return done.run()
        except Exception as error:  # A generator that fails is a failure, too.
            done.failures.append(f"{type(error).__name__}: {error}")
            return done

    first = FAILED_ONCE if options.networks > 1 else ()
    rest = range(options.seed, options.seed + options.networks)
    seeds = itertools.chain(first, (seed for seed in rest if seed not in first))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # A window of trials, so that no more seeds are queued than there is time for.
        while window := list(itertools.islice(seeds, 64)):
            done = [it for it in pool.map(trial, window) if it]
            for it in done:
                tried += 1
                counts.update(it.counts)
                for evaluations, of in it.ratios.items():
                    ratios[evaluations] += of
                if it.refused:
                    refused[it.refused] += 1
                if it.failures:
                    failed += 1
                    print(f"network {it.seed} {getattr(it, 'facts', '')}")
                    for failure in it.failures:
                        print(f"    {failure}", flush=True)
                elif not options.keep:
                    shutil.rmtree(it.folder)
            if len(done) < len(window):
                break
    print(f"{tried} networks from seed {options.seed}: {failed} failed, {sum(refused.values())} refused")
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    for evaluations, of in ratios.items():
        print(f"{np.mean(of):.4f} of C&W's norm on average over {len(of)} images, with at most {evaluations} evaluations")
        failed += bool(np.mean(of) > RATIOS[evaluations])
    for reason, count in refused.most_common(12):
        print(f"refused {count}: {reason}")
    sys.exit(failed > 0 or tried == 0 or sum(refused.values()) > 0.2 * tried)


if __name__ == "__main__":
    main()
