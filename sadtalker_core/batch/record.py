"""What became of the jobs, kept in a folder of the run: it is what a second run goes on from, and what people read.

`manifest.jsonl` has one line for each job that came to an end, in that order; `report.json` is the whole run. A line
is on the disk before the next job ends, and a report is whole or not there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..saving import append_line, whole, whole_lines
from .jobs import Job

DONE, SKIPPED, FAILED = "done", "done before", "failed"


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
    """The folder of a run; made when it is not there."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.manifest, self.report = folder / "manifest.jsonl", folder / "report.json"

    def done_before(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """By id, the jobs whose video an earlier run has made and nobody has touched since."""
        written = {outcome.id: outcome for outcome in self._lines()}
        found = {}
        for job in jobs:
            outcome = written.get(job.id)
            if outcome and outcome.status == DONE and job.out.is_file() and job.out.stat().st_size == outcome.n_bytes:
                found[job.id] = replace(outcome, status=SKIPPED, line=job.line)
        return found

    def add(self, outcome: Outcome) -> None:
        """Appends a line, and waits until it is on the disk."""
        append_line(self.manifest, asdict(outcome))

    def write_report(self, report: dict[str, Any]) -> None:
        write_whole(self.report, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())

    def _lines(self) -> list[Outcome]:
        """Those that can be read."""
        outcomes = []
        for line in whole_lines(self.manifest):
            try:
                outcomes.append(Outcome(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return outcomes


def write_whole(path: Path, data: bytes) -> None:
    """The file is there with all of it, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        unfinished.write_bytes(data)


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


__all__ = ["DONE", "FAILED", "SKIPPED", "Outcome", "RunFolder", "summary", "table", "write_whole"]
