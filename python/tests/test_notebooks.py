"""The guide's notebooks run, and show what they draw."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        if re.search(r"\bplot\(", cell.source):
            assert "image/png" in kinds, cell.source
        elif cell.source.splitlines()[-1] == "found":
            # With pictures, of a model that takes them as lists of values, too.
            html = "".join(output.data.get("text/html", "") for output in cell.outputs if "data" in output)
            assert "data:image/png" in html or "any-function" in path.stem
        elif re.fullmatch(r"\w+", cell.source.splitlines()[-1]) and "bs.load" not in cell.source:
            assert "text/html" in kinds, cell.source


def test_there_are_notebooks() -> None:
    assert len(list(FOLDER.glob("*.ipynb"))) == 3
