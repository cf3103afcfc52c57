"""python bench/attackbench.py [IMAGES [BUDGET [CIFAR10]]]: L2 attacks on networks trained on CIFAR-10.

Ours beside adv-lib's DDN, FMN, PDGD, SuperDeepFool and minimal APGD with targets, each with BUDGET propagations an
image: 2,000 without. A forward pass of an image is one propagation, a backward pass another. An attack's distance for
an image is the smallest of all its queries within the budget that are answered wrongly, as AttackBench has it (Cinà et
al. 2025); its optimality is the area between the curve of robust accuracy over norms and clean accuracy, as a part
of the same area of the best of all attacks for each image: 1 for an attack that is nowhere behind another.

Networks are trained the first time and kept in target/attackbench: a plain residual network, the same trained against
PGD in an L2 ball of 0.5, and a ViT of four layers. CIFAR10 is a folder with train/CLASS/*.jpg and test/CLASS/*.jpg.
"""

import os
import pathlib
import sys
import tarfile
import time

import numpy as np
import torch
from adv_lib.attacks import ddn, fmn, pdgd, sdf
from adv_lib.attacks.auto_pgd import minimal_apgd
from PIL import Image
from torch import nn
from torch.nn import functional

from blindspot.advlib import attackbench as ours

FOLDER = pathlib.Path("target/attackbench")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 128


def cifar(root):
    """Training and test images in [0, 1], with labels."""
    kept = FOLDER / "cifar10.pt"
    if not kept.exists():
        if (archive := root / "cifar10-jpeg.tar.gz").exists():
            with tarfile.open(archive) as files:
                files.extractall(FOLDER, filter="data")
            root = next(FOLDER.glob("**/train")).parent
        parts = []
        for part in ("train", "test"):
            images, labels = [], []
            for label, folder in enumerate(sorted((root / part).iterdir())):
                for path in sorted(folder.iterdir()):
                    images.append(np.asarray(Image.open(path).convert("RGB")))
                    labels.append(label)
            pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
            parts += [pixels, torch.tensor(labels)]
        torch.save(parts, kept)
    return torch.load(kept)


class Block(nn.Module):
    def __init__(self, below, width, stride):
        super().__init__()
        self.one = nn.Sequential(
            nn.Conv2d(below, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        self.other = nn.Conv2d(below, width, 1, stride) if stride > 1 or below != width else nn.Identity()

    def forward(self, x):
        return functional.relu(self.one(x) + self.other(x))


def residual():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Vit(nn.Module):
    def __init__(self, width=96, heads=4, layers=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.places = nn.Parameter(0.02 * torch.randn(1, 64, width))
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.end = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.end(self.layers(tokens).mean(1))


NETWORKS = {"residual": (residual, 15, 0.0), "adversarially trained": (residual, 15, 0.5), "ViT": (Vit, 30, 0.0)}


def pgd(network, x, y, radius, steps=5):
    """The inputs of a training against perturbations."""
    delta = torch.zeros_like(x)
    for _ in range(steps):
        delta.requires_grad_(True)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(network(x + delta), y), delta)
        step = gradient / gradient.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
        delta = delta.detach() + 0.4 * radius * step
        delta *= (radius / delta.flatten(1).norm(dim=1).clamp(min=1e-12)).clamp(max=1).view(-1, 1, 1, 1)
        delta = (x + delta).clamp(0, 1) - x
    return x + delta.detach()


def trained(name, pixels, labels):
    """A network by its name, from its file or from training."""
    make, epochs, radius = NETWORKS[name]
    torch.manual_seed(0)
    network, kept = make().to(DEVICE), FOLDER / f"{name.replace(' ', '-')}.pt"
    if kept.exists():
        network.load_state_dict(torch.load(kept, map_location=DEVICE))
        return network.eval()
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
    steps = epochs * (len(pixels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for epoch in range(epochs):
        order = torch.randperm(len(pixels))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            x, y = pixels[chosen].to(DEVICE).float() / 255, labels[chosen].to(DEVICE)
            x = torch.where(torch.rand(len(x), 1, 1, 1, device=DEVICE) < 0.5, x.flip(3), x)
            if radius:
                x = pgd(network.eval(), x, y, radius)
            network.train()
            optimiser.zero_grad()
            functional.cross_entropy(network(x), y).backward()
            optimiser.step()
            schedule.step()
        print(f"{name}: epoch {epoch + 1} of {epochs}", file=sys.stderr)
    torch.save(network.state_dict(), kept)
    return network.eval()


class Harness(nn.Module):
    """A network that counts propagations of each image, and keeps the smallest norm of a query answered wrongly."""

    def __init__(self, network, originals, labels, budget):
        super().__init__()
        self.network, self.originals, self.labels, self.budget = network, originals.flatten(1), labels, budget
        self.propagations = torch.zeros(len(labels), device=originals.device)
        self.best = torch.full((len(labels),), float("inf"), device=originals.device)
        self.eval()

    def count(self, images):
        self.propagations.index_add_(0, images, torch.ones(len(images), device=images.device))

    def forward(self, x):
        # Attacks leave images out of their batches: a query belongs to the nearest original.
        images = torch.cdist(x.detach().flatten(1).float(), self.originals).argmin(1)
        self.count(images)
        y = self.network(x)
        if y.requires_grad:
            y.register_hook(lambda _: self.count(images))
        norms = (x.detach().flatten(1) - self.originals[images]).norm(dim=1)
        counts = (y.detach().argmax(1) != self.labels[images]) & (self.propagations[images] <= self.budget)
        self.best.scatter_reduce_(0, images, norms.where(counts, torch.full_like(norms, float("inf"))), "amin")
        return y


def attacks(budget):
    """Each attack with as many steps as its budget has forward and backward passes."""
    steps = budget // 2
    return {
        "blindspot": lambda f, x, y: ours(f, x, y, max_propagations=budget, double=False, progress=False),
        "DDN": lambda f, x, y: ddn(f, x, y, steps=steps, levels=None),
        "FMN": lambda f, x, y: fmn(f, x, y, norm=2, steps=steps),
        "PDGD": lambda f, x, y: pdgd(f, x, y, num_steps=steps),
        "SuperDeepFool": lambda f, x, y: sdf(f, x, y, steps=max(steps // 40, 1)),
        "APGD_t": lambda f, x, y: minimal_apgd(
            f, x, y, norm=2, max_eps=4.0, targeted_version=True, n_iter=max(steps // 90, 1), binary_search_steps=10),
    }


def main():
    count, budget = (int(word) for word in (*sys.argv[1:3], *("100", "2000")[len(sys.argv[1:3]) :]))
    shared = pathlib.Path(os.environ.get("BLINDSPOT_DATA", "../shared/data")) / "cifar10"
    FOLDER.mkdir(parents=True, exist_ok=True)
    pixels, labels, test, truth = cifar(pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else shared)
    chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:count]
    x, y = test[chosen].to(DEVICE).float() / 255, truth[chosen].to(DEVICE)
    print(f"{count} images, {budget} propagations, {DEVICE}\n")
    print("| network | attack | optimality | median norm | found | propagations | ms an image |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name in NETWORKS:
        network = trained(name, pixels, labels)
        with torch.no_grad():
            right = network(x).argmax(1) == y
        originals, classes = x[right], y[right]
        rows = {}
        for attack, run in attacks(budget).items():
            harness = Harness(network, originals, classes, budget)
            begun = time.perf_counter()
            run(harness, originals.clone(), classes)
            rows[attack] = harness.best, harness.propagations.mean(), time.perf_counter() - begun
        best = torch.stack([norms for norms, _, _ in rows.values()]).amin(0)
        most = best[best.isfinite()].max()
        for attack, (norms, propagations, seconds) in rows.items():
            optimality = (most - norms).clamp(min=0).sum() / (most - best).clamp(min=0).sum()
            print(f"| {name} | {attack} | {optimality:.3f} | {norms.median():.4f} | {norms.isfinite().float().mean():.1%}"
                  f" | {propagations:.0f} | {1e3 * seconds / len(classes):.0f} |", flush=True)


if __name__ == "__main__":
    main()
