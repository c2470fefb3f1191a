"""Rows of the result: what was measured on whom, its worst case, the target, and whether it was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .trial import TARGETS, Target


@dataclass(frozen=True)
class Row:
    """what: a key of trial.TARGETS, or a row without a target. values: by portrait (or what else was tried). of_truth:
    what the same evaluator reads of perfectly rendered heads, where that was tried.
    """

    what: str
    evaluator: str
    values: Mapping[str, float]
    of_truth: float | None = None
    note: str = ""
    target: Target | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", TARGETS.get(self.what))

    @property
    def known(self) -> dict[str, float]:
        return {name: value for name, value in self.values.items() if np.isfinite(value)}

    def worst(self) -> tuple[str, float]:
        """The portrait that is furthest on the wrong side, or least far on the right one; without a target the
        lowest.
        """

        def wrong(item: tuple[str, float]) -> float:
            low = self.target.at_least if self.target else None
            high = self.target.at_most if self.target else None
            if low is None and high is None:
                return -item[1]
            return max(low - item[1] if low is not None else -np.inf, item[1] - high if high is not None else -np.inf)

        return max(self.known.items(), key=wrong)

    def verdict(self) -> str:
        if self.target is None:
            return ""
        if not self.known:
            return "not measured"
        missed = [name for name, value in self.known.items() if not self.target.met(value)]
        return "met" if not missed else f"missed ({len(missed)} of {len(self.known)})"

    def plain(self) -> dict:
        """For JSON."""
        found = {"what": self.what, "evaluator": self.evaluator, "target": str(self.target) if self.target else None,
                 "verdict": self.verdict(), "values": dict(self.known), "note": self.note,
                 "of_true_images": self.of_truth}  # fmt: skip
        if self.known:
            found |= {
                "worst": self.worst()[1],
                "worst_of": self.worst()[0],
                "median": float(np.median(list(self.known.values()))),
            }
        return found


def as_text(rows: list[Row]) -> str:
    """A Markdown table."""
    heads = ("what", "evaluator", "worst", "of", "median", "true images", "target", "")
    lines = [heads, tuple("---" for _ in heads)]
    for row in rows:
        worst, median = ("", ""), ""
        if row.known:
            worst, median = row.worst(), _short(float(np.median(list(row.known.values()))))
        truth = "" if row.of_truth is None else _short(row.of_truth)
        lines.append(
            (
                row.what,
                row.evaluator,
                _short(worst[1]),
                worst[0],
                median,
                truth,
                str(row.target) if row.target else "",
                row.verdict(),
            )
        )
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    written = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    written[1] = rule
    return "\n".join(written)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
