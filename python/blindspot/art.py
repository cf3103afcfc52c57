"""An attack with the shape of ART's evasion attacks; takes the Adversarial Robustness Toolbox.

    attack = blindspot.art.SQP(estimator)
    adversarial = attack.generate(x)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from art.attacks.attack import EvasionAttack
from art.estimators.classification.classifier import ClassGradientsMixin
from art.estimators.estimator import BaseEstimator
from numpy.typing import NDArray

from blindspot._classifier import Classifier, PullBack
from blindspot._errors import UsageError
from blindspot._protocols import adversarial

__all__ = ["SQP"]


class SQP(EvasionAttack):  # type: ignore[misc,unused-ignore]
    """The smallest L2 perturbation, for ART's classifiers with gradients by class.

    Args:
        estimator: a classifier whose outputs are logits, with `clip_values`.
        targeted: whether `y` are classes to be answered.
        batch_size: inputs at a time, at most.
        max_evaluations: of the model for each search; as long as it takes without.
    """

    attack_params = [*EvasionAttack.attack_params, "targeted", "batch_size", "max_evaluations"]
    _estimator_requirements = (BaseEstimator, ClassGradientsMixin)

    def __init__(
        self,
        estimator: Any,
        targeted: bool = False,
        batch_size: int = 64,
        max_evaluations: int | None = None,
    ) -> None:
        super().__init__(estimator=estimator)
        self._targeted = targeted
        self.batch_size = batch_size
        self.max_evaluations = max_evaluations

    def generate(self, x: NDArray[Any], y: NDArray[Any] | None = None, **kwargs: Any) -> NDArray[Any]:
        """Adversarial inputs of the shape and type of `x`; those for which nothing is found as they are.

        Without `y` the estimator's own answers are the labels.
        """
        if kwargs:
            raise UsageError(f"unknown options {', '.join(kwargs)}")
        if self._targeted and y is None:
            raise UsageError("a targeted attack takes target classes")
        answers = np.argmax(self.estimator.predict(x, batch_size=self.batch_size), axis=1)
        given = answers if y is None else np.asarray(y)
        given = np.argmax(given, axis=1) if given.ndim == 2 and given.shape[1] > 1 else given.reshape(-1)
        labels, targets = (answers, given) if self._targeted else (given, None)
        options = {"max_evaluations": self.max_evaluations}
        values = x.astype(np.float32)
        found = adversarial(self._classifier(values), values, labels.astype(np.int64), targets, options)
        return found.astype(x.dtype)

    def _classifier(self, values: NDArray[np.float32]) -> Classifier:
        estimator = self.estimator

        def value_and_pullback(inputs: NDArray[Any]) -> tuple[Any, PullBack]:
            def pull_back(gradients: NDArray[Any]) -> Any:
                # ART gives the gradient of each class: as many backward passes as there are classes.
                by_class = estimator.class_gradient(inputs)
                return np.einsum("nc,nc...->n...", gradients, by_class)

            return estimator.predict(inputs, batch_size=len(inputs)), pull_back

        clip = estimator.clip_values
        if clip is None:
            raise UsageError("the estimator has no clip_values; a search takes the range of its inputs")
        box = (float(np.min(clip[0])), float(np.max(clip[1])))
        return Classifier(
            value_and_pullback, values.shape[1:], estimator.nb_classes, box=box, batch=self.batch_size
        )
