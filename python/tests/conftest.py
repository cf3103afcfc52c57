"""What the tests share: small networks as ONNX files, with images that they know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]


def write_model(path: Path, layers: list[tuple[NDArray[Any], NDArray[Any]]], shape: Shape, end: str = "") -> Path:
    """An ONNX file of fully connected layers with ReLUs between them."""
    nodes = [helper.make_node("Flatten", ["image"], ["flat"], name="flat")]
    constants = []
    below = "flat"
    for number, (weights, bias) in enumerate(layers):
        last = number == len(layers) - 1
        name = "logits" if last else f"hidden{number + 1}"
        constants += [
            numpy_helper.from_array(weights.astype(np.float32), f"{name}.w"),
            numpy_helper.from_array(bias.astype(np.float32), f"{name}.b"),
        ]
        total = name if last else f"{name}.sum"
        nodes.append(helper.make_node("Gemm", [below, f"{name}.w", f"{name}.b"], [total], name=name))
        if not last:
            nodes.append(helper.make_node("Relu", [total], [name], name=f"{name}.relu"))
        below = name
    output = below
    if end:
        nodes.append(helper.make_node(end, [below], ["answer"], name="end"))
        output = "answer"
    classes = len(layers[-1][1])
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", classes])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


class Linear:
    """A linear network of three classes, whose distances to the boundary are known."""

    weights = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.2, 0.3, 0.1]])
    bias = np.array([0.0, 0.01, 0.02])
    shape = (1, 2, 2)
    images = np.array(
        [[0.8, 0.3, 0.2, 0.5], [0.2, 0.7, 0.3, 0.5], [0.3, 0.2, 0.75, 0.5]], np.float32
    ).reshape(3, 1, 2, 2)
    labels = [0, 1, 2]

    @classmethod
    def distance(cls, image: NDArray[Any], label: int) -> float:
        """The L2 distance of an image to the boundary of its class, all within the box."""
        logits = image.reshape(-1).astype(float) @ cls.weights + cls.bias
        others = [other for other in range(3) if other != label]
        normals = [cls.weights[:, label] - cls.weights[:, other] for other in others]
        leads = [float(logits[label] - logits[other]) for other in others]
        return min(lead / float(np.linalg.norm(normal)) for lead, normal in zip(leads, normals))


@pytest.fixture(scope="session")
def linear_property(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of inputs in [0, 1] no output of the linear network is 2 or more: the largest there can be is 1.31."""
    names = [f"X_{number}" for number in range(4)], [f"Y_{number}" for number in range(3)]
    lines = [f"(declare-const {name} Real)" for name in (*names[0], *names[1])]
    lines += [f"(assert (>= {name} 0)) (assert (<= {name} 1))" for name in names[0]]
    lines.append(f"(assert (or {' '.join(f'(>= {name} 2)' for name in names[1])}))")
    path = tmp_path_factory.mktemp("properties") / "linear.vnnlib"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def linear_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "linear.onnx"
    return write_model(path, [(Linear.weights, Linear.bias)], Linear.shape)


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.float32]]:
    """A network with two hidden layers, and forty images of 1x6x6."""
    random = np.random.default_rng(7)
    sizes = [36, 24, 16, 5]
    layers = [(random.normal(size=(a, b)) / a**0.5, 0.1 * random.normal(size=b)) for a, b in zip(sizes, sizes[1:])]
    path = tmp_path_factory.mktemp("models") / "deep.onnx"
    images = random.uniform(size=(40, 1, 6, 6)).astype(np.float32)
    return write_model(path, layers, (1, 6, 6), "Softmax"), images


@pytest.fixture
def write() -> Callable[..., Path]:
    return write_model

