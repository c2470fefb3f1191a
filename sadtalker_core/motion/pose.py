"""A voice, a portrait's coefficients, a style and a seed come in; a `HeadPose` track goes out.

Letters: `T` video frames, `L` = 32 frames of a block, `Z` = 64 numbers of the latent, `n` blocks of a clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import torch
from torch import Tensor

from ..coefficients import POSE
from ..datatypes import FaceCoefficients, HeadPose, OnProgress, SpeechWindows, require_family, require_same_length
from ..errors import OptionError
from ..threads import side_by_side
from .audio_encoder import FoldedAudioEncoder
from .course import added_up, blended, connected
from .posevae import PoseVAE
from .reference import follow
from .smoothing import smooth

BLOCKS_PER_CHUNK = 2


def run_posevae(
    net: PoseVAE,
    speech: SpeechWindows,
    source: FaceCoefficients,
    style: int,
    *,
    generator: torch.Generator | None = None,
    noise: Tensor | None = None,
    reference: FaceCoefficients | None = None,
    chunk: int = BLOCKS_PER_CHUNK,
    on_progress: OnProgress | None = None,
) -> HeadPose:
    """How the head moves while it speaks this: from the portrait's pose on, smoothed, plus a reference's movement.

    style:     0..45 in the released network; how lively the head is
    generator: on the CPU, for the draws; or give them as noise: (pose_blocks(T), Z) ~ N(0, 1)
    reference: T rows of a video whose head movement is added (PARITY.md P19)
    chunk:     blocks at once; the result does not depend on it beyond rounding
    The network is used where it is, in eval mode; the result is float32 on the CPU.
    Raises OptionError for a style that the network does not have, WrongFamily or OptionError for a reference of
    another family or length.
    """
    n_styles = net.config.styles
    if not 0 <= style < n_styles:
        raise OptionError(f"expected a pose_style between 0 and {n_styles - 1}, got {style}.")
    if reference is not None:
        require_family("the reference", reference.family, source.family)
        require_same_length(speech.n_frames, reference=reference)
    noise = _draws(net, speech, generator, noise)
    motion = predict_motion(net, speech, source.pose[:1], style, noise, chunk, on_progress)
    pose = smooth(source.pose[:1] + motion)
    if reference is not None:
        pose = pose + follow(reference)
    return HeadPose(pose, source.family)


def predict_motion(
    net: PoseVAE,
    speech: SpeechWindows,
    start_pose: Tensor,
    style: int,
    noise: Tensor,
    chunk: int = BLOCKS_PER_CHUNK,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """start_pose (1, 6), noise (n, Z) -> (T, 6) difference to start_pose, not yet smoothed; frame 0 has none.

    A network that makes changes gives one course of blocks that overlap, see course.py. Of any other the frames
    behind the first are cut into blocks of 32 (PARITY.md P14). What remains is predicted as the end of a block over the
    last 32 frames, or of a block that begins with copies of the first window when the clip is shorter:

        frames   0 | 1 ....... 32 | 33 ....... 64 | 65 .. 70
        blocks     [======1======] [======2=======]
                                         [====3=====(kept)]
    """
    if net.config.changes:
        return _course(net, speech, start_pose, style, noise, chunk, on_progress)
    length = net.config.frames
    n_blocks = noise.shape[0]
    n_whole, n_rest = divmod(speech.n_frames - 1, length)
    like = next(net.parameters())
    embed_audio = FoldedAudioEncoder(net.audio)

    def place(x: Tensor) -> Tensor:
        return x.to(device=like.device, dtype=like.dtype)

    def run(windows: Tensor, noise: Tensor) -> Tensor:
        """windows (b * L, 1, 80, 16), noise (b, Z) -> (b * L, 6)"""
        n = noise.shape[0]
        styles = torch.full((n,), style, dtype=torch.long, device=like.device)
        audio_embedding = embed_audio(place(windows)).unflatten(0, (n, length))
        return (
            net.decode(place(noise), audio_embedding, place(start_pose).expand(n, -1), styles)
            .flatten(0, 1)
            .float()
            .cpu()
        )

    def of_whole(blocks: slice) -> Tensor:
        return run(speech.windows(1 + blocks.start * length, 1 + blocks.stop * length), noise[blocks])

    pieces = [torch.zeros(1, POSE)]
    chunks = [slice(block, min(block + chunk, n_whole)) for block in range(0, n_whole, chunk)]
    with torch.no_grad():
        with closing(side_by_side(of_whole, chunks, like.device)) as moved:
            for blocks, piece in zip(chunks, moved, strict=True):
                pieces.append(piece)
                if on_progress is not None:
                    on_progress(blocks.stop, n_blocks)
        if n_rest:
            windows = speech.windows(max(1, speech.n_frames - length), speech.n_frames)
            copies = windows[:1].expand(length - windows.shape[0], -1, -1, -1)
            pieces.append(run(torch.cat([copies, windows]), noise[-1:])[-n_rest:])
            if on_progress is not None:
                on_progress(n_blocks, n_blocks)
    return torch.cat(pieces)


def _course(
    net: PoseVAE,
    speech: SpeechWindows,
    start_pose: Tensor,
    style: int,
    noise: Tensor,
    chunk: int,
    on_progress: OnProgress | None,
) -> Tensor:
    """As `predict_motion`, of a network that makes changes. What follows the clip sounds like its last frame."""
    length, n_blocks = net.config.frames, noise.shape[0]
    hop = length // 2
    noise = connected(noise, hop)
    like = next(net.parameters())
    embed_audio = FoldedAudioEncoder(net.audio)

    def place(x: Tensor) -> Tensor:
        return x.to(device=like.device, dtype=like.dtype)

    def embedded(frames: slice) -> Tensor:
        return embed_audio(place(speech.windows(frames.start, frames.stop)))

    def blocks() -> Iterator[Tensor]:
        done, embedding = 0, torch.empty(0)
        for frames, piece in zip(chunks, pieces, strict=True):
            embedding = torch.cat([embedding, piece]) if len(embedding) else piece
            if frames.stop == speech.n_frames:
                embedding = torch.cat(
                    [embedding, embedding[-1:].expand((n_blocks + 1 - done) * hop - len(embedding), -1)]
                )
            n = len(embedding) // hop - 1
            if n < 1:
                continue
            conditions = place(start_pose).expand(n, -1), torch.full((n,), style, dtype=torch.long, device=like.device)
            audio = embedding[: (n + 1) * hop].unfold(0, length, hop).mT
            yield from net.decode(place(noise[done : done + n]), audio, *conditions).float().cpu()
            done, embedding = done + n, embedding[n * hop :]
            if on_progress is not None:
                on_progress(done, n_blocks)

    chunks = [slice(k, min(k + chunk * length, speech.n_frames)) for k in range(1, speech.n_frames, chunk * length)]
    with torch.no_grad(), closing(side_by_side(embedded, chunks, like.device)) as pieces:
        changes = torch.cat([torch.zeros(1, POSE), *blended(blocks())])
    return added_up(changes[: speech.n_frames])


def pose_blocks(net: PoseVAE, n_frames: int) -> int:
    """How many draws a clip of n_frames takes; none for a single frame."""
    step = net.config.frames // 2 if net.config.changes else net.config.frames
    return -(-(n_frames - 1) // step)


def _draws(net: PoseVAE, speech: SpeechWindows, generator: torch.Generator | None, noise: Tensor | None) -> Tensor:
    expected = (pose_blocks(net, speech.n_frames), net.config.latent)
    if noise is None:
        if generator is None:
            raise OptionError("expected a generator or the noise to draw the pose from, got neither.")
        return torch.randn(expected, generator=generator)
    if tuple(noise.shape) != expected:
        raise OptionError(f"expected noise {expected} for {speech.n_frames} frames, got {tuple(noise.shape)}.")
    return noise


__all__ = ["pose_blocks", "predict_motion", "run_posevae"]
