"""Answers of onnxruntime to the images that a search has found."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindspot._errors import ModelError, UsageError
from blindspot._model import Model

TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def outputs(model: Model, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """The file's outputs for images `[n, *shape]`, a row of one number a class for each."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError("onnxruntime is not installed: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    source = model._source if isinstance(model._source, bytes) else str(model._source)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    interface = json.loads(model._options["interface"])
    given = dict(np.load(interface["input_values"])) if interface["input_values"] else {}
    inputs = [port for port in session.get_inputs() if port.name not in given]
    port = next((port for port in inputs if port.name == interface["input"]), inputs[0])
    output = interface["output"] or session.get_outputs()[0].name
    preprocess = json.loads(model._native.preprocess)
    rows = []
    for image in images:
        batch, repeated = _as_input(_preprocessed(image, preprocess), port)
        row = np.asarray(session.run([output], {**given, port.name: batch})[0], np.float64)
        rows.append((row[0] if repeated else row).reshape(-1))
    found = np.stack(rows)
    if found.shape[1] == 1 and model.answer in ("OneLogit", "OneProbability"):
        threshold = 0.5 if model.answer == "OneProbability" else 0.0
        return np.concatenate([np.zeros_like(found), found - threshold], axis=1)
    if found.shape[1] != model.classes:
        raise ModelError(
            f"onnxruntime gives {found.shape[1]} numbers for an image and not {model.classes}; name the"
            " output of the classes by output"
        )
    return found


def _preprocessed(image: NDArray[np.float32], preprocess: dict[str, Any]) -> NDArray[np.float32]:
    low, high = (np.float32(end) for end in preprocess["range"])
    if low != 0 or high != 1:
        image = low + (high - low) * image
    if preprocess["channel_order"] == "bgr":
        image = image[::-1]

    def channels(name: str) -> NDArray[np.float32]:
        return np.reshape(np.array(preprocess[name], np.float32), (-1,) + (1,) * (image.ndim - 1))

    if preprocess["mean"]:
        image = image - channels("mean")
    if preprocess["std"]:
        image = image / channels("std")
    return np.moveaxis(image, 0, -1) if preprocess["layout"] == "nhwc" else image


def _as_input(image: NDArray[np.float32], port: Any) -> tuple[NDArray[Any], bool]:
    """An image as a batch that the file takes, and whether that repeats it."""
    sizes, kind = port.shape, TYPES[port.type]
    values = (image if np.issubdtype(kind, np.floating) else np.rint(image)).astype(kind)
    known = len(sizes) > 1 and all(isinstance(size, int) and size > 0 for size in sizes[1:])
    batch = values.reshape([1, *(sizes[1:] if known else values.shape)])
    if len(sizes) == batch.ndim - 1:
        return batch[0], False
    if isinstance(sizes[0], int) and sizes[0] > 1:
        return np.repeat(batch, sizes[0], axis=0), True
    return batch, False
