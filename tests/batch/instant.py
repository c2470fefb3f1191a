"""In the place of a worker pool: every call is answered at once, with a video of its own. Also a program that can be
killed.

python -m tests.batch.instant jobs.csv      says "begun" when the first video is asked for
"""

from __future__ import annotations

import sys
import time

from sadtalker_core.batch import __main__ as program
from sadtalker_core.batch.worker import Result
from sadtalker_core.batch.worker_pool import Call

#: long enough to be caught half written
VIDEO = b"film" * 250_000


class Instant:
    """A worker pool of one. n_asked: calls of all such pools."""

    size = 1
    busy = False
    n_asked = 0

    def __init__(self, options=None, most_useful=1):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def ask(self, call: Call, *, first: bool = False) -> Call:
        Instant.n_asked += 1
        call.args()
        call.result = Result((VIDEO, 1), 0.0, "here", 0)
        call.callback(call)
        return call


class Slow(Instant):
    def ask(self, call: Call, *, first: bool = False) -> Call:
        if not self.n_asked:
            print("begun", flush=True)
        time.sleep(0.02)
        return super().ask(call, first=first)


if __name__ == "__main__":
    program.WorkerPool = Slow  # type: ignore[misc, assignment]
    sys.exit(program.main(sys.argv[1:]))
