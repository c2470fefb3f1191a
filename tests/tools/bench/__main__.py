"""What a frame costs, side by side in one run: the plain generator, the fast one, the fast one in bfloat16, batches,
the stages around them, the mini from image to video, an hour of audio, paste-back, dubbing, loading, threads. Out: a
table, and JSON.

    make bench                                     all of it, about ten minutes of an idle machine
    python -m tests.bench --parts mini stages      some of it; --side 512, --rounds 3, --batches 8, --hour
    python -m tests.tools.bench.memory                   peak memory by the length of the clip

A reference convolution is one 3 x 3 convolution 512 -> 256 at 128 x 128 in float32; counted in them, a frame costs
nearly the same on every machine. The time is that of the processor, on one thread, for a busy machine disturbs it
least, and each measurement stands between two reference convolutions. The mini is measured by the clock too. Weights
are made by rule, except the mini's. Every part runs in a process of its own: what fails or takes too long is said, and
the rest goes on; the JSON is written after each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.tools.bench.measuring import PROJECT, load, machine

ARRANGEMENTS = ("plain fp32", "fast fp32", "fast bf16, motion fp32", "fast bf16")
PARTS = (
    "mini",
    "mini sizes",
    "frames",
    "stages",
    "audio",
    "released",
    "paste",
    "dub",
    "precision",
    "loading",
    "start",
    "threads",
    "gpu",
)
LIMIT_S = 1800.0
#: seconds of voice from which an hour is reckoned; --hour runs the whole of it
AUDIO_SECONDS, HOUR_SECONDS = 60.0, 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--side", type=int, default=256, choices=(256, 512))
    parser.add_argument("--rounds", type=int, default=2, help="timed frames of each arrangement")
    parser.add_argument("--batches", type=int, nargs="*", default=(2, 4))
    parser.add_argument("--programs", type=int, default=0, help="the crowd of parts threads, loading; 0: one a core")
    parser.add_argument("--hour", action="store_true", help="a whole hour of audio instead of a minute")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds that one part may take")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(work(**json.loads(asked.one))))
        return 0
    found: dict[str, Any] = {"machine": machine(), "rows": []}
    print(found["machine"], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs(asked, Path(folder)):
            print(f"\n{title(job)}", flush=True)
            for row in in_its_own_process(job, asked.limit):
                found["rows"].append({"part": job["part"], **row})
                print("  " + line(row), flush=True)
            asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return any("error" in row for row in found["rows"])


def jobs(asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """What each process is told to do."""
    found: list[dict[str, Any]] = []
    for part in asked.parts:
        if part == "frames":
            how = {"side": asked.side, "rounds": asked.rounds, "batches": list(asked.batches), "folder": str(folder)}
            found += [{"part": part, "what": what, **how} for what in ARRANGEMENTS]
        elif part == "audio":
            seconds = HOUR_SECONDS if asked.hour else AUDIO_SECONDS
            found += [{"part": part, "family": family, "seconds": seconds} for family in ("mini", "released")]
        elif part == "released":
            found.append({"part": part, "side": asked.side})
        elif part == "loading":
            found.append({"part": part, "programs": asked.programs})
        elif part == "threads":
            found += [{"part": part, "family": name, "programs": asked.programs} for name in ("mini", "released")]
        else:
            found.append({"part": part})
    return found


def work(part: str, **how: Any) -> list[dict[str, Any]]:
    """One part, in this process."""
    from tests.tools.bench import dub, end_to_end, frames, gpu, loading, paste, precision, start, threads

    if part == "frames":
        file = Path(how.pop("folder")) / "plain.npz"
        mine = file.with_name(how["what"].replace(" ", "_") + ".npz")
        row = frames.measure(**how, frame_file=file if how["what"] == frames.PLAIN else mine)
        return [row | (frames.apart(mine, file) if mine.exists() and file.exists() else {})]
    measure = {
        "mini": end_to_end.mini,
        "mini sizes": end_to_end.mini_sizes,
        "stages": end_to_end.stages,
        "audio": end_to_end.audio_to_motion,
        "released": end_to_end.released,
        "paste": paste.measure,
        "dub": dub.measure,
        "precision": precision.measure,
        "loading": loading.measure,
        "start": start.measure,
        "threads": threads.measure,
        "gpu": gpu.measure,
    }[part]
    rows: Any = measure(**how)
    return rows if isinstance(rows, list) else [rows]


def in_its_own_process(job: dict[str, Any], limit_s: float) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.tools.bench", "--one", json.dumps(job)]
    started = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=PROJECT, timeout=limit_s, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return [{"what": title(job), "error": f"took longer than {limit_s:.0f} s"}]
    if done.returncode:
        return [{"what": title(job), "error": (done.stderr.strip().splitlines() or ["no words"])[-1]}]
    rows = json.loads(done.stdout.splitlines()[-1])
    for row in rows:
        row |= {"took_s": time.perf_counter() - started, "load": load()}
    return rows


def title(job: dict[str, Any]) -> str:
    return ", ".join(str(value) for key, value in job.items() if key not in ("folder", "rounds", "batches"))


def line(row: dict[str, Any]) -> str:
    """A row for people: names and short numbers; lists and nested things are for the JSON."""
    shown = []
    for key, value in row.items():
        if isinstance(value, float):
            shown.append(f"{key} {value:.3g}" if abs(value) < 100 else f"{key} {value:.0f}")
        elif isinstance(value, (str, int)):
            shown.append(f"{key} {value}" if key != "what" else str(value))
        elif isinstance(value, dict):
            shown.append(f"{key} " + " ".join(f"{name} {number:.2f}" for name, number in value.items()))
    return "; ".join(shown)


if __name__ == "__main__":
    sys.exit(main())
