"""Every doorway of the pack is knocked at with broken inputs; what it does with them is counted.

    make fuzz                                            ten minutes, all doorways, 20 kills of every writer
    python -m tests.fuzz --minutes 1 --doorways weights  some of them
    python -m tests.fuzz --replay .fuzz/weights/FILE     one input that was kept, with its traceback

Clean is an input that works, or is refused by one of the pack's own errors in at most 600 letters. Not clean is any
other exception, a process that dies, more than ten seconds, or a gigabyte of memory. Each doorway has a process of its
own, which is started again when it dies. Inputs that are not clean are kept in .fuzz/DOORWAY, the first three of each
kind. The inputs follow from --seed alone. Ends with status 1 when something was not clean.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.kills.nursery import Nursery, kill_and_run_again
from tests.kills.writers import WRITERS
from tests.tools.comfyui.layout import PROJECT
from tests.tools.fuzz.child import replay
from tests.tools.fuzz.doorways import DOORWAYS

KEPT = PROJECT / ".fuzz"
KEPT_OF_A_KIND = 3
HANG_S = 10.0
START_S = 180.0
KILLS = 20


@dataclass
class Count:
    """tried, not_clean: inputs;  kinds: {what was wrong: how often}"""

    tried: int = 0
    not_clean: int = 0
    kinds: Counter = field(default_factory=Counter)
    ends: float = math.inf  #: of time.monotonic; known when the doorway has been opened for the first time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="in all, half of it at most for the kills (10)")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 0))
    parser.add_argument("--doorways", nargs="*", choices=sorted(DOORWAYS), default=list(DOORWAYS))
    parser.add_argument("--writers", nargs="+", choices=sorted(WRITERS), default=list(WRITERS))
    parser.add_argument("--kills", type=int, default=KILLS, help=f"kills of every writer, 0 for none ({KILLS})")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try one input that was kept")
    asked = parser.parse_args()
    if asked.replay:
        why = replay(asked.replay.parent.name, asked.replay.read_bytes(), Path(tempfile.mkdtemp(prefix="fuzz-")))
        print(f"not clean: {why}" if why else "clean")
        return bool(why)
    ends = time.monotonic() + 60 * asked.minutes
    half = time.monotonic() + 30 * asked.minutes
    faults = kill(asked.writers, asked.kills, asked.seed, half if asked.doorways else ends) if asked.kills else 0
    if asked.doorways:
        print(f"{'doorway':<12}{'tried':>8}  not clean", flush=True)
    for place, name in enumerate(asked.doorways):
        share = (ends - time.monotonic()) / (len(asked.doorways) - place)
        count = probe(name, asked.seed, max(share, 1.0))
        print(f"{name:<12}{count.tried:>8,}  {count.not_clean:,}", flush=True)
        for why, times in count.kinds.most_common():
            print(f"{'':<12}{times:>8,}  {why}", flush=True)
        faults += count.not_clean
    if faults:
        print(f"inputs are kept in {KEPT}; try one again with: python -m tests.fuzz --replay FILE")
    return bool(faults)


def probe(name: str, seed: int, seconds: float) -> Count:
    """Inputs 0, 1, 2, ... of a seed until the time is over."""
    count, number = Count(), 0
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as scratch:
        while time.monotonic() < count.ends:
            folder = Path(scratch) / str(number)
            folder.mkdir()
            number = _watch(name, seed, number, folder, seconds, count)
            shutil.rmtree(folder, ignore_errors=True)
    return count


def _watch(name: str, seed: int, number: int, folder: Path, seconds: float, count: Count) -> int:
    """One process of a doorway, until the time is over or it has to be ended; the number of the next input."""
    log = folder / "log"
    with (
        log.open("wb") as words,
        subprocess.Popen(
            [sys.executable, "-m", "tests.tools.fuzz.child", name, str(seed), str(number), str(folder)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
        ) as process,
    ):
        lines: queue.Queue = queue.Queue()
        reader = threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            opened = _next(lines, START_S)
            if not opened:
                last = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise SystemExit(f"the doorway {name} could not be opened:\n{last}")
            count.ends = min(count.ends, time.monotonic() + seconds)  # later openings cost its own time
            begun = False
            while time.monotonic() < count.ends:
                facts = _next(lines, HANG_S if begun else START_S)
                if facts and "begun" in facts:
                    number, begun = facts["begun"], True
                    continue
                why = facts["why"] if facts else _end_of(process)
                count.tried += 1
                if why:
                    count.not_clean += 1
                    _keep(name, seed, number, folder / "input", why, count)
                number, begun = number + 1, False
                if not facts or "of memory" in why:
                    break
        finally:
            _end(process)
            reader.join(HANG_S)  # before the pipe is closed under its hands
    return number


def _read_lines(pipe, lines: queue.Queue) -> None:
    for line in pipe:
        lines.put(json.loads(line))
    lines.put(None)


def _next(lines: queue.Queue, timeout_s: float) -> dict | None:
    """What the process says next; None when it is gone, or says nothing for so long."""
    try:
        return lines.get(timeout=timeout_s)
    except queue.Empty:
        return None


def _end_of(process: subprocess.Popen) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return f"the process died with status {process.wait(0.5)}"
    return f"more than {HANG_S:.0f} s"


def _end(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _keep(name: str, seed: int, number: int, data: Path, why: str, count: Count) -> None:
    kind = why.split("): ")[0] + ")" * ("): " in why)
    kind = re.sub(r"[\d.]+ GB of", "over 1 GB of", re.sub(r"of \d+ letters", "of too many letters", kind))
    count.kinds[kind] += 1
    if count.kinds[kind] > KEPT_OF_A_KIND:
        return
    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(data, folder / f"{seed}-{number}")
    with (KEPT / "finds.txt").open("a", encoding="utf-8") as finds:
        finds.write(f"{name}/{seed}-{number}\t{why}\n")


def kill(writers: Sequence[str], n_moments: int, seed: int, ends: float) -> int:
    """Kills each writer at so many moments, as far as the time goes, and says what that has left; how many faults."""
    n_faults = 0
    print(f"{'writer':<12}{'killed':>8}  not clean", flush=True)
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as scratch:
        with Nursery(Path(scratch) / "nursery", writers) as nursery:
            for place, name in enumerate(writers):
                now = time.monotonic()
                until = now + max(ends - now, 1.0) / (len(writers) - place)
                n_killed, faults = kill_and_run_again(nursery, name, Path(scratch) / name, n_moments, seed, until)
                print(f"{name:<12}{n_killed:>8,}  {len(faults):,}", flush=True)
                print("".join(f"{'':<12}{fault}\n" for fault in faults), end="", flush=True)
                n_faults += len(faults)
    return n_faults


if __name__ == "__main__":
    sys.exit(main())
