"""A run's folder comes in, report.html goes out: figures, curves and sample videos of the training, for any browser.

Its curves are drawn in the page itself, its videos are those of the folder; so the folder can be copied anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..saving import atomic_write
from .engine import VIDEOS_FOLDER
from .measures import COLLAPSED, HELD_OUT_ERROR, MOTION, MOUTH_LAG, MOUTH_R, SEED_SPREAD
from .run_log import read_log
from .states import BEST_FILE
from .summary import SpeakerSummary

REPORT_FILE = "report.html"
#: limits of the advice: hardly better than no motion, overfitted, a mouth or an image that moves too little, or late
HARDLY_BETTER, OVERFIT, LOW_R, LATE, LITTLE_MOTION = 0.9, 1.1, 0.5, 2, 0.5
_COLOURS = ("#2f6fde", "#d9482b", "#2a9d5c", "#a259c4", "#c98a14", "#11939a")
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:0 1em 1em 0}
svg{background:#fafafa;border:1px solid #ddd}video{max-width:28em;background:#000}"""


def validations(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lines of a log with validation figures."""
    return [dict(line) for line in log if HELD_OUT_ERROR in line]


def best_of(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The line of the best state. Raises ValueError where there is none."""
    return min(lines, key=lambda line: line[HELD_OUT_ERROR])


def closing_table(folder: Path) -> str:
    """Figures at the beginning, at the best state and at the end; "" where nothing was held out."""
    lines = validations(read_log(folder))
    if not lines:
        return ""
    columns = {"begin": lines[0], "best": best_of(lines), "last": lines[-1]}
    heads = [f"{word}, step {line['step']}" for word, line in columns.items()]
    rows = [f"{'':34}" + "".join(f"{head:>20}" for head in heads)]
    for name in _figures(lines):
        values = [line.get(name) for line in columns.values()]
        rows.append(f"{name[:34]:34}" + "".join(f"{'-' if v is None else format(v, '.3f'):>20}" for v in values))
    return "\n".join([*rows, f"A {HELD_OUT_ERROR} of 1 is that of no motion at all; the best state is exported."])


def what_next(log: Sequence[Mapping[str, Any]], steps: int) -> list[str]:
    """Sentences on what to do, by the figures."""
    lines = validations(log)
    if not lines:
        return ["Nothing was held out, so it is not known how good this is. Give more or longer videos."]
    best, last = best_of(lines), lines[-1]
    error, advice = best[HELD_OUT_ERROR], []
    if best["step"] == 0:
        advice.append(
            "No step improved on the network that the run started from, which was exported unchanged. Give more "
            "minutes, or a smaller --rate-scale."
        )
    elif last["step"] == best["step"]:
        advice.append(f"It was still improving at the end. Raise --steps above {steps}: the run goes on.")
    elif last[HELD_OUT_ERROR] > OVERFIT * error:
        advice.append(
            f"It overfitted after step {best['step']}: the held-out error rose from {error:.2f} to "
            f"{last[HELD_OUT_ERROR]:.2f}. More steps do not help; more minutes of video do."
        )
    if error > HARDLY_BETTER:
        advice.append(
            f"A held-out error of {error:.2f} is hardly better than no motion (1). Give more minutes, or start from "
            f"the built-in network with --init-from base."
        )
    if best.get(SEED_SPREAD, 1) < COLLAPSED:
        advice.append("The seed does nothing: every draw is the same movement. Start with --init-from base.")
    if best.get(MOUTH_R, 1) < LOW_R:
        advice.append(
            "The mouth hardly follows the speech yet. Check that audio and video are in sync; give more minutes."
        )
    if abs(best.get(MOUTH_LAG, 0)) >= LATE:
        advice.append(
            f"The mouth is {abs(best[MOUTH_LAG]):.0f} frames {'late' if best[MOUTH_LAG] > 0 else 'early'}: check "
            f"that the videos are in sync."
        )
    if best.get(MOTION, 1) < LITTLE_MOTION:
        advice.append(
            f"Drawn frames move {best[MOTION]:.2f} times as far as real ones: motion is learnt long after the "
            f"likeness. Give more steps."
        )
    return advice or ["Nothing stands out. Try the exported file, and watch the videos."]


def write_report(
    folder: Path, *, title: str, steps: int, speakers: Sequence[SpeakerSummary] = (), notes: Sequence[str] = ()
) -> Path:
    """Write the page to the folder, and return its path.

    notes: sentences of the training itself, such as which style belongs to which speaker
    """
    log = read_log(folder)
    held = validations(log)
    losses = [line for line in log if HELD_OUT_ERROR not in line and "remark" not in line]
    remarks = [str(line["remark"]) for line in log if "remark" in line]
    parts = [f"<h1>{escape(title)}</h1>"]
    parts += [f"<p>{escape(note)}</p>" for note in (*notes, *remarks)]
    parts += ["<h2>What to do next</h2><ul>", *(f"<li>{escape(line)}</li>" for line in what_next(log, steps)), "</ul>"]
    if held:
        parts += ["<h2>Held out</h2>", _figure_table(held), *_curves(held, _figures(held))]
    parts += ["<h2>Losses while training</h2>", *_curves(losses, _figures(losses))]
    videos = sorted((folder / VIDEOS_FOLDER).glob("*.mp4")) if (folder / VIDEOS_FOLDER).is_dir() else []
    if videos:
        parts.append("<h2>Videos: real on the left, learnt on the right</h2>")
        parts += [_video(video) for video in videos]
    if speakers:
        parts += ["<h2>The data</h2>", _speaker_table(speakers)]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style>{''.join(parts)}</html>\n"
    )
    with atomic_write(folder / REPORT_FILE) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return folder / REPORT_FILE


def _figures(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """In the order in which they first come."""
    names = dict.fromkeys(name for line in lines for name, value in line.items() if isinstance(value, (int, float)))
    return [name for name in names if name not in ("step", "seconds")]


def _figure_table(lines: Sequence[Mapping[str, Any]]) -> str:
    columns = {"begin": lines[0], "best": best_of(lines), "last": lines[-1]}
    head = "".join(f"<th>{word}, step {line['step']}</th>" for word, line in columns.items())
    rows = "".join(
        f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{_number(line.get(name))}</td>" for line in columns.values())
        for name in _figures(lines)
    )
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def _speaker_table(speakers: Sequence[SpeakerSummary]) -> str:
    heads = ("speaker", "minutes", "videos", "face in pixels", "pitch", "yaw", "roll", "mouth")
    rows = [
        (escape(s.speaker), f"{s.seconds / 60:.2f}", str(s.videos), str(s.face_pixels or "?"),
         *(f"{d:.1f}&deg;" for d in s.degrees), f"{s.mouth:.3f}")
        for s in speakers
    ]  # fmt: skip
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"


def _curves(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    return [
        _curve(name, [(line["step"], line[name]) for line in lines if name in line], k) for k, name in enumerate(names)
    ]


def _curve(name: str, points: Sequence[tuple[float, float]], number: int) -> str:
    """One SVG figure over the steps, its axis labelled with the least and the greatest value; "" for a constant."""
    width, height, left = 340, 150, 52
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if not points or len({y for _, y in points}) == 1 < len(points):  # constant figures are in the table
        return ""
    low, high = (end(y for _, y in points) for end in (min, max))
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    span = (high - low) or 1.0
    right, up = (width - left - 8) / (last - first), (height - 34) / span
    places = " ".join(f"{left + (x - first) * right:.1f},{height - 22 - (y - low) * up:.1f}" for x, y in points)
    colour = _COLOURS[number % len(_COLOURS)]
    texts = "".join(
        f'<text x="{x}" y="{y}" font-size="11" fill="#555">{text}</text>'
        for x, y, text in ((4, 16, _number(high)), (4, height - 20, _number(low)), (left, height - 6, f"{first:g}"),
                           (width - 52, height - 6, f"{last:g}"))
    )  # fmt: skip
    return (
        f'<figure><figcaption>{escape(name)}</figcaption><svg width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(name)}">{texts}<polyline fill="none" stroke="{colour}" stroke-width="2" '
        f'points="{places}"/></svg></figure>'
    )


def _video(file: Path) -> str:
    step = file.stem.rpartition("_")[2].lstrip("0") or "0"
    place = escape(f"{VIDEOS_FOLDER}/{file.name}")
    return f'<figure><figcaption>step {step}</figcaption><video controls loop src="{place}"></video></figure>'


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3g}"


__all__ = ["BEST_FILE", "REPORT_FILE", "closing_table", "what_next", "write_report"]
