"""Images and labels, in whatever form they come."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Union

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._errors import DataError, UsageError
from blindspot._results import versions

if TYPE_CHECKING:
    from blindspot._native import About, Watch

Images = Union[str, "os.PathLike[str]", NDArray[Any], Sequence[Any], Any]
"""Images: an array `[n, *shape]` of floats in the model's box or of bytes; a PyTorch tensor; a PIL image or a
list of such; a folder; or a specification as the command takes it (`mnist:test`, `folder:DIR,labels.csv`)."""

Labels = Union[Sequence[int], NDArray[Any], Any]
"""The true class of each image: whole numbers, in a list, an array or a PyTorch tensor."""

TableColumns = Union[str, "os.PathLike[str]", Mapping[str, Mapping[str, Any]]]
"""What the columns of a table are: a file in TOML as the command takes it, the same as dictionaries, or "found"."""

FORMS = ("mnist:", "folder:", "npz:", "cifar10:", "idx:", "files:", "csv:")


def whole(name: str, value: Any) -> int:
    """A whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0 or value >= 1 << 63:
        raise UsageError(f"{name}={value!r}: give a whole number from 0")
    return int(value)


class Answering(Protocol):
    """A model that answers images as the native half takes them."""

    def _answers(self, images: _native.Images | NDArray[np.float32], watch: Watch) -> list[int]: ...


@dataclass
class Choice:
    """Which images of a set, and how they are made fit; the names are the command's."""

    samples: int | None = None
    shuffle: bool = False
    seed: int = 0
    resize: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    exif: bool = False
    skip_broken: bool = False
    classes: Sequence[str] | str | os.PathLike[str] | None = None
    data_dir: str | os.PathLike[str] | None = None
    columns: TableColumns | None = None

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples={self.samples} asks for no image; ask for at least 1")


@dataclass
class Given:
    """Images as the native half takes them."""

    images: _native.Images | NDArray[np.float32]
    labels: list[int] | None
    name: str
    #: The places of the images in what was given, and of how many there.
    places: Sequence[int]
    total: int
    hashes: dict[str, str] = field(default_factory=dict)
    #: Whether the labels are the model's own answers.
    answers_as_labels: bool = False
    #: Where these are the ones that the model gets right: of how many.
    right_of: int | None = None

    def labels_or_answers(self, model: Answering, watch: Watch) -> list[int]:
        """The labels; of images without any the model's own answers, which is said."""
        if self.labels is None:
            warnings.warn("the images have no classes; the model's own answers count as right", stacklevel=3)
            self.labels, self.answers_as_labels = model._answers(self.images, watch), True
        return self.labels

    def truth(self, model: Answering, correct_only: bool, watch: Watch) -> list[int]:
        """The labels, as `labels_or_answers`; with `correct_only` only the images stay that the model gets right."""
        truth = self.labels_or_answers(model, watch)
        if not correct_only or self.answers_as_labels:
            return truth
        answers = model._answers(self.images, watch)
        right = [at for at, (answer, label) in enumerate(zip(answers, truth)) if answer == label]
        if not right:
            raise UsageError(f"the model gets none of the {len(truth)} images right: leave correct_only out")
        kept = self.only(right)
        self.images, self.labels, self.right_of = kept.images, kept.labels, len(truth)
        return [truth[at] for at in right]

    def only(self, positions: list[int]) -> Given:
        """The images at some positions, with their labels."""
        images = self.images
        return replace(
            self,
            images=images.only(positions) if isinstance(images, _native.Images) else images[positions],
            labels=None if self.labels is None else [self.labels[at] for at in positions],
            places=[self.places[at] for at in positions],
        )

    def about(self) -> About:
        """Where they come from, for records."""
        return {
            "data": self.name,
            "hashes": self.hashes,
            "right_of": self.right_of,
            "answers_as_labels": self.answers_as_labels,
            "versions": versions(),
        }


def given(
    images: Images,
    labels: Labels | None,
    shape: Sequence[int],
    choice: Choice,
    watch: Watch,
    *,
    box: tuple[float, float] = (0.0, 1.0),
    model: _native.Model | None = None,
) -> Given:
    """Images of inputs of `shape`, with their labels."""
    if isinstance(images, (str, os.PathLike)):
        named = _named(images)
        found = _of_set(named, choice, model, watch)
        # As it was named, not what it is called: records say it so.
        found.name = os.fspath(named)
    elif choice.columns is not None:
        found = _of_set(_table(images, schema_of(choice.columns)), choice, model, watch)
    elif _is_pictures(images):
        found = _of_set(_pictures(images, shape), choice, model, watch)
    else:
        found = _of_array(images, shape, box, choice)
    if labels is not None:
        found.labels = class_numbers(labels, found.places, None if choice.samples else found.total, choice.shuffle)
    return found


def schema_of(columns: TableColumns) -> _native.Schema:
    """What is said of a table's columns, as the native half takes it."""
    if isinstance(columns, Mapping):
        try:
            return _native.Schema.parse(json.dumps({name: dict(said) for name, said in columns.items()}))
        except (TypeError, ValueError) as error:
            raise UsageError(f"columns: give what is said of each column as a dictionary ({error})") from error
    return _native.Schema.parse("{}") if columns == "found" else _native.Schema.open(columns)


def _table(table: Any, schema: _native.Schema) -> _native.Images:
    """The rows of a frame, or of an array whose columns are named `x0`, `x1` and so on."""
    if hasattr(table, "to_csv"):
        text = table.to_csv(index=False)
    elif hasattr(table, "write_csv"):
        text = table.write_csv()
    else:
        rows = as_array(table)
        if rows.ndim != 2:
            raise DataError(f"the table has the shape {rows.shape}; give rows of numbers, or a frame")
        # Enough digits for any number of double precision.
        lines = (",".join(f"{value:.17g}" for value in row) for row in rows.tolist())
        text = "\n".join([",".join(f"{name}" for name in _names(rows.shape[1])), *lines])
    return _native.Images.of_table(text.encode(), schema)


def _names(count: int) -> list[str]:
    return [f"x{number}" for number in range(count)]


def class_numbers(labels: Labels, places: Sequence[int], total: int | None, shuffled: bool) -> list[int]:
    """Labels of images as plain numbers: of those that were chosen, at `places` of what was given, or of all."""
    values, count = as_array(labels), len(places)
    if values.ndim == 0:
        values = values.reshape(1)
    if values.ndim != 1:
        raise DataError(
            f"labels have the shape {values.shape}; give one class number an image"
            " (of one-hot rows: labels.argmax(1))"
        )
    if values.dtype.kind not in "iu":
        raise DataError(f"labels are of type {values.dtype}; give whole numbers, as in labels.astype(int)")
    if values.size and values.min() < 0:
        raise DataError(f"label {values.min()} is no class; classes are numbered from 0")
    of_all = len(values) == total if total is not None else len(values) > max(places, default=0)
    if of_all and (shuffled or len(values) != count):
        values = values[np.asarray(places, dtype=np.intp)]
    if len(values) != count:
        raise DataError(f"there are {len(values)} labels for {count} images; give one for each")
    return [int(value) for value in values]


def as_array(values: Any) -> NDArray[Any]:
    """An array of anything that holds numbers; a tensor of the CPU's memory is not copied."""
    torch = sys.modules.get("torch")
    if torch is not None:
        if isinstance(values, torch.Tensor):
            tensor = values.detach().cpu()
            if tensor.dtype == torch.bfloat16:
                tensor = tensor.float()
            return np.asarray(tensor.resolve_conj().resolve_neg().numpy())
        if isinstance(values, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in values):
            values = [as_array(value) for value in values]
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"these are no numbers of one shape: {error}") from error
    if array.dtype == object:
        raise DataError("these are no numbers of one shape; give an array")
    return array


def _chosen(count: int, choice: Choice) -> NDArray[np.intp]:
    """Positions of the images that are chosen of `count` in memory."""
    samples = count if choice.samples is None else min(choice.samples, count)
    if not choice.shuffle:
        return np.arange(samples)
    return np.random.default_rng(choice.seed).permutation(count)[:samples]


def _of_array(images: Any, shape: Sequence[int], box: tuple[float, float], choice: Choice) -> Given:
    for name in ("resize", "crop"):
        if getattr(choice, name) is not None:
            raise UsageError(f"{name} is for pictures and files; arrays are used as they are")
    array = as_array(images)
    if array.dtype.kind == "u" and array.dtype.itemsize == 1:
        values = array.astype(np.float32) / np.float32(255)
    elif array.dtype.kind == "f":
        values = array.astype(np.float32, copy=False)
    else:
        raise DataError(f"images are of type {array.dtype}; give floats, or uint8 for 0 to 255")
    rows = _rows(values, shape)
    total, places = len(rows), _chosen(len(rows), choice)
    if choice.samples is not None or choice.shuffle:
        rows = rows[places]
    _check(rows)
    return Given(_within(np.ascontiguousarray(rows), box), None, "the images", places.tolist(), total)


def _rows(values: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """One row an image."""
    length = int(np.prod(shape))

    def plain(axes: Sequence[int]) -> list[int]:
        return [axis for axis in axes if axis != 1]

    if values.shape == tuple(shape):
        values = values[None]
    fits = values.ndim > 0 and plain(values.shape[1:]) == plain(shape)
    if not fits and not (values.ndim == 2 and values.shape[1] == length):
        advice = ""
        if values.ndim == 4 and len(shape) == 3 and values.shape[1:] == (*shape[1:], shape[0]):
            advice = "; the channels are last: images.transpose(0, 3, 1, 2)"
        raise DataError(
            f"the images have the shape {values.shape}, the model takes (n, {', '.join(map(str, shape))})"
            f"{advice}"
        )
    if len(values) == 0:
        raise DataError("there is no image; give at least one")
    return values.reshape(len(values), length)


def _check(rows: NDArray[np.float32]) -> None:
    for first in range(0, len(rows), 256):
        finite = np.isfinite(rows[first : first + 256]).all(axis=1)
        if not finite.all():
            raise DataError(f"image {first + int(np.argmin(finite))} has NaN or infinite values")


def _within(rows: NDArray[np.float32], box: tuple[float, float]) -> NDArray[np.float32]:
    """The rows with what rounding has put outside of the box at its ends."""
    low, high = (np.float32(end) for end in box)
    if rows.min() >= low and rows.max() <= high:
        return rows
    slack = np.float32(1e-6) * (high - low)
    if rows.min() < low - slack or rows.max() > high + slack:
        # The search says which value of which image it is.
        return rows
    return np.clip(rows, low, high)


def _named(images: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """A specification of a set: of a path, what it seems to be."""
    text = os.fspath(images)
    if text.startswith(FORMS):
        return text
    if os.path.isdir(text):
        return f"folder:{text}"
    if text.endswith(".npz"):
        return f"npz:{text}"
    if text.endswith(".csv"):
        return f"csv:{text}"
    if os.path.isfile(text):
        return f"files:{text}"
    raise UsageError(f"`{text}` is no folder, and no set as in {', '.join(form + '…' for form in FORMS)}")


def _of_set(
    images: _native.Images | str | os.PathLike[str],
    choice: Choice,
    model: _native.Model | None,
    watch: Watch,
) -> Given:
    if isinstance(images, (str, os.PathLike)):
        first = None if choice.shuffle else choice.samples
        schema = None if choice.columns is None else schema_of(choice.columns)
        images = _native.Images.load(os.fspath(images), choice.data_dir, first, model, schema)
    for note in images.notes:
        warnings.warn(f"{images.name}: {note}", stacklevel=4)
    resize = [choice.resize] if isinstance(choice.resize, int) else choice.resize
    crop = [choice.crop, choice.crop] if isinstance(choice.crop, int) else choice.crop
    images = images.fitted(
        model, None if resize is None else list(resize), None if crop is None else list(crop), choice.exif
    )
    if choice.classes is not None:
        names = choice.classes
        images = images.with_classes(names if isinstance(names, (str, os.PathLike)) else list(names))
    total = len(images)
    if choice.samples is not None or choice.shuffle:
        images = images.chosen(choice.samples, choice.seed if choice.shuffle else None)
    if images.of_files:
        images, broken = images.checked(choice.skip_broken, watch)
        for line in broken:
            warnings.warn(f"left out: {line}", stacklevel=4)
    return Given(images, images.labels, images.name, images.indices, total, dict(images.hashes))


def _is_pictures(images: Any) -> bool:
    pil = sys.modules.get("PIL.Image")
    if pil is None:
        return False
    if isinstance(images, pil.Image):
        return True
    return isinstance(images, (list, tuple)) and any(isinstance(image, pil.Image) for image in images)


def _pictures(images: Any, shape: Sequence[int]) -> _native.Images:
    """PIL images as a set, grey or in colour as the model's channels ask for."""
    pictures = list(images) if isinstance(images, (list, tuple)) else [images]
    grey = len(shape) < 3 or shape[0] == 1
    arrays = [np.asarray(picture.convert("L" if grey else "RGB")) for picture in pictures]
    sizes = {array.shape[:2] for array in arrays}
    if len(sizes) > 1:
        raise DataError(f"the pictures have different sizes, {sorted(sizes)}; resize them to one")
    stack = np.stack(arrays)
    stack = stack[:, None] if grey else stack.transpose(0, 3, 1, 2)
    pixels = np.ascontiguousarray(stack).reshape(-1)
    return _native.Images.of_bytes(pixels, (stack.shape[1], stack.shape[2], stack.shape[3]))
