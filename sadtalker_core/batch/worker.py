"""One job, or a piece of one, done in one process: files and options come in, a video, a motion or frames go out.

It knows nothing of Ray; worker_pool.py puts one `Worker` into every process. Letters: `T` frames, `h w` a head's size.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import pipeline
from ..animate import dub_options, frame_stream_of, paste_back_of, predict_conversation, predict_motion
from ..arguments import background_of, needs_alpha
from ..audio.turns import read_turns
from ..claims import Claim
from ..compose.paste import PasteBack
from ..datatypes import AnyMotion, FrameStream, Portrait
from ..device import to_device
from ..dub.dub import AnyPatch, RenderPatches, dub_video, render_patches, speech_track
from ..dub.rest import Person
from ..dub.source_video import SourceVideo, VideoFile
from ..face.image_file import read_image
from ..locking import sweep_work_folders, work_folder
from ..media import read_audio
from ..model import SadTalkerModel, load_model
from ..options import Options
from .jobs import Job

#: how the folders begin in which workers encode
WORK_FOLDER = "sadtalker-batch-"


@dataclass(frozen=True)
class JobPayload:
    """A job as it travels: the bytes of its files, so that another machine needs no folder of ours."""

    portrait: bytes | None
    voice: bytes | None
    options: Options
    speakers: str | None = None
    background: bytes | None = None
    film: bytes | None = None

    @classmethod
    def of(cls, job: Job) -> JobPayload:
        portrait, voice, background, film = (
            None if file is None else file.read_bytes() for file in (job.portrait, job.voice, job.background, job.film)
        )
        speakers = None if job.speakers is None else job.speakers.read_text(encoding="utf-8-sig")
        return cls(portrait, voice, job.options, speakers, background, film)


@dataclass(frozen=True, eq=False)
class PlannedClip:
    """A job whose motion is known: all that its frames need. height, width: of a head, in pixels;  has_alpha: whether
    heads come with their alpha.
    """

    portrait: Portrait
    motion: AnyMotion
    height: int
    width: int
    has_alpha: bool = False

    def __len__(self) -> int:
        return len(self.motion)


@dataclass(frozen=True, eq=False)
class Result:
    """What a worker gives back, how long it took, and who it was: machine and process."""

    value: Any
    seconds: float
    machine: str
    process: int


class Worker:
    """Holds the networks of one model, and exchanges them when a job wants another."""

    def __init__(
        self, model_folders: Sequence[Path] = (), device: str = "cpu", batch_size: int = 0, n_threads: int | None = None
    ):
        """device: where networks compute;  batch_size: as in Render Video;  n_threads: of torch on the CPU, None as
        is
        """
        self.model_folders, self.device, self.batch_size = model_folders, torch.device(device), batch_size
        self._model: SadTalkerModel | None = None
        self._loaded: tuple[str, str] | None = None
        if n_threads:
            torch.set_num_threads(n_threads)

    def ping(self) -> None:
        """Report that this process has started and has our code; remove what killed processes left here."""
        sweep_work_folders(WORK_FOLDER)

    def do(self, task: str, *args: Any) -> Result:
        """One of the tasks below, timed."""
        started = time.perf_counter()
        with torch.inference_mode():
            value = getattr(self, task)(*args)
        return Result(value, time.perf_counter() - started, socket.gethostname(), os.getpid())

    def run_job(self, payload: JobPayload) -> tuple[bytes, int]:
        """The whole job: the bytes of its video, and how many frames it has."""
        if payload.film is not None:
            return self._dub(payload, payload.film)
        nets, options = self._networks(payload.options), payload.options
        audio = None if payload.voice is None else read_audio(payload.voice)
        assert payload.portrait is not None
        image = read_image(payload.portrait)
        if payload.speakers is None:
            people = [predict_motion(nets, image, audio, options, self.model_folders, self.device)]
        else:
            turns = read_turns(payload.speakers)
            people = predict_conversation(nets, image, audio, options, turns, self.model_folders, self.device)
        heads, whole = frame_stream_of(nets, people, options, batch_size=self.batch_size, alpha=needs_alpha(options))
        with work_folder(WORK_FOLDER) as folder:
            path = folder / f"video.{options.format}"
            _write(path, heads, whole, audio, options, payload.background)
            return path.read_bytes(), heads.n_frames

    def _dub(self, payload: JobPayload, film: bytes) -> tuple[bytes, int]:
        assert payload.voice is not None
        with work_folder(WORK_FOLDER) as folder:
            path = folder / "video.mp4"
            audio = read_audio(payload.voice)
            n_frames = write_dubbed(path, self._networks(payload.options), VideoFile.of(film), audio, payload.options)
            return path.read_bytes(), n_frames

    def mouths(self, options: Options, person: Person, patches: Sequence[AnyPatch | None]) -> list[np.ndarray | None]:
        """The squares of these patches, (3, S, S) float32 each."""
        made = render_patches(self._networks(options))(iter(patches), person)
        return [None if square is None else square.numpy() for square in made]

    def plan(self, payload: JobPayload) -> PlannedClip:
        """The pipeline up to the motion."""
        assert payload.portrait is not None
        options, nets = payload.options, self._networks(payload.options)
        audio = None if payload.voice is None else read_audio(payload.voice)
        portrait, motion = predict_motion(
            nets, read_image(payload.portrait), audio, options, self.model_folders, self.device
        )
        heads = pipeline.render(nets, portrait, motion, batch_size=1, alpha=needs_alpha(options))
        return PlannedClip(portrait, motion, heads.height, heads.width, heads.has_alpha)

    def heads(self, options: Options, portrait: Portrait, motion: AnyMotion) -> np.ndarray:
        """(T, 3 or 4, h, w) float32: the frames of a piece of motion, with alpha where it is needed, as an array, which
        Ray hands over without copying.
        """
        stream = self._heads(options, portrait, motion)
        frames = np.empty((stream.n_frames, 4 if stream.has_alpha else 3, stream.height, stream.width), np.float32)
        done = 0
        for batch in stream.batches():
            frames[done : done + len(batch)] = batch.float().cpu().numpy()
            done += len(batch)
        return frames

    def _heads(self, options: Options, portrait: Portrait, motion: AnyMotion) -> FrameStream:
        nets, alpha = self._networks(options), needs_alpha(options)
        return pipeline.render(nets, portrait, motion, batch_size=self.batch_size, alpha=alpha)

    def _networks(self, options: Options) -> SadTalkerModel:
        wanted = options.model, options.precision
        if self._model is None or self._loaded != wanted:
            self._model = None  # the old networks go before the new ones come
            self._model = to_device(load_model(options.model, self.model_folders), self.device, options.precision)
            self._loaded = wanted
        return self._model


def write_dubbed(
    path: Path | Claim,
    model: SadTalkerModel,
    source: SourceVideo,
    audio: tuple[Tensor, int],
    options: Options,
    render: RenderPatches | None = None,
) -> int:
    """Write the dubbed video as an mp4, to a path or a claimed name. Returns how many frames it has."""
    n_frames = 0

    def count(done: int, total: int) -> None:
        nonlocal n_frames
        n_frames = done

    track, audio_out = speech_track(model, audio, loudness=options.loudness)
    dub_video(
        path,
        model,
        source,
        track,
        dub_options(options),
        audio=audio_out,
        output_fps=options.output_fps,
        quality=options.quality,
        on_progress=count,
        render=render,
    )
    return n_frames


def write_job_video(
    path: Path | Claim,
    heads: FrameStream,
    portrait: Portrait,
    audio: tuple[Tensor, int] | None,
    options: Options,
    background: bytes | None = None,
) -> None:
    """Heads, pasted back into their image if the options ask for it, become the video, at a path or a claimed name.

    background: the image file that the options name
    """
    _write(path, heads, paste_back_of(portrait, options), audio, options, background)


def _write(
    path: Path | Claim,
    heads: FrameStream,
    whole: PasteBack | None,
    audio: tuple[Tensor, int] | None,
    options: Options,
    background: bytes | None,
) -> None:
    pipeline.render_video(
        path,
        heads,
        whole,
        output_fps=options.output_fps,
        audio=audio,
        quality=options.quality,
        background=background_of(options, background),
    )


__all__ = ["Result", "PlannedClip", "JobPayload", "Worker", "write_dubbed", "write_job_video"]
