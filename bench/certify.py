"""Certificates over the smallest changes found, for longer and longer on one thread.

python certify.py PROGRAM IMAGES [MODEL.onnx]

Without a model, 784-100-100-10 with ReLUs is trained by PyTorch: Adam, 6 passes, seed 0.
"""

import gzip
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

program, images, *model = sys.argv[1:]
images = int(images)
torch.set_num_threads(1)


def train(path):
    data = pathlib.Path(os.environ["BLINDSPOT_DATA"]) / "mnist"
    raw = gzip.open(data / "train-images-idx3-ubyte.gz").read()[16:]
    x = torch.from_numpy(np.frombuffer(raw, np.uint8).reshape(-1, 784) / np.float32(255))
    labels = gzip.open(data / "train-labels-idx1-ubyte.gz").read()[8:]
    y = torch.from_numpy(np.frombuffer(labels, np.uint8).astype(np.int64))
    torch.manual_seed(0)
    linear, relu = torch.nn.Linear, torch.nn.ReLU
    layers = [linear(784, 100), relu(), linear(100, 100), relu(), linear(100, 10)]
    network = torch.nn.Sequential(*layers)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3, weight_decay=1e-5)
    for _ in range(6):
        for batch in torch.randperm(len(x)).split(128):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimiser.step()
    torch.onnx.export(network, torch.zeros(1, 784), path, dynamo=False)


with tempfile.TemporaryDirectory() as folder:
    path = model[0] if model else f"{folder}/relu.onnx"
    if not model:
        train(path)
    print("| limit, s an image | whole time, s an image | mean certificate over mean smallest change |")
    print("|---:|---:|---:|")
    for limit in [None, 0.05, 0.2, 1.0]:
        out = f"{folder}/certified.npz"
        words = [program, "certify", path, "--samples", str(images), "--threads", "1", "--quiet"]
        more = ["--time-limit", str(limit * images)] if limit else []
        begun = time.monotonic()
        subprocess.run([*words, "--out", out, *more], check=True)
        taken = (time.monotonic() - begun) / images
        found = np.load(out)
        known = (found["certificate"] > 0) & np.isfinite(found["l2"])
        ratio = found["certificate"][known].mean() / found["l2"][known].mean()
        print(f"| {limit or 'none given'} | {taken:.3f} | {ratio:.3f} |", flush=True)
