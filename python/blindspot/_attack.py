"""Smallest adversarial perturbations."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._classifier import Classifier
from blindspot._errors import DataError, UsageError, ended
from blindspot._images import Choice, Given, Images, Labels, TableColumns, given, whole
from blindspot._model import AnyModel, Model, as_classifier, native_of
from blindspot._results import ROWS, Columns, cell, ending_in, html_table, picture
from blindspot._watch import Progress, watching

Target = Union[str, int]
Limits = Union["str", "os.PathLike[str]", Mapping[str, Any]]


class Examples(Columns):
    """Images with the smallest perturbations found; made by `blindspot.attack`.

    Arrays have one entry an image, and the names that `examples.npz` has for them:

    index, label, target, prediction_before, prediction_after: numbers of images and classes.
    success: whether the adversarial image reaches the goal, verified on that image, or the original did.
    already_wrong: whether the original is misclassified already, so that nothing was searched.
    fooled: success, and not already_wrong. no_gradient, refuted: why there may be no success.
    l2, linf, l1: norms of the perturbation, in the unit of the images; l0: how many values, or pixels, change.
    distortion: the root mean square of the perturbation.
    kkt: how far from locally smallest the perturbation can be, as a part of its norm.
    noise: how far rounding can move a margin, in logits. evaluations, gradients: what the search took.
    certificate: with certify=True, a norm below which no perturbation changes the answer.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    target: NDArray[np.int64]
    prediction_before: NDArray[np.int64]
    prediction_after: NDArray[np.int64]
    success: NDArray[np.bool_]
    already_wrong: NDArray[np.bool_]
    fooled: NDArray[np.bool_]
    no_gradient: NDArray[np.bool_]
    refuted: NDArray[np.bool_]
    l2: NDArray[np.float64]
    linf: NDArray[np.float64]
    l1: NDArray[np.float64]
    l0: NDArray[np.float64]
    distortion: NDArray[np.float64]
    kkt: NDArray[np.float64]
    noise: NDArray[np.float64]
    evaluations: NDArray[np.int64]
    gradients: NDArray[np.int64]
    certificate: NDArray[np.float64]

    def __init__(
        self, found: _native.Found, model: Model | Classifier, images: Given, norm: str = "l2"
    ) -> None:
        self._norm = norm
        self._found = found
        self._model = model
        self._data = images
        self._numbers = found.numbers()
        self.__dict__.update(self._numbers)
        self._original: NDArray[np.float32] | None = None
        self._adversarial: NDArray[np.float32] | None = None

    @property
    def original(self) -> NDArray[np.float32]:
        """The original images, `[n, *shape]`."""
        if self._original is None:
            self._original = self._found.original().reshape(len(self), *self._found.shape)
        return self._original

    @property
    def adversarial(self) -> NDArray[np.float32]:
        """The adversarial images, `[n, *shape]`; the originals where nothing was found or needed."""
        if self._adversarial is None:
            self._adversarial = self._found.adversarial().reshape(len(self), *self._found.shape)
        return self._adversarial

    @property
    def outputs_before(self) -> NDArray[np.float32] | None:
        """The model's outputs for each original, `[n, outputs]`, of an attack with a goal; else None."""
        return self._outputs(0)

    @property
    def outputs_after(self) -> NDArray[np.float32] | None:
        """The model's outputs for each adversarial image, `[n, outputs]`, of an attack with a goal; else None."""
        return self._outputs(1)

    def _outputs(self, form: int) -> NDArray[np.float32] | None:
        outputs = self._found.outputs()
        return None if outputs is None else outputs[form].reshape(len(self), -1)

    @property
    def norm(self) -> NDArray[np.float64]:
        """The norm of each perturbation that the search made small; 0 where nothing was found or needed."""
        return self._numbers[self._norm]

    @property
    def prediction(self) -> NDArray[np.int64]:
        """The class that the model gives each adversarial image."""
        return self.prediction_after

    def __len__(self) -> int:
        return len(self._found)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays of one number an image, by name."""
        return dict(self._numbers)

    @property
    def summary(self) -> dict[str, float | int | None]:
        """The examples in figures, as in the command's record; means are over the images fooled."""
        fooled = self.fooled

        def mean(values: NDArray[Any], of: NDArray[np.bool_]) -> float | None:
            return float(values[of].mean()) if of.any() else None

        return {
            "samples": len(self),
            "right": int((self.prediction_before == self.label).sum()),
            "already_wrong": int(self.already_wrong.sum()),
            "searched": int((~self.already_wrong).sum()),
            "fooled": int(fooled.sum()),
            "no_gradient": int(self.no_gradient.sum()),
            "refuted": int(self.refuted.sum()),
            "l2_mean": mean(self.l2, fooled),
            "distortion_mean": mean(self.distortion, fooled),
            "evaluations_mean": mean(self.evaluations, ~self.already_wrong),
            "gradients_mean": mean(self.gradients, ~self.already_wrong),
        }

    def robust_accuracy(self, epsilon: float | Sequence[float] | None = None) -> list[dict[str, Any]]:
        """The share of all images that stay right under every perturbation up to each of some norms.

        The norms are those that `attack` was given, if none are given here. at_most is as the search found,
        at_least as certificates prove, where there are some; each with its images, their share, and low and high
        (Wilson's 95% interval).

        >>> import blindspot as bs
        >>> found = bs.attack(example_file, example_images, [0, 1, 2], epsilon=[0, 100])
        >>> [bounds["at_most"]["share"] for bounds in found.robust_accuracy()]
        [1.0, 0.0]
        """
        norms = None if epsilon is None else _epsilons(epsilon)
        return json.loads(self._found.robust_accuracy(norms))

    def smallest(self, count: int) -> Examples:
        """The images fooled by the `count` smallest perturbations, the smallest first.

        >>> import blindspot as bs
        >>> found = bs.attack(example_file, example_images, [0, 1, 2])
        >>> len(found.smallest(2)), found.smallest(1).norm[0] == found.norm[found.fooled].min()
        (2, np.True_)
        """
        places = np.flatnonzero(self.fooled)
        order = places[np.argsort(self.norm[places], kind="stable")][:count]
        return Examples(self._found.only([int(at) for at in order]), self._model, self._data, self._norm)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what the command writes: the arrays as `path`, an .npz, a record beside it as .json and,
        with certificates, their plot as .svg; of a table, its rows before and after as .changes.csv."""
        self._found.save(ending_in(".npz", path), self._data.about(), self._class_names())

    def report(self, path: str | os.PathLike[str]) -> None:
        """Writes the page that the command's `--report` asks for, one file of HTML: what was found in a sentence,
        examples, the curve of robust accuracy, all images with their numbers.

        Of a PyTorch module or a function it has no confidences.
        """
        shape = picture_shape(self._model, self._data, self._found.shape)
        self._found.report(ending_in(".html", path), self._data.about(), shape, self._class_names())

    def _class_names(self) -> list[str] | None:
        own = self._model.class_names if isinstance(self._model, Model) else None
        if own is None and isinstance(self._data.images, _native.Images):
            return self._data.images.classes
        return own

    @property
    def sentences(self) -> list[str]:
        """What changes in each row of a table (`columns`), in a sentence."""
        sentences = self._found.sentences(self._class_names())
        if sentences is None:
            raise UsageError("the inputs are no rows of a table: say what its columns are by columns=")
        return sentences

    @property
    def table(self) -> list[dict[str, Any]] | None:
        """What the columns of the table are, as they were described or found; None of other inputs."""
        images = self._data.images
        text = images.columns if isinstance(images, _native.Images) else None
        return None if text is None else json.loads(text)

    def save_images(
        self,
        dir: str | os.PathLike[str],
        *,
        progress: Progress = None,
        threads: int | None = None,
    ) -> None:
        """Writes adversarial images as PNG files that fool the model when they are read back.

        Where rounding to 8 bits undoes a perturbation, a larger one is searched for among such images.
        `dir`/adversarial, `dir`/original and `dir`/perturbation (magnified around grey) have them under their
        indices; `dir`/images.csv has their classes, answers and norms, `dir`/index.html shows them.
        `dir`/labels.csv has their true classes: `folder:dir/adversarial,dir/labels.csv` is an image set again.
        """
        shape = picture_shape(self._model, self._data, self._found.shape)
        with watching(progress, threads) as watch:
            self._found.save_images(dir, shape, self._data.name, self._class_names(), watch)

    def eight_bit(self, *, progress: Progress = None, threads: int | None = None) -> dict[str, NDArray[Any]]:
        """The examples as images of 8 bits: adversarial_8bit, success_8bit, prediction_8bit, l2_8bit.

        They are searched for at the first time; `save` writes them, too, from then on.
        """
        with watching(progress, threads) as watch:
            arrays = self._found.eight_bit(watch)
        levels = arrays["adversarial_8bit"].reshape(len(self), *self._found.shape)
        return {**arrays, "adversarial_8bit": levels}

    def plot(self, count: int = 8) -> Any:
        """Originals, adversarial images and their differences beside each other; takes matplotlib.

        Gives the figure. Differences are scaled to their own largest value.
        """
        from blindspot._draw import rows_of_pictures

        low, high = self._model.box
        rows = []
        for at in np.flatnonzero(self.fooled)[:count]:
            original, adversarial = self._pictures(int(at))
            delta = adversarial - original
            scale = float(np.abs(delta).max()) or 1.0
            rows.append(
                [
                    (original, low, high, f"{self.label[at]}"),
                    (adversarial, low, high, f"{self.prediction[at]}"),
                    (delta, -scale, scale, f"norm {self.norm[at]:.3g}"),
                ]
            )
        return rows_of_pictures(rows, "no image was fooled")

    def _pictures(self, at: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """An original and its adversarial image, of channels, height and width where these are known."""
        original, adversarial = self.original[at], self.adversarial[at]
        try:
            shape = picture_shape(self._model, self._data, self._found.shape)
        except UsageError:
            return original, adversarial
        return original.reshape(shape), adversarial.reshape(shape)

    def __repr__(self) -> str:
        summary = self.summary
        mean = summary["l2_mean"]
        norm = "" if mean is None else f", mean L2 norm {mean:.4g}"
        return f"<blindspot.Examples: {summary['fooled']} of {summary['searched']} fooled{norm}>"

    def _repr_html_(self) -> str:
        low, high = self._model.box
        heads = ["index", "label", "prediction", "norm", "kkt", "success", "original", "adversarial"]
        rows = []
        for at in range(min(len(self), ROWS)):
            numbers = (self.index, self.label, self.prediction, self.norm, self.kkt, self.success)
            rows.append(
                [
                    *(cell(column[at]) for column in numbers),
                    *(picture(image, low, high) for image in self._pictures(at)),
                ]
            )
        return html_table(heads, rows, repr(self)[1:-1])


def picture_shape(model: Model | Classifier, data: Given, shape: Sequence[int]) -> tuple[int, int, int]:
    if isinstance(data.images, _native.Images):
        axes: Sequence[int] = data.images.shape
    else:
        own = model._native.image_shape if isinstance(model, Model) else None
        axes = list(shape) if own is None else own
    if len(axes) < 3:
        # A row of numbers is a picture one pixel high.
        axes = [*[1] * (3 - len(axes)), *axes]
    if len(axes) != 3 or axes[0] not in (1, 3):
        raise UsageError(f"inputs of the shape {tuple(shape)} are no pictures")
    return (axes[0], axes[1], axes[2])


def attack(
    model: AnyModel,
    images: Images,
    labels: Labels | None = None,
    *,
    target: Target = "untargeted",
    goal: str | None = None,
    norm: str = "l2",
    group: str = "value",
    method: str = "sqp",
    max_evaluations: int | None = None,
    time_limit: float | None = None,
    enough: float | None = None,
    top_k: int = 1,
    confidence: float = 0.0,
    mask: Any = None,
    bounds: Limits | None = None,
    box: tuple[float, float] | None = None,
    columns: TableColumns | None = None,
    seed: int = 0,
    verify: Literal["onnxruntime"] | None = None,
    certify: bool = False,
    epsilon: float | Sequence[float] = (),
    samples: int | None = None,
    shuffle: bool = False,
    correct_only: bool = False,
    resize: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    exif: bool = False,
    skip_broken: bool = False,
    classes: Sequence[str] | str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    on_interrupt: Literal["raise", "return"] = "raise",
    progress: Progress = None,
    threads: int | None = None,
) -> Examples:
    """Finds the smallest perturbation of each image that makes a model answer wrong.

    Args:
        model: what `load` gives, an ONNX file, a PyTorch module in evaluation mode (on its own device), or a
            `Classifier`.
        images: an array `[n, *shape]` of floats in the model's box or of bytes, a PyTorch tensor, PIL images, a
            folder, or a set as the command names it ("mnist:test").
        labels: the true class of each image; those of the folder or set without, or the model's own answers.
        target: "untargeted" (any wrong class), "random" (wrong, seeded), "nearest" (the likeliest wrong one),
            "all" (the best of all wrong ones), or a class by its number or name.
        goal: in place of a target, what the outputs of a model that is no classifier are to do, as for the command:
            "flips", "flips:LABEL", "labels:A,B" or "labels:none" of labels; "moves:D", "rises:D:OUTPUT",
            "falls:D:OUTPUT" or "enters:LOW..HIGH:OUTPUT" of quantities; "moves:D", "turns:COSINE", "near:D:IMAGE" or
            "aligns:COSINE:IMAGE" of embeddings; "margin:FILE.onnx" for a network of one's own. An ONNX file is loaded
            for it; a `Model` has to be loaded with the `outputs` that it is about.
        norm: what is to be small: "l2", "linf", "l1" or "l0" (how many values change); by "sqp".
        group: what "l0" counts: each "value", or "pixel" (all channels of a pixel as one).
        method: "sqp", "lbfgs" (the paper's search), or to compare with: "fgsm", "pgd", "deepfool", "cw", "ddn".
        max_evaluations: of the model for each search; the best so far is kept.
        time_limit: seconds for the whole search; images not begun are left out.
        enough: a norm at which "sqp" ends an image's search, before its perturbation is the smallest.
        top_k: the label must leave so many likeliest classes.
        confidence: by how many logits the wanted answer must lead.
        mask: an array of the input's shape: values where it is 0 must not change; or an .npy file.
        bounds: arrays of the input's shape by the names lower, upper (each value's range) and change (how far
            it may move), or an .npz file of such; each may be missing.
        box: the range that input values stay in, in place of the model's.
        columns: what the columns of a table are, the images being a frame of pandas or Polars, "csv:FILE,COLUMN", or
            an array of rows (its columns are called x0, x1, ...): a file in TOML as the command takes it, or a
            dictionary of dictionaries with the same names (kind, range, direction, scale, unit, categories, one_hot);
            "found" where nothing is to be said. Whole numbers stay whole, categories are one of those that there are,
            and norms are those of the columns' changes in their scales.
        seed: where random choices come from.
        verify: "onnxruntime" asks that runtime about the final images; what it refutes is no success.
        certify: also give each image a certified radius in the norm; for ONNX models.
        epsilon: norms at which `robust_accuracy` is wanted, in records and pages, too.
        samples, shuffle: how many images, the first or a random choice.
        correct_only: of these, only the images that the model gets right as they are.
        resize, crop, exif, skip_broken, classes, data_dir: of pictures and files, as for the command.
        on_interrupt: after Ctrl-C, "raise" `Interrupted`, which has what was finished, or "return" that.
        progress: None shows a bar where somebody sees it; True, False, or a function (work, done, total).
        threads: to work on; all by default. Results of ONNX models don't depend on it.

    Raises:
        UsageError, DataError, ModelError: what is wrong with options, images and labels, or the model.
        Interrupted: after Ctrl-C.

    >>> import blindspot as bs
    >>> found = bs.attack(example_file, example_images, [0, 1, 2])
    >>> found.success.all(), found.adversarial.shape
    (np.True_, (3, 1, 2, 2))
    """
    if on_interrupt not in ("raise", "return"):
        raise UsageError(f"on_interrupt={on_interrupt!r}; use raise or return")
    if goal is not None and target != "untargeted":
        raise UsageError("a goal takes no target beside it; leave one of them out")
    classifier = as_classifier(model, images, goal)
    if columns is not None and (mask is not None or bounds is not None or box is not None):
        raise UsageError("columns have ranges of their own: leave mask, bounds and box out")
    choice = Choice(
        samples, shuffle, whole("seed", seed), resize, crop, exif, skip_broken, classes, data_dir, columns
    )
    lower, upper, change = _limits(mask, bounds, classifier.shape)
    options: _native.AttackOptions = {
        "target": target_words(target, classifier),
        "goal": goal,
        "method": method,
        "norm": norm,
        "group": group,
        "seed": choice.seed,
        "top_k": whole("top_k", top_k),
        "confidence": float(confidence),
        "max_evaluations": None if max_evaluations is None else max(whole("max_evaluations", max_evaluations), 1),
        "time_limit": None if time_limit is None else float(time_limit),
        "enough": None if enough is None else float(enough),
        "box": None if box is None else (float(box[0]), float(box[1])),
        "lower": lower,
        "upper": upper,
        "change": change,
        "certify": certify,
        "epsilons": _epsilons(epsilon),
    }
    with watching(progress, threads) as watch, _at_work(classifier):
        native = classifier._native if isinstance(classifier, Model) else None
        inputs = given(
            images, labels, classifier.shape, choice, watch, box=box or classifier.box, model=native
        )
        # What an input's class is says nothing of a goal for the outputs.
        truth = inputs.truth(classifier, correct_only, watch) if goal is None else [0] * len(inputs.images)
        found, interrupt = _native.attack(native_of(classifier), inputs.images, truth, options, watch)
        if verify is not None and len(found):
            found = _verified(verify, classifier, found)
    examples = Examples(found, classifier, inputs, norm)
    if interrupt is not None:
        return ended(interrupt, examples, on_interrupt)
    right = int((examples.prediction_before == examples.label).sum())
    if goal is None and _native.near_chance(right, len(examples), classifier.classes):
        warnings.warn(
            f"the model is right for {right} of {len(examples)} images, which is near chance; check what it"
            " wants of its input (mean, std, range, channel_order, layout) and the classes' numbers",
            stacklevel=2,
        )
    return examples


def _at_work(classifier: Model | Classifier) -> Any:
    from contextlib import nullcontext

    return nullcontext() if isinstance(classifier, Model) else classifier._at_work()


def target_words(target: Target, model: Model | Classifier) -> str:
    if isinstance(target, bool) or not isinstance(target, (str, int, np.integer)):
        raise UsageError(f"target={target!r}: give untargeted, random, nearest, all, or a class")
    names = model.class_names if isinstance(model, Model) else None
    return str(names.index(target)) if names and isinstance(target, str) and target in names else str(target)


def _epsilons(epsilon: float | Sequence[float]) -> list[float]:
    """Norms as a list."""
    norms = [epsilon] if isinstance(epsilon, (int, float, np.number)) else epsilon
    return [float(norm) for norm in norms]


Limit = Union[NDArray[np.float32], None]


def _limits(mask: Any, bounds: Limits | None, shape: Sequence[int]) -> tuple[Limit, Limit, Limit]:
    """The limits of each value: lower, upper, change."""
    limits: dict[str, NDArray[np.float32]] = {}
    if bounds is not None:
        named = _opened(bounds) if isinstance(bounds, (str, os.PathLike)) else bounds
        unknown = set(named) - {"lower", "upper", "change"}
        if unknown or not named:
            raise UsageError(f"bounds have {', '.join(sorted(unknown)) or 'nothing'}; give lower, upper or change")
        limits = {name: _shaped(f"bounds' {name}", values, shape) for name, values in named.items()}
    if mask is not None:
        moves = _opened(mask) if isinstance(mask, (str, os.PathLike)) else mask
        still = _shaped("mask", moves, shape) == 0
        change = limits.get("change", np.full(still.shape, np.inf, np.float32))
        limits["change"] = np.where(still, np.float32(0), change)
    return limits.get("lower"), limits.get("upper"), limits.get("change")


def _opened(path: str | os.PathLike[str]) -> Any:
    try:
        opened = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{os.fspath(path)}: {error}") from error
    return dict(opened) if isinstance(opened, np.lib.npyio.NpzFile) else opened


def _shaped(what: str, values: Any, shape: Sequence[int]) -> NDArray[np.float32]:
    array = np.asarray(values)
    if array.shape != tuple(shape):
        raise DataError(f"{what} has the shape {array.shape}, the model's input {tuple(shape)}; give the same")
    return np.ascontiguousarray(array, dtype=np.float32).reshape(-1)


def _verified(runtime: str, classifier: Model | Classifier, found: _native.Found) -> _native.Found:
    if runtime != "onnxruntime":
        raise UsageError(f"unknown runtime `{runtime}`; use onnxruntime")
    if not isinstance(classifier, Model):
        raise UsageError("onnxruntime runs ONNX files; a module has verified its results itself")
    from blindspot._onnxruntime import outputs

    before, after = (
        np.ascontiguousarray(outputs(classifier, images.reshape(len(found), *found.shape))).reshape(-1)
        for images in (found.original(), found.adversarial())
    )
    return found.refuted_by(before, after)
