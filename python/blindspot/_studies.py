"""Studies of networks: what is in a file, what layers amplify, what units mean, what examples do to others."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal, Union

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._attack import Examples
from blindspot._classifier import Classifier
from blindspot._errors import UsageError
from blindspot._images import Choice, Images, Labels, given
from blindspot._model import (
    AnyModel,
    Model,
    Numbers,
    as_classifier,
    as_file,
    as_model,
    model_options,
    native_of,
)
from blindspot._results import Columns, cell, html_table, versions
from blindspot._watch import Progress, watching


class Record(dict[str, Any]):
    """What is known of something, by name, as in the command's JSON."""

    def _repr_html_(self) -> str:
        rows = [[cell(name), cell(json.dumps(value)[:400])] for name, value in self.items()]
        return html_table(["", ""], rows, type(self).__name__)


class Report(Record):
    """What `inspect` says: `file` (what is in it), `problem` (why it does not run, or None) and `network`
    (shape, classes, answer, notes, a check of the gradients, times, what can be done with it)."""


def inspect(
    model: AnyModel,
    example_input: Any = None,
    *,
    range: tuple[float, float] | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    channel_order: str = "rgb",
    layout: str = "nchw",
    input: str | None = None,
    input_values: str | os.PathLike[str] | None = None,
    input_shape: Sequence[int] | None = None,
    output: str | None = None,
    progress: Progress = None,
    threads: int | None = None,
) -> Report:
    """Says what is in a model, whether it runs here, and what can be done with it.

    The arguments are those of `load`; gradients are compared with finite differences on one random image.

    Raises:
        ModelError: it can't be read or is no ONNX file. One that does not run is a report that says so.

    >>> import blindspot as bs
    >>> report = bs.inspect(example_file)
    >>> report["problem"], report["network"]["classes"]
    (None, 3)
    """
    options = model_options(
        range=range,
        mean=mean,
        std=std,
        channel_order=channel_order,
        layout=layout,
        input=input,
        input_values=input_values,
        input_shape=input_shape,
        output=output,
    )
    source, name = (model._source, model.name) if isinstance(model, Model) else as_file(model, example_input)
    with watching(progress, threads) as watch:
        return Report(json.loads(_native.inspect(source, name, options, watch)))


class Spectra(Columns):
    """Singular values of layers; made by `blindspot.spectrum`.

    layers: a record for each linear layer, as in the command's spectrum.json: layer, kind, shape, the frame
        bounds as it runs and circular, with error bounds, and the spectrum where it was computed.
    unsupported: layers that could not be measured, and why.
    """

    def __init__(self, told: dict[str, Any], files: list[tuple[str, bytes]], about: dict[str, Any]) -> None:
        self.layers: list[dict[str, Any]] = told["layers"]
        self.unsupported: list[dict[str, Any]] = told["unsupported"]
        self._files = [("spectrum.json", json.dumps({**told, **about}, indent=2).encode()), *files]

    def columns(self) -> dict[str, NDArray[Any]]:
        """What is one number or text a layer, by name."""
        flat = [
            {name: value for name, value in layer.items() if not isinstance(value, (list, dict))}
            for layer in self.layers
        ]
        names = list(dict.fromkeys(name for layer in flat for name in layer))
        return {name: np.array([layer.get(name) for layer in flat]) for name in names}

    def save(self, dir: str | os.PathLike[str]) -> None:
        """Writes what the command writes: spectrum.json, .csv, .md and a plot of each layer."""
        _native.write_files(dir, self._files)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return f"<blindspot.Spectra: {len(self)} layers>"

    def _repr_html_(self) -> str:
        columns = self.columns()
        rows = [[cell(column[at]) for column in columns.values()] for at in range(len(self))]
        return html_table(list(columns), rows, repr(self)[1:-1])


def spectrum(
    model: AnyModel,
    *,
    layer: str | None = None,
    input_size: tuple[int, int] | None = None,
    tolerance: float = 1e-4,
    seed: int = 0,
    progress: Progress = None,
    threads: int | None = None,
) -> Spectra:
    """Measures what each layer can amplify: its smallest and largest singular values.

    Args:
        model: what `load` gives, or an ONNX file.
        layer: only the layer with this name.
        input_size: height and width of the input, instead of those in the file.
        tolerance: how exact the largest singular value must be where it is approached step by step, as a
            part of it.
        seed: where the approach starts from.
        progress, threads: as for `attack`.

    >>> import blindspot as bs
    >>> bs.spectrum(example_file).layers[0]["layer"]
    'logits'
    """
    own = as_model(model)
    options: _native.SpectrumOptions = {
        "layer": layer,
        "input_size": input_size,
        "tolerance": tolerance,
        "seed": seed,
    }
    with watching(progress, threads) as watch:
        told, files = _native.spectrum(own._native, options, watch)
    about = {"options": dict(options), "model": own.name, "model_sha256": own.sha256, "versions": versions()}
    return Spectra(json.loads(told), files, about)


class Units(Record):
    """What `blindspot.units` found: `units`, `directions` and `components`, each a list of records with the
    positions of the `top` and `lowest` images and their activations; `statistics`, the study of all units
    beside random directions, or None."""

    @property
    def answer(self) -> str | None:
        """In a sentence, whether units mean more than random directions."""
        statistics = self["statistics"]
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
        seed, samples, shuffle, resize, crop, exif, skip_broken, classes, data_dir, progress, threads: as for
            `attack`.

    >>> import blindspot as bs
    >>> found = bs.units(example_file, example_images, layer="logits", units=[2], top=1, statistics=False)
    >>> found["units"][0]["top"]
    [2]
    """
    own = as_model(model)
    choice = Choice(samples, shuffle, seed, resize, crop, exif, skip_broken, classes, data_dir)
    options: _native.UnitsOptions = {
        "layer": layer,
        "units": int(units) if isinstance(units, (int, np.integer)) else [int(unit) for unit in units],
        "directions": directions,
        "components": components,
        "top": top,
        "reduce": reduce,
        "statistics": statistics,
        "seed": seed,
    }
    with watching(progress, threads) as watch:
        inputs = given(images, labels, own.shape, choice, watch, box=own.box, model=own._native)
        told = _native.units(own._native, inputs.images, inputs.labels, options, watch)
    return Units(json.loads(told))


class Transfer(Columns):
    """What examples do to models; made by `blindspot.transfer`.

    rows, models: names of the examples with what was done to them, and of the models.
    error: the share of each row's images that each model misclassifies, `[rows, models]`.
    clean: the same of the images before anything was done to them.
    fooled: of those that a model gets right, the share that it misclassifies in the row; NaN of none.
    low, high: ends of the 95% confidence interval of `error`.
    """

    def __init__(self, told: dict[str, Any], files: list[tuple[str, bytes]]) -> None:
        self.rows: list[str] = told["rows"]
        self.models: list[str] = told["columns"]
        self.distortion: list[dict[str, float] | None] = told["distortion"]
        self._files = [("transfer.json", json.dumps(told, indent=2).encode()), *files]

        def shares(name: str, of: str) -> NDArray[np.float64]:
            return np.array([[np.nan if rate is None else rate[of] for rate in row] for row in told[name]])

        self.error = shares("rates", "error")
        self.low, self.high = shares("rates", "low"), shares("rates", "high")
        self.clean = shares("clean", "error")
        self.fooled = shares("fooled", "error")

    def columns(self) -> dict[str, NDArray[Any]]:
        """A row for each pair of examples and model."""
        return {
            "examples": np.repeat(self.rows, len(self.models)),
            "model": np.tile(self.models, len(self.rows)),
            **{
                name: getattr(self, name).reshape(-1)
                for name in ("error", "low", "high", "clean", "fooled")
            },
        }

    def save(self, dir: str | os.PathLike[str]) -> None:
        """Writes transfer.json, .csv, .md and the heat map .svg."""
        _native.write_files(dir, self._files)

    def __repr__(self) -> str:
        return f"<blindspot.Transfer: {len(self.rows)} sets of examples, {len(self.models)} models>"

    def _repr_html_(self) -> str:
        rows = [
            [cell(name), *(f"{100 * error:.1f}%" for error in errors)]
            for name, errors in zip(self.rows, self.error)
        ]
        return html_table(["error on", *self.models], rows, repr(self)[1:-1])


SomeExamples = Union[Examples, str, "os.PathLike[str]"]
Several = Union[Sequence[Any], Mapping[str, Any]]


def transfer(
    examples: SomeExamples | Several,
    models: AnyModel | Several,
    *,
    amplify: float | Sequence[float] = (),
    amplify_by: float | Sequence[float] = (),
    noise: float | Sequence[float] = (),
    correct_only: bool = False,
    seed: int = 0,
    progress: Progress = None,
    threads: int | None = None,
) -> Transfer:
    """Says how often examples made for one model fool others.

    Args:
        examples: what `attack` gave, or a file of such; or several, in a list or by name.
        models: one or several models of any kind that `attack` takes.
        amplify: also all perturbations times one factor, to this mean distortion.
        amplify_by: also all perturbations times this factor.
        noise: also Gaussian noise of this standard deviation in place of the perturbations.
        correct_only: count only the images that all the models get right as they are.
        seed: where the noise comes from.
        progress, threads: as for `attack`.

    >>> import blindspot as bs
    >>> found = bs.attack(example_file, example_images, [0, 1, 2])
    >>> bs.transfer(found, [example_file], noise=0.001).error.tolist()
    [[1.0], [0.0]]
    """
    sources = _named(examples, "examples", (Examples, str, os.PathLike))
    found: list[tuple[str, _native.Found | str]] = [
        (name, source._found if isinstance(source, Examples) else os.fspath(source))
        for name, source in sources
    ]
    first = next((source for _, source in sources if isinstance(source, Examples)), None)
    shaped = first.original[:1] if first is not None and len(first) else None
    judges = [
        (name, as_classifier(model, shaped))
        for name, model in _named(models, "model", (str, bytes, os.PathLike))
    ]
    options: _native.TransferOptions = {
        "amplify": [float(value) for value in np.atleast_1d(amplify)],
        "amplify_by": [float(value) for value in np.atleast_1d(amplify_by)],
        "noise": [float(value) for value in np.atleast_1d(noise)],
        "seed": seed,
        "correct_only": correct_only,
    }
    with ExitStack() as stack:
        watch = stack.enter_context(watching(progress, threads))
        for _, judge in judges:
            if isinstance(judge, Classifier):
                stack.enter_context(judge._at_work())
        natives = [(name, native_of(judge)) for name, judge in judges]
        told, files = _native.transfer(found, natives, options, watch)
    return Transfer(json.loads(told), files)


def _named(several: Any, what: str, one: tuple[type, ...]) -> list[tuple[str, Any]]:
    """One or several things, each with a name."""
    if isinstance(several, Mapping):
        return [(str(name), thing) for name, thing in several.items()]
    things = list(several) if isinstance(several, (list, tuple)) and not isinstance(several, one) else [several]
    if not things:
        raise UsageError(f"there are no {what}s; give at least one")

    def name(at: int, thing: Any) -> str:
        if isinstance(thing, (str, os.PathLike)):
            return os.path.splitext(os.path.basename(os.fspath(thing)))[0]
        own = getattr(thing, "name", None)
        kind = type(thing).__name__
        plain = os.path.splitext(os.path.basename(own))[0] if isinstance(own, str) else kind
        return plain if what == "model" else f"{what} {at + 1}"

    names = [name(at, thing) for at, thing in enumerate(things)]
    distinct = len(set(names)) == len(names)
    return [(text if distinct else f"{text} {at + 1}", thing) for at, (text, thing) in enumerate(zip(names, things))]
