"""The embedded mini model: a mesh of 468 points reads the face, 64 blendshapes and the head's pose move the image."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..audio.dereverberation import without_reverberation
from ..coefficients import BLENDSHAPE_INDEX
from ..datatypes import (
    MINI,
    AnyMotion,
    BlendshapeMotion,
    Box,
    CropMode,
    Expression,
    FaceCoefficients,
    FaceCrop,
    FrameStream,
    Motion,
    OnProgress,
    Portrait,
    SpeechWindows,
)
from ..face.crop import FIXED_RENDER, CropOptions, square_box
from ..face.extract import extract_mini
from ..face.reference_video import ReadingOptions, read_mini_video
from ..motion.blink import Blinks
from ..motion.expnet import ExpNet
from ..motion.expression import run_expnet
from ..motion.reference import eyelids_by_blendshapes
from ..motion.smoothing import steadied
from ..motion.upper_face import upper_face, with_upper_face
from ..render.driving import DrivingOptions, Tracks, coefficients_to_motion
from ..render.estimate import MINI_COST, auto_batch_size, seconds_per_frame, working_bytes
from ..render.frames import to_box_aspect
from ..render.meshwarp.compositor import render_flow_frames
from ..render.preview import preview_mesh
from ..threads import each_on_few_threads, few_threads
from ..timeline import FRAMES_PER_SECOND
from .base import Model, Points, Renderer
from .networks import MiniNetworks

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: what bypasses MappingNet, and how far it goes: MappingNet would be slower there, and brows or lids would move lips
_UPPER_UNITS = [k for name, k in BLENDSHAPE_INDEX.items() if name.startswith(("brow", "cheekSquint", "eye"))]
_LEAST, _MOST = 0.0, 1.0
#: pieces that a CPU makes side by side by default, and of how many frames and pixels a piece is at
#: most: thousands of small operations are begun less often, and what they work on stays in the cache
PIECES_AT_ONCE, FRAMES_TOGETHER, PIXELS_TOGETHER = 4, 4, 2 * 512**2


class Mini:
    """mini, and what is trained from it."""

    name = MINI
    networks = MiniNetworks()
    needs_landmarks = False
    moves_mesh = True

    def face_box(self, points: Tensor, size_wh: tuple[int, int], mode: CropMode) -> Box:
        return square_box(points, size_wh, mode)

    def head_degrees(self, coefficients: FaceCoefficients) -> Tensor:
        return torch.rad2deg(coefficients.rotation)

    def extract(
        self, model: Model, portrait: Portrait, mode: CropMode, points: Points | None, **crop: Unpack[CropOptions]
    ) -> tuple[Portrait, FaceCoefficients]:
        """points: of no use here, where the mesh is all that is asked"""
        detector, mesh, linear_3dmm, segmenter = model.use(
            self.networks.face_detector,
            self.networks.face_mesh,
            self.networks.linear_3dmm,
            self.networks.person_segmenter,
        )
        cropped, row = extract_mini(
            detector, mesh, linear_3dmm, portrait, mode, model.image_size, segmenter=segmenter, **crop
        )
        if crop.get("render_size", FIXED_RENDER) != FIXED_RENDER:
            _log_size(cropped.require_crop())
        return cropped, row

    def extract_video(
        self, model: Model, frames: Iterable[Tensor], fps: float, points: Points | None, **how: Unpack[ReadingOptions]
    ) -> FaceCoefficients:
        """points: as for `extract`"""
        networks = model.use(self.networks.face_detector, self.networks.face_mesh, self.networks.linear_3dmm)
        return read_mini_video(*networks, frames, fps, model.image_size, **how)

    def eyelids(self, reference: FaceCoefficients, net: ExpNet) -> Tensor:
        """net: not used, since the lids have blendshapes of their own"""
        return eyelids_by_blendshapes(reference)

    def express(
        self, net: ExpNet, speech: SpeechWindows, face: FaceCoefficients, blinks: Blinks, on_progress: OnProgress | None
    ) -> Expression:
        """ExpNet moves the mouth, without haste, by a voice with less of its room; what moves above it is drawn."""
        above = upper_face(speech, blinks)
        dry = without_reverberation(speech, on_progress and (lambda: on_progress(0, speech.n_frames)))
        expression = run_expnet(net, dry, face, above.lids.mean(dim=1), on_progress=on_progress)
        steady = replace(expression, coefficients=steadied(expression.coefficients))
        return with_upper_face(steady, above, face)

    def coefficients_to_motion(
        self, model: Model, tracks: Tracks, options: DrivingOptions, on_progress: OnProgress | None
    ) -> Motion[BlendshapeMotion]:
        """MappingNet looks at 27 frames at once, so it would make blinks shallow and glances slow, and a little of what
        brows and lids do would come out at the lips: it gets the lower face, and the upper bypasses it.
        """
        (mapping,) = model.use(self.networks.mapping)
        source, expression, pose = tracks
        motion = coefficients_to_motion(
            mapping,
            replace(source, expression=_lower_face(source.expression)),
            replace(expression, coefficients=_lower_face(expression.coefficients)),
            pose,
            options,
            kind=BlendshapeMotion,
            on_progress=on_progress,
        )
        return Motion(
            _with_upper_face(motion.driving, expression.coefficients * options.expression_scale),
            _with_upper_face(motion.source, source.expression[:1]),
        )

    def renderer(self, model: Model, crop: FaceCrop, motion: AnyMotion, *, batch_size: int = 0) -> Renderer:
        """batch_size 0: on the CPU a piece a thread, up to PIECES_AT_ONCE, on a GPU what fits there."""
        side, rows = crop.pic_size, motion.of(BlendshapeMotion)
        (net,) = model.use(
            self.networks.flow_renderer, working_bytes=max(batch_size, 1) * working_bytes(MINI_COST, side)
        )
        place = next(net.parameters())
        at_once = batch_size or auto_batch_size(MINI_COST, side, place.device, model.free_bytes(place.device))
        together = None
        if not batch_size and place.device.type == "cpu":
            together = frames_together(side)
            at_once = together * min(torch.get_num_threads(), PIECES_AT_ONCE)  # side by side, each on a thread

        def rendered_frames() -> Iterator[Tensor]:
            for frames in render_flow_frames(
                net,
                crop,
                rows,
                batch_size=at_once,
                together=together,
                is_out_of_memory=model.is_out_of_memory,
            ):
                yield to_box_aspect(frames, crop.box)

        @few_threads()
        def estimate() -> float:
            return seconds_per_frame(MINI_COST, side, place.device, place.dtype)

        return Renderer(lambda: each_on_few_threads(rendered_frames()), estimate)

    def preview(self, model: Model, crop: FaceCrop, motion: AnyMotion, *, side: int, behind: bool) -> Iterator[Tensor]:
        return preview_mesh(crop, motion.of(BlendshapeMotion), side=side, behind=behind)


def frames_together(side: int) -> int:
    """How many frames of this side a thread makes in one go."""
    return max(1, min(FRAMES_TOGETHER, PIXELS_TOGETHER // side**2))


def _log_size(crop: FaceCrop) -> None:
    """How large the head will be, and what a minute of it weighs for those who want it as one batch."""
    height, width = crop.frame_hw
    minute = FrameStream(60 * FRAMES_PER_SECOND, height, width, lambda: iter(()))
    logging.info(
        "SadTalker: the head is rendered at %d x %d pixels (its box in the image: %d x %d). A minute of it weighs %.1f "
        "GB as an IMAGE batch (Face Render); Render Video holds a few frames at a time.",
        width,
        height,
        crop.box.width,
        crop.box.height,
        minute.n_bytes / 1e9,
    )


def _lower_face(coefficients: Tensor) -> Tensor:
    """(T, 64) -> the same, the upper face at rest; what is NaN stays so, to be refused"""
    rows = coefficients.clone()
    rows[:, _UPPER_UNITS] *= 0
    return rows


def _with_upper_face(rows: BlendshapeMotion, coefficients: Tensor) -> BlendshapeMotion:
    """coefficients: (T, 64), the input of MappingNet"""
    weights = rows.weights.clone()
    weights[:, _UPPER_UNITS] = coefficients[:, _UPPER_UNITS].to(weights).clamp(_LEAST, _MOST)
    return replace(rows, weights=weights)
