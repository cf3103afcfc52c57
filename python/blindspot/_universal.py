"""One perturbation for all images."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._attack import Target, picture_shape, target_words
from blindspot._classifier import Classifier
from blindspot._errors import UsageError, ended
from blindspot._images import Choice, Given, Images, Labels, given, whole
from blindspot._model import AnyModel, Model, as_classifier, native_of
from blindspot._results import ROWS, Columns, cell, ending_in, html_table
from blindspot._studies import Several, named
from blindspot._watch import Progress, watching


class UniversalPerturbation(Columns):
    """One perturbation of many images, and what models answer to them; made by `blindspot.universal`.

    delta: what is added to an image before the sum is clipped to the box, of an input's shape.
    norm: its norm, in the one that was asked for.
    reached: whether it fools the share asked for of the images that it was found on; True where none was.
    fooled: for each model by its name, the share of the images held out that it fools, of those that the model gets
        right as they are; NaN where these are none. `record` has the counts and 95% intervals, and those of the images
        that it was found on.
    index, label, prediction_before, prediction_after: of each image, number, true class, and the model's answers
        without and with the perturbation.
    set: 0 where the perturbation was found on the image, 1 where it was held out.
    was_fooled: whether the image is right as it is and fooled.
    record: what the command writes as JSON.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    prediction_before: NDArray[np.int64]
    prediction_after: NDArray[np.int64]
    set: NDArray[np.uint8]

    def __init__(self, universal: _native.Universal) -> None:
        self._universal = universal
        self.delta: NDArray[np.float32] = universal.delta().reshape(universal.shape)
        self.record: dict[str, Any] = json.loads(universal.json())
        summary = self.record["summary"]
        self.norm: float = summary["norm"]
        self.reached: bool = summary["reached"]
        self.fooled: dict[str, float] = {
            shares["file"]: np.nan if shares["held_out"] is None else shares["held_out"]["share"]
            for shares in summary["shares"]
        }
        self._numbers = universal.numbers()
        self.was_fooled: NDArray[np.bool_] = self._numbers["fooled"]
        self.__dict__.update({name: array for name, array in self._numbers.items() if name != "fooled"})

    def __len__(self) -> int:
        return len(self.index)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays of one number an image, by name."""
        return dict(self._numbers)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what the command writes: arrays as `path`, an .npz, and a record as .json."""
        self._universal.save(ending_in(".npz", path))

    def report(self, path: str | os.PathLike[str]) -> None:
        """Writes the page that the command's `--report` asks for, one file of HTML: the perturbation, images without it
        and with it, the shares."""
        self._universal.report(ending_in(".html", path))

    def __repr__(self) -> str:
        norm = self.record["options"]["norm"]
        fooled = "".join(f", {name} {100 * share:.1f}% fooled" for name, share in self.fooled.items())
        return f"<blindspot.UniversalPerturbation: {norm} norm {self.norm:.4g}{fooled}>"

    def _repr_html_(self) -> str:
        columns = self.columns()
        rows = [[cell(column[at]) for column in columns.values()] for at in range(min(len(self), ROWS))]
        return html_table(list(columns), rows, repr(self)[1:-1])


def universal(
    model: AnyModel,
    images: Images,
    labels: Labels | None = None,
    *,
    epsilon: float | None = None,
    share: float | None = None,
    norm: str = "l2",
    target: Target = "untargeted",
    held_out: Images | None = None,
    held_out_labels: Labels | None = None,
    models: AnyModel | Several = (),
    max_evaluations: int | None = None,
    time_limit: float | None = None,
    box: tuple[float, float] | None = None,
    seed: int = 0,
    samples: int | None = None,
    shuffle: bool = False,
    resize: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    exif: bool = False,
    skip_broken: bool = False,
    classes: Sequence[str] | str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    on_interrupt: Literal["raise", "return"] = "raise",
    progress: Progress = None,
    threads: int | None = None,
) -> UniversalPerturbation:
    """Finds one perturbation that fools a model on most images, and judges it on others.

    Args:
        model, images, labels: as for `attack`.
        epsilon: its norm at most; it fools as many images as can be.
        share: in place of a norm, the share of the images, above 0 and at most 1, that the smallest one found fools.
        norm: what is to be small: "l2" or "linf".
        target: "untargeted" (any wrong class), or a class by its number or name, whose images don't count.
        held_out, held_out_labels: images that it is judged on; a half of `images`, which the seed chooses, if there are
            none. It is found on the others.
        models: other models that are to answer, too; one, several, or several by name.
        max_evaluations: of the model for each image; the best so far is kept.
        time_limit: seconds for the search.
        box, seed, samples, shuffle, resize, crop, exif, skip_broken, classes, data_dir, on_interrupt, progress, threads:
            as for `attack`.

    Raises:
        UsageError, DataError, ModelError, Interrupted: as `attack`. What `Interrupted` has is judged on no image.

    >>> import blindspot as bs
    >>> found = bs.universal(example_file, example_images, [0, 1, 2], share=0.5, held_out=example_images,
    ...                      held_out_labels=[0, 1, 2])
    >>> found.delta.shape, found.reached
    ((1, 2, 2), True)
    """
    own = as_classifier(model, images)
    others = named(models, "model", (str, bytes, os.PathLike)) if _any(models) else []
    judges = [(name, as_classifier(other, images)) for name, other in others]
    choice = Choice(samples, shuffle, whole("seed", seed), resize, crop, exif, skip_broken, classes, data_dir)
    options: _native.UniversalOptions = {
        "epsilon": None if epsilon is None else float(epsilon),
        "share": None if share is None else float(share),
        "norm": norm,
        "target": target_words(target, own),
        "box": None if box is None else (float(box[0]), float(box[1])),
        "max_evaluations": None if max_evaluations is None else max(whole("max_evaluations", max_evaluations), 1),
        "time_limit": None if time_limit is None else float(time_limit),
        "seed": choice.seed,
    }
    with ExitStack() as stack:
        watch = stack.enter_context(watching(progress, threads))
        for judge in [own, *(judge for _, judge in judges)]:
            if isinstance(judge, Classifier):
                stack.enter_context(judge._at_work())

        def opened(images: Images, labels: Labels | None) -> Given:
            native = own._native if isinstance(own, Model) else None
            found = given(images, labels, own.shape, choice, watch, box=box or own.box, model=native)
            found.labels_or_answers(own, watch)
            return found

        training = opened(images, labels)
        if held_out is not None:
            judged = opened(held_out, held_out_labels)
        elif held_out_labels is not None:
            raise UsageError("held_out_labels are of held_out: give these images, too")
        else:
            count = len(training.labels or [])
            if count < 2:
                raise UsageError("one image can't be split into two halves; give more, or others as held_out")
            training, judged = (training.only(half) for half in _native.halves(count, choice.seed))
        (name, _), *_ = named([model], "model", (str, bytes, os.PathLike))
        found, interrupt = _native.universal(
            (name, native_of(own)),
            [(name, native_of(judge)) for name, judge in judges],
            (_as_judged(own, training), _as_judged(own, judged)),
            held_out is None,
            options,
            watch,
        )
    perturbation = UniversalPerturbation(found)
    return perturbation if interrupt is None else ended(interrupt, perturbation, on_interrupt)


def _any(models: Any) -> bool:
    return not (isinstance(models, (list, tuple, dict)) and not models)


def _as_judged(model: Model | Classifier, images: Given) -> _native.Judged:
    """Images as the native half takes them here."""
    try:
        shape = picture_shape(model, images, model.shape)
    except UsageError:
        shape = None
    names = model.class_names if isinstance(model, Model) else None
    if names is None and isinstance(images.images, _native.Images):
        names = images.images.classes
    return {
        "images": images.images,
        "labels": images.labels or [],
        "places": None if isinstance(images.images, _native.Images) else list(images.places),
        "about": images.about(),
        "shape": shape,
        "classes": None if names is None else list(names),
    }
