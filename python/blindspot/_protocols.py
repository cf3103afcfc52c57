"""What the shapes of other packages' attacks have in common."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindspot._attack import attack
from blindspot._classifier import Classifier


def adversarial(
    classifier: Classifier,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    targets: NDArray[np.int64] | None,
    options: dict[str, Any],
) -> NDArray[np.float32]:
    """Adversarial inputs for labels, or for a target class of each input.

    Inputs that succeed as they are, and those for which nothing is found, are given back.
    """
    options = {"progress": False, **options}
    if targets is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return attack(classifier, inputs, labels, target="untargeted", **options).adversarial
    found = inputs.copy()
    for target in np.unique(targets):
        # One search goes to one class; an input that is there already needs none.
        chosen = np.flatnonzero((targets == target) & (labels != target))
        if len(chosen):
            given = attack(classifier, inputs[chosen], labels[chosen], target=int(target), **options)
            found[chosen[given.index]] = given.adversarial
    return found


def evaluations(propagations: int | None) -> int | None:
    """Evaluations of a search that may take so many forward and backward passes of one input."""
    return None if propagations is None else max(propagations // 2, 1)
