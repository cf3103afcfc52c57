"""An attack with the shape of Foolbox's; takes Foolbox.

    attack = blindspot.foolbox.SQP()
    raw, clipped, success = attack(foolbox_model, inputs, labels, epsilons=None)
"""

from __future__ import annotations

from typing import Any

import eagerpy as ep
import numpy as np
from foolbox.attacks.base import MinimizationAttack, get_criterion, raise_if_kwargs
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.distances import l2
from numpy.typing import NDArray

from blindspot._classifier import Classifier, PullBack
from blindspot._errors import UsageError
from blindspot._protocols import adversarial

__all__ = ["SQP"]


class SQP(MinimizationAttack):  # type: ignore[misc,unused-ignore]
    """The smallest L2 perturbation, for models of every framework that Foolbox knows.

    Args:
        max_evaluations: of the model for each search; as long as it takes without.
        batch: inputs at a time, at most.
        options: others of `blindspot.attack`.

    Criteria are Misclassification and TargetedMisclassification.
    """

    distance = l2

    def __init__(self, *, max_evaluations: int | None = None, batch: int = 64, **options: Any) -> None:
        self.options = {"max_evaluations": max_evaluations, **options}
        self.batch = batch

    def run(
        self, model: Any, inputs: Any, criterion: Any, *, early_stop: float | None = None, **kwargs: Any
    ) -> Any:
        """Adversarial inputs of the type of `inputs`; those for which nothing is found as they are."""
        raise_if_kwargs(kwargs)
        x, restore_type = ep.astensor_(inputs)
        criterion = get_criterion(criterion)
        values = x.numpy().astype(np.float32)
        classifier = _classifier(model, x, self.batch)
        if isinstance(criterion, Misclassification):
            labels, targets = criterion.labels.numpy().astype(np.int64), None
        elif isinstance(criterion, TargetedMisclassification):
            targets = criterion.target_classes.numpy().astype(np.int64)
            labels = ep.astensor(model(x.raw)).argmax(axis=-1).numpy().astype(np.int64)
        else:
            raise UsageError(f"{type(criterion).__name__}: use Misclassification or TargetedMisclassification")
        found = adversarial(classifier, values, labels, targets, self.options)
        return restore_type(ep.from_numpy(x, found.astype(x.numpy().dtype)))


def _classifier(model: Any, x: Any, batch: int) -> Classifier:
    """A Foolbox model as a function with a gradient."""

    def value_and_pullback(inputs: NDArray[Any]) -> tuple[Any, PullBack]:
        given = ep.from_numpy(x, inputs)
        torch = isinstance(given, ep.PyTorchTensor)
        if torch:
            # Its graph serves outputs and gradients.
            import torch as pytorch

            with pytorch.enable_grad():
                leaf = given.raw.clone().requires_grad_(True)
                outputs = model(leaf)

            def pull_back(gradients: NDArray[Any]) -> Any:
                weights = pytorch.from_numpy(gradients).to(outputs.device, outputs.dtype)
                (found,) = pytorch.autograd.grad(outputs, leaf, weights, retain_graph=True)
                return found.cpu().numpy()

            return outputs.detach().cpu().numpy(), pull_back

        def pull_back_anew(gradients: NDArray[Any]) -> Any:
            weights = ep.from_numpy(x, gradients)

            def weighted(inputs: Any) -> Any:
                return (ep.astensor(model(inputs.raw)) * weights).sum()

            return ep.value_and_grad(weighted, given)[1].numpy()

        return ep.astensor(model(given.raw)).numpy(), pull_back_anew

    classes = ep.astensor(model(x[:1].raw)).shape[-1]
    return Classifier(value_and_pullback, x.shape[1:], classes, box=tuple(model.bounds), batch=batch)
