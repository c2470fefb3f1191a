"""The released SadTalker weights: a 3-D face network reads the face, 15 key points move the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

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
    KeypointMotion,
    Motion,
    OnProgress,
    Portrait,
    SpeechWindows,
)
from ..face.crop import CropOptions, face_box
from ..face.extract import extract_released
from ..face.points import FaceSelector, MeshPoints, PointFinder
from ..face.reference_video import ReadingOptions, read_released_video
from ..motion.blink import Blinks
from ..motion.expnet import ExpNet
from ..motion.expression import run_expnet
from ..motion.reference import eyelids_by_expnet
from ..render.driving import DrivingOptions, Tracks, coefficients_to_motion, require_mapping
from ..render.estimate import RELEASED_COST, auto_batch_size, seconds_per_frame, working_bytes
from ..render.facevid2vid.animate import render_frames
from ..render.frames import to_box_aspect
from ..render.preview import preview_keypoints
from .base import Model, Points, Renderer
from .networks import ReleasedNetworks

if TYPE_CHECKING:
    from typing_extensions import Unpack


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
        self, model: Model, portrait: Portrait, mode: CropMode, points: Points | None, **crop: Unpack[CropOptions]
    ) -> tuple[Portrait, FaceCoefficients]:
        finder = self._finder(model, points, FaceSelector.of(portrait))
        (recon,) = model.use(self.networks.face_recon)
        return extract_released(recon, portrait, finder, mode, model.image_size, **crop)

    def extract_video(
        self, model: Model, frames: Iterable[Tensor], fps: float, points: Points | None, **how: Unpack[ReadingOptions]
    ) -> FaceCoefficients:
        finder = self._finder(model, points, how.get("selector", FaceSelector()))
        (recon,) = model.use(self.networks.face_recon)
        return read_released_video(recon, finder, frames, fps, model.image_size, **how)

    def _finder(self, model: Model, points: Points | None, selector: FaceSelector) -> PointFinder:
        if points is not None:
            return points(selector)
        detector, mesh = model.use(self.networks.face_detector, self.networks.face_mesh)
        return MeshPoints(detector, mesh, selector)

    def eyelids(self, reference: FaceCoefficients, net: ExpNet) -> Tensor:
        return eyelids_by_expnet(reference, net)

    def express(
        self, net: ExpNet, speech: SpeechWindows, face: FaceCoefficients, blinks: Blinks, on_progress: OnProgress | None
    ) -> Expression:
        return run_expnet(net, speech, face, blinks.track(speech.n_frames), on_progress=on_progress)

    def coefficients_to_motion(
        self, model: Model, tracks: Tracks, options: DrivingOptions, on_progress: OnProgress | None
    ) -> Motion[KeypointMotion]:
        """In the full crop modes the crop parameters steer the network, which is then another one (PARITY.md P45)."""
        mode = tracks.source.crop_mode
        (mapping,) = model.use(self.networks.mapping_full if mode.full else self.networks.mapping)
        require_mapping(mapping, mode)
        return coefficients_to_motion(mapping, *tracks, options, kind=KeypointMotion, on_progress=on_progress)

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
