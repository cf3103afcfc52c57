"""Verdicts about properties in VNN-LIB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import blindspot as bs


def test_verdicts_are_those_of_the_command(linear_file: Path, linear_property: Path, tmp_path: Path) -> None:
    violated = tmp_path / "violated.vnnlib"
    violated.write_text(linear_property.read_text().replace("2)", "1.25)"))
    model = bs.load(linear_file, outputs="numbers")
    for file, verdict, result in ((linear_property, "holds", "unsat"), (violated, "violated", "sat")):
        found = bs.verify(model, file)
        assert (found.verdict, found.result, found.undecided) == (verdict, result, None)
        assert verdict in repr(found)
        command = [sys.executable, "-m", "blindspot", "certify", str(linear_file), "--property", str(file), "--quiet"]
        files = ["--out", str(tmp_path / "theirs.json"), "--counterexample", str(tmp_path / "theirs.txt")]
        subprocess.run([*command, *files, "--overwrite"], check=True)
        found.save(tmp_path / "ours.json")
        found.save_counterexample(tmp_path / "ours.txt")
        theirs, ours = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("theirs", "ours"))
        assert {**theirs, "seconds": 0} == {**ours, "seconds": 0}
        assert (tmp_path / "theirs.txt").read_bytes() == (tmp_path / "ours.txt").read_bytes()
    assert found.inputs is not None and found.outputs is not None
    assert 0 <= found.inputs.min() and found.inputs.max() <= 1 and found.outputs.max() >= 1.25
    own = model.logits(found.inputs.reshape(1, 1, 2, 2))[0]
    np.testing.assert_allclose(own, found.outputs, atol=1e-6)
    # A file is opened for its numbers.
    assert bs.verify(str(linear_file), linear_property, time_limit=60, seed=2).verdict == "holds"


def test_what_is_wrong_is_named(linear_file: Path, linear_property: Path, tmp_path: Path) -> None:
    with pytest.raises(bs.UsageError, match="as they are"):
        bs.verify(bs.load(linear_file), linear_property)
    strange = tmp_path / "strange.vnnlib"
    strange.write_text("(declare-const Z_0 Real)")
    with pytest.raises(bs.DataError, match="line 1"):
        bs.verify(linear_file, strange)
    with pytest.raises(bs.UsageError, match="arithmetic"):
        bs.verify(linear_file, linear_property, arithmetic="fast")  # type: ignore[arg-type]
    with pytest.raises(bs.UsageError, match="time_limit"):
        bs.verify(linear_file, linear_property, time_limit=0)
