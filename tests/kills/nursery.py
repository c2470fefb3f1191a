"""A process that has loaded everything once and forks a child for each run: children that may be killed.

`Nursery` is the handle on it; `python -m tests.kills.nursery FOLDER WRITER...` is the process itself. It reads a line
of JSON for each run ({writer, folder, kill_at, whole_group}) and answers with one ({status, places, words}) when the
child and every program that the child has started are gone.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tqdm import tqdm

from tests.kills.moments import Moments, choose
from tests.kills.writers import WRITERS, Writer
from tests.tools.comfyui.layout import PROJECT

RUN_S, START_S = 120.0, 300.0
#: after so long a child says where it hangs, and ends
HUNG_S = 100.0
ORPHANS_S = 20.0
PR_SET_CHILD_SUBREAPER = 36


class Run(NamedTuple):
    """status: of the child's end, below 0 for a signal;  places: of its moments, when it was not killed
    words: its traceback
    """

    status: int
    places: list[str]
    words: str


class Nursery:
    """Use it as `with Nursery(folder, writers) as nursery`."""

    def __init__(self, folder: Path, writers: Sequence[str] = tuple(WRITERS)):
        self.folder, self.writers = folder, writers

    def __enter__(self) -> Nursery:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.kills.nursery", str(self.folder), *self.writers],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "TQDM_DISABLE": "1"},
            )
        self._answer(START_S)
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def run(self, writer: str, folder: Path, kill_at: int | None = None, whole_group: bool = False) -> Run:
        folder.mkdir(parents=True, exist_ok=True)
        asked = {"writer": writer, "folder": str(folder), "kill_at": kill_at, "whole_group": whole_group}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return Run(**self._answer(RUN_S))

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        pipe = self.process.stdout
        assert pipe is not None
        if not select.select([pipe], [], [], timeout_s)[0]:
            self.process.kill()
        line = pipe.readline()
        if not line:
            log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the process that forks is gone, or was silent for {timeout_s:.0f} s:\n{log[-4000:]}")
        return json.loads(line)


def kill_and_run_again(
    nursery: Nursery, writer: str, folder: Path, n_moments: int, seed: int, ends: float = math.inf
) -> tuple[int, list[str]]:
    """Kills the writer at so many moments, spread over all that it has, and runs it again each time.

    ends: of time.monotonic, after which no more kills begin. Returns how many there were, and the faults found.

    Of every third kill the programs that the writer has started die, too; after every third the next run is killed as
    well.
    """
    rng = Random(f"{writer} {seed}")
    whole = nursery.run(writer, folder / "unkilled")
    if whole.status:
        return 0, [f"unkilled: it ended with {whole.status}: {whole.words}"]
    found = [f"unkilled: {fault}" for fault in WRITERS[writer].faults(folder / "unkilled", True)]
    n_killed = 0
    for place, moment in enumerate(choose(whole.places, n_moments, rng)):
        if time.monotonic() > ends:
            break
        n_killed += 1
        where, group = folder / f"moment {moment}", place % 3 == 2
        line = whole.places[moment - 1].replace(f"{PROJECT}{os.sep}", "")
        title = f"{writer}, killed at moment {moment}, {line}{' with its programs' if group else ''}"
        killed = nursery.run(writer, where, moment, group)
        if killed.status != -signal.SIGKILL:
            found.append(f"{title}: it ended with {killed.status} before: {killed.words}")
        found += [f"{title}: {fault}" for fault in WRITERS[writer].faults(where, False)]
        _an_hour_passes(where)
        if place % 3 == 1:
            nursery.run(writer, where, moment)
            found += [f"{title}, twice: {fault}" for fault in WRITERS[writer].faults(where, False)]
            _an_hour_passes(where)
        again = nursery.run(writer, where)
        if again.status:
            found.append(f"{title}, then run again: it ended with {again.status}: {again.words}")
            continue
        found += [f"{title}, then run again: {fault}" for fault in WRITERS[writer].faults(where, True)]
    return n_killed, found


def _an_hour_passes(folder: Path) -> None:
    """What is a few minutes old may be somebody's who has only just begun."""
    for path in folder.rglob("*"):
        then = path.stat().st_mtime - 3600
        os.utime(path, (then, then))


# ------------------------------------------------------------------------------------------------- the process itself


def main() -> None:
    base, names = Path(sys.argv[1]) / "base", sys.argv[2:]
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    if sys.platform == "linux":  # orphans of a killed child come here, so that one can wait for them
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # tqdm's own lock is shared by processes, and one that was killed never lets go of it.
    tqdm.set_lock(threading.RLock())
    host = _host(base)
    writers = {name: WRITERS[name](host) for name in names}
    answers.write("{}\n")
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(_fork(writers[asked.pop("writer")], **asked)) + "\n")


def _host(base: Path) -> Any:
    from PIL import Image
    from skimage.data import astronaut

    from tests.tools.comfyui import environment
    from tests.tools.comfyui.inside.host import Host
    from tests.tools.comfyui.layout import PACK_NAME, make_base

    make_base(base)
    Image.fromarray(astronaut()).save(base / "input" / "astronaut.png")
    return Host(str(environment.find_own().tree), str(base), str(base / "custom_nodes" / PACK_NAME))


def _fork(writer: Writer, folder: str, kill_at: int | None, whole_group: bool) -> dict[str, Any]:
    receive, send = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(receive)
        os.setsid()
        os._exit(_child(writer, Path(folder), Moments(kill_at, whole_group=whole_group), send))
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:  # until the child has closed its end, or is gone
        message = json.loads(pipe.read() or b"{}")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    _wait_for_orphans(pid)
    return {"status": status, "places": message.get("places", []), "words": message.get("words", "")}


def _child(writer: Writer, folder: Path, moments: Moments, send: int) -> int:
    words = ""
    faulthandler.dump_traceback_later(HUNG_S, exit=True)
    try:
        writer.prepare(folder)
        moments.watch()
        writer.act(folder)
    except BaseException:  # noqa: BLE001 (told to whoever asked)
        words = traceback.format_exc()[-3000:]
    moments.stop()
    with os.fdopen(send, "wb") as pipe:
        pipe.write(json.dumps({"places": moments.places, "words": words}).encode())
    return bool(words)


def _wait_for_orphans(group: int) -> None:
    """An encoder whose master was killed ends by itself, a little later; one that does not is ended."""
    ends = time.monotonic() + ORPHANS_S
    while True:
        try:
            if os.waitpid(-group, os.WNOHANG)[0]:
                continue
        except ChildProcessError:  # none is left, or they are nobody's children here
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return
        if time.monotonic() > ends:
            os.killpg(group, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
