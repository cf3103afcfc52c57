"""CIFAR-10's images, and networks trained on them: what the benchmarks share.

Networks are trained the first time and kept in target/cifar10, as the images are, once they were read. CIFAR10 is a
folder with train/CLASS/*.jpg and test/CLASS/*.jpg, or with cifar10-jpeg.tar.gz, which has them.
"""

import os
import pathlib
import sys
import tarfile

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

FOLDER = pathlib.Path("target/cifar10")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 128


def cifar(root=None):
    """Training images as bytes, their labels, test images, theirs; from the folder CIFAR10 or BLINDSPOT_DATA's."""
    root = pathlib.Path(root or pathlib.Path(os.environ.get("BLINDSPOT_DATA", "../shared/data")) / "cifar10")
    FOLDER.mkdir(parents=True, exist_ok=True)
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


# Their epochs, and the L2 norm of the perturbations that they are trained against.
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


def trained(name, pixels, labels, epochs=None):
    """A network by its name, from its file or from training: for as many epochs as its table says, or as are given."""
    make, usual, radius = NETWORKS[name]
    epochs = epochs or usual
    torch.manual_seed(0)
    network, kept = make().to(DEVICE), FOLDER / f"{name.replace(' ', '-')}-{epochs}.pt"
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
