"""Networks trained for certificates, and how many test images are certified at which distances.

python certified.py PROGRAM IMAGES [NETWORK:EPSILON...]

EPSILON - is plain training. Without networks, those of the book's table.
"""

import subprocess
import sys
import tempfile
import time

import numpy as np

program, images, *networks = sys.argv[1:]
networks = networks or ["FC100-100-10:-", "FC100-100-10:0.1", "conv:-", "conv:0.1", "conv:0.2", "conv:0.3"]
DISTANCES = {"linf": [0.1, 0.2, 0.3], "l2": [0.5, 1.0, 1.5, 2.0]}


def run(*words):
    return subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout


def train(network, epsilon, path):
    certified = [] if epsilon == "-" else ["--certified", "--epsilon", epsilon]
    begun = time.monotonic()
    run("train", network, *certified, "--quiet", "--out", path)
    return time.monotonic() - begun


def certify(path, norm, folder):
    out = f"{folder}/{norm}.npz"
    run("certify", path, "--norm", norm, "--samples", images, "--quiet", "--out", out)
    found = np.load(out)
    return found["certificate"], found[norm]


columns = [f"{name} {distance}" for name, norm in (("Linf", "linf"), ("L2", "l2")) for distance in DISTANCES[norm]]
print("| network, trained for | s | right | " + " | ".join(columns) + " | mean smallest change: Linf, L2 |")
print("|---|---:|---:|" + "---:|" * len(columns) + "---:|")
for name in networks:
    network, epsilon = name.split(":")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/network.onnx"
        seconds = train(network, epsilon, path)
        cells, means = [], []
        for norm, distances in DISTANCES.items():
            certificate, change = certify(path, norm, folder)
            right = np.mean(change > 0)
            means.append(change[np.isfinite(change) & (change > 0)].mean())
            for distance in distances:
                # A certificate holds below its radius, a change of that size is within it.
                shares = np.mean(certificate >= distance), np.mean(change > distance)
                cells.append("{:.1f} / {:.1f}".format(*(100 * share for share in shares)))
        means = ", ".join(f"{mean:.3f}" for mean in means)
        trained = "plainly" if epsilon == "-" else f"Linf {epsilon}"
        row = [f"{network}, {trained}", f"{seconds:.0f}", f"{100 * right:.1f}", *cells, means]
        print("| " + " | ".join(row) + " |", flush=True)
