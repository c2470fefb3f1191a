"""python -m tests.tools.fuzz.child DOORWAY SEED FIRST FOLDER: tries one input after the other until it is ended.

A line of JSON goes to standard output when the doorway is open, and before and after every input; the input lies in
FOLDER/input meanwhile, so that whoever watches still has it when this process is gone.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import traceback
from pathlib import Path
from random import Random

from tests.tools.fuzz.doorways import Doorway, is_ours, open_doorway

LONGEST_SENTENCE = 600
MEMORY_BYTES = 1 << 30
#: beyond this much more address space the machine itself would suffer
RESERVE_BYTES = 6 << 30


def make_input(doorway: Doorway, name: str, seed: int, number: int) -> bytes:
    """Input `number` of a seed, the same on every machine."""
    return doorway.make(Random(f"{name} {seed} {number}"))


def why_not_clean(doorway: Doorway, data: bytes) -> str:
    """What is wrong with how the doorway took an input; nothing when it is clean."""
    before, peak = memory()
    try:
        doorway.probe(data)
    except Exception as error:  # noqa: BLE001 (this is what is looked for)
        if not is_ours(error):
            return _send(error)
        longest = max(map(len, str(error).split("\n")))
        if longest > LONGEST_SENTENCE:
            return f"a sentence of {longest} letters ({type(error).__name__}, {_place(error)})"
    used = memory()[1] - before
    return f"{used / 2**30:.1f} GB of memory" if used > MEMORY_BYTES else ""


def _send(error: BaseException) -> str:
    words = " ".join(str(error).split())[:120]
    return f"{type(error).__name__} ({_place(error)}): {words}"


def _place(error: BaseException) -> str:
    """The innermost line of the pack in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if {"sadtalker_core", "nodes"} & set(Path(frame.filename).parts[:-1])]
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def memory() -> tuple[int, int]:
    """Bytes of memory that this process has, and the most it has had since the last call, where the system tells."""
    try:
        with Path("/proc/self/status").open(encoding="ascii", errors="replace") as file:
            memory = dict(line.split(":", 1) for line in file if line.startswith("Vm"))
        peak, now = (int(memory[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS"))
        with Path("/proc/self/clear_refs").open("w", encoding="ascii") as file:
            file.write("5")
        return now, peak
    except (OSError, KeyError):
        try:
            import resource
        except ImportError:  # Windows: deaths and hangs are seen all the same
            return 0, 0
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return most, most


def _limit_memory() -> None:
    """An input that asks for terabytes gets an error and not the machine."""
    try:
        import resource

        with Path("/proc/self/statm").open(encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + RESERVE_BYTES,) * 2)
    except (ImportError, OSError, ValueError):
        return


def main() -> None:
    name, seed, number, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    pipe = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed goes to the log
    logging.disable(logging.CRITICAL)

    def tell(**facts) -> None:
        pipe.write(json.dumps(facts) + "\n")

    doorway = open_doorway(name, folder)
    why_not_clean(doorway, make_input(doorway, name, seed, 0))  # imports and caches are nobody's memory
    _limit_memory()
    tell(open=True)
    while True:
        data = make_input(doorway, name, seed, number)
        (folder / "input").write_bytes(data)
        tell(begun=number)
        tell(ended=number, why=why_not_clean(doorway, data))
        number += 1


def replay(name: str, data: bytes, folder: Path) -> str:
    """Tries one input here and now, with the traceback."""
    doorway = open_doorway(name, folder)
    try:
        doorway.probe(data)
    except Exception:  # noqa: BLE001 (any error is what one came to see)
        traceback.print_exc()
    shutil.rmtree(folder, ignore_errors=True)
    return why_not_clean(open_doorway(name, folder) if not doorway.needs_host else doorway, data)


if __name__ == "__main__":
    main()
