"""Which images excite units and random directions, and what these mean."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._images import Choice, Given, Images, Labels, given, whole
from blindspot._model import AnyModel, Model, as_model
from blindspot._results import Record
from blindspot._watch import Progress, watching


class Units(Record):
    """What `blindspot.units` found, as in the command's units.json: `units`, `directions` and `components`, each a
    list of records with the numbers of the `top` and `lowest` images and their activations; `statistics`, the study
    of all units beside random directions, if there was one; `synthesised`, of images that were made.
    """

    def __init__(self, surveyed: _native.Surveyed, model: Model, images: Given) -> None:
        super().__init__(json.loads(surveyed.json()))
        self._surveyed = surveyed
        self._model = model
        self._images = images

    @property
    def synthesised(self) -> NDArray[np.float32]:
        """The images that were made, `[n, channels, height, width]`, in the order of the record's `synthesised`."""
        made = self.get("synthesised", [])
        axes = self._model._native.image_shape or self._model.shape
        return self._surveyed.synthesised().reshape(len(made), *axes)

    def save(self, dir: str | os.PathLike[str], *, progress: Progress = None, threads: int | None = None) -> None:
        """Writes what the command writes: units.json, the page units.html, the pictures as units.svg, plots of the
        study, and a PNG file for each image that was made."""
        given = self._images
        with watching(progress, threads) as watch:
            files = self._surveyed.files(self._model._native, given.images, given.labels, watch)
        _native.write_files(dir, files)

    @property
    def answer(self) -> str | None:
        """In a sentence, whether units mean more than random directions."""
        statistics = self.get("statistics")
        return None if statistics is None else str(statistics["answer"])


def units(
    model: AnyModel,
    images: Images,
    labels: Labels | None = None,
    *,
    layer: str,
    units: int | Sequence[int] = 4,
    directions: int = 4,
    components: int = 0,
    top: int = 10,
    reduce: Literal["max", "mean"] = "max",
    statistics: bool = True,
    synthesize: bool = False,
    l2: float = 0.3,
    total_variation: float = 1.0,
    seed: int = 0,
    samples: int | None = None,
    shuffle: bool = False,
    resize: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    exif: bool = False,
    skip_broken: bool = False,
    classes: Sequence[str] | str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Progress = None,
    threads: int | None = None,
) -> Units:
    """Finds the images that excite a layer's units the most, and random directions, and what these mean.

    Args:
        model: what `load` gives, or an ONNX file.
        images, labels: as for `attack`; without labels there is no selectivity and purity.
        layer: its name; `Model.layers` has all.
        units: how many, a random choice, or which.
        directions, components: how many random directions and principal components.
        top: how many images for each.
        reduce: what a channel's positions become: their largest, or their mean.
        statistics: also study all units beside as many random directions.
        synthesize: also make the image in [0, 1] that maximises each unit and direction shown.
        l2, total_variation: what such an image pays for its mean square and its total variation, 0 to 1e6.
        seed, samples, shuffle, resize, crop, exif, skip_broken, classes, data_dir, progress, threads: as for
            `attack`.

    >>> import blindspot as bs
    >>> found = bs.units(example_file, example_images, layer="logits", units=[2], top=1, statistics=False)
    >>> found["units"][0]["top"]
    [2]
    """
    own = as_model(model)
    choice = Choice(samples, shuffle, whole("seed", seed), resize, crop, exif, skip_broken, classes, data_dir)
    options: _native.UnitsOptions = {
        "layer": layer,
        "units": int(units) if isinstance(units, (int, np.integer)) else [int(unit) for unit in units],
        "directions": directions,
        "components": components,
        "top": top,
        "reduce": reduce,
        "statistics": statistics,
        "seed": choice.seed,
        "synthesize": synthesize,
        "l2": float(l2),
        "total_variation": float(total_variation),
    }
    with watching(progress, threads) as watch:
        inputs = given(images, labels, own.shape, choice, watch, box=own.box, model=own._native)
        surveyed = _native.units(
            own._native, inputs.images, inputs.labels, options, inputs.about(), watch
        )
    return Units(surveyed, own, inputs)
