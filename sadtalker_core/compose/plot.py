"""Tracks and a voice come in; an image of them goes out, one panel under the other over the same seconds.

Letters: `T` frames. What a panel shows is scaled to that panel; the numbers at its left give the range.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..coefficients import BLENDSHAPE_INDEX
from ..datatypes import Expression, HeadPose, SpeechWindows, require_family
from ..errors import OptionError
from ..timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ

SMALLEST = 240  #: pixels of a side below which nothing can be read
_FINER = 2  #: drawn so much larger and then reduced, for smooth lines

_PAPER, _PANEL, _INK, _DIM, _WAVE = (24, 26, 31), (34, 37, 44), (226, 229, 235), (128, 134, 146), (62, 74, 96)
_RED, _YELLOW, _BLUE, _GREEN = (255, 118, 105), (250, 205, 90), (104, 176, 255), (120, 220, 150)
_PINK, _TURQUOISE, _ORANGE = (235, 130, 220), (90, 215, 215), (255, 165, 80)
_COURSE_COLOURS = (_RED, _YELLOW, _BLUE, _GREEN, _PINK, _TURQUOISE, _ORANGE)


class Line(NamedTuple):
    """values (T,) one for each frame."""

    name: str
    values: Tensor
    colour: tuple[int, int, int]


class Panel(NamedTuple):
    """low, high: what the lower and the upper edge stand for."""

    title: str
    lines: list[Line]
    low: float
    high: float


def plot_motion(
    speech: SpeechWindows | None = None,
    expression: Expression | None = None,
    pose: HeadPose | None = None,
    *,
    courses: Mapping[str, Tensor] | None = None,
    width: int = 1024,
    height: int = 640,
) -> Tensor:
    """What there is of a voice, an expression and a pose -> an image (height, width, 3) in 0..1.

    courses: other curves (T,) by their names, in a panel of their own
    Raises OptionError when nothing is connected or the image is too small to be read, WrongFamily when the tracks
    are of two families.
    """
    from PIL import Image, ImageDraw

    if min(width, height) < SMALLEST:
        raise OptionError(f"expected an image of at least {SMALLEST} x {SMALLEST} pixels, got {width} x {height}.")
    if expression is not None and pose is not None:
        require_family("the pose", pose.family, expression.family)
    panels = panels_of(expression, pose)
    if courses:
        colours = itertools.cycle(_COURSE_COLOURS)
        lines = [Line(name, values, colour) for (name, values), colour in zip(courses.items(), colours)]  # noqa: B905
        panels.insert(0, _fitted("set", lines, 0.0, 1.0))
    if not panels and (speech is None or speech.wave is None):
        raise OptionError("there is nothing to plot; connect an expression, a pose, or speech.")
    lengths = [len(line.values) for panel in panels for line in panel.lines]
    n_frames = max([*lengths, speech.n_frames if speech is not None else 0])
    image = Image.new("RGB", (width * _FINER, height * _FINER), _PAPER)
    pen = _Pen(ImageDraw.Draw(image), image.size, n_frames, len(panels) or 1)
    wave = None if speech is None else speech.wave
    for row, panel in enumerate(panels or [Panel("voice", [], -1, 1)]):
        pen.panel(row, panel, wave, bare=not panels)
    pen.seconds()
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).float() / 255


def panels_of(expression: Expression | None, pose: HeadPose | None) -> list[Panel]:
    """The curves worth looking at. A mini expression has names for its numbers; a released one has none, so there the
    size of the change since the first frame stands for them all.
    """
    panels = []
    if expression is not None:
        rows = expression.coefficients
        if expression.blendshapes:
            mouth = [
                Line("jaw open", rows[:, BLENDSHAPE_INDEX["jawOpen"]], _RED),
                Line("lips round", _mean(rows, "mouthFunnel", "mouthPucker"), _YELLOW),
                Line("lips wide", _mean(rows, "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft",
                                        "mouthStretchRight"), _BLUE),
            ]  # fmt: skip
            lids = [
                Line("blink", _mean(rows, "eyeBlinkLeft", "eyeBlinkRight"), _GREEN),
                Line("brows up", _mean(rows, "browInnerUp", "browOuterUpLeft", "browOuterUpRight"), _YELLOW),
            ]
            panels.append(_fitted("mouth", mouth, 0.0, 0.2))
            panels.append(_fitted("eyes", lids, 0.0, 1.0))
        else:
            change = [Line("change since the first frame", (rows - rows[:1]).norm(dim=1), _RED)]
            panels.append(_fitted("expression", change, 0.0, 0.1))
    if pose is not None:
        moved = torch.rad2deg(pose.rotation - pose.rotation[:1])
        lines = [
            Line(name, moved[:, k], colour)
            for k, (name, colour) in enumerate((("pitch", _RED), ("yaw", _YELLOW), ("roll", _BLUE)))
        ]
        panels.append(_fitted("head, degrees since the first frame", lines, -2.0, 2.0))
    return panels


def _mean(rows: Tensor, *units: str) -> Tensor:
    return rows[:, [BLENDSHAPE_INDEX[unit] for unit in units]].mean(dim=1)


def _fitted(title: str, lines: list[Line], low: float, high: float) -> Panel:
    """low and high at least, and further apart where a curve needs it."""
    values = torch.cat([line.values for line in lines]).nan_to_num()
    return Panel(title, lines, min(low, float(values.min())), max(high, float(values.max())))


def _thinned(values: Tensor, n_columns: int) -> tuple[Tensor, Tensor]:
    """values (T,) -> frames and values (n,) that draw the same curve: of more frames than columns can show, the lowest
    and the highest of every group of them.
    """
    size = len(values) // n_columns
    if size < 4:
        return torch.arange(len(values)), values
    n_whole = len(values) // size * size
    groups = values[:n_whole].unflatten(0, (-1, size))
    ends = torch.stack([groups.argmin(dim=1), groups.argmax(dim=1)], dim=1).sort(dim=1).values
    frames = (ends + torch.arange(0, n_whole, size)[:, None]).flatten()
    frames = torch.cat([frames, torch.arange(n_whole, len(values))])
    return frames, values[frames]


class _Pen:
    """Knows where on the image a frame and a value lie."""

    def __init__(self, draw: Any, size: tuple[int, int], n_frames: int, n_panels: int):
        from PIL import ImageFont

        self.draw, self.n_frames = draw, n_frames
        self.unit = max(min(size[1] // 320, size[0] // 160), _FINER)  # a narrow image needs narrow margins, too
        self.font = ImageFont.load_default(11 * self.unit)
        self.left, self.right = 46 * self.unit, size[0] - 10 * self.unit
        self.top, self.bottom = 6 * self.unit, size[1] - 20 * self.unit
        self.row_height = (self.bottom - self.top) / n_panels

    def x(self, frame: float) -> float:
        return self.left + (self.right - self.left) * frame / self.n_frames

    def panel(self, row: int, panel: Panel, wave: Tensor | None, *, bare: bool) -> None:
        unit, draw = self.unit, self.draw
        above = self.top + row * self.row_height
        top, bottom = above + 17 * unit, above + self.row_height - 6 * unit
        draw.rectangle([self.left, top, self.right, bottom], fill=_PANEL)
        if wave is not None:
            self._wave(wave, top, bottom, _BLUE if bare else _WAVE)
        at = self.left
        for words, colour in ((panel.title, _INK), *((line.name, line.colour) for line in panel.lines)):
            draw.text((at, above + 2 * unit), words, fill=colour, font=self.font)
            at += draw.textlength(words, font=self.font) + 14 * unit
        if bare:
            return

        def y(value: float) -> float:
            return bottom - (bottom - top) * (value - panel.low) / (panel.high - panel.low)

        for value in sorted({panel.low, 0.0, panel.high}):
            words = f"{value:.2f}" if panel.high - panel.low < 5 else f"{value:.0f}"
            if value == 0:
                draw.line([(self.left, y(0)), (self.right, y(0))], fill=_DIM, width=1)
            elif abs(y(value) - y(0)) < 13 * unit:
                continue
            draw.text((self.left - 5 * unit, y(value)), words, fill=_DIM, font=self.font, anchor="rm")
        for line in panel.lines:
            frames, values = _thinned(line.values.detach().cpu().nan_to_num(), int(self.right - self.left))
            points = [(self.x(i + 0.5), y(value)) for i, value in zip(frames.tolist(), values.tolist(), strict=True)]
            if len(points) == 1:
                points.append((self.x(1), points[0][1]))
            draw.line(points, fill=line.colour, width=round(1.5 * unit), joint="curve")

    def _wave(self, wave: Tensor, top: float, bottom: float, colour: tuple[int, int, int]) -> None:
        """The loudest sample of every column, to both sides of the middle; a silent voice is a flat line."""
        seconds = self.n_frames / FRAMES_PER_SECOND
        samples = wave.detach().cpu()  # of hours, perhaps: no copies of the whole
        middle, n_columns = (top + bottom) / 2, int(self.right - self.left)
        edges = np.linspace(0, seconds * SAMPLE_RATE_HZ, n_columns + 1).astype(int)
        parts = (samples[edges[i] : max(edges[i + 1], edges[i] + 1)].float().nan_to_num() for i in range(n_columns))
        loudness = [float(part.abs().max()) if len(part) else None for part in parts]
        loudest = max([1e-3, *(level for level in loudness if level is not None)])
        for column, level in enumerate(loudness):
            if level is not None:
                half = level / loudest * (bottom - top) * 0.46
                x = self.left + column
                self.draw.line([(x, middle - half), (x, middle + half)], fill=colour, width=1)

    def seconds(self) -> None:
        """The time below the lowest panel, in steps that leave room for the words."""
        seconds = self.n_frames / FRAMES_PER_SECOND
        most_labels = (self.right - self.left) / (44 * self.unit)
        steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
        step = next((step for step in steps if seconds / step <= most_labels), max(seconds / 4, 600))
        for k in range(int(seconds / step + 1e-6) + 1):
            x = self.x(k * step * FRAMES_PER_SECOND)
            self.draw.line([(x, self.bottom - 6 * self.unit), (x, self.bottom - 2 * self.unit)], fill=_DIM)
            words = f"{k * step:g} s"
            half = self.draw.textlength(words, font=self.font) / 2
            self.draw.text((min(x, self.right - half), self.bottom), words, fill=_DIM, font=self.font, anchor="ma")


__all__ = ["Line", "Panel", "panels_of", "plot_motion"]
