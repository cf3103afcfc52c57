"""Bad input: a clear exception each, and the interpreter goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Linear
from numpy.typing import NDArray

import blindspot as bs

NAN = Linear.images.copy()
NAN[1, 0, 0, 1] = np.nan


@pytest.mark.parametrize(
    ("images", "labels", "error", "says"),
    [
        (Linear.images[:, :, :, :1], Linear.labels, bs.DataError, r"shape \(3, 1, 2, 1\)"),
        (NAN, Linear.labels, bs.DataError, "image 1 has NaN"),
        (Linear.images + 1, Linear.labels, bs.DataError, "outside of the box"),
        (Linear.images.astype(np.int64), Linear.labels, bs.DataError, "int64"),
        (Linear.images.astype(str), Linear.labels, bs.DataError, "give floats"),
        ([[1.0, 2.0], [3.0]], [0, 1], bs.DataError, "one shape"),
        (Linear.images[:0], [], bs.DataError, "no image"),
        (Linear.images, [0, 1], bs.DataError, "2 labels for 3 images"),
        (Linear.images, [0, 1, 3], bs.DataError, "3"),
        (Linear.images, [0, 1, -1], bs.DataError, "-1"),
        (Linear.images, [0.0, 1.0, 2.0], bs.DataError, "float64"),
        (Linear.images, np.eye(3, dtype=int), bs.DataError, "argmax"),
        (Linear.images, ["a", "b", "c"], bs.DataError, "whole numbers"),
        ("no/such/folder", None, bs.UsageError, "no folder"),
        (object(), [0], bs.DataError, "no numbers"),
    ],
)
def test_images_and_labels(linear_file: Path, images: Any, labels: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=says) as raised:
        bs.attack(linear_file, images, labels)
    assert isinstance(raised.value, bs.BlindspotError)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "closest"}, "unknown target"),
        ({"target": 7}, "target 7"),
        ({"target": 1.0}, "target=1.0"),
        ({"method": "magic"}, "unknown method"),
        ({"norm": "l7"}, "unknown norm"),
        ({"top_k": 3}, "top-k"),
        ({"top_k": -1}, "top_k=-1"),
        ({"confidence": -1.0}, "confidence"),
        ({"time_limit": 0.0}, "time limit"),
        ({"box": (1.0, 0.0)}, "box"),
        ({"seed": -1}, "seed=-1"),
        ({"samples": 0}, "samples=0"),
        ({"threads": 0}, "threads=0"),
        ({"resize": 3}, "resize"),
        ({"verify": "other"}, "unknown runtime"),
        ({"bounds": {"least": 0}}, "least"),
        ({"on_interrupt": "ignore"}, "on_interrupt"),
    ],
)
def test_options(linear_file: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(bs.UsageError, match=says):
        bs.attack(linear_file, Linear.images, Linear.labels, **options)


def test_models(linear_file: Path, tmp_path: Path, write: Callable[..., Path]) -> None:
    (tmp_path / "nonsense.onnx").write_bytes(b"nonsense")
    with pytest.raises(bs.ModelError, match="nonsense.onnx"):
        bs.load(tmp_path / "nonsense.onnx")
    with pytest.raises(bs.ModelError, match="missing.onnx"):
        bs.load(tmp_path / "missing.onnx")
    with pytest.raises(bs.UsageError, match="int is no model"):
        bs.load(3)
    with pytest.raises(bs.ModelError, match="mean"):
        bs.load(linear_file, mean=[1.0, 2.0])
    with pytest.raises(bs.UsageError, match="class names"):
        bs.load(linear_file, classes=["one"])
    with pytest.raises(bs.UsageError, match="Model.layers"):
        bs.units(linear_file, Linear.images, layer="nowhere")
    with pytest.raises(bs.DataError, match="shape"):
        bs.attack(linear_file, Linear.images, Linear.labels, mask=np.ones(3))
    with pytest.raises(bs.OutputError):
        bs.attack(linear_file, Linear.images, Linear.labels).save(tmp_path / "no" / "folder.npz")


Given = tuple[Any, Callable[[NDArray[Any]], Any]]


def linear(x: NDArray[Any]) -> Given:
    weights = Linear.weights.astype(x.dtype)
    outputs = x.reshape(len(x), -1) @ weights + Linear.bias.astype(x.dtype)
    return outputs, lambda g: (g @ weights.T).reshape(x.shape)


def test_functions_are_searched_as_the_network_that_they_compute(linear_file: Path) -> None:
    expected = bs.attack(linear_file, Linear.images, Linear.labels)
    exact = bs.Classifier(linear, Linear.shape, 3)
    for classifier in (bs.Classifier(linear, Linear.shape, 3), bs.Classifier(linear, Linear.shape, 3, exact=exact)):
        found = bs.attack(classifier, Linear.images, Linear.labels)
        np.testing.assert_allclose(found.norm, expected.norm, rtol=1e-4)
        assert found.success.all()


def raises(x: NDArray[Any]) -> Given:
    raise KeyError("the user's own")


def raises_later(x: NDArray[Any]) -> Given:
    def pull_back(gradients: NDArray[Any]) -> Any:
        raise KeyError("nothing")

    return linear(x)[0], pull_back


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (raises, "KeyError: .the user's own"),
        (raises_later, "KeyError: .nothing"),
        (lambda x: None, "no pair"),
        (lambda x: (linear(x)[0], 3), "no pair"),
        (lambda x: (linear(x)[0][:, :2], linear(x)[1]), r"outputs of the shape \(\d+, 2\)"),
        (lambda x: ("logits", linear(x)[1]), "outputs of the shape"),
        (lambda x: (np.full((len(x), 3), "a"), linear(x)[1]), "give floats"),
        (lambda x: (np.full((len(x), 3), np.nan, np.float32), linear(x)[1]), "NaN for image"),
        (lambda x: (linear(x)[0], lambda g: g), r"gradients of the shape \(\d+, 3\)"),
        (lambda x: (linear(x)[0], lambda g: np.full(x.shape, np.nan)), "NaN among its gradients"),
        (lambda x: (linear(x)[0].astype(int), linear(x)[1]), "give floats"),
    ],
)
def test_functions_that_fail_or_give_nonsense(function: Any, says: str) -> None:
    classifier = bs.Classifier(function, Linear.shape, 3)
    with pytest.raises(bs.ModelError, match=says) as raised:
        bs.attack(classifier, Linear.images, Linear.labels)
    if function in (raises, raises_later):
        assert isinstance(raised.value.__cause__, KeyError)


def test_what_was_found_before_a_model_fails_is_kept() -> None:
    calls = 0

    def fails_later(x: NDArray[Any]) -> Given:
        nonlocal calls
        calls += 1
        if calls > 400:
            raise MemoryError("gone")
        return linear(x)

    images = np.tile(Linear.images, (400, 1, 1, 1))
    classifier = bs.Classifier(fails_later, Linear.shape, 3, batch=4)
    with pytest.raises(bs.ModelError, match="MemoryError: gone") as raised:
        bs.attack(classifier, images, Linear.labels * 400)
    finished = raised.value.finished
    assert 0 < len(finished) < len(images) and finished.success.all()


def test_what_is_no_classifier() -> None:
    with pytest.raises(bs.UsageError, match="no function"):
        bs.Classifier(3, Linear.shape, 3)  # type: ignore[arg-type]
    with pytest.raises(bs.UsageError, match="2 classes"):
        bs.Classifier(linear, Linear.shape, 1)
    with pytest.raises(bs.UsageError, match="looks inside"):
        bs.certify(bs.Classifier(linear, Linear.shape, 3), Linear.images, Linear.labels)
    with pytest.raises(bs.UsageError, match="look inside"):
        bs.attack(bs.Classifier(linear, Linear.shape, 3), Linear.images, Linear.labels, certify=True)
