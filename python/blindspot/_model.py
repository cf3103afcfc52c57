"""Models: ONNX files, and modules exported to such in memory."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Union

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._classifier import Classifier
from blindspot._errors import UsageError
from blindspot._images import Choice, Images, given
from blindspot._watch import Progress, watching

if TYPE_CHECKING:
    from blindspot._native import ModelOptions, Watch

Numbers = Union[float, Sequence[float]]
Preprocess = Union[str, "os.PathLike[str]", Mapping[str, Any]]


class Model:
    """A network with its preprocessing, input box and class names; made by `blindspot.load`.

    It takes images as they are, with values in `box`, and gives logits: a Softmax or Sigmoid at the end is
    looked through.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        name: str,
        options: ModelOptions,
    ) -> None:
        self._native = _native.Model(source, name, options)
        self._source = source
        self._options = options
        #: The file, or what stands for it.
        self.name = name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch."""
        return tuple(self._native.shape)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self._native.classes

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes, if they were given."""
        return self._native.class_names

    @property
    def box(self) -> tuple[float, float]:
        """The lower and upper end of each input value's range."""
        return self._native.box

    @property
    def answer(self) -> str:
        """What the file ends in: Logits, Softmax, LogSoftmax, Increasing, OneLogit or OneProbability."""
        return self._native.answer

    @property
    def notes(self) -> list[str]:
        """What has to be said about how the file was read; nothing for most."""
        return self._native.notes

    @property
    def sha256(self) -> str:
        """SHA-256 of the file in hexadecimal digits."""
        return self._native.sha256

    @property
    def layers(self) -> list[str]:
        """The names of the layers that `blindspot.units` can study."""
        return [name for name, _, _ in _native.layers(self._native)]

    def logits(
        self, images: Images, *, progress: Progress = None, threads: int | None = None
    ) -> NDArray[np.float32]:
        """The logits of images, an array `[n, classes]`.

        >>> import blindspot as bs
        >>> model = bs.load(example_file)
        >>> model.logits(example_images).shape
        (3, 3)
        """
        with watching(progress, threads) as watch:
            inputs = given(images, None, self.shape, Choice(), watch, box=self.box, model=self._native)
            rows = self._native.logits(inputs.images, watch)
        return rows.reshape(-1, self.classes)

    def predict(
        self, images: Images, *, progress: Progress = None, threads: int | None = None
    ) -> NDArray[np.int64]:
        """The class of the largest logit of each image, an array `[n]`.

        >>> import blindspot as bs
        >>> bs.load(example_file).predict(example_images).tolist()
        [0, 1, 2]
        """
        logits = self.logits(images, progress=progress, threads=threads)
        return np.asarray(logits.argmax(axis=1), dtype=np.int64)

    def _answers(self, images: _native.Images | NDArray[np.float32], watch: Watch) -> list[int]:
        """The classes of images as the native half takes them."""
        return self._native.answers(images, watch)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Model, (self._source, self.name, self._options))

    def __repr__(self) -> str:
        return f"<blindspot.Model {self.name}: {'x'.join(map(str, self.shape))} -> {self.classes} classes>"


AnyModel = Union[Model, Classifier, str, "os.PathLike[str]", bytes, Any]
"""A model: one that `load` gave, an ONNX file or its bytes, a PyTorch module, or a `Classifier`."""


class Said(TypedDict, total=False):
    """What can be said of a model: the arguments of `load`."""

    range: tuple[float, float] | None
    mean: Numbers | None
    std: Numbers | None
    channel_order: Literal["rgb", "bgr"] | None
    layout: Literal["nchw", "nhwc"] | None
    preprocess: Preprocess | None
    box: tuple[float, float]
    classes: Sequence[str] | None
    input: str | None
    input_values: str | os.PathLike[str] | None
    input_shape: Sequence[int] | None
    output: str | None
    outputs: Literal["classes", "labels", "numbers"]
    memory: int | str | None
    reading_time: float | None


def model_options(said: Said) -> ModelOptions:
    """What is said of a model, as the native half takes it."""
    unknown = set(said) - set(Said.__annotations__)
    if unknown:
        raise TypeError(f"unexpected arguments: {', '.join(sorted(unknown))}")
    ends, shape, values = said.get("range"), said.get("input_shape"), said.get("input_values")
    preprocess = {
        "range": None if ends is None else [float(end) for end in ends],
        "mean": numbers(said.get("mean")),
        "std": numbers(said.get("std")),
        "channel_order": said.get("channel_order"),
        "layout": said.get("layout"),
    }
    interface = {
        "input": said.get("input"),
        "output": said.get("output"),
        "input_shape": None if shape is None else [int(size) for size in shape],
        "input_values": None if values is None else os.fspath(values),
    }
    described, classes = said.get("preprocess"), said.get("classes")
    memory, time = said.get("memory"), said.get("reading_time")
    low, high = said.get("box", (0.0, 1.0))
    return {
        "preprocess": json.dumps(preprocess),
        "described": json.dumps(dict(described)).encode() if isinstance(described, Mapping) else described,
        "interface": json.dumps(interface),
        "outputs": said.get("outputs", "classes"),
        "box": (float(low), float(high)),
        "classes": None if classes is None else [str(name) for name in classes],
        "memory": None if memory is None else str(memory),
        "reading_time": None if time is None else float(time),
    }


def numbers(values: Numbers | None) -> list[float]:
    """No number, one, or one a channel."""
    if values is None:
        return []
    return [float(value) for value in np.atleast_1d(np.asarray(values, dtype=np.float64))]


def load(
    model: AnyModel,
    example_input: Any = None,
    *,
    range: tuple[float, float] | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    channel_order: Literal["rgb", "bgr"] | None = None,
    layout: Literal["nchw", "nhwc"] | None = None,
    preprocess: Preprocess | None = None,
    box: tuple[float, float] = (0.0, 1.0),
    classes: Sequence[str] | None = None,
    input: str | None = None,
    input_values: str | os.PathLike[str] | None = None,
    input_shape: Sequence[int] | None = None,
    output: str | None = None,
    outputs: Literal["classes", "labels", "numbers"] = "classes",
    memory: int | str | None = None,
    reading_time: float | None = None,
) -> Model:
    """Reads an ONNX file, or exports a PyTorch module to one in memory.

    Args:
        model: an ONNX file, its bytes, or a PyTorch module in evaluation mode.
        example_input: of a module, a batch that it takes; only its shape and type matter.
        range: what an image's 0 and 1 become for the network, (0, 1) by default.
        mean: subtracted from each channel after that: one number, or one a channel.
        std: what each channel is divided by after that.
        channel_order: "rgb", the default, or "bgr".
        layout: "nchw" (channels, height, width), the default, or "nhwc".
        preprocess: a file that says all of this, or what is in it as a dict: Hugging Face's
            preprocessor_config.json, or timm's config.json. Pictures are resized and cropped as it says;
            arguments beside it count more.
        box: the range that each input value stays in.
        classes: the names of the classes.
        input: the input that is the image, where the file has several.
        input_values: an .npz file with the values of the other inputs.
        input_shape: the input's shape without the batch, where the file leaves sizes open.
        output: the output with a number for each class, where the file has several; or any value of the file.
        outputs: what its numbers are: "classes" (the largest is the answer), "labels" (each on or off by itself)
            or "numbers" (quantities, embeddings, activations), for `attack` with a goal.
        memory: how much the work may take, in bytes or as in "12GB": a model or images that need more are
            refused; three quarters of the machine's by default.
        reading_time: seconds that the constants of a model may be computed when it is read, 10 by default.

    Raises:
        ModelError: the file can't be read, has what is not supported, or takes more than it may.
        UsageError: what is said of it does not fit it.

    >>> import blindspot as bs
    >>> model = bs.load(example_file, mean=0.5, std=0.5)
    >>> model.shape, model.classes
    ((1, 2, 2), 3)
    """
    said: Said = {
        "range": range,
        "mean": mean,
        "std": std,
        "channel_order": channel_order,
        "layout": layout,
        "preprocess": preprocess,
        "box": box,
        "classes": classes,
        "input": input,
        "input_values": input_values,
        "input_shape": input_shape,
        "output": output,
        "outputs": outputs,
        "memory": memory,
        "reading_time": reading_time,
    }
    source, name = as_file(model, example_input)
    made = Model(source, name, model_options(said))
    for note in made.notes:
        warnings.warn(f"{name}: {note}", stacklevel=2)
    return made


def as_file(model: AnyModel, example_input: Any) -> tuple[str | os.PathLike[str] | bytes, str]:
    """A model as an ONNX file or the bytes of one, with its name."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model), "the model"
    if isinstance(model, (str, os.PathLike)):
        return model, os.fspath(model)
    if is_torch_module(model):
        from blindspot._torch import export

        if example_input is None:
            raise UsageError("give an example input beside the module: a batch that it takes")
        return export(model, example_input), type(model).__name__
    raise UsageError(f"{type(model).__name__} is no model; give an ONNX file, its bytes, or a PyTorch module")


def is_torch_module(model: object) -> bool:
    """Whether it is a PyTorch module; PyTorch is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def as_model(model: AnyModel) -> Model:
    """A model that can be looked into."""
    if isinstance(model, Model):
        return model
    if isinstance(model, Classifier) or is_torch_module(model):
        raise UsageError(
            "this looks inside of a network: give an ONNX file, or blindspot.load(module, example_input)"
        )
    return load(model)


def as_classifier(model: AnyModel, images: Images, goal: str | None = None) -> Model | Classifier:
    """A model that can be searched; a file is loaded for the goal."""
    if isinstance(model, (Model, Classifier)):
        return model
    if is_torch_module(model):
        from blindspot._torch import TorchClassifier, shape_of

        return TorchClassifier(model, shape_of(images))
    if goal is not None:
        word = goal.partition(":")[0]
        return load(model, outputs="labels" if word in ("flips", "labels") else "numbers")
    return load(model)


def native_of(model: Model | Classifier) -> object:
    """What the native half takes for a model."""
    return model._native if isinstance(model, Model) else model
