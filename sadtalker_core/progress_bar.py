"""How far a command has come, on standard error: by tqdm where it is there, by lines where it is not."""

from __future__ import annotations

import sys
from typing import Any

from .datatypes import OnProgress


def progress_bar(what: str, unit: str, quiet: bool) -> _NoBar:
    """A context that gives `progress(done, total)`.  what: the words before it;  unit: "B" for bytes, or a noun"""
    if quiet:
        return _NoBar()
    try:
        import tqdm  # noqa: F401 (only whether it is there)
    except ImportError:
        return _PlainBar(what)
    return _TqdmBar(what, unit)


class _NoBar:
    """Shows nothing; its subclasses do."""

    def __enter__(self) -> OnProgress:
        return self.show

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, done: int, total: int) -> None:
        """Show how much of the work is done."""

    def close(self) -> None:
        """End the bar."""


class _TqdmBar(_NoBar):
    def __init__(self, what: str, unit: str):
        self.what, self.unit = what, unit
        self.bar: Any = None

    def show(self, done: int, total: int) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(
                total=total, desc=self.what, unit=self.unit, unit_scale=self.unit == "B", dynamic_ncols=True
            )
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


class _PlainBar(_NoBar):
    """A line at every tenth of the work; on a terminal, one line that is written over."""

    def __init__(self, what: str):
        self.what, self.tenths = what, -1
        self.end = "\r" if sys.stderr.isatty() else "\n"

    def show(self, done: int, total: int) -> None:
        tenths = 10 * done // max(total, 1)
        if tenths != self.tenths:
            self.tenths = tenths
            print(f"{self.what}: {10 * tenths} % ({done:,} of {total:,})", file=sys.stderr, end=self.end, flush=True)

    def close(self) -> None:
        if self.tenths >= 0 and self.end == "\r":
            print(file=sys.stderr)
