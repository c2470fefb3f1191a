"""The outcome of the jobs, kept in a folder of the run: a second run resumes from it, and people read it.

`manifest.jsonl` has one line for each job that came to an end, in that order; `report.json` is the whole run. A line
is on the disk before the next job ends, and a report is whole or not there. Where the disk is full the jobs go on
without; `fault` reports it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import DoesNotFit, InUse, OptionError, shorten
from ..locking import held
from ..saving import append_jsonl, complete_lines, disk_full_error, save_bytes
from .jobs import Job

DONE, SKIPPED, FAILED = "done", "done before", "failed"
#: what a line of the manifest may hold, by the types of Outcome; no count of a run is as large
_KINDS: dict[str, Any] = {"str": str, "int": int, "float": (int, float)}
_LARGEST = 2**53


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    status:   DONE, FAILED, or SKIPPED when an earlier run has made the same video
    sentence: why it failed
    seconds:  that its worker took, or by the clock when it was cut;  n_bytes: of the mp4
    worker:   machine and process
    """

    id: str
    line: int
    out: str
    status: str
    sentence: str = ""
    seconds: float = 0.0
    n_frames: int = 0
    n_bytes: int = 0
    worker: str = ""


class RunFolder:
    """The folder of a run; made when it is not there. `with RunFolder(folder):` keeps other runs out of it.

    fault: why the record is incomplete, a sentence, or ""
    Raises OptionError for a folder that cannot be used. One on a full disk can: then there is a fault.
    """

    def __init__(self, folder: Path):
        self.folder, self.manifest, self.report = folder, folder / "manifest.jsonl", folder / "report.json"
        self.fault = ""
        self._unwritten: deque[Outcome] = deque()
        self._lock = ExitStack()
        with self._reported():
            folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> RunFolder:
        """Raises InUse where another run has it."""
        with self._reported():
            self._lock.enter_context(held(self.folder / "run.lock", f"the run folder {shorten(self.folder)}"))
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def done_before(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """By id, the jobs whose video an earlier run has made and which has not changed since."""
        written = {outcome.id: outcome for outcome in self._lines()}
        found = {}
        for job in jobs:
            outcome = written.get(job.id)
            if outcome and outcome.status == DONE and job.out.is_file() and job.out.stat().st_size == outcome.n_bytes:
                found[job.id] = replace(outcome, status=SKIPPED, line=job.line, out=str(job.out))
        return found

    def add(self, outcome: Outcome) -> None:
        """Appends a line, and waits until it is on the disk. What did not fit is tried again with the next line."""
        self._unwritten.append(outcome)
        try:
            while self._unwritten:
                self.folder.mkdir(parents=True, exist_ok=True)
                append_jsonl(self.manifest, asdict(self._unwritten[0]))
                self._unwritten.popleft()
            self.fault = ""
        except OSError as error:
            self.fault = self._not_kept(error)

    def write_report(self, report: dict[str, Any]) -> None:
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        try:  # a name that is no text in this system's encoding becomes JSON's \udc80 to \udcff
            self.folder.mkdir(parents=True, exist_ok=True)
            save_bytes(self.report, text.encode(errors="backslashreplace"))
        except (OSError, DoesNotFit, InUse) as error:
            self.fault = self.fault or self._not_kept(error)

    def _not_kept(self, error: Exception) -> str:
        return (
            f"the record of this run could not be written to {shorten(self.folder)} ({_reason(error)}); the next run "
            "repeats what is not recorded. Free some space there, or choose another folder with --run."
        )

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """A full disk costs the record, anything else the run before it begins."""
        try:
            yield
        except OSError as error:
            if not disk_full_error(error, self.folder):
                raise OptionError(
                    f"the run folder {shorten(self.folder)} cannot be written to ({_reason(error)}); "
                    "choose another with --run."
                ) from error
            self.fault = self._not_kept(error)

    def _lines(self) -> list[Outcome]:
        """Those that can be read."""
        try:
            lines = complete_lines(self.manifest)
        except OSError as error:
            raise OptionError(f"{shorten(self.manifest)} cannot be read ({_reason(error)}).") from error
        return [outcome for line in lines if (outcome := _outcome(line)) is not None]


def _reason(error: Exception) -> str:
    return shorten((error.strerror if isinstance(error, OSError) else "") or error, 200)


def _outcome(line: str) -> Outcome | None:
    """A line of the manifest, or None for one that this program did not write."""
    try:
        outcome = Outcome(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    for wanted in fields(Outcome):
        value = getattr(outcome, wanted.name)
        if isinstance(value, bool) or not isinstance(value, _KINDS[str(wanted.type)]):
            return None
        if not isinstance(value, str) and not 0 <= value <= _LARGEST:
            return None
    return outcome


def summary(outcomes: Sequence[Outcome], seconds: float, n_workers: int) -> dict[str, Any]:
    """The run as JSON. seconds: by the clock, from the first call to the last answer."""
    n_frames = sum(outcome.n_frames for outcome in outcomes if outcome.status == DONE)
    return {
        "done": sum(outcome.status == DONE for outcome in outcomes),
        "done_before": sum(outcome.status == SKIPPED for outcome in outcomes),
        "failed": sum(outcome.status == FAILED for outcome in outcomes),
        "frames": n_frames,
        "seconds": round(seconds, 3),
        "frames_per_second": round(n_frames / seconds, 3) if seconds else 0.0,
        "workers": n_workers,
        "jobs": [asdict(outcome) for outcome in sorted(outcomes, key=lambda outcome: outcome.line)],
    }


def table(report: dict[str, Any]) -> str:
    """The run for people: a line for each job, and one for all."""
    lines = [f"{'line':>5}  {'status':<12}{'frames':>7}{'seconds':>9}{'frames/s':>10}  out"]
    for job in report["jobs"]:
        rate = f"{job['n_frames'] / job['seconds']:.1f}" if job["seconds"] else ""
        seconds = f"{job['seconds']:.1f}" if job["seconds"] else ""
        lines.append(f"{job['line']:>5}  {job['status']:<12}{job['n_frames']:>7}{seconds:>9}{rate:>10}  {job['out']}")
        if job["sentence"]:
            lines.append(f"{'':>5}  {job['sentence']}")
    lines.append(
        f"{report['done']} done, {report['done_before']} done before, {report['failed']} failed; {report['frames']} "
        f"frames in {report['seconds']:.1f} s: {report['frames_per_second']:.1f} frames/s with {report['workers']} "
        f"worker{'s' if report['workers'] > 1 else ''}"
    )
    return "\n".join(lines)


__all__ = ["DONE", "FAILED", "SKIPPED", "Outcome", "RunFolder", "summary", "table"]
