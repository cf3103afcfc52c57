"""One perturbation of many images, beside NumPy's own evaluation of it and beside the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Linear
from numpy.typing import NDArray

import blindspot as bs

Deep = tuple[Path, NDArray[np.float32]]


def logits_of(images: NDArray[Any]) -> NDArray[Any]:
    answers: NDArray[Any] = images.reshape(len(images), -1).astype(float) @ Linear.weights + Linear.bias
    return answers


@pytest.fixture
def many() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    images = np.random.default_rng(5).uniform(size=(60, *Linear.shape)).astype(np.float32)
    return images, logits_of(images).argmax(1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_fools_what_it_says(linear_file: Path, many: Any, norm: str) -> None:
    images, labels = many
    found = bs.universal(linear_file, images, labels, epsilon=0.4, norm=norm, models={"again": linear_file})
    delta = found.delta.astype(float)
    size = np.abs(delta).max() if norm == "linf" else np.linalg.norm(delta)
    assert size == pytest.approx(found.norm, rel=1e-6) and size <= 0.4 * (1 + 1e-6)
    after = logits_of(np.clip(images + found.delta, 0, 1)).argmax(1)
    assert sorted(found.index) == list(range(60)) and found.set.sum() == 30
    np.testing.assert_array_equal(found.prediction_after, after[found.index])
    np.testing.assert_array_equal(found.was_fooled, (after != labels)[found.index])
    held_out = found.was_fooled[found.set == 1].mean()
    assert found.fooled == {"linear": held_out, "again": held_out}
    assert 0.3 < held_out and "fooled" in repr(found)


def test_files_and_page_are_the_command_s(deep: Deep, tmp_path: Path) -> None:
    path, images = deep
    labels = bs.load(path).predict(images)
    np.savez(tmp_path / "set.npz", x=images, y=labels)
    data, out = f"npz:{tmp_path}/set.npz", tmp_path / "theirs.npz"
    words = ["universal", str(path), "--data", data, "--share", "0.5", "--out", str(out), "--quiet"]
    subprocess.run([sys.executable, "-m", "blindspot", *words], check=True)
    found = bs.universal(path, data, share=0.5)
    found.save(tmp_path / "ours.npz")
    found.report(tmp_path / "ours.html")
    with np.load(out) as theirs, np.load(tmp_path / "ours.npz") as ours:
        assert sorted(ours) == sorted(theirs)
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name])
    records = [json.loads((tmp_path / name).read_text()) for name in ("ours.json", "theirs.json")]
    for record in records:
        record.pop("versions")
    assert records[0] == records[1]
    share = found.record["summary"]["shares"][0]["held_out"]
    assert f"{share['fooled']} of {share['right']}" in (tmp_path / "ours.html").read_text()


def test_functions_with_a_gradient_are_fooled_too(many: Any) -> None:
    images, labels = many

    def answers(batch: NDArray[np.float32]) -> Any:
        outputs = (batch.reshape(len(batch), -1) @ Linear.weights + Linear.bias).astype(np.float32)
        return outputs, lambda g: (g @ Linear.weights.T).astype(np.float32).reshape(batch.shape)

    model = bs.Classifier(answers, Linear.shape, 3)
    found = bs.universal(model, images, labels, epsilon=0.4, held_out=images[:20], held_out_labels=labels[:20])
    assert found.set.sum() == 20 and found.was_fooled.any()


def test_wrong_use_says_what_to_do(linear_file: Path, many: Any) -> None:
    images, labels = many
    for options, words in [
        ({}, "give epsilon"),
        ({"epsilon": 1.0, "share": 0.5}, "one of them"),
        ({"epsilon": 1.0, "norm": "l1"}, "L2 or Linf"),
        ({"share": 2.0}, "above 0 and at most 1"),
        ({"epsilon": 1.0, "held_out_labels": labels}, "held_out"),
        ({"epsilon": 1.0, "target": "random"}, "untargeted"),
    ]:
        with pytest.raises(bs.UsageError, match=words):
            bs.universal(linear_file, images, labels, **options)
    with pytest.raises(bs.UsageError, match="two halves"):
        bs.universal(linear_file, images[:1], labels[:1], epsilon=1.0)
