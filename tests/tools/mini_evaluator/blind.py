"""Which of two videos looks more like a person who was filmed? Pairs without names, in an order that a seed draws.

    python -m tests.tools.mini_evaluator.blind BEFORE NOW --out blind      videos of the same names in two folders
    python -m tests.tools.mini_evaluator.blind --score blind 1a 2b 3b      what was chosen -> how often which folder

In: two folders of .mp4, as two runs of `make eval-mini` leave them. Out: blind/01a.mp4, 01b.mp4, ... without the
metadata that tells where a video comes from, blind/films.html that shows them side by side, and blind.key.json *beside*
the folder, so that who looks into the folder does not meet it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

LETTERS = ("a", "b")


class NoPairs(ValueError):
    """Two folders have no video of the same name."""


def pairs(before: Path, now: Path) -> list[str]:
    """The names of the videos that both folders have; NoPairs where there is none."""
    names = sorted({file.name for file in before.glob("*.mp4")} & {file.name for file in now.glob("*.mp4")})
    if not names:
        raise NoPairs(f"expected .mp4 files of the same names in {before} and {now}, found none; run `make eval-mini`")
    return names


def make_pairs(before: Path, now: Path, out: Path, *, seed: int = 0) -> dict[str, dict[str, str]]:
    """Writes videos, page and key; -> the key: {"01": {"film": name, "a": folder, "b": folder}, ...}."""
    draw, key = random.Random(seed), {}
    names = pairs(before, now)
    draw.shuffle(names)
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    for number, name in enumerate(names, start=1):
        folders = [before, now]
        draw.shuffle(folders)
        key[f"{number:02}"] = {"film": name} | {
            letter: str(place) for letter, place in zip(LETTERS, folders, strict=True)
        }
        for letter, place in zip(LETTERS, folders, strict=True):
            unmarked(place / name, out / f"{number:02}{letter}.mp4")
    (out / "films.html").write_text(page(list(key)), encoding="utf-8")
    key_of(out).write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    return key


def unmarked(video: Path, place: Path) -> None:
    """The same frames and sound without metadata."""
    import imageio_ffmpeg

    line = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(video)]
    line += ["-map", "0:v", "-map", "0:a?", "-map_metadata", "-1", "-fflags", "+bitexact", "-c", "copy", str(place)]
    subprocess.run(line, check=True)


def key_of(out: Path) -> Path:
    return out.with_name(out.name + ".key.json")


def score(out: Path, choices: Sequence[str]) -> Counter[str]:
    """choices: "1a", "02b", ... -> how often a video of which folder was chosen. ValueError for any other word."""
    key = json.loads(key_of(out).read_text(encoding="utf-8"))
    chosen: dict[str, str] = {}
    for word in choices:
        number, letter = word[:-1].zfill(2), word[-1:]
        if number not in key or letter not in LETTERS:
            raise ValueError(f"expected a pair and a letter such as 1a, up to {len(key)}b, got {word!r}")
        chosen[number] = key[number][letter]
    return Counter(chosen.values())


def page(numbers: Sequence[str]) -> str:
    rows = "\n".join(
        f"<section><h2>{number}</h2>{''.join(_video(number, letter) for letter in LETTERS)}</section>"
        for number in map(escape, numbers)
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Which one looks filmed?</title>
<style>
body {{ font: 16px sans-serif; margin: 2em auto; max-width: 70em; }}
section {{ display: flex; gap: 1em; align-items: flex-start; border-top: 1px solid #888; padding: 1em 0; }}
video {{ width: 28em; display: block; }}
</style>
<h1>Which one looks more like a person who was filmed?</h1>
<p>Play both videos of a pair with sound, then choose one. The order is random.</p>
{rows}
<p>Chosen: <output id="chosen">nothing yet</output></p>
<script>
document.addEventListener("change", () => {{
    const chosen = [...document.querySelectorAll("input:checked")].map(input => input.value)
    document.getElementById("chosen").textContent = chosen.join(" ")
}})
</script>
</html>
"""


def _video(number: str, letter: str) -> str:
    return (
        f'<label><video src="{number}{letter}.mp4" controls loop></video>'
        f'<input type="radio" name="{number}" value="{number}{letter}"> {letter}</label>'
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--score", type=Path, metavar="FOLDER", help="count choices instead; they follow")
    parser.add_argument("words", nargs="+", help="two folders of films, or choices such as 1a 2b")
    parser.add_argument("--out", type=Path, default=Path("blind"), help="where pairs and page go; it is emptied first")
    parser.add_argument("--seed", type=int, default=0, help="another order")
    options = parser.parse_args(arguments)
    try:
        if options.score:
            for folder, times in score(options.score, options.words).most_common():
                print(f"{times} for {folder}")
        elif len(options.words) != 2:
            parser.error("expected two folders of films")
        else:
            before, now = map(Path, options.words)
            n = len(make_pairs(before, now, options.out, seed=options.seed))
            print(f"{n} pairs: open {options.out / 'films.html'}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
