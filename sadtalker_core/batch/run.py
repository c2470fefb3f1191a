"""Jobs and a worker pool come in, videos go out: short jobs whole, each by one worker, and long ones cut into chunks.

Of a long clip the motion is worked out once. Its chunks are rendered wherever there is a worker, and come back as they
were rendered, in float32, through Ray's store; they are put back into the image and encoded here, once and in
order, by the same `pipeline.render_video` that Render Video uses. So the cut clip is the uncut one, frame for frame:
the colours of Paste Back follow the frames before, and pieces that had been encoded would have been rounded. No more
than two chunks a worker are under way or waiting, so memory does not grow with the clip.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..claims import Claim, claim_path
from ..compose.video import sweep
from ..datatypes import FrameStream, OnProgress
from ..dub.dub import AnyPatch
from ..dub.rest import Person
from ..dub.source_video import VideoFile
from ..errors import SadTalkerError
from ..media import read_audio
from ..model import load_model
from ..saving import save_bytes
from ..threads import few_threads
from .jobs import Job
from .record import DONE, FAILED, Outcome, RunFolder
from .worker import JobPayload, PlannedClip, write_dubbed, write_job_video
from .worker_pool import Call, WorkerPool, sentence_of

#: frames of a chunk: whole batches of 8, two seconds of video, 38 MB at 256 and 151 MB at 512
CHUNK_FRAMES = 48
CHUNKS_PER_WORKER = 2
#: frames that are put back and encoded between two looks at the workers
WRITTEN_AT_ONCE = 8
#: frames of a video whose mouths are rendered in one call; the frames wait here meanwhile
DUBBED_AT_ONCE = 12

#: called with the outcome of each job as it ends; at the start, with those that were done before
OnOutcome = Callable[[Outcome], None]


class CallFailed(SadTalkerError):
    """A call that a job needs came to nothing."""


def run_jobs(
    jobs: Sequence[Job],
    pool: WorkerPool,
    folder: RunFolder,
    *,
    cut_frames: int,
    chunk_frames: int = CHUNK_FRAMES,
    model_folders: Sequence[Path] = (),
    on_progress: OnProgress | None = None,
    on_outcome: OnOutcome | None = None,
) -> list[Outcome]:
    """Makes every job that is not done yet; a job that fails stops none of the others.

    cut_frames: clips with more frames than this are cut
    model_folders: where this process looks for models; it tracks the face of a video that is dubbed in chunks
    on_progress(done, total): frames of the jobs that were not done before
    """
    return _Run(pool, folder, chunk_frames, model_folders, on_progress, on_outcome).run(jobs, cut_frames)


class _Run:
    def __init__(
        self,
        pool: WorkerPool,
        folder: RunFolder,
        chunk_frames: int,
        model_folders: Sequence[Path],
        on_progress: OnProgress | None,
        on_outcome: OnOutcome | None,
    ):
        self.pool, self.folder, self.chunk_frames, self.model_folders = pool, folder, chunk_frames, model_folders
        self.on_progress, self.on_outcome = on_progress, on_outcome
        self.outcomes: list[Outcome] = []
        self.n_made = self.n_frames = 0
        self._claims: dict[str, Claim] = {}  # by the job's id: on the videos that are being made

    def run(self, jobs: Sequence[Job], cut_frames: int) -> list[Outcome]:
        before = self.folder.done_before(jobs)
        for job in jobs:
            if job.id in before:
                self._notify(before[job.id])
        todo = sorted((job for job in jobs if job.id not in before), key=_nets_of)
        self.n_frames = sum(job.n_frames for job in todo)
        for folder in {job.out.parent for job in todo}:
            sweep(folder)
        try:
            for _, same_nets in groupby(todo, key=_nets_of):  # one after the other: workers hold one model
                self._run_together(list(same_nets), cut_frames)
        finally:
            for claim in self._claims.values():
                claim.release()
        return self.outcomes

    def _run_together(self, jobs: Sequence[Job], cut_frames: int) -> None:
        """Short jobs fill the gaps that the chunks of long ones leave. One with several speakers is never cut."""
        whole = [job for job in jobs if job.n_frames <= cut_frames or job.speakers is not None]
        for job in whole:
            self.pool.ask(self._call("run_job", job, self._keep))
        for job in jobs:
            if job not in whole:
                self._in_chunks(job)
        while self.pool.busy:
            self.pool.wait(1.0)

    def _call(self, task: str, job: Job, callback: Callable[[Job, Call], None] | None = None) -> Call:
        def args() -> tuple[JobPayload]:
            self._claim(job)
            return (JobPayload.of(job),)

        return Call(task, args, callback and (lambda call: callback(job, call)))

    def _claim(self, job: Job) -> Claim:
        """The claim on the job's file, made before a worker begins, so that no work is lost on a file that cannot be
        written. Raises InUse or OSError.
        """
        if job.id not in self._claims:
            job.out.parent.mkdir(parents=True, exist_ok=True)
            self._claims[job.id] = claim_path(job.out)
        return self._claims[job.id]

    # --------------------------------------------------------------------------------------------- one worker a job

    def _keep(self, job: Job, call: Call) -> None:
        """Writes the video that a worker has sent."""
        if call.result is None:
            self._end(_failed(job, call.error))
            return
        result = call.result
        video, n_frames = result.value
        try:
            save_bytes(self._claim(job), video)
            outcome = _done(job, n_frames, result.seconds, f"{result.machine}:{result.process}")
        except (OSError, SadTalkerError) as error:
            self._end(_failed(job, sentence_of(error)))
            return
        self._made(n_frames)
        self._end(outcome)

    # ------------------------------------------------------------------------------------------ many workers a job

    def _in_chunks(self, job: Job) -> None:
        started = time.perf_counter()
        pieces: deque[Call] = deque()
        try:
            n_frames = (self._render_in_chunks if job.film is None else self._dub_in_chunks)(job, pieces)
            outcome = _done(job, n_frames, time.perf_counter() - started, "cut into chunks")
        except Exception as error:  # whatever it is, the other jobs go on
            for piece in pieces:
                piece.withdrawn = True
            self._end(_failed(job, sentence_of(error)))
        else:
            self._end(outcome)

    def _render_in_chunks(self, job: Job, pieces: deque[Call]) -> int:
        """-> the number of frames written.  pieces: what workers have been asked for and have not handed in yet"""
        plan = self.pool.ask(self._call("plan", job), first=True)
        clip: PlannedClip = self._result(plan)
        heads = FrameStream(
            len(clip), clip.height, clip.width, lambda: self._in_order(job, clip, pieces), has_alpha=clip.has_alpha
        )
        audio = None if job.voice is None else read_audio(job.voice.read_bytes())
        background = None if job.background is None else job.background.read_bytes()
        write_job_video(self._claim(job), heads, clip.portrait, audio, job.options, background)
        return len(clip)

    def _dub_in_chunks(self, job: Job, pieces: deque[Call]) -> int:
        """The same for a video that is dubbed: it is read and its face tracked here, in order; the workers render the
        mouths.
        """

        def render(patches: Iterator[AnyPatch | None], person: Person) -> Iterator[Tensor | None]:
            shared = self.pool.share(person)
            more = True
            while more or pieces:
                while more and len(pieces) < CHUNKS_PER_WORKER * self.pool.size:
                    with torch.inference_mode(), few_threads():
                        some = list(islice(patches, DUBBED_AT_ONCE))
                    more = len(some) == DUBBED_AT_ONCE
                    if some:
                        args = job.options, shared, some
                        pieces.append(self.pool.ask(Call("mouths", partial(tuple, args), self._count), first=True))
                if pieces:
                    for square in self._result(pieces.popleft()):
                        yield None if square is None else torch.tensor(square)

        claim = self._claim(job)
        assert job.film is not None and job.voice is not None
        model = load_model(job.options.model, self.model_folders)
        audio = read_audio(job.voice.read_bytes())
        return write_dubbed(claim, model, VideoFile.of(job.film), audio, job.options, render)

    def _in_order(self, job: Job, clip: PlannedClip, pieces: deque[Call]) -> Iterator[Tensor]:
        """The frames of the clip; chunks are asked for a few ahead of the one that is being written."""
        portrait = self.pool.share(clip.portrait)
        starts = deque(range(0, len(clip), self.chunk_frames))
        while starts or pieces:
            while starts and len(pieces) < CHUNKS_PER_WORKER * self.pool.size:
                pieces.append(self._ask_for_chunk(job, clip, portrait, starts.popleft()))
            frames = self._result(pieces.popleft())
            for start in range(0, len(frames), WRITTEN_AT_ONCE):
                yield torch.tensor(frames[start : start + WRITTEN_AT_ONCE])
                self.pool.wait(0)

    def _ask_for_chunk(self, job: Job, clip: PlannedClip, portrait: Any, start: int) -> Call:
        args = job.options, portrait, clip.motion[start : start + self.chunk_frames]
        return self.pool.ask(Call("heads", lambda: args, self._count), first=True)

    def _result(self, call: Call) -> Any:
        while not call.ended:
            self.pool.wait(1.0)
        if call.result is None:
            raise CallFailed(call.error)
        return call.result.value

    def _count(self, call: Call) -> None:
        if call.result is not None:
            self._made(len(call.result.value))

    # ----------------------------------------------------------------------------------------------------- the ends

    def _end(self, outcome: Outcome) -> None:
        claim = self._claims.pop(outcome.id, None)
        if claim is not None:
            claim.release()
        self.folder.add(outcome)
        self._notify(outcome)

    def _notify(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self.on_outcome is not None:
            self.on_outcome(outcome)

    def _made(self, n_frames: int) -> None:
        self.n_made += n_frames
        if self.on_progress is not None:
            self.on_progress(self.n_made, self.n_frames)


def _nets_of(job: Job) -> tuple[str, str]:
    return job.options.model, job.options.precision


def _done(job: Job, n_frames: int, seconds: float, worker: str) -> Outcome:
    size = job.out.stat().st_size
    return Outcome(job.id, job.line, str(job.out), DONE, "", round(seconds, 3), n_frames, size, worker)


def _failed(job: Job, sentence: str) -> Outcome:
    return Outcome(job.id, job.line, str(job.out), FAILED, sentence)


__all__ = ["CHUNK_FRAMES", "run_jobs"]
