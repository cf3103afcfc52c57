"""Studies of networks: what is in a file, what layers amplify, what examples do to others."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from blindspot import _native
from blindspot._attack import Examples
from blindspot._classifier import Classifier
from blindspot._errors import UsageError
from blindspot._model import AnyModel, Model, Said, as_classifier, as_file, as_model, model_options, native_of
from blindspot._results import Columns, Record, cell, ending_in, html_table, versions
from blindspot._watch import Progress, watching

if TYPE_CHECKING:
    from typing_extensions import Unpack


def write_page(path: str | os.PathLike[str], page: str) -> None:
    """Writes a page of HTML."""
    folder, name = os.path.split(os.fspath(ending_in(".html", path)))
    _native.write_files(folder or ".", [(name, page.encode())])


class Report(Record):
    """What `inspect` says: `file` (what is in it), `problem` (why it does not run, or None) and `network`
    (shape, classes, answer, notes, a check of the gradients, times, what can be done with it)."""


def inspect(
    model: AnyModel,
    example_input: Any = None,
    *,
    profile: bool = False,
    progress: Progress = None,
    threads: int | None = None,
    **said: Unpack[Said],
) -> Report:
    """Says what is in a model, whether it runs here, and what can be done with it.

    `said` are the other arguments of `load`, progress and threads as for `attack`; gradients are compared with
    finite differences on one random image. With `profile` the report also has where the time goes (`profile`):
    milliseconds forward and backward, operations and bytes of each operator, for one image on one thread.

    Raises:
        ModelError: it can't be read or is no ONNX file. One that does not run is a report that says so.

    >>> import blindspot as bs
    >>> report = bs.inspect(example_file)
    >>> report["problem"], report["network"]["classes"]
    (None, 3)
    """
    options = model_options(said)
    source, name = (model._source, model.name) if isinstance(model, Model) else as_file(model, example_input)
    with watching(progress, threads) as watch:
        return Report(json.loads(_native.inspect(source, name, options, profile, watch)))


class Spectra(Columns):
    """Singular values of layers; made by `blindspot.spectrum`.

    layers: a record for each linear layer, as in the command's spectrum.json: layer, kind, shape, the frame
        bounds as it runs and circular, with error bounds, and the spectrum where it was computed.
    unsupported: layers that could not be measured, and why.
    """

    def __init__(self, told: str, files: list[tuple[str, bytes]], page: str) -> None:
        record = json.loads(told)
        self.layers: list[dict[str, Any]] = record["layers"]
        self.unsupported: list[dict[str, Any]] = record["unsupported"]
        self._files, self._page = files, page

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

    def report(self, path: str | os.PathLike[str]) -> None:
        """Writes the page that the command's `--report` asks for, one file of HTML."""
        write_page(path, self._page)

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
        "name": own.name,
        "versions": versions(),
    }
    with watching(progress, threads) as watch:
        return Spectra(*_native.spectrum(own._native, options, watch))


class Transfer(Columns):
    """What examples do to models; made by `blindspot.transfer`.

    rows, models: names of the examples with what was done to them, and of the models.
    error: the share of each row's images that each model misclassifies, `[rows, models]`.
    clean: the same of the images before anything was done to them.
    fooled: of those that a model gets right, the share that it misclassifies in the row; NaN of none.
    low, high: ends of the 95% confidence interval of `error`.
    """

    def __init__(self, told: str, files: list[tuple[str, bytes]], page: str) -> None:
        record = json.loads(told)
        self.rows: list[str] = record["rows"]
        self.models: list[str] = record["columns"]
        self.distortion: list[dict[str, float] | None] = record["distortion"]
        self._files, self._page = files, page

        def shares(name: str, of: str) -> NDArray[np.float64]:
            return np.array([[np.nan if rate is None else rate[of] for rate in row] for row in record[name]])

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

    def report(self, path: str | os.PathLike[str]) -> None:
        """Writes the page that the command's `--report` asks for, one file of HTML."""
        write_page(path, self._page)

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
    norm: str | None = None,
    amplify_by: float | Sequence[float] = (),
    noise: float | Sequence[float] = (),
    correct_only: bool = False,
    seed: int = 0,
    progress: Progress = None,
    threads: int | None = None,
) -> Transfer:
    """Says how often examples made for one model fool others.

    Args:
        examples: what `attack` gave, or a file of such; or several, in a list or by name. Of examples of a goal a model
            is wrong about those with which its own outputs reach it.
        models: one or several models of any kind that `attack` takes.
        amplify: also all perturbations times one factor, to this mean distortion of those that are not 0.
        norm: what `amplify` brings to that in place of the distortion: the mean norm, "l2", "linf" or "l1".
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
    sources = named(examples, "examples", (Examples, str, os.PathLike))
    found: list[tuple[str, _native.Found | str]] = [
        (name, source._found if isinstance(source, Examples) else os.fspath(source))
        for name, source in sources
    ]
    first = next((source for _, source in sources if isinstance(source, Examples)), None)
    shaped = first.original[:1] if first is not None and len(first) else None
    goals = (_native.goal_of(source) for _, source in found)
    goal = next((goal for goal in goals if goal is not None), None)
    judges = [
        (name, as_classifier(model, shaped, goal))
        for name, model in named(models, "model", (str, bytes, os.PathLike))
    ]
    options: _native.TransferOptions = {
        "amplify": [float(value) for value in np.atleast_1d(amplify)],
        "norm": norm,
        "amplify_by": [float(value) for value in np.atleast_1d(amplify_by)],
        "noise": [float(value) for value in np.atleast_1d(noise)],
        "seed": seed,
        "correct_only": correct_only,
        "versions": versions(),
    }
    with ExitStack() as stack:
        watch = stack.enter_context(watching(progress, threads))
        for _, judge in judges:
            if isinstance(judge, Classifier):
                stack.enter_context(judge._at_work())
        natives = [(name, native_of(judge)) for name, judge in judges]
        return Transfer(*_native.transfer(found, natives, options, watch))


def named(several: Any, what: str, one: tuple[type, ...]) -> list[tuple[str, Any]]:
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
