"""Singular values of convolutions and matrices of AlexNet's sizes: ours and NumPy's.

python spectrum.py PROGRAM THREADS [LAYER,...]

NumPy's route is the paper's formula: the Fourier transform of the filters on the input's grid
(numpy.fft.fft2), with a stride the aliased coefficients side by side, and numpy.linalg.svd of all
blocks. Of the blocks at xi and -xi, conjugates of each other, it takes one, as ours does. Weights are
random, the same for both; each route runs three times in turn, the median counts. Both ends of the
spectrum must agree to 1e-6 of the largest.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = {  # weight, input, stride, padding
    "conv1": ((96, 3, 11, 11), (3, 227, 227), 4, 0),
    "conv2": ((256, 96, 5, 5), (96, 27, 27), 1, 2),
    "conv3": ((384, 256, 3, 3), (256, 13, 13), 1, 1),
    "conv4": ((384, 384, 3, 3), (384, 13, 13), 1, 1),
    "conv5": ((256, 384, 3, 3), (384, 13, 13), 1, 1),
    "fc6": ((4096, 9216), (9216,), None, None),
    "fc7": ((4096, 4096), (4096,), None, None),
    "fc8": ((1000, 4096), (4096,), None, None),
}


def model(name, weight, shape, stride, padding):
    """The layer alone, as ONNX."""
    tensor = numpy_helper.from_array(weight, "w")
    if stride is None:
        node = helper.make_node("Gemm", ["x", "w"], ["y"], name=name, transB=1)
    else:
        node = helper.make_node("Conv", ["x", "w"], ["y"], name=name, strides=[stride] * 2,
                                pads=[padding] * 4)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "layer", [x], [y], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def numpys(weight, shape, stride):
    weight = weight.astype(np.float64)
    if stride is None:
        return np.linalg.svd(weight, compute_uv=False)
    grid = -(-shape[1] // stride) * stride
    coarse = grid // stride
    coefficients = np.fft.fft2(weight, (grid, grid))
    features, channels = weight.shape[:2]
    blocks = coefficients.reshape(features, channels, stride, coarse, stride, coarse)
    blocks = blocks.transpose(3, 5, 0, 1, 2, 4).reshape(coarse * coarse, features, -1) / stride
    half = [at for at in range(coarse * coarse)
            if (-(at // coarse) % coarse, -(at % coarse) % coarse) >= (at // coarse, at % coarse)]
    return np.linalg.svd(blocks[half], compute_uv=False).ravel()


program, threads = sys.argv[1:3]
names = sys.argv[3].split(",") if len(sys.argv) > 3 else list(LAYERS)
random = np.random.default_rng(0)
print(f"NumPy {np.__version__}, {threads} threads\n")
print("| layer | ours, s | NumPy, s | ratio |")
print("|---|---:|---:|---:|")
for name in names:
    size, shape, stride, padding = LAYERS[name]
    weight = random.normal(size=size).astype(np.float32) / np.float32(np.sqrt(np.prod(size[1:])))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "layer.onnx"
        onnx.save(model(name, weight, shape, stride, padding), path)
        process = subprocess.Popen([program, str(path), name, threads], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout.readline() == "ready\n"
        ours, theirs = [], []
        for turn in range(3):
            process.stdin.write("\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            ours.append(answer["seconds"])
            start = time.perf_counter()
            values = numpys(weight, shape, stride)
            theirs.append(time.perf_counter() - start)
            most = values.max()
            for own, peer in [(answer["upper"], most), (answer["lower"], values.min())]:
                assert abs(own - peer) < 1e-6 * most, (name, own, peer)
        process.stdin.close()
        process.wait()
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"| {name} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |", flush=True)
