"""What goes wrong, by what it is about."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

Result = TypeVar("Result")


class BlindspotError(Exception):
    """Anything that the package raises by itself, but for `Interrupted`."""

    #: Where a model failed in the middle of work: the result of what was done until then.
    finished: Any = None


class UsageError(BlindspotError, ValueError):
    """Something was asked for that does not exist or can't be: other arguments help."""


class DataError(BlindspotError, ValueError):
    """Images or labels are missing, damaged, or don't fit the model."""


class ModelError(BlindspotError, RuntimeError):
    """A model can't be read or run."""


class OutputError(BlindspotError, OSError):
    """A file or folder can't be written."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended the work early. `finished` is the result of what was done until then."""

    def __init__(self, finished: Any) -> None:
        super().__init__("interrupted; the exception's `finished` has what was done")
        self.finished = finished


def ended(interrupt: BaseException, finished: Result, on_interrupt: Literal["raise", "return"]) -> Result:
    """What comes of work that ended early, with what was finished."""
    if isinstance(interrupt, KeyboardInterrupt):
        if on_interrupt == "return":
            return finished
        raise Interrupted(finished) from interrupt
    if isinstance(interrupt, BlindspotError):
        interrupt.finished = finished
    raise interrupt
