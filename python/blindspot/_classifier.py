"""Models that are functions: outputs for a batch, and gradients pulled back to the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blindspot._errors import BlindspotError, ModelError, UsageError

if TYPE_CHECKING:
    from blindspot import _native
    from blindspot._native import Watch

PullBack = Callable[[NDArray[Any]], Any]
ValueAndPullback = Callable[[NDArray[Any]], "tuple[Any, PullBack]"]


class Classifier:
    """A model that is a function with a gradient, of JAX, TensorFlow or anything else.

    Args:
        value_and_pullback: takes a batch, a float32 array `[n, *shape]`; gives the outputs `[n, classes]`
            (logits) and a function that takes gradients by these outputs, `[n, classes]`, and gives the
            gradients by the inputs, `[n, *shape]`: each row the transposed Jacobian times the gradients
            of that row. `jax.vjp` gives such a pair. A tuple of one array will do for gradients.
        shape: the shape of one input.
        classes: how many classes.
        box: the range that each input value stays in.
        batch: inputs at a time, at most.
        exact: the same in double precision, by which results are verified, if there is such.

    The function is called from other threads than the caller's, from one at a time while searching. The same
    seed gives the same perturbations as far as the function gives an input the same bits whatever else is
    in the batch.

    >>> import blindspot as bs, numpy as np
    >>> weights = np.eye(2, dtype=np.float32)
    >>> linear = bs.Classifier(lambda x: (x @ weights, lambda g: g @ weights.T), (2,), 2)
    >>> found = bs.attack(linear, [[0.9, 0.1]], [0], target="untargeted")
    >>> bool(abs(found.norm[0] - 0.8 / 2**0.5) < 1e-4)
    True
    """

    def __init__(
        self,
        value_and_pullback: ValueAndPullback | None,
        shape: Sequence[int],
        classes: int,
        *,
        box: tuple[float, float] = (0.0, 1.0),
        batch: int = 64,
        exact: Classifier | None = None,
    ) -> None:
        if value_and_pullback is not None and not callable(value_and_pullback):
            raise UsageError("value_and_pullback is no function")
        if batch < 1:
            raise UsageError(f"batch={batch}: give at least 1")
        self.value_and_pullback = value_and_pullback
        self.shape = tuple(int(size) for size in shape)
        self.classes = int(classes)
        if min((*self.shape, 1)) < 1 or self.classes < 2:
            raise UsageError(f"shape {self.shape} and {self.classes} classes: give sizes, and 2 classes at least")
        self.box = (float(box[0]), float(box[1]))
        self.batch = batch
        self.exact = exact
        self._type: type[np.floating[Any]] = np.float32

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Prepares the model for long work."""
        yield

    def _batch(self) -> int:
        return self.batch

    def _exact(self) -> Classifier | None:
        if self.exact is not None:
            self.exact._type = np.float64
        return self.exact

    def _answers(self, images: _native.Images | NDArray[np.float32], watch: Watch) -> list[int]:
        """The classes of images as the native half takes them."""
        values = images if isinstance(images, np.ndarray) else images.values()
        rows = np.asarray(values).reshape(-1, int(np.prod(self.shape, dtype=np.int64)))
        answers: list[int] = []
        for first in range(0, len(rows), self.batch):
            outputs, _ = self._values(rows[first : first + self.batch].reshape(-1))
            answers += [int(answer) for answer in outputs.reshape(-1, self.classes).argmax(axis=1)]
        return answers

    def _evaluate(self, inputs: NDArray[Any]) -> tuple[Any, PullBack]:
        assert self.value_and_pullback is not None
        given = self.value_and_pullback(inputs)
        if not isinstance(given, tuple) or len(given) != 2 or not callable(given[1]):
            raise ModelError(
                "value_and_pullback gives no pair of outputs and a function that pulls gradients back"
            )
        return given

    def _values(self, inputs: NDArray[Any]) -> tuple[NDArray[Any], PullBack]:
        """Outputs of inputs, one after the other, and the function that pulls gradients back."""
        count = inputs.size // int(np.prod(self.shape, dtype=np.int64))
        with _explained(count):
            outputs, pull_back = self._evaluate(inputs.reshape(count, *self.shape))
            outputs = self._checked(outputs, "outputs", (count, self.classes))

        def pulled(gradients: NDArray[Any]) -> NDArray[Any]:
            with _explained(count):
                found = pull_back(gradients.reshape(count, self.classes))
                if isinstance(found, (tuple, list)) and len(found) == 1:
                    found = found[0]
                return self._checked(found, "gradients", (count, *self.shape))

        return outputs, pulled

    def _checked(self, values: Any, what: str, shape: tuple[int, ...]) -> NDArray[Any]:
        array = np.asarray(values)
        if array.shape != shape:
            raise ModelError(f"the model gives {what} of the shape {array.shape} for a batch, not {shape}")
        if array.dtype.kind != "f" and "float" not in str(array.dtype):
            raise ModelError(f"the model gives {what} of type {array.dtype}; give floats")
        array = np.ascontiguousarray(array, dtype=self._type)
        if what == "gradients" and np.isnan(array).any():
            raise ModelError("the model gives NaN among its gradients; check its weights and its inputs")
        return array.reshape(-1)


@contextmanager
def _explained(count: int) -> Iterator[None]:
    """Says of an exception where it happened."""
    try:
        yield
    except BlindspotError:
        raise
    except Exception as error:
        raise ModelError(f"the model failed on a batch of {count}: {type(error).__name__}: {error}") from error
