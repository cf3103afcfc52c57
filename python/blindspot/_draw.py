"""Pictures of examples, by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindspot._errors import UsageError

#: A picture with the values that are black and white in it, and its title.
Titled = tuple[NDArray[Any], float, float, str]


def figure(**how: Any) -> Any:
    """A figure that a notebook shows, whether pyplot is imported there or not."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("matplotlib is not installed: pip install matplotlib") from error

    class Shown(Figure):  # type: ignore[misc,unused-ignore]
        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    return Shown(**how)


def as_signal(values: NDArray[Any]) -> NDArray[Any] | None:
    """Values as a signal, `[moments, channels]`: of two axes the longer one is time, if it is much the longer."""
    plain = values.reshape(values.shape[1:] if values.ndim == 3 and values.shape[0] == 1 else values.shape)
    if plain.ndim == 1:
        plain = plain[:, None]
    if plain.ndim != 2:
        return None
    if plain.shape[1] > plain.shape[0]:
        plain = plain.T
    return plain if plain.shape[0] >= max(16, 4 * plain.shape[1]) else None


def rows_of_pictures(rows: Sequence[Sequence[Titled]], without: str) -> Any:
    """A figure of rows of as many pictures each; of no row, the words of `without`.

    What is no picture of one or three channels is drawn as a curve of its values.
    """
    drawn = figure(figsize=(6, 2 * max(len(rows), 1)), layout="constrained")
    if not rows:
        drawn.suptitle(without)
        return drawn
    axes = drawn.subplots(len(rows), len(rows[0]), squeeze=False)
    for places, row in zip(axes, rows):
        for axis, (image, least, most, title) in zip(places, row):
            moments = as_signal(image)
            if moments is not None:
                axis.plot(moments, linewidth=0.8)
                axis.set_ylim(least, most)
                axis.set_title(title)
                axis.set_axis_off()
                continue
            plain = np.clip((image - least) / (most - least), 0, 1)
            plain = plain[None] if plain.ndim == 2 else plain
            if plain.ndim == 3 and plain.shape[0] in (1, 3):
                plain = plain.transpose(1, 2, 0)
                axis.imshow(plain if plain.shape[2] == 3 else plain[:, :, 0], cmap="gray", vmin=0, vmax=1)
            else:
                axis.plot(plain.reshape(-1))
            axis.set_title(title)
            axis.set_axis_off()
    return drawn
