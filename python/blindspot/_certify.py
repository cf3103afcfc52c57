"""Certified radii."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._errors import ended
from blindspot._images import Choice, Images, Labels, given, whole
from blindspot._model import AnyModel, as_model
from blindspot._results import ROWS, Columns, cell, ending_in, html_table
from blindspot._watch import Progress, watching


class Certificates(Columns):
    """Images between two bounds of their distance to another answer; made by `blindspot.certify`.

    norm: what distances are in, by its name.
    certificate: no image of the box within this distance gets another answer; 0 where the image is wrong as it
        is, or rounding may make it so. In L0 no change of fewer values does.
    found: norm of the smallest perturbation found; infinite where none was, 0 where the image is wrong as it is.
        Its array has the norm's name: l2, linf, l1 or l0.
    lipschitz: the certificate by the product of the layers' bounds alone; NaN where it is not known.
    index, label: number and true class of each image.
    limits: what the certificates rest on less than they could, in words.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    certificate: NDArray[np.float64]
    lipschitz: NDArray[np.float64]
    l2: NDArray[np.float64]
    linf: NDArray[np.float64]
    l1: NDArray[np.float64]
    l0: NDArray[np.float64]

    def __init__(self, certified: _native.Certified, model: str, norm: str) -> None:
        self.norm = norm
        self._certified = certified
        self._model = model
        self._numbers = certified.numbers()
        self.__dict__.update(self._numbers)
        self.limits = certified.limits

    @property
    def found(self) -> NDArray[np.float64]:
        """The norm of the smallest perturbation found for each image."""
        return self._numbers[self.norm]

    def __len__(self) -> int:
        return len(self.index)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays of one number an image, by name."""
        return dict(self._numbers)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what the command writes: arrays as `path`, an .npz, a record as .json, a plot as .svg."""
        self._certified.save(ending_in(".npz", path))

    def report(self, path: str | os.PathLike[str]) -> None:
        """Writes the page that the command's `--report` asks for, one file of HTML: the answer in a sentence, the
        curves of robust accuracy, all images with their numbers."""
        self._certified.report(ending_in(".html", path), self._model)

    def svg(self) -> str:
        """A plot of each certificate beside the perturbation found."""
        return self._certified.svg()

    def __repr__(self) -> str:
        right = self.found > 0
        mean = f", mean {self.norm} radius {self.certificate[right].mean():.4g}" if right.any() else ""
        return f"<blindspot.Certificates: {len(self)} images, {int(right.sum())} right as they are{mean}>"

    def _repr_html_(self) -> str:
        columns = self.columns()
        rows = [[cell(column[at]) for column in columns.values()] for at in range(min(len(self), ROWS))]
        return html_table(list(columns), rows, repr(self)[1:-1]) + self.svg()


def certify(
    model: AnyModel,
    images: Images,
    labels: Labels | None = None,
    *,
    norm: str = "l2",
    group: str = "value",
    time_limit: float | None = None,
    arithmetic: Literal["runtime", "exact"] = "runtime",
    box: tuple[float, float] | None = None,
    seed: int = 0,
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
) -> Certificates:
    """Gives each image a radius below which no perturbation changes the answer, and the smallest one found.

    Args:
        model: what `load` gives, or an ONNX file. A PyTorch module has to be loaded: `load` exports it.
        images, labels: as for `attack`.
        norm: what distances are in: "l2", "linf", "l1" or "l0" (how many values must change at least).
        group: what "l0" counts: each "value", or "pixel" (all channels of a pixel as one).
        time_limit: raises the certificates by branch and bound until so many seconds have gone into them.
        arithmetic: "runtime" holds in any runtime's arithmetic, "exact" in exact arithmetic only.
        box, seed, samples, shuffle, correct_only, resize, crop, exif, skip_broken, classes, data_dir,
            on_interrupt, progress, threads: as for `attack`.

    Raises:
        ModelError: no bound is known for one of the model's operators.
        UsageError, DataError, Interrupted: as `attack`.

    >>> import blindspot as bs
    >>> radii = bs.certify(example_file, example_images, [0, 1, 2])
    >>> bool((radii.certificate <= radii.found).all())
    True
    """
    own = as_model(model)
    choice = Choice(samples, shuffle, whole("seed", seed), resize, crop, exif, skip_broken, classes, data_dir)
    options: _native.CertifyOptions = {
        "box": None if box is None else (float(box[0]), float(box[1])),
        "time_limit": None if time_limit is None else float(time_limit),
        "arithmetic": arithmetic,
        "norm": norm,
        "group": group,
        "seed": whole("seed", seed),
    }
    with watching(progress, threads) as watch:
        inputs = given(images, labels, own.shape, choice, watch, box=box or own.box, model=own._native)
        truth = inputs.truth(own, correct_only, watch)
        certified, interrupt = _native.certify(
            own._native, inputs.images, truth, options, inputs.about(), watch
        )
    found = Certificates(certified, own.name, norm)
    return found if interrupt is None else ended(interrupt, found, on_interrupt)
