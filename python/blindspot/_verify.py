"""Verdicts about properties."""

from __future__ import annotations

import json
import os
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._images import whole
from blindspot._model import Model, load
from blindspot._results import ending_in
from blindspot._watch import Progress, watching


class Verification:
    """A verdict about a property; made by `blindspot.verify`.

    verdict: "holds" (no input of its boxes has unsafe outputs), "violated" or "unknown".
    result: the same in the words of VNN-COMP: "unsat", "sat", "timeout" or "unknown".
    undecided: why the verdict is unknown, in a word; else None.
    inputs, outputs: the counterexample and the model's outputs for it, where the property is violated; else None.
    record: all of it, with options and hashes, as the command's `--out` writes it.
    """

    inputs: NDArray[np.float32] | None
    outputs: NDArray[np.float32] | None

    def __init__(self, verified: _native.Verified) -> None:
        self._verified = verified
        self.record: dict[str, Any] = json.loads(verified.json())
        self.verdict: Literal["holds", "violated", "unknown"] = self.record["verdict"]
        self.result: str = self.record["result"]
        self.undecided: str | None = self.record["undecided"]
        found = self.record["counterexample"]
        self.inputs = None if found is None else np.array(found["inputs"], np.float32)
        self.outputs = None if found is None else np.array(found["outputs"], np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the record as `path`, a .json."""
        self._verified.save(ending_in(".json", path))

    def save_counterexample(self, path: str | os.PathLike[str]) -> None:
        """Writes what VNN-COMP reads: the result on a line, and behind "sat" the counterexample."""
        self._verified.save_counterexample(os.fspath(path))

    def __repr__(self) -> str:
        why = "" if self.undecided is None else f" ({self.undecided})"
        return f"<blindspot.Verification: {self.record['property']} {self.verdict}{why}>"


def verify(
    model: Model | str | os.PathLike[str],
    property: str | os.PathLike[str],
    *,
    time_limit: float | None = None,
    arithmetic: Literal["runtime", "exact"] = "runtime",
    seed: int = 0,
    progress: Progress = None,
    threads: int | None = None,
) -> Verification:
    """Finds out whether a property in VNN-LIB holds of a model: the command's `certify --property`.

    Args:
        model: an ONNX file, or what `load` gives with `outputs="numbers"`.
        property: a VNN-LIB 1.0 file, plain or gzipped, which says what outputs are unsafe for which inputs.
        time_limit: seconds at most; without, the work is bounded and the verdict the same on any machine.
        arithmetic: what holds does so in any runtime's arithmetic ("runtime") or in exact arithmetic only ("exact").
        seed: where the inputs come from that the search for a counterexample begins at.
        progress, threads: as for `attack`.

    Raises:
        DataError: the file is no such property, or one of another model.
        ModelError: the model can't be read.
        UsageError: the model was not loaded for its numbers.

    >>> import blindspot as bs
    >>> found = bs.verify(example_file, example_property)
    >>> found.verdict
    'holds'
    """
    own = model if isinstance(model, Model) else load(model, outputs="numbers")
    options: _native.VerifyOptions = {
        "time_limit": None if time_limit is None else float(time_limit),
        "arithmetic": arithmetic,
        "seed": whole("seed", seed),
    }
    with watching(progress, threads) as watch:
        return Verification(_native.verify(own._native, os.fspath(property), options, watch))
