"""The bytes or the path of a sound file come in, a waveform goes out, as Load Audio would make it.

It is read by PyAV where that is installed, and else by the ffmpeg that the package imageio-ffmpeg brings along; images
are read by face/image_file.py. Letters: `C` channels, `n` samples.
"""

from __future__ import annotations

import io
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .compose.ffmpeg import ffmpeg_command
from .errors import AudioError, VideoError, shorten

NO_SOUND = "it has no audio."
#: the header of a Sun audio file: a word, where the samples begin, their bytes, their kind, their rate, the channels
_AU_HEADER = struct.Struct(">4s5I")


def read_audio(source: bytes | Path) -> tuple[Tensor, int]:
    """(C, n) float32 in -1..1 and the sample rate, Hz, as the file has them. Raises AudioError."""
    return _read_by_av(source) if _av() else _read_by_ffmpeg(source)


def audio_seconds(path: Path) -> float:
    """The duration by the audio file's header; without one there, the samples are counted. Raises AudioError."""
    if not _av():
        return _seconds_by_ffmpeg(path)
    with _opened_sound(str(path)) as (container, stream):
        if stream.duration:
            return float(stream.duration * stream.time_base)
        return float(sum(packet.duration or 0 for packet in container.demux(stream)) * stream.time_base)


# ----------------------------------------------------------------------------------------------------------- by PyAV


def _av() -> ModuleType | None:
    try:
        import av
    except ImportError:
        return None
    return av


def _read_by_av(source: bytes | Path) -> tuple[Tensor, int]:
    import av

    packed = av.AudioResampler(format="flt")  # of eight planes PyAV reads a ninth, and the process dies
    pieces: list[Tensor] = []
    kinds = set()
    with _opened_sound(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as (container, stream):
        for frame in container.decode(stream):
            n_channels, rate_hz = len(frame.layout.channels), frame.sample_rate
            kinds.add((n_channels, rate_hz))
            if len(kinds) > 1:
                raise AudioError("its sample rate or number of channels changes within the file; convert it to WAV.")
            for part in packed.resample(frame):
                pieces.append(torch.from_numpy(part.to_ndarray()).view(-1, n_channels).T)
    if not pieces:
        raise AudioError(NO_SOUND)
    return torch.cat(pieces, dim=1), rate_hz


@contextmanager
def _opened_sound(source: Any) -> Iterator[tuple[Any, Any]]:
    import av

    try:
        with av.open(source, metadata_errors="replace") as container:  # titles come in any encoding
            if not container.streams.audio:
                raise AudioError(NO_SOUND)
            yield container, container.streams.audio[0]
    except av.FFmpegError as error:
        raise AudioError(_unreadable(error.strerror or error)) from error


# --------------------------------------------------------------------------------------------------------- by ffmpeg


def _read_by_ffmpeg(source: bytes | Path) -> tuple[Tensor, int]:
    """Sun audio is the one format whose header holds rate and channels and needs no size."""
    with _on_disk(source) as path:
        done = _ffmpeg(path, "-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "-")
    if done.returncode or len(done.stdout) < _AU_HEADER.size:
        raise AudioError(_fault(done))
    _, begin, _, _, rate_hz, n_channels = _AU_HEADER.unpack_from(done.stdout)
    samples = np.frombuffer(done.stdout, ">f4", (len(done.stdout) - begin) // 4, begin).astype(np.float32)
    if not samples.size:
        raise AudioError(NO_SOUND)
    return torch.from_numpy(samples).view(-1, n_channels).T, rate_hz


def _seconds_by_ffmpeg(path: Path) -> float:
    with _on_disk(path) as named:
        done = _ffmpeg(named)
    words = done.stderr.decode(errors="replace")
    if not re.search(r"Stream #\S+.*: Audio:", words):
        raise AudioError(NO_SOUND if "Input #0" in words else _fault(done))
    duration = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", words)
    if duration is None:
        waveform, rate_hz = _read_by_ffmpeg(path)
        return waveform.shape[1] / rate_hz
    hours, minutes, seconds = duration.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _ffmpeg(path: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        command = [*ffmpeg_command(), "-nostdin", "-hide_banner", "-i", f"file:{path}", *arguments]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, VideoError) as error:
        raise AudioError(f"it cannot be read: no ffmpeg can be run ({shorten(error)}).") from error


@contextmanager
def _on_disk(source: bytes | Path) -> Iterator[Path]:
    """Some formats have their index at the end, so that ffmpeg cannot read them from a pipe."""
    if isinstance(source, Path):
        yield source.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="sadtalker-sound-") as folder:
        path = Path(folder) / "sound"
        path.write_bytes(source)
        yield path


def _fault(done: subprocess.CompletedProcess[bytes]) -> str:
    words = done.stderr.decode(errors="replace")
    if "matches no streams" in words or "does not contain any stream" in words:
        return NO_SOUND
    last = next((line for line in reversed(words.splitlines()) if line.strip()), "ffmpeg gave no reason")
    return _unreadable(last)


def _unreadable(why: object) -> str:
    return f"it cannot be read as audio ({shorten(why)}). Play it to see whether it is damaged, or convert it to WAV."


__all__ = ["read_audio", "audio_seconds"]
