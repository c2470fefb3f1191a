"""What is passed between the packages, and so on the wires between the nodes: frozen records, shapes and units beside
them.

Letters: `H W` an image in pixels, `S` the side of the cropped square, `T` video frames, `P` numbers per frame that
move the key points (45 = 15 x 3 offsets in the released family, 64 blendshape weights in the mini family).
Images are float32 in 0..1, RGB. Points are (x, y) in pixels, x right, y down, the centre of the first pixel at 0.5.
Records hold tensors on the CPU; whoever computes moves them. Nobody writes on a tensor that came in by a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from . import coefficients as layout
from .errors import DoesNotFit, OptionError, WrongFamily
from .timeline import (
    FRAMES_PER_SECOND,
    MEL_STEPS_PER_WINDOW,
    SAMPLES_PER_FRAME,
    half_frame_window_start,
    window_start,
)

#: (how much is done, of how much); may raise to stop
OnProgress = Callable[[int, int], None]

RELEASED = "released"
MINI = "mini"
#: the families whose expression coefficients have names
_NAMED_BASES: Mapping[str, Mapping[str, int]] = {MINI: layout.BLENDSHAPE_INDEX}


class CropMode(str, Enum):
    """How much of the image is driven, and whether the head is put back into it."""

    CROP = "crop"  #: a square-ish box around the head
    EXTENDED_CROP = "extcrop"  #: the same, wider
    RESIZE = "resize"  #: the whole image is squeezed into the square
    FULL = "full"  #: as crop, to be pasted back; the crop parameters steer the mapping network
    EXTENDED_FULL = "extfull"  #: as extcrop, likewise

    @property
    def extended(self) -> bool:
        return self in (CropMode.EXTENDED_CROP, CropMode.EXTENDED_FULL)

    @property
    def full(self) -> bool:
        return self in (CropMode.FULL, CropMode.EXTENDED_FULL)


class PoseAngles(NamedTuple):
    """A number for each angle of the head, in the one order that rows of coefficients have: degrees, radians, or
    factors.
    """

    pitch: float
    yaw: float
    roll: float


#: factors that leave the head as it is
UNSCALED = PoseAngles(1.0, 1.0, 1.0)


class Box(NamedTuple):
    """A box in whole pixels: the left top corner and the size."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    def height_at(self, width: int) -> int:
        """How high an image of this width is in the aspect of the box: rounded down, as the original's frames are."""
        return max(1, width * self.height // self.width)


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """A face cut out of its image, and the way back.

    image:     (3, S, S) the box of the image, resized to the square
    landmarks: (N, 3) or (N, 2) points in pixels of the square; 68 in the released family, the 468 of the mesh in mini
    box:       where the square lies in the image; may be wider than high, the square is then squeezed
    mode:      how the box was chosen
    fine:      cut with a filter at a size of its own, for a renderer that looks it up as finely as it can; False for
               the fixed square of crop.FIXED_RENDER
    irises:    (2, 3) x, y and radius of the left and the right iris in pixels of the square, or None where they are not
               clearly visible, or not looked for
    mouth_covered: whether something lies over the mouth that does not move with it, a mask or a hand (face/covered.py)
    alpha:     (1, S, S) in 0..1, 1 where the square shows the person and 0 where the image is transparent; None where
               nothing of the image is transparent
    person:    (1, S, S) in 0..1, where the square shows the person and not what is behind (face/person.py); None where
               it was not computed
    cut_out:   whether person is the portrait's own cut-out, so that nothing beyond it is the person's
    """

    image: Tensor
    landmarks: Tensor
    box: Box
    mode: CropMode
    irises: Tensor | None = None
    fine: bool = False
    mouth_covered: bool = False
    alpha: Tensor | None = None
    person: Tensor | None = None
    cut_out: bool = False

    @property
    def pic_size(self) -> int:
        return self.image.shape[-1]

    @property
    def frame_hw(self) -> tuple[int, int]:
        """The size of the renderer's frames: as wide as the square, in the aspect of the box."""
        return self.box.height_at(self.pic_size), self.pic_size


@dataclass(frozen=True, eq=False)
class Portrait:
    """An image, and which face of it is animated.

    image:      (H, W, 3)
    mask:       (H, W) in 0..1, 1 where the image is transparent (as ComfyUI's Load Image gives it), or None
    face_index: the face after ordering, from 0
    face_order: see face/landmarks.py: "largest", "left to right", ...
    face_box:   the user's own box around the face, or None to look for faces
    crop:       filled in by 3DMM Extract
    name:       what the user knows it by, a file's name; for sentences
    checked:    whether `image` is one that all stages can use; `face.portrait.check_portrait` sees to it
    """

    image: Tensor
    mask: Tensor | None = None
    face_index: int = 0
    face_order: str = "largest"
    face_box: Box | None = None
    crop: FaceCrop | None = None
    name: str = ""
    checked: bool = False

    def mask_or_zeros(self) -> Tensor:
        """(H, W), zeros when the image has no transparency."""
        return torch.zeros(self.image.shape[:2]) if self.mask is None else self.mask

    def alpha(self) -> Tensor | None:
        """(H, W) in 0..1, 1 where the image shows something, which is the mask the other way round; None where nothing
        of it is transparent.
        """
        if self.mask is None or self.mask.shape != self.image.shape[:2] or not self.mask.any():
            return None
        return 1 - self.mask

    def require_crop(self) -> FaceCrop:
        """The face cut out; OptionError when the portrait has not been through 3DMM Extract yet."""
        if self.crop is None:
            raise OptionError("this portrait has no cropped face yet; connect the portrait output of 3DMM Extract.")
        return self.crop

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, eq=False)
class FaceCoefficients:
    """A face as coefficients of the face model, one row per frame (one row for a portrait).

    identity (T, 80), expression (T, 64), texture (T, 80), rotation (T, 3) pitch, yaw, roll in radians,
    lighting (T, 27), translation (T, 3), crop (T, 3) = scale and centre of the alignment in pixels of the square.
    family: whose basis the numbers are in.  pic_size: the side of that square.
    found: (T,) bool, False where a video frame showed no face and its row was held; None for a portrait.
    """

    identity: Tensor
    expression: Tensor
    texture: Tensor
    rotation: Tensor
    lighting: Tensor
    translation: Tensor
    crop: Tensor
    family: str
    crop_mode: CropMode
    pic_size: int
    found: Tensor | None = None

    def __len__(self) -> int:
        return self.expression.shape[0]

    @property
    def pose(self) -> Tensor:
        """(T, 6) rotation and translation."""
        return torch.cat([self.rotation, self.translation], dim=-1)

    def motion_rows(self) -> Tensor:
        """(T, 70) expression, rotation, translation."""
        return torch.cat([self.expression, self.rotation, self.translation], dim=-1)

    def crop_rows(self) -> Tensor:
        """(T, 73) the same with the crop parameters behind."""
        return torch.cat([self.motion_rows(), self.crop], dim=-1)

    def full_rows(self) -> Tensor:
        """(T, 257) without the crop parameters, in the order of the 3-D face network."""
        return torch.cat([getattr(self, name) for name in layout.FULL_LAYOUT], dim=-1)

    @classmethod
    def from_full_rows(
        cls, rows: Tensor, crop: Tensor, *, family: str, crop_mode: CropMode, pic_size: int, found: Tensor | None = None
    ) -> FaceCoefficients:
        """rows (T, 257) and crop (T, 3) -> the record."""
        parts = layout.split_row(rows, layout.FULL_LAYOUT)
        return cls(**parts, crop=crop, family=family, crop_mode=crop_mode, pic_size=pic_size, found=found)

    @classmethod
    def from_crop_rows(
        cls, rows: Tensor, *, family: str, crop_mode: CropMode, pic_size: int, found: Tensor | None = None
    ) -> FaceCoefficients:
        """rows (T, 73) -> the record; who the face is and how it is lit is not in them and stays 0."""
        parts = layout.split_row(rows, layout.CROP_LAYOUT)
        unknown = {
            name: rows.new_zeros(rows.shape[0], width)
            for name, width in layout.FULL_LAYOUT.items()
            if name not in parts
        }
        return cls(**parts, **unknown, family=family, crop_mode=crop_mode, pic_size=pic_size, found=found)


@dataclass(frozen=True, eq=False)
class SpeechWindows:
    """A voice as the networks read it.

    mel:      (n_mel, 80) in -4..4, 80 steps a second; kept as one track, because windows overlap fivefold
    n_frames: T, video frames at 25 a second
    wave:     (n,) mono 16 kHz float32 in -1..1, or None for the idle mode (no voice: windows are then all zeros)
    """

    mel: Tensor
    n_frames: int
    wave: Tensor | None = None

    @property
    def n_samples(self) -> int:
        return self.n_frames * SAMPLES_PER_FRAME

    @property
    def seconds(self) -> float:
        return self.n_frames / FRAMES_PER_SECOND

    def windows(self, start: int = 0, stop: int | None = None) -> Tensor:
        """(B, 1, 80, 16): the mel windows of the frames start..stop, steps outside the track clamped to its ends."""
        frames = range(start, self.n_frames if stop is None else stop)
        first = torch.tensor([window_start(i) for i in frames], dtype=torch.long)
        steps = first[:, None] + torch.arange(MEL_STEPS_PER_WINDOW)
        return self._rows(steps).transpose(1, 2).unsqueeze(1).contiguous()

    def half_frame_windows(self, start: int, stop: int) -> Tensor:
        """(2 B + 1, 1, 80, 16): windows every half frame, from half a frame before frame `start` to half a frame after
        the last one before `stop`; what lies between two mel steps is mixed of both.
        """
        begins = [half_frame_window_start(half) for half in range(2 * start - 1, 2 * stop)]
        first = torch.tensor([whole for whole, _ in begins], dtype=torch.long)
        share = torch.tensor([share for _, share in begins], dtype=self.mel.dtype)[:, None, None]
        rows = self._rows(first[:, None] + torch.arange(MEL_STEPS_PER_WINDOW + 1))
        mixed = torch.lerp(rows[:, :-1], rows[:, 1:], share)
        return mixed.transpose(1, 2).unsqueeze(1).contiguous()

    def steps(self, start: int, stop: int) -> Tensor:
        """(stop - start, 80): these steps of the mel track, those outside clamped to its ends."""
        return self._rows(torch.arange(start, stop))

    def _rows(self, steps: Tensor) -> Tensor:
        return self.mel[steps.clamp(0, self.mel.shape[0] - 1)]


@dataclass(frozen=True, eq=False)
class Expression:
    """How the face moves: (T, 64) expression coefficients in the family's basis."""

    coefficients: Tensor
    family: str

    def __len__(self) -> int:
        return self.coefficients.shape[0]

    @property
    def blendshapes(self) -> Mapping[str, int]:
        """Which column is which blendshape, by ARKit's names; empty in a basis whose numbers have none, where each of
        them moves mouth, eyes and brows together.
        """
        return _NAMED_BASES.get(self.family, {})


@dataclass(frozen=True, eq=False)
class HeadPose:
    """How the head moves: (T, 6) = rotation (pitch, yaw, roll; radians) and translation, absolute."""

    coefficients: Tensor
    family: str

    def __len__(self) -> int:
        return self.coefficients.shape[0]

    @property
    def rotation(self) -> Tensor:
        """(T, 3) pitch, yaw, roll in radians: down, to the left of the image, clockwise as seen in it."""
        return self.coefficients[:, : layout.ROTATION]

    @property
    def translation(self) -> Tensor:
        """(T, 3) where the head is, in the units of the family."""
        return self.coefficients[:, layout.ROTATION :]


@dataclass(frozen=True, eq=False)
class _HeadMotion:
    """How the head moves, in the form that both families share, and one row per frame of whatever a subclass adds."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    translation: Tensor

    def __len__(self) -> int:
        return self.yaw.shape[0]

    def __getitem__(self: _Rows, rows: slice) -> _Rows:
        taken: dict[str, Any] = {part.name: getattr(self, part.name)[rows] for part in fields(self)}
        return replace(self, **taken)


_Rows = TypeVar("_Rows", bound=_HeadMotion)


@dataclass(frozen=True, eq=False)
class KeypointMotion(_HeadMotion):
    """What MappingNet predicts for each frame in the released family.

    yaw, pitch, roll: (T,) degrees;  translation: (T, 3), of which only y is used
    offsets: (T, 45), where the 15 key points go beside that: (x, y, z) each, in halves of the square
    """

    offsets: Tensor
    family: ClassVar[str] = RELEASED


@dataclass(frozen=True, eq=False)
class BlendshapeMotion(_HeadMotion):
    """What MappingNet predicts for each frame in the mini family.

    yaw, pitch, roll: (T,) degrees
    translation: (T, 3), x and y in halves of the square, y down, and the logarithm of the scale
    weights:     (T, 64), 0 not at all, 1 fully, in the order of coefficients.ARKIT_BLENDSHAPES
    """

    weights: Tensor
    family: ClassVar[str] = MINI


MotionRows = TypeVar("MotionRows", KeypointMotion, BlendshapeMotion)
_Wanted = TypeVar("_Wanted", KeypointMotion, BlendshapeMotion)


@dataclass(frozen=True, eq=False)
class Motion(Generic[MotionRows]):
    """The driving rows, one per frame, and the row of the source image, so that a renderer knows the difference."""

    driving: MotionRows
    source: MotionRows

    def __len__(self) -> int:
        return len(self.driving)

    @property
    def family(self) -> str:
        return self.driving.family

    def __getitem__(self, frames: slice) -> Motion[MotionRows]:
        """A piece of the clip."""
        return Motion(self.driving[frames], self.source)

    def of(self, kind: type[_Wanted]) -> Motion[_Wanted]:
        """The same, known to have rows of that kind. Raises WrongFamily where it has the other."""
        require_family("the motion", self.family, kind.family)
        if not (isinstance(self.driving, kind) and isinstance(self.source, kind)):
            raise TypeError(f"expected driving and source rows of one kind, got {type(self.source).__name__}")
        return Motion(self.driving, self.source)


#: what travels on a wire, and knows itself of which kind it is
AnyMotion = Motion[KeypointMotion] | Motion[BlendshapeMotion]


@dataclass(frozen=True, eq=False)
class FrameStream:
    """Frames to come: how many and how large they will be, and the making of them, batch by batch.

    batches: called once; yields (B, 3, height, width) in 0..1 until n_frames have come
    seconds_per_frame: makes an estimate, which may have to be measured, when somebody wants to know; or None
    has_alpha: whether a fourth channel comes with the three, (B, 4, height, width): 1 where a frame shows something, 0
               where it is transparent; its colours are not multiplied by it
    """

    n_frames: int
    height: int
    width: int
    batches: Callable[[], Iterator[Tensor]]
    seconds_per_frame: Callable[[], float] | None = None
    has_alpha: bool = False

    @property
    def n_bytes(self) -> int:
        """What all frames weigh as one float32 IMAGE batch, and their alpha as a MASK batch."""
        return self.n_frames * self.height * self.width * (4 if self.has_alpha else 3) * 4

    def summary(self) -> str:
        """What is about to be made, for the log: frames, size, megabytes, time."""
        size = f"{self.n_frames} frames of {self.width} x {self.height}, {self.n_bytes / 1e6:.0f} MB"
        if self.seconds_per_frame is None:
            return size
        seconds = self.n_frames * self.seconds_per_frame()
        return f"{size}, about {seconds / 60:.0f} min" if seconds >= 90 else f"{size}, about {max(seconds, 1):.0f} s"

    def check_memory(self, available_bytes: int) -> None:
        """Raises DoesNotFit when the whole batch cannot be held; raised before the work, not after it."""
        if self.n_bytes > available_bytes:
            raise DoesNotFit(
                f"{self.summary()} do not fit into the {available_bytes / 1e6:.0f} MB of free memory. "
                "Use shorter audio, a smaller image or a smaller render_size, split the audio and run the parts one by "
                "one, or use Render Video."
            )


def require_family(what: str, record_family: str, model_family: str) -> None:
    """Refuse a wire that was made with the other family of weights. what: how the user sees the wire, "The motion"."""
    if record_family != model_family:
        raise WrongFamily(
            f"{what} was made with a {record_family} model, but this node holds a {model_family} model. "
            f"Connect the same Load SadTalker Model node to every stage."
        )


def require_same_length(n_frames: int, **tracks: Any) -> None:
    """Refuse tracks of another length than the clip, naming them."""
    for name, track in tracks.items():
        if len(track) != n_frames:
            raise OptionError(
                f"expected {n_frames} frames of {name}, got {len(track)}; make both from the same Audio Encode."
            )


__all__ = [
    "MINI",
    "RELEASED",
    "UNSCALED",
    "AnyMotion",
    "BlendshapeMotion",
    "Box",
    "CropMode",
    "Expression",
    "FaceCoefficients",
    "FaceCrop",
    "FrameStream",
    "HeadPose",
    "KeypointMotion",
    "Motion",
    "MotionRows",
    "OnProgress",
    "Portrait",
    "PoseAngles",
    "SpeechWindows",
    "require_family",
    "require_same_length",
]
