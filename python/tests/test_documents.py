"""What is said of the package: examples in docstrings run, names have docstrings, the ten lines work."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Linear

import blindspot as bs


def test_every_public_name_says_what_it_is() -> None:
    for name in bs.__all__:
        thing = getattr(bs, name)
        if name.startswith("__"):
            continue
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    assert inspect.getdoc(value), f"{name}.{member}"


@pytest.mark.parametrize(
    "name", ["_attack", "_certify", "_classifier", "_model", "_studies", "_units", "_universal", "_verify"]
)
def test_examples_in_docstrings_run(name: str, linear_file: Path, linear_property: Path) -> None:
    module = importlib.import_module(f"blindspot.{name}")
    names: dict[str, Any] = {
        "example_file": str(linear_file),
        "example_images": Linear.images,
        "example_property": str(linear_property),
    }
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(module, extraglobs=names):
        runner.run(test)
    assert runner.summarize().failed == 0 and runner.tries > 0


def test_arguments_are_explained() -> None:
    for function in (bs.attack, bs.certify, bs.load, bs.spectrum, bs.units, bs.transfer, bs.universal, bs.verify):
        text = inspect.getdoc(function) or ""
        for argument in inspect.signature(function).parameters:
            assert argument in text, f"{function.__name__}: {argument}"


def test_the_ten_lines_work(tmp_path: Path, write: Callable[..., Path]) -> None:
    random = np.random.default_rng(2)
    layers = [(random.normal(size=(12, 8)), random.normal(size=8)), (random.normal(size=(8, 3)), np.zeros(3))]
    path = write(tmp_path / "model.onnx", layers, (3, 2, 2))
    script = Path(__file__).with_name("ten_lines.py")
    done = subprocess.run([sys.executable, script, path, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "examples.json").exists() and any((tmp_path / "changed").iterdir())


def test_options_have_the_command_s_names() -> None:
    """Each option of the command is an argument, of its own function or of `load`, or has another form."""
    forms = {"data": "images", "quiet": "progress", "no_statistics": "statistics"}
    methods = {"out", "save_images", "json", "smallest", "report", "counterexample"}
    # Of processes, of files that are there already, and of the command itself.
    alone = {"shard", "patience", "overwrite", "help", "version"}
    for command in ("attack", "certify", "spectrum", "units", "universal", "transfer", "inspect"):
        arguments = set(inspect.signature(getattr(bs, command)).parameters)
        arguments |= set(inspect.signature(bs.load).parameters) | {"data_dir"}
        if command == "certify":
            # With --property it is a function of its own.
            arguments |= set(inspect.signature(bs.verify).parameters)
        shown = subprocess.run(
            [sys.executable, "-m", "blindspot", command, "--help"], capture_output=True, text=True, check=True
        )
        options = set(re.findall(r"^ +(?:-\w, )?--([a-z0-9-]+)", shown.stdout, re.MULTILINE))
        assert options
        names = {option.replace("-", "_") for option in options} - methods - alone
        missing = {name for name in names if forms.get(name, name) not in arguments}
        assert not missing, f"{command}: {missing}"
