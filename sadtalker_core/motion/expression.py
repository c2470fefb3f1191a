"""A voice, a portrait's coefficients and a blink track come in; an `Expression` track goes out.

Letters: `T` video frames.
"""

from __future__ import annotations

from contextlib import closing

import torch
from torch import Tensor

from ..datatypes import Expression, FaceCoefficients, OnProgress, SpeechWindows, require_family, require_same_length
from ..errors import OptionError
from ..threads import side_by_side
from .expnet import Embedder, ExpNet

#: frames that go through the network at once; with 64 its largest feature map is 10 MB, and more of them would be
#: slower
FRAMES_PER_CHUNK = 64


def run_expnet(
    net: ExpNet,
    speech: SpeechWindows,
    source: FaceCoefficients,
    blink: Tensor,
    *,
    reference: FaceCoefficients | None = None,
    reference_weight: float = 1.0,
    chunk: int = FRAMES_PER_CHUNK,
    on_progress: OnProgress | None = None,
) -> Expression:
    """How the face moves while it speaks this. The network is used where it is, in eval mode.

    The result is float32 on the CPU.

    source:    the portrait; its first row is the face at rest
    blink:     (T,) from blink.py, or from a family's `eyelids`
    reference: T rows of a reference video whose whole expression stands in for the face at rest, as the original's
               "eye blink reference" does (PARITY.md P10: then with a blink track of zeros). Its mouth shines through;
               to take the lids alone, leave this out and pass a family's `eyelids` as the blink track.
    reference_weight: 0 keeps the portrait's face, 1 takes the reference's
    chunk:     frames at once; the result does not depend on it beyond rounding
    Raises WrongFamily or OptionError when the reference is of another family or length.
    """
    n_frames = speech.n_frames
    require_same_length(n_frames, blink=blink)
    if not torch.isfinite(blink).all():
        raise OptionError("expected a finite blink track, got NaN or infinity.")
    rest = face_at_rest(source, n_frames, reference, reference_weight)
    like = next(net.parameters())
    embed = Embedder(net)
    rows = torch.empty(n_frames, rest.shape[1])

    def from_embedding(frames: slice) -> Tensor:
        embedding = embed(speech, frames, like)
        return net.from_embedding(embedding, rest[frames].to(like), blink[frames].to(like)).float().cpu()

    chunks = [slice(start, min(start + chunk, n_frames)) for start in range(0, n_frames, chunk)]
    with torch.no_grad(), closing(side_by_side(from_embedding, chunks, like.device)) as spoken:
        for frames, predicted in zip(chunks, spoken, strict=True):
            rows[frames] = predicted
            if on_progress is not None:
                on_progress(frames.stop, n_frames)
    return Expression(rows, source.family)


def face_at_rest(
    source: FaceCoefficients, n_frames: int, reference: FaceCoefficients | None = None, reference_weight: float = 1.0
) -> Tensor:
    """(T, 64): the portrait's expression in every frame, or the reference's, or something between them."""
    rest = source.expression[:1].expand(n_frames, -1)
    if reference is None:
        return rest
    require_family("the reference", reference.family, source.family)
    require_same_length(n_frames, reference=reference)
    return torch.lerp(rest, reference.expression, reference_weight)


__all__ = ["FRAMES_PER_CHUNK", "face_at_rest", "run_expnet"]
