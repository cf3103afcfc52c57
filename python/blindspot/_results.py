"""What results have in common: columns, frames, tables in a notebook, files."""

from __future__ import annotations

import base64
import html
import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blindspot._errors import BlindspotError, UsageError

if TYPE_CHECKING:
    import pandas
    import polars

#: Rows that a table in a notebook shows.
ROWS = 10


class Columns:
    """A result with one number of several kinds for each row."""

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name, arrays of one length."""
        raise NotImplementedError

    def to_pandas(self) -> pandas.DataFrame:
        """The columns as a frame of pandas, which has to be installed."""
        return _package("pandas").DataFrame(self.columns())

    def to_polars(self) -> polars.DataFrame:
        """The columns as a frame of Polars, which has to be installed."""
        return _package("polars").DataFrame(self.columns())


class Record(dict[str, Any]):
    """What is known of something, by name, as in the command's JSON."""

    def _repr_html_(self) -> str:
        rows = [[cell(name), cell(json.dumps(value)[:400])] for name, value in self.items()]
        return html_table(["", ""], rows, type(self).__name__)


def ending_in(ending: str, path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """A path whose name has to end so."""
    if not os.fspath(path).endswith(ending):
        raise UsageError(f"{os.fspath(path)}: give a name that ends in {ending}")
    return path


def _package(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BlindspotError(f"{name} is not installed: pip install {name}") from error


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table; the cells are HTML already."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{html.escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def cell(value: Any) -> str:
    """A value as it is shown in a table."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    return html.escape(str(value))


def picture(values: NDArray[Any], low: float, high: float) -> str:
    """An image `[channels, height, width]` as HTML, or nothing if it is none."""
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        return ""
    scaled = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    pixels = np.rint(255 * scaled).astype(np.uint8).transpose(1, 2, 0)
    data = base64.b64encode(png(pixels)).decode("ascii")
    return f'<img width="56" style="image-rendering: pixelated" src="data:image/png;base64,{data}">'


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file of pixels `[height, width, 1 or 3]`."""
    height, width, channels = pixels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def versions(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The versions that records name."""
    from blindspot import __version__

    return {"blindspot": __version__, "numpy": np.__version__, **(extra or {})}
