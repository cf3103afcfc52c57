"""Reads models as exporters write them, and compares outputs and input gradients with the exporters' own.

python exports.py PROGRAM [MODEL...]: models whose names contain one of the words; prints a Markdown table. What was
exported is kept in target/exports and not exported again; `--make` only exports, `--json FILE` adds all that was found
to a file, `--read FILE` prints the table of such a file, `--with EXPORTER,...` takes some exporters only.
"""

import argparse
import contextlib
import importlib
import json
import logging
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import textwrap
import time
import traceback
import warnings

import numpy as np

import exports_models

FOLDER = pathlib.Path("target/exports")
# What one model may take, in seconds.
LIMIT = 900
IMAGES = 2
ROUNDS = 5
# The largest differences that count as agreement, relative to the largest number.
OUTPUTS, GRADIENT = 1e-4, 1e-3
# What rounds to float16 or to bytes jumps where two runtimes round to two sides.
ROUNDED = 3e-2


# Exporters: each writes `path` from a module and the shape of one input.


def by_dynamo(model, shape, path, **how):
    import torch

    torch.onnx.export(model, (torch.zeros(how.pop("batch", 1), *shape),), path, dynamo=True, verbose=False, **how)


def by_dynamo_batch(model, shape, path):
    import torch

    by_dynamo(model, shape, path, batch=2, dynamic_shapes=({0: torch.export.Dim("batch")},))


def by_script(model, shape, path, **how):
    import torch

    torch.onnx.export(model, (torch.zeros(1, *shape),), path, dynamo=False, input_names=["input"],
                      dynamic_axes={"input": {0: "batch"}}, **how)


def by_script_12(model, shape, path):
    by_script(model, shape, path, opset_version=12)


def half(model, shape, path):
    import onnx
    from onnxconverter_common import float16

    by_script(model, shape, path)
    onnx.save(float16.convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


def quantised(model, shape, path):
    """Static, by onnxruntime, in nodes that quantise and dequantise."""
    from onnxruntime import quantization

    full = path.with_name("full.onnx")
    by_script(model, shape, full, opset_version=17)

    class Images(quantization.CalibrationDataReader):
        images = iter([{"input": images_of(shape, seed)[:1]} for seed in range(4)])

        def get_next(self):
            return next(self.images, None)

    quantization.quantize_static(full, path, Images(), quant_format=quantization.QuantFormat.QDQ)
    full.unlink()


def by_skl2onnx(estimator, inputs, path, **how):
    import onnx
    import skl2onnx

    onnx.save(skl2onnx.to_onnx(estimator, inputs[:1], **how), path)


def by_skl2onnx_arrays(estimator, inputs, path):
    opsets = {"": 15, "ai.onnx.ml": 2}
    try:
        by_skl2onnx(estimator, inputs, path, options={"zipmap": False}, target_opset=opsets)
    except NameError:
        by_skl2onnx(estimator, inputs, path, target_opset=opsets)


def by_keras(model, shape, path):
    import torch

    model(torch.zeros(1, *shape))
    model.export(path, format="onnx", verbose=False)


EXPORTERS = {"dynamo": by_dynamo, "dynamo batch": by_dynamo_batch, "script": by_script, "script 12": by_script_12,
             "float16": half, "QDQ": quantised, "skl2onnx": by_skl2onnx, "skl2onnx 15": by_skl2onnx_arrays,
             "keras": by_keras}
# Rounded ones of these only.
SOME = {"torchvision/resnet18", "torchvision/mobilenet_v2", "torchvision/squeezenet1_1", "torchvision/convnext_tiny",
        "torchvision/vit_b_32", "torchvision/densenet121", "timm/mobilenetv3_small_050", "timm/test_vit",
        "timm/regnetx_002", "timm/efficientnet_b0", "transformers/ViT", "transformers/Bert"}


def exporters_of(name):
    match name.split("/")[0]:
        case "sklearn":
            return ["skl2onnx", "skl2onnx 15"]
        case "keras":
            return ["keras"]
        case "timm":
            return ["dynamo", "script"] + (["float16", "QDQ"] if name in SOME else [])
    return ["dynamo", "dynamo batch", "script", "script 12"] + (["float16", "QDQ"] if name in SOME else [])


def images_of(shape, seed=1):
    return np.random.default_rng(seed).random((IMAGES, *shape), np.float32)


def made(name):
    """The model, its inputs, and what exporters take as the second argument."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, inputs = exports_models.models()[name]()
    if name.startswith("sklearn/"):
        return model, inputs, inputs
    if not name.startswith("keras/"):
        model.eval()
        liven(model)
    return model, images_of(inputs), inputs


def liven(model):
    """Weights that begin at zero, or nearly so, get other numbers: else parts of a network count for nothing."""
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            if weight.is_floating_point() and weight.abs().max() < 1e-3:
                weight.normal_(std=0.1)
            weight.requires_grad_(False)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)


def runtime(path, images):
    """onnxruntime's answers to each image alone: the first that is a row of real numbers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name, rows = session.get_inputs()[0].name, []
    for image in images:
        outputs = session.run(None, {name: image[None]})
        maps = [output for output in outputs if isinstance(output, list)]
        reals = [output for output in outputs if isinstance(output, np.ndarray) and output.dtype.kind == "f"]
        rows.append(list(maps[0][0].values()) if maps else reals[0].ravel())
    return np.array(rows, np.float64)


def reference(name, model, images, factors, answers):
    """The gradient of the first image's outputs, times factors, by the framework; and its seconds, one for each round."""
    if name.startswith("sklearn/"):
        return by_differences(model, images[0], factors, answers[0]), []
    import torch

    x = torch.tensor(images[:1], requires_grad=True)
    seconds = []
    for _ in range(ROUNDS):
        x.grad = None
        start = time.perf_counter()
        output = model(x)
        (output.ravel() * torch.tensor(factors, dtype=torch.float32)).sum().backward()
        seconds.append(time.perf_counter() - start)
    return x.grad.numpy().ravel().astype(np.float64), seconds


def by_differences(estimator, image, factors, answer):
    """None where the estimator's numbers are not those of the file."""
    for answers in "predict_proba", "decision_function":
        with contextlib.suppress(AttributeError, NotImplementedError):
            function = getattr(estimator, answers)
            break
    else:
        return None
    step, points = 1e-5, image.astype(np.float64) + 1e-5 * np.concatenate([np.eye(len(image)), -np.eye(len(image))])
    outputs = function(points).reshape(len(points), -1)
    if outputs.shape[1] != len(factors) or abs(outputs[0] - answer).max() > 1e-3:
        return None
    sums = outputs @ factors
    return (sums[:len(image)] - sums[len(image):]) / (2 * step)


def by_slopes(model, image, factors, gradient):
    """How far a gradient is from the slopes of the framework's outputs in double precision, along itself and two random
    directions, relative to its norm."""
    import torch

    random, norm, largest = np.random.default_rng(3), np.linalg.norm(gradient), 0.0
    if not norm > 0 or not hasattr(model, "double"):
        return float("nan")
    model.double()
    for direction in (gradient, random.normal(size=gradient.shape), random.normal(size=gradient.shape)):
        direction = direction / np.linalg.norm(direction)
        step = 1e-6 * direction.reshape(image.shape)
        with torch.no_grad():
            up, down = (model(torch.tensor(image + sign * step)[None]).numpy().ravel() @ factors for sign in (1, -1))
        largest = max(largest, abs((up - down) / 2e-6 - gradient @ direction) / norm)
    model.float()
    return float(largest)


def nearby(model, image, factors, gradient):
    """How far a gradient is from the nearest of the framework's, in double precision, at points within 1e-6 of the image:
    where a unit is at its kink but for rounding, the gradients of both sides are right."""
    import torch

    if not hasattr(model, "double"):
        return float("nan")
    random, least = np.random.default_rng(4), float("inf")
    model.double()
    for size in np.geomspace(1e-8, 1e-6, 30):
        x = torch.tensor(image[None] + random.uniform(-size, size, (1, *image.shape)), requires_grad=True)
        (model(x).ravel() * torch.tensor(factors)).sum().backward()
        least = min(least, difference(gradient, x.grad.numpy()))
    model.float()
    return least


def difference(ours, theirs, by=None):
    """The largest difference, relative to the largest number."""
    ours, theirs = np.asarray(ours, np.float64).ravel(), np.asarray(theirs, np.float64).ravel()
    if ours.shape != theirs.shape:
        return float("inf")
    return float(abs(ours - theirs).max() / max(abs(theirs).max(), 1e-30))


def check(program, name, exporter, made_model):
    """What is found of a model by an exporter, for the JSON file."""
    model, images, given = made_model
    folder = FOLDER / name.replace(" ", "-").replace(",", "") / exporter.replace(" ", "-")
    path = folder / "model.onnx"
    found = {"model": name, "exporter": exporter}
    try:
        if not path.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            start = time.perf_counter()
            EXPORTERS[exporter](model, given, path)
            found["export_seconds"] = time.perf_counter() - start
        answers = runtime(path, images)
    except Exception as error:
        path.unlink(missing_ok=True)
        return found | {"not_exported": f"{type(error).__name__}: {error}"[:300]}
    if program is None:
        return found
    images.astype("<f4").tofile(folder / "images")
    child = subprocess.Popen([program, path, folder / "images", str(len(images))], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=os.environ | {"RAYON_NUM_THREADS": "1"})
    with child:
        line = child.stdout.readline()
        if not line:
            return found | {"refused": child.stderr.read()[-300:]}
        said = json.loads(line)
        if "error" in said:
            return found | {"refused": said["error"]}
        found |= {"notes": said["notes"], "numbers": said["numbers"], "read_seconds": said["read_seconds"],
                  "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.name != "images")}
        outputs = np.array([np.nan if x is None else x for x in said["outputs"]])
        found["outputs"] = difference(outputs, answers)
        factors = np.random.default_rng(2).normal(size=len(outputs) // len(images))
        theirs, seconds = reference(name, model, images, factors, answers)
        if exporter in ("QDQ", "float16"):
            # Rounded weights make another network at kinks, and a gradient straight through is no network's.
            theirs = None
        ours = []
        for _ in range(ROUNDS):
            child.stdin.write(json.dumps(list(factors)) + "\n")
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
            ours.append(answer["seconds"])
        if theirs is not None:
            gradient = np.array([np.nan if x is None else x for x in answer["gradient"]])
            found["gradient"] = difference(gradient, theirs)
            if found["gradient"] > GRADIENT and not name.startswith("sklearn/"):
                # Where two backward passes differ, the forward pass decides.
                found["autograd"] = found["gradient"]
                found["gradient"] = by_slopes(model, images[0], factors, gradient)
                if not found["gradient"] <= GRADIENT:
                    found["gradient"] = min(found["gradient"], nearby(model, images[0], factors, gradient))
                    found["kink"] = True
        found["ms"] = 1e3 * statistics.median(ours)
        if seconds:
            found["reference_ms"] = 1e3 * statistics.median(seconds)
        child.stdin.close()
    return found


def run(program, name, exporters, queue):
    """All of a model, in a process of its own."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            model = made(name)
            for exporter in exporters:
                queue.put(check(program, name, exporter, model))
    except Exception:
        queue.put({"model": name, "exporter": "", "not_exported": traceback.format_exc()[-300:]})
    queue.put(None)


def results(program, names, wanted):
    # Frameworks take seconds to begin with: once, before there are processes.
    context = multiprocessing.get_context("fork")
    collections = {name.split("/")[0] for name in names}
    for package in {"torch"} | collections & {"torchvision", "timm", "transformers"}:
        importlib.import_module(package)
    for name in names:
        exporters = [exporter for exporter in exporters_of(name) if not wanted or exporter in wanted]
        queue = context.Queue()
        process = context.Process(target=run, args=(program, name, exporters, queue))
        process.start()
        end = time.monotonic() + LIMIT
        while exporters:
            try:
                found = queue.get(timeout=5)
            except Exception:
                if time.monotonic() > end or not process.is_alive():
                    yield {"model": name, "exporter": "", "not_exported": "it took too long, or its process ended"}
                    break
                continue
            if found is None:
                break
            yield found
        process.kill()
        process.join()


def agrees(found, what):
    """Also where there is nothing to compare with."""
    limit = ROUNDED if found["exporter"] in ("float16", "QDQ") else {"outputs": OUTPUTS, "gradient": GRADIENT}[what]
    return what not in found or found[what] <= limit


def median(group, what):
    times = [found[what] for found in group if what in found]
    return f"{statistics.median(times):.1f}" if times else ""


def small(number):
    return "" if number is None else f"{number:.0e}"


def table(all_found):
    """For each collection and exporter, how many; then every model, with its worst exporter."""
    exported = [found for found in all_found if "not_exported" not in found]
    print("| models | exporter | files | read | outputs | gradients | ms over PyTorch's, median |")
    print("|---|---|---:|---:|---:|---:|---:|")
    groups = {}
    for found in exported:
        groups.setdefault((found["model"].split("/")[0], found["exporter"]), []).append(found)
    for (collection, exporter), group in [*groups.items(), (("all", ""), exported)]:
        read = [found for found in group if "refused" not in found]
        ratios = [found["ms"] / found["reference_ms"] for found in read if "reference_ms" in found]
        print(f"| {collection} | {exporter} | {len(group)} | {len(read)} | "
              f"{sum(agrees(found, 'outputs') for found in read)} | {sum(agrees(found, 'gradient') for found in read)} | "
              f"{f'{statistics.median(ratios):.2f}' if ratios else ''} |")
    print("\n| model | exporters | outputs | gradient | ms | PyTorch's |\n|---|---|---:|---:|---:|---:|")
    by_model = {}
    for found in exported:
        if "refused" not in found and found["exporter"] not in ("float16", "QDQ"):
            by_model.setdefault(found["model"], []).append(found)
    for name, group in by_model.items():
        def worst(what):
            return max((found[what] for found in group if what in found), default=None)
        print(f"| {name} | {len(group)} | {small(worst('outputs'))} | {small(worst('gradient'))} | {median(group, 'ms')} | "
              f"{median(group, 'reference_ms')} |")
    kinks = sorted({found["model"] for found in exported if "kink" in found and agrees(found, "gradient")})
    if kinks:
        said = f"At a kink but for rounding; ours is PyTorch's gradient within 1e-6 of the image: {', '.join(kinks)}."
        print("\n" + textwrap.fill(said, 118))
    doubtful = sorted({found["model"] for found in exported if "autograd" in found} - set(kinks))
    if doubtful:
        said = f"PyTorch's gradient is another one, and ours is compared with differences of its outputs: {', '.join(doubtful)}."
        print("\n" + textwrap.fill(said, 118))
    refused = [found for found in exported if "refused" in found]
    if refused:
        print("\n| refused | exporter | why |\n|---|---|---|")
        for found in refused:
            print(f"| {found['model']} | {found['exporter']} | {found['refused'].replace('|', '/')} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--read", type=pathlib.Path)
    parser.add_argument("--with", dest="exporters", type=lambda text: text.split(","), default=[])
    given = parser.parse_args()
    if given.read:
        # The last of each counts.
        found = map(json.loads, given.read.read_text().splitlines())
        return table(list({(one["model"], one["exporter"]): one for one in found}.values()))
    names = [name for name in exports_models.models() if not given.models or any(word in name for word in given.models)]
    found = []
    for one in results(None if given.make else given.program, names, given.exporters):
        found.append(one)
        if given.json:
            with given.json.open("a") as file:
                file.write(json.dumps(one) + "\n")
    if not given.make:
        table(found)


if __name__ == "__main__":
    main()
