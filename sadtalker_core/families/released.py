"""The released SadTalker weights: a 3-D face network reads the face, 15 key points move the image."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..canonical_face import angles_of_rotation, rotation_of_angles
from ..datatypes import (
    RELEASED,
    AnyMotion,
    Box,
    CropMode,
    Expression,
    FaceCoefficients,
    FaceCrop,
    HeadPose,
    KeypointMotion,
    Motion,
    OnProgress,
    Portrait,
    SpeechWindows,
)
from ..face.crop import BY_THE_FACE, FIXED_RENDER, check_render_size, face_box
from ..face.extract import extract_released
from ..face.points import FaceSelector, MeshPoints, PointFinder
from ..face.reference_video import read_released_video
from ..motion.blink import Blinks, chosen_blinks
from ..motion.expnet import ExpNet
from ..motion.expression import run_expnet
from ..motion.reference import eyelids_by_expnet
from ..render.driving import DrivingOptions, coefficients_to_motion, require_mapping
from ..render.estimate import RELEASED_COST, auto_batch_size, seconds_per_frame, working_bytes
from ..render.facevid2vid.animate import render_frames
from ..render.frames import to_box_aspect
from ..render.preview import preview_keypoints
from .base import Model, Points, Renderer
from .networks import ReleasedNetworks


class Released:
    """SadTalker 256, SadTalker 512, and what is trained from them."""

    name = RELEASED
    networks = ReleasedNetworks()
    needs_landmarks = True
    moves_mesh = False

    def face_box(self, points: Tensor, size_wh: tuple[int, int], mode: CropMode) -> Box:
        return face_box(points, size_wh, mode)

    def head_degrees(self, coefficients: FaceCoefficients) -> Tensor:
        """The face model has y up and z to the viewer, and turns by pitch first, then yaw, then roll: so yaw and roll
        change their signs, and the order is undone. It is the inverse of the other by the negative angles.
        """
        angles = coefficients.rotation
        angles = angles_of_rotation(rotation_of_angles(angles * angles.new_tensor([-1.0, 1.0, 1.0])).mT)
        return torch.rad2deg(angles)

    def extract(
        self,
        model: Model,
        portrait: Portrait,
        mode: CropMode,
        *,
        points: Points | None = None,
        crop_scale: float = 1.0,
        offset: tuple[float, float] = (0.0, 0.0),
        render_size: int = FIXED_RENDER,
    ) -> tuple[Portrait, FaceCoefficients]:
        """render_size: has no effect here, where the weights know one size; the log reports another value"""
        check_render_size(render_size)
        if render_size not in (BY_THE_FACE, FIXED_RENDER, model.image_size):
            logging.warning(
                "SadTalker: render_size %d is ignored: the released weights of this model render %d pixels.",
                render_size,
                model.image_size,
            )
        finder = self._finder(model, points, FaceSelector.of(portrait))
        (recon,) = model.use(self.networks.face_recon)
        return extract_released(recon, portrait, finder, mode, model.image_size, crop_scale=crop_scale, offset=offset)

    def extract_video(
        self,
        model: Model,
        frames: Iterable[Tensor],
        fps: float,
        *,
        points: Points | None,
        selector: FaceSelector,
        mode: CropMode,
        missing_face: str,
        n_frames: int = 0,
        on_progress: OnProgress | None = None,
    ) -> FaceCoefficients:
        finder = self._finder(model, points, selector)
        (recon,) = model.use(self.networks.face_recon)
        return read_released_video(
            recon,
            finder,
            frames,
            fps,
            model.image_size,
            mode=mode,
            missing_face=missing_face,
            n_frames=n_frames,
            on_progress=on_progress,
        )

    def _finder(self, model: Model, points: Points | None, selector: FaceSelector) -> PointFinder:
        if points is not None:
            return points(selector)
        detector, mesh = model.use(self.networks.face_detector, self.networks.face_mesh)
        return MeshPoints(detector, mesh, selector)

    def eyelids(self, reference: FaceCoefficients, expnet: ExpNet) -> Tensor:
        return eyelids_by_expnet(reference, expnet)

    def express(
        self,
        expnet: ExpNet,
        speech: SpeechWindows,
        source: FaceCoefficients,
        blinks: Blinks,
        *,
        lids: Tensor | None = None,
        on_progress: OnProgress | None = None,
    ) -> Expression:
        if lids is None:
            lids = chosen_blinks(
                blinks.choice,
                speech.n_frames,
                per_minute=blinks.per_minute,
                strength=blinks.strength,
                seed=blinks.seed,
            )
        return run_expnet(expnet, speech, source, lids, on_progress=on_progress)

    def coefficients_to_motion(
        self,
        model: Model,
        source: FaceCoefficients,
        expression: Expression,
        pose: HeadPose,
        options: DrivingOptions,
        *,
        on_progress: OnProgress | None = None,
    ) -> Motion[KeypointMotion]:
        """In the full crop modes the crop parameters steer the network, which is then another one (PARITY.md P45)."""
        (mapping,) = model.use(self.networks.mapping_full if source.crop_mode.full else self.networks.mapping)
        require_mapping(mapping, source.crop_mode)
        return coefficients_to_motion(
            mapping,
            source,
            expression,
            pose,
            options,
            kind=KeypointMotion,
            on_progress=on_progress,
        )

    def renderer(self, model: Model, crop: FaceCrop, motion: AnyMotion, *, batch_size: int = 0) -> Renderer:
        """batch_size 0: on the CPU 1, on a GPU what fits there."""
        side, rows = crop.pic_size, motion.of(KeypointMotion)
        detector, generator = model.use(
            self.networks.keypoint_detector,
            self.networks.generator,
            working_bytes=max(batch_size, 1) * working_bytes(RELEASED_COST, side),
        )
        place = next(generator.parameters())
        at_once = batch_size or auto_batch_size(RELEASED_COST, side, place.device, model.free_bytes(place.device))

        def batches() -> Iterator[Tensor]:
            for frames in render_frames(
                detector, generator, crop, rows, batch_size=at_once, is_out_of_memory=model.is_out_of_memory
            ):
                yield to_box_aspect(frames, crop.box)

        return Renderer(batches, lambda: seconds_per_frame(RELEASED_COST, side, place.device, place.dtype))

    def preview(self, model: Model, crop: FaceCrop, motion: AnyMotion, *, side: int, behind: bool) -> Iterator[Tensor]:
        (detector,) = model.use(self.networks.keypoint_detector)
        return preview_keypoints(crop, motion.of(KeypointMotion), detector, side=side, behind=behind)
