"""python bench/attackbench.py [IMAGES [BUDGET [CIFAR10]]]: L2 attacks on networks trained on CIFAR-10.

Ours beside adv-lib's DDN, FMN, PDGD, SuperDeepFool and minimal APGD with targets, each with BUDGET propagations an
image: 2,000 without. A forward pass of an image is one propagation, a backward pass another. An attack's distance for
an image is the smallest of all its queries within the budget that are answered wrongly, as AttackBench has it (Cinà et
al. 2025); its optimality is the area between the curve of robust accuracy over norms and clean accuracy, as a part
of the same area of the best of all attacks for each image: 1 for an attack that is nowhere behind another.

The networks are those of cifar.py, trained the first time: a plain residual network, the same trained against PGD in an
L2 ball of 0.5, and a ViT of four layers. CIFAR10 is a folder with train/CLASS/*.jpg and test/CLASS/*.jpg.
"""

import sys
import time

import torch
from adv_lib.attacks import ddn, fmn, pdgd, sdf
from adv_lib.attacks.auto_pgd import minimal_apgd
from torch import nn

from blindspot.advlib import attackbench as ours
from cifar import DEVICE, NETWORKS, cifar, trained


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
    pixels, labels, test, truth = cifar(*sys.argv[3:])
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
