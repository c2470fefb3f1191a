"""Tracks of a clip come in, a short video goes out: the recording on the left, the prediction on the right, with audio.

A clip with images is shown as recorded, and its predicted tracks as the base model renders them on its first image. One
without images (synthetic speech) is shown as a grey head, twice. Letters: `T` frames, `S` the side of an image.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .. import pipeline
from ..compose.video import VideoWriter
from ..datatypes import CropMode, Expression, FaceCoefficients, HeadPose, Portrait
from ..errors import SadTalkerError
from ..model import SadTalkerModel
from ..timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ
from .clips import Clip
from .faces import IMAGE_SIDE, Face, mouth_images
from .trainer import SampleVideo

#: length of a video in frames: three seconds show whether lips follow and heads sway
SAMPLE_FRAMES = 75
#: TensorBoard shows every third image, small
BOARD_EVERY, BOARD_HEIGHT = 3, 128


def sample_clip(clips: list[Clip]) -> Clip | None:
    """The clip to show: the longest with images, or the longest of all, cut to SAMPLE_FRAMES; None for no clips."""
    if not clips:
        return None
    candidates = [clip for clip in clips if clip.has_images()] or clips
    longest = max(candidates, key=lambda clip: clip.n_frames)
    return longest.part(0, min(longest.n_frames, SAMPLE_FRAMES))


class TrackVideos:
    """Videos of coefficient tracks.  base: the model that renders them;  face: draws them for clips without images"""

    def __init__(self, base: SadTalkerModel, face: Face | None):
        self.base, self.face = base, face
        self._real: dict[Clip, Tensor] = {}

    def write(
        self, folder: Path, step: int, clip: Clip, *, expression: Tensor | None = None, pose: Tensor | None = None
    ) -> SampleVideo | None:
        """expression (T, 64), pose (T, 6): the prediction; None takes the clip's own. Returns None where neither the
        base nor a face mesh can show it.
        """
        rows = clip.coefficients()
        predicted = rows.expression if expression is None else expression.float().cpu()
        moved = rows.pose if pose is None else pose.float().cpu()
        try:
            drawn = (
                self._rendered(clip, rows, predicted, moved)
                if clip.has_images()
                else self._meshes(rows, predicted, moved)
            )
        except SadTalkerError:  # the base sees no face in the image, or has no networks that render
            drawn = self._meshes(rows, predicted, moved)
        if drawn is None:
            return None
        if clip not in self._real:
            real = (
                clip.images(range(clip.n_frames))
                if clip.has_images()
                else self._meshes(rows, rows.expression, rows.pose)
            )
            assert real is not None
            self._real = {clip: real}
        return write_sample_video(folder, step, self._real[clip], drawn, clip.speech().wave)

    def _rendered(self, clip: Clip, rows: FaceCoefficients, predicted: Tensor, moved: Tensor) -> Tensor:
        portrait = Portrait(clip.images([0])[0].permute(1, 2, 0))
        cropped, source = pipeline.extract(self.base, portrait, CropMode.FULL)
        pose = source.pose[:1] + moved - moved[:1]
        motion = pipeline.coefficients_to_motion(
            self.base, source, Expression(predicted, rows.family), HeadPose(pose, rows.family)
        )
        heads = torch.cat([*pipeline.render(self.base, cropped, motion).batches()])
        whole, _ = pipeline.paste(heads.permute(0, 2, 3, 1), cropped)
        return torch.cat([*whole.batches()])

    def _meshes(self, rows: FaceCoefficients, predicted: Tensor, moved: Tensor) -> Tensor | None:
        if self.face is None:
            return None
        who = replace(rows, rotation=moved[:, :3], translation=moved[:, 3:])
        centre = torch.full((1, 2), IMAGE_SIDE / 2)
        grey = [
            mouth_images(self.face.mesh(_row(who, i), predicted[i : i + 1]), centre, IMAGE_SIDE)
            for i in range(len(predicted))
        ]
        return torch.cat(grey)[:, None].expand(-1, 3, -1, -1)


def _row(rows: FaceCoefficients, i: int) -> FaceCoefficients:
    full, crop = rows.full_rows()[i : i + 1], rows.crop[i : i + 1]
    return FaceCoefficients.from_full_rows(
        full, crop, family=rows.family, crop_mode=rows.crop_mode, pic_size=rows.pic_size
    )


def write_sample_video(folder: Path, step: int, real: Tensor, drawn: Tensor, wave: Tensor | None) -> SampleVideo:
    """real, drawn (T, 3, S, S) in 0..1, side by side -> folder/step_<number>.mp4; the shorter one ends it."""
    folder.mkdir(parents=True, exist_ok=True)
    n_frames = min(len(real), len(drawn))
    drawn = drawn[:n_frames].float().cpu().clamp(0, 1)
    if drawn.shape[-2:] != real.shape[-2:]:
        drawn = interpolate(drawn, size=real.shape[-2:], mode="bilinear", align_corners=False)
    both = torch.cat([real[:n_frames], drawn], dim=-1)
    if both.shape[-2] < BOARD_HEIGHT:
        both = interpolate(both, scale_factor=float(-(-BOARD_HEIGHT // both.shape[-2])), mode="nearest")
    frames = both.permute(0, 2, 3, 1)
    file = folder / f"step_{step:07}.mp4"
    audio = None if wave is None else (wave[None], SAMPLE_RATE_HZ)
    with VideoWriter(file, (frames.shape[2], frames.shape[1]), FRAMES_PER_SECOND, audio=audio) as video:
        video.write(frames)
    few = both[::BOARD_EVERY]
    small = interpolate(few, scale_factor=BOARD_HEIGHT / few.shape[-2], mode="area", recompute_scale_factor=True)
    levels = (small.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return SampleVideo(file, levels, FRAMES_PER_SECOND / BOARD_EVERY, wave)


__all__ = ["TrackVideos", "sample_clip", "write_sample_video"]
