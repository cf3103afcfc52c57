"""Goals for the outputs of models that are no classifiers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import blindspot as bs

WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.25, 1.0, 1.5]], np.float32)
INPUTS = np.array([[0.5, 0.3, 0.6], [0.3, 0.7, 0.5]], np.float32)


@pytest.fixture
def linear_outputs(tmp_path: Path) -> Path:
    """Two outputs, linear in three values."""
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 3), ("y", 2))]
    graph = helper.make_graph([node], "linear", ports[:1], ports[1:], [numpy_helper.from_array(WEIGHTS, "w")])
    path = tmp_path / "linear.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_file_is_loaded_for_its_goal(linear_outputs: Path) -> None:
    found = bs.attack(linear_outputs, INPUTS, goal="rises:0.25:1", certify=True)
    assert found.success.all()
    np.testing.assert_allclose(found.l2, 0.25 / np.linalg.norm(WEIGHTS[1]), rtol=1e-4)
    assert found.outputs_before is not None and found.outputs_after is not None
    np.testing.assert_allclose(found.outputs_before, INPUTS @ WEIGHTS.T, atol=1e-6)
    assert ((found.outputs_after - found.outputs_before)[:, 1] > 0.25).all()
    assert (found.certificate <= found.l2).all() and (found.certificate > 0.99 * found.l2).all()


def test_results_have_what_the_command_writes(linear_outputs: Path, tmp_path: Path) -> None:
    found = bs.attack(linear_outputs, INPUTS, goal="moves:0.5")
    found.save(tmp_path / "found.npz")
    found.report(tmp_path / "found.html")
    with np.load(tmp_path / "found.npz") as arrays:
        np.testing.assert_array_equal(arrays["outputs_after"], found.outputs_after)
    assert "inputs can be changed so that the outputs move" in (tmp_path / "found.html").read_text()
    # The farthest two outputs can move together is along the largest singular vector.
    np.testing.assert_allclose(found.l2, 0.5 / np.linalg.svd(WEIGHTS)[1][0], rtol=1e-4)
    assert len(found.smallest(1)) == 1 and found.smallest(1).outputs_after is not None


def test_a_function_of_ones_own_has_goals(linear_outputs: Path) -> None:
    def values_and_pullback(inputs: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        return inputs.reshape(-1, 3) @ WEIGHTS.T, lambda gradients: gradients @ WEIGHTS

    own = bs.Classifier(values_and_pullback, (3,), 2)
    for goal in ("flips", "flips:1", "labels:0,1", "near:0.1:1", "falls:0.2"):
        ours, theirs = (bs.attack(model, INPUTS, goal=goal) for model in (own, linear_outputs))
        np.testing.assert_array_equal(ours.success, theirs.success)
        np.testing.assert_allclose(ours.l2, theirs.l2, rtol=1e-3, atol=1e-6)


def test_other_models_are_judged_by_their_own_outputs(linear_outputs: Path, tmp_path: Path) -> None:
    found = bs.attack(linear_outputs, INPUTS, goal="rises:0.25:1")
    found.save(tmp_path / "found.npz")

    def half(inputs: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        return inputs.reshape(-1, 3) @ WEIGHTS.T / 2, lambda gradients: gradients @ WEIGHTS / 2

    models = {"whole": linear_outputs, "half": bs.Classifier(half, (3,), 2)}
    for examples in (found, tmp_path / "found.npz"):
        # Half of the rise is too little, unless the change is larger than twice.
        moved = bs.transfer(examples, models, amplify_by=2.1)
        assert moved.error.tolist() == [[1.0, 0.0], [1.0, 1.0]]
        assert moved.clean.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(bs.UsageError, match="outputs"):
        bs.transfer(found, [bs.load(linear_outputs)])


def test_what_does_not_fit_is_said(linear_outputs: Path) -> None:
    with pytest.raises(bs.UsageError, match="use flips"):
        bs.attack(linear_outputs, INPUTS, goal="flip")
    with pytest.raises(bs.UsageError, match='outputs="numbers"'):
        bs.attack(bs.load(linear_outputs), INPUTS, goal="rises:1")
    with pytest.raises(bs.UsageError, match='outputs="classes"'):
        bs.attack(bs.load(linear_outputs, outputs="numbers"), INPUTS, [0, 1])
    with pytest.raises(bs.UsageError, match="no target"):
        bs.attack(linear_outputs, INPUTS, goal="flips", target="random")
    with pytest.raises(bs.UsageError, match="classes, labels or numbers"):
        bs.load(linear_outputs, outputs="regression")  # type: ignore[arg-type]
    with pytest.raises(bs.BlindspotError, match="image 9"):
        bs.attack(linear_outputs, INPUTS, goal="near:0.1:9")
