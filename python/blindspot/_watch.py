"""How work is watched: where it is shown, and on how many threads it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from blindspot._native import Watch

Progress = Union[bool, Callable[[str, int, int], object], None]
"""A function `progress(work, done, total)`; True or False for a bar or none; None for a bar where somebody
sees it: on a terminal and in a notebook."""


@contextmanager
def watching(progress: Progress, threads: int | None) -> Iterator[Watch]:
    """Shows the progress of the work within it."""
    if threads is not None and threads < 1:
        from blindspot import UsageError

        raise UsageError(f"threads={threads}: give at least 1, or None for all")
    if callable(progress):
        yield {"progress": progress, "threads": threads}
        return
    bar = _bar(progress)
    try:
        yield {"progress": bar, "threads": threads}
    finally:
        if bar is not None:
            bar.close()


def _bar(wanted: bool | None) -> _TerminalBar | _NotebookBar | None:
    if wanted is False:
        return None
    if _in_notebook():
        return _NotebookBar()
    if wanted or sys.stderr is not None and sys.stderr.isatty():
        return _TerminalBar()
    return None


def _in_notebook() -> bool:
    # Whoever is in a notebook has imported IPython.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class _Bar:
    """Work with its beginning."""

    def __init__(self) -> None:
        self.work = ""
        self.begun = 0.0

    def line(self, work: str, done: int, total: int) -> str:
        if work != self.work:
            self.work, self.begun = work, time.monotonic()
        seconds = time.monotonic() - self.begun
        part = min(done / total, 1.0) if total else 0.0
        left = f" + {seconds * (1 - part) / part:.0f} s" if part else ""
        bar = "=" * int(28 * part)
        return f"{work:24} [{bar:28}] {done}/{total}  {seconds:.0f} s{left}"


class _TerminalBar(_Bar):
    """A line of a terminal that is written over."""

    def __call__(self, work: str, done: int, total: int) -> None:
        if work:
            print(f"\r\x1b[K{self.line(work, done, total)}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.work:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _NotebookBar(_Bar):
    """A line of a notebook's output."""

    def __init__(self) -> None:
        super().__init__()
        self.handle: Any = None

    def __call__(self, work: str, done: int, total: int) -> None:
        if not work:
            return
        from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

        shown = {"text/plain": self.line(work, done, total)}
        if self.handle is None:
            self.handle = display(shown, raw=True, display_id=True)
        else:
            self.handle.update(shown, raw=True)

    def close(self) -> None:
        if self.handle is not None:
            self.handle.update({"text/plain": ""}, raw=True)
