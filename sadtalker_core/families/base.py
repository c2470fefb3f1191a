"""What a family of weights has to be able to do, and what it is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ..datatypes import (
    AnyMotion,
    Box,
    CropMode,
    Expression,
    FaceCoefficients,
    FaceCrop,
    OnProgress,
    Portrait,
    SpeechWindows,
)
from ..face.crop import CropOptions
from ..face.points import FaceSelector, PointFinder
from ..face.reference_video import ReadingOptions
from ..motion.blink import Blinks
from ..motion.expnet import ExpNet
from ..render.driving import DrivingOptions, Tracks
from .networks import FamilyNetworks, NetworkHost

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: makes the finder of 68 points for the selected face; None stands for the embedded mesh
Points = Callable[[FaceSelector], PointFinder]


class Model(NetworkHost):
    """Where a stage gets its networks from: model.SadTalkerModel, or the node layer's ManagedModel."""

    family: Family
    image_size: int  #: the side of the square that it drives, in pixels

    def free_bytes(self, device: torch.device) -> int:
        """What is free there, when the networks have come."""
        raise NotImplementedError

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether the error was that memory ran out; if so, memory that is no longer used is freed."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Renderer:
    """A clip that is ready to be drawn.

    batches: called once; yields (B, 3, height, width) in 0..1, float32, in the aspect of the crop's box
    seconds_per_frame: an estimate, which may have to be measured
    """

    batches: Callable[[], Iterator[Tensor]]
    seconds_per_frame: Callable[[], float]


class Family(Protocol):
    """What one kind of weights does in its own way. `model` is always one of this family, and so are the records."""

    @property
    def name(self) -> str:
        """As the records and the files have it."""
        ...

    @property
    def networks(self) -> FamilyNetworks: ...

    @property
    def needs_landmarks(self) -> bool:
        """Whether a face is read by its 68 landmarks, so that it matters who finds them."""
        ...

    @property
    def moves_mesh(self) -> bool:
        """Whether it moves a face by its mesh, so that a mouth can be moved alone; otherwise heads are redrawn."""
        ...

    def face_box(self, points: Tensor, size_wh: tuple[int, int], mode: CropMode) -> Box:
        """The part of an image that is driven, around these points (N, 2); see face.crop."""
        ...

    def head_degrees(self, coefficients: FaceCoefficients) -> Tensor:
        """(T, 3) pitch, yaw, roll in degrees, with the signs and in the order in which key points are turned."""
        ...

    def extract(
        self, model: Model, portrait: Portrait, mode: CropMode, points: Points | None, **crop: Unpack[CropOptions]
    ) -> tuple[Portrait, FaceCoefficients]:
        """The portrait with its face cut out, and one row of coefficients.  points: None stands for the mesh's own"""
        ...

    def extract_video(
        self, model: Model, frames: Iterable[Tensor], fps: float, points: Points | None, **how: Unpack[ReadingOptions]
    ) -> FaceCoefficients:
        """Frames (H, W, 3) of a clip -> one row for each frame at 25 fps."""
        ...

    def eyelids(self, reference: FaceCoefficients, net: ExpNet) -> Tensor:
        """(L,) in 0..1: how far the lids of the reference are down; its mouth is ignored."""
        ...

    def express(
        self, net: ExpNet, speech: SpeechWindows, face: FaceCoefficients, blinks: Blinks, on_progress: OnProgress | None
    ) -> Expression:
        """How this face moves while it speaks this."""
        ...

    def coefficients_to_motion(
        self, model: Model, tracks: Tracks, options: DrivingOptions, on_progress: OnProgress | None
    ) -> AnyMotion:
        """Tracks -> what moves the image, see render.driving."""
        ...

    def renderer(self, model: Model, crop: FaceCrop, motion: AnyMotion, *, batch_size: int = 0) -> Renderer:
        """What draws the frames of this motion.  batch_size: frames at once; 0 chooses"""
        ...

    def preview(self, model: Model, crop: FaceCrop, motion: AnyMotion, *, side: int, behind: bool) -> Iterator[Tensor]:
        """Drawings (side, side, 3) of how the face will move, see render.preview."""
        ...
