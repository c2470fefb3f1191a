"""The bytes of a picture or a sound file come in, tensors go out, as Load Image and Load Audio would make them.

Letters: `H W` a picture in pixels, `C` channels, `n` samples.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import AudioError
from ..face.picture_file import check_picture_file, read_picture


def read_voice(data: bytes) -> tuple[Tensor, int]:
    """(C, n) float32 in -1..1 and the sample rate, Hz, as the file has them. Raises AudioError."""
    import av

    packed = av.AudioResampler(format="flt")  # of eight planes PyAV reads a ninth, and the process dies
    pieces: list[Tensor] = []
    kinds = set()
    with _opened_sound(io.BytesIO(data)) as (container, stream):
        for frame in container.decode(stream):
            n_channels, rate_hz = len(frame.layout.channels), frame.sample_rate
            kinds.add((n_channels, rate_hz))
            if len(kinds) > 1:
                raise AudioError("its sample rate or number of channels changes on the way; convert it to a WAV file.")
            for part in packed.resample(frame):
                pieces.append(torch.from_numpy(part.to_ndarray()).view(-1, n_channels).T)
    if not pieces:
        raise AudioError("it holds no sound.")
    return torch.cat(pieces, dim=1), rate_hz


def seconds_of_sound(path: Path) -> float:
    """How long a sound file says it is; where it does not say, its packets are counted. Raises AudioError."""
    with _opened_sound(str(path)) as (container, stream):
        if stream.duration:
            return float(stream.duration * stream.time_base)
        return float(sum(packet.duration or 0 for packet in container.demux(stream)) * stream.time_base)


@contextmanager
def _opened_sound(source: Any) -> Iterator[Any]:
    import av

    try:
        with av.open(source, metadata_errors="replace") as container:  # titles come in any encoding
            if not container.streams.audio:
                raise AudioError("it holds no sound.")
            yield container, container.streams.audio[0]
    except av.FFmpegError as error:
        raise AudioError(f"it cannot be read as sound ({error}).") from error


__all__ = ["check_picture_file", "read_picture", "read_voice", "seconds_of_sound"]
