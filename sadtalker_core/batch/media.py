"""The bytes of a picture or a sound file come in, tensors go out, as Load Image and Load Audio would make them.

Letters: `H W` a picture in pixels, `C` channels, `n` samples.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ..errors import AudioError
from ..face.picture_file import check_picture_file, read_picture


def read_voice(data: bytes) -> tuple[Tensor, int]:
    """(C, n) float32 in -1..1 and the sample rate, Hz, as the file has them. Raises AudioError."""
    with _opened_sound(io.BytesIO(data)) as (container, stream):
        pieces = [_samples(frame) for frame in container.decode(stream)]
    if not pieces:
        raise AudioError("it holds no sound.")
    return torch.cat(pieces, dim=1), stream.codec_context.sample_rate


def seconds_of_sound(path: Path) -> float:
    """How long a sound file says it is; where it does not say, its packets are counted. Raises AudioError."""
    with _opened_sound(str(path)) as (container, stream):
        if stream.duration:
            return float(stream.duration * stream.time_base)
        return float(sum(packet.duration or 0 for packet in container.demux(stream)) * stream.time_base)


@contextmanager
def _opened_sound(source):
    import av

    try:
        with av.open(source) as container:
            if not container.streams.audio:
                raise AudioError("it holds no sound.")
            yield container, container.streams.audio[0]
    except av.FFmpegError as error:
        raise AudioError(f"it cannot be read as sound ({error}).") from error


def _samples(frame) -> Tensor:
    """A decoded piece, planar or packed, of floats or integers -> (C, m) float32."""
    samples = torch.from_numpy(frame.to_ndarray())
    if not frame.format.is_planar:
        samples = samples.view(-1, len(frame.layout.channels)).T
    if samples.is_floating_point():
        return samples.float()
    if samples.dtype == torch.uint8:
        return samples.float() / 128 - 1
    return samples.float() / (torch.iinfo(samples.dtype).max + 1)


__all__ = ["check_picture_file", "read_picture", "read_voice", "seconds_of_sound"]
