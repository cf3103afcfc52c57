"""Attacks with the shape of adv-lib's functions, and of AttackBench's; takes PyTorch.

>>> # from blindspot.advlib import sqp
>>> # adversarial = sqp(model, inputs, labels)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blindspot._protocols import adversarial, evaluations
from blindspot._torch import TorchClassifier

__all__ = ["attackbench", "sqp"]


def sqp(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    targeted: bool = False,
    max_propagations: int | None = None,
    **options: Any,
) -> Tensor:
    """The smallest L2 perturbations, as adv-lib's attacks are called.

    Args:
        model: gives logits for a batch; in evaluation mode.
        inputs: a batch in [0, 1].
        labels: true classes; target classes if `targeted`.
        max_propagations: forward and backward passes of one input at most, each counted as one.
        options: those of `blindspot.attack`.

    Returns:
        The adversarial inputs, on the device of `inputs`; inputs for which nothing is found as they are.
    """
    truth, wanted = (None, labels) if targeted else (labels, None)
    return attackbench(model, inputs, truth, wanted, targeted, max_propagations, **options)


def attackbench(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor | None,
    targets: Tensor | None = None,
    targeted: bool = False,
    max_propagations: int | None = 2000,
    **options: Any,
) -> Tensor:
    """The smallest L2 perturbations, as AttackBench calls an attack: with labels, and targets if `targeted`,
    and a budget of propagations.

    Its harness takes the best of all queries, so that models given as `nn.Module` are asked as they are.
    """
    values = inputs.detach().cpu().numpy().astype(np.float32)
    double = options.pop("double", True)
    classifier = TorchClassifier(model, values.shape[1:], double=double, batch=options.pop("batch", None))
    wanted = None
    if targeted:
        if targets is None:
            raise ValueError("a targeted attack takes targets")
        wanted = targets.detach().cpu().numpy().astype(np.int64)
    if labels is None:
        with torch.no_grad():
            labels = torch.cat([model(part).argmax(1) for part in inputs.split(classifier.batch)])
    truth = labels.detach().cpu().numpy().astype(np.int64)
    options = {"max_evaluations": evaluations(max_propagations), **options}
    found = adversarial(classifier, values, truth, wanted, options)
    return torch.from_numpy(found).to(inputs.device, inputs.dtype)
