"""Frames and their sound come in, how well they fit together goes out: `SyncScores`.

The network looks at the lower part of the face. Both streams are encoded once; then the image is shifted against the
sound, and the logits of "this face says this sound" are averaged for each shift.
Letters: `T` video frames at 25 fps, `n` samples at 16 kHz.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sadtalker_core.errors import FaceNotFound
from sadtalker_core.face.embedded import embedded_face_nets
from sadtalker_core.face.mesh import track_meshes
from sadtalker_core.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ

from .mfcc import FRAME, HOP, mfcc
from .network import LRASD, MFCC_PER_FRAME, SIDE, in_pieces, load_network

WEIGHTS = "lr_asd_ava.safetensors"
JUDGE = "JUDGE"  #: the environment variable with the folder of the weights

#: logits are averaged over pieces of so many frames, which the recurrent layers see as clips of their own
PIECE = 100
FURTHEST_SHIFT = 25
#: the best shift is looked for within this
SEARCHED_SHIFT = 10
#: shifts at which a face may still be in sync, and those at which it surely is not
IN_SYNC, OUT_OF_SYNC = range(-1, 5), range(10, FURTHEST_SHIFT + 1)
#: fewer frames than this leave nothing to compare at the furthest shift
LEAST_FRAMES = 2 * FURTHEST_SHIFT
#: what both controls must fall below
CONTROL_BELOW = -2.0

#: the crop in half sides of the mesh's box: its side, and its upper edge above the centre of the box
CROP_SIDE, CROP_ABOVE = 1.4, 0.3
SMOOTHED_FRAMES = 13


@dataclass(frozen=True)
class SyncScores:
    """level: mean logit as filmed;  best_shift: frames by which the image comes after the sound (below 0: before it)
    where the score is best within +-10;  margin: best score near 0 minus the mean of scores far from it;  z: level
    against the same image with wrong voices, in their standard deviations (nan with fewer than two);  noise, still:
    the two controls, noise as sound and a still frame as image.
    """

    level: float
    best_shift: int
    margin: float
    z: float
    noise: float
    still: float

    @property
    def controls_hold(self) -> bool:
        """Whether the evaluator rejects what nobody would accept; when it does not, its other numbers say nothing."""
        return max(self.noise, self.still) < CONTROL_BELOW


def find_weights(folder: Path | str | None = None) -> Path | None:
    """The file in the given folder, else in that of JUDGE; None where it is not."""
    named = folder or os.environ.get(JUDGE)
    file = Path(named) / WEIGHTS if named else None
    return file if file and file.is_file() else None


def missing_sentence(folder: Path | str | None = None) -> str:
    """Why there are no rows of sync."""
    named = folder or os.environ.get(JUDGE)
    missing = f"{WEIGHTS} is not in {named}" if named else f"no folder with {WEIGHTS} is named"
    return f"no sync rows: {missing}; name the folder that has it in {JUDGE} or with --weights"


class SyncEvaluator:
    """The network with its weights, and the pack's own face mesh for the crops."""

    def __init__(self, weights: Path):
        self.net = load_network(weights)
        self.faces = embedded_face_nets()

    def meshes(self, frames: Iterable[np.ndarray]) -> Tensor:
        """(H, W, 3) uint8 frames -> (T, 468, 3) in pixels. Raises FaceNotFound when no frame shows a face."""
        floats = (torch.from_numpy(np.ascontiguousarray(frame)).float() / 255 for frame in frames)
        found = [mesh and mesh.points for mesh in track_meshes(*self.faces, floats)]
        seen = [number for number, points in enumerate(found) if points is not None]
        if not seen:
            raise FaceNotFound("no frame of the video shows a face")
        nearest = (min(seen, key=lambda other: abs(other - number)) for number in range(len(found)))
        return torch.stack([points for points in map(found.__getitem__, nearest) if points is not None])

    def evaluate(self, frames: np.ndarray, sound: np.ndarray, wrong: Sequence[np.ndarray] = ()) -> SyncScores:
        """frames (T, H, W, 3) uint8, their sound (n,) in -1..1, and the sounds of other videos."""
        return self.score(mouth_crops(frames, self.meshes(frames)), sound, wrong)

    @torch.no_grad()
    def score(self, crops: np.ndarray, sound: np.ndarray, wrong: Sequence[np.ndarray] = ()) -> SyncScores:
        """The same for crops (T, 112, 112) uint8 that were cut before. Raises ValueError for a clip below two
        seconds.
        """
        n_frames = min(len(crops), int(len(sound) * FRAMES_PER_SECOND / SAMPLE_RATE_HZ))
        if n_frames < LEAST_FRAMES:
            raise ValueError(f"expected at least {LEAST_FRAMES} frames with sound, got {n_frames}")
        crops = crops[:n_frames]
        video, audio = self._encode_video(crops), self._encode_audio(sound, n_frames)
        curve = {k: score_at(self.net, video, audio, k) for k in range(-FURTHEST_SHIFT, FURTHEST_SHIFT + 1)}
        others = [self._encode_audio(other, n_frames) for other in wrong]
        false = [score_at(self.net, video, other, 0) for other in others]
        noise = np.random.default_rng(0).normal(0, max(float(np.std(sound)), 1e-3), len(sound))
        n_still = min(n_frames, PIECE)
        still = self._encode_video(np.repeat(crops[n_frames // 2][None], n_still, 0))
        return SyncScores(
            level=curve[0],
            best_shift=best_shift(curve),
            margin=margin(curve),
            z=float((curve[0] - np.mean(false)) / np.std(false)) if len(false) > 1 else float("nan"),
            noise=score_at(self.net, video, self._encode_audio(noise, n_frames), 0),
            still=score_at(self.net, still, audio[:, :n_still], 0),
        )

    def _encode_video(self, crops: np.ndarray) -> Tensor:
        return in_pieces(self.net.encode_video, torch.from_numpy(crops).float()[None, None], 1)

    def _encode_audio(self, sound: np.ndarray, n_frames: int) -> Tensor:
        steps = torch.from_numpy(mfcc_of_frames(sound, n_frames)).float().T[None, None]
        return in_pieces(self.net.encode_audio, steps, MFCC_PER_FRAME)


def mfcc_of_frames(sound: np.ndarray, n_frames: int) -> np.ndarray:
    """(n,) in -1..1 -> (4 T, 13); silence where the sound ends before the frames do."""
    n_steps = MFCC_PER_FRAME * n_frames
    needed = (n_steps - 1) * HOP + FRAME
    samples = (np.clip(sound[:needed], -1, 1) * 32767).astype(np.int16)
    return mfcc(np.pad(samples, (0, needed - len(samples))))


# ------------------------------------------------------------------------------------------------------------- shifts


def score_at(net: LRASD, video: Tensor, audio: Tensor, shift: int) -> float:
    """The mean logit when frame t + shift of the image, (1, T, 128), meets frame t of the sound."""
    video, audio = video[:, max(shift, 0) :], audio[:, max(-shift, 0) :]
    n = min(video.shape[1], audio.shape[1])
    pieces = zip(video[:, :n].split(PIECE, 1), audio[:, :n].split(PIECE, 1), strict=True)
    return float(torch.cat([net.compare(*piece) for piece in pieces], 1).mean())


def best_shift(curve: dict[int, float]) -> int:
    """The shift with the best score within +-10; of equals the one nearest to 0."""
    return max(range(-SEARCHED_SHIFT, SEARCHED_SHIFT + 1), key=lambda shift: (curve[shift], -abs(shift)))


def margin(curve: dict[int, float]) -> float:
    """The best score in sync minus the mean of those that are surely not."""
    far = [curve[sign * shift] for shift in OUT_OF_SYNC for sign in (-1, 1)]
    return max(curve[shift] for shift in IN_SYNC) - float(np.mean(far))


# -------------------------------------------------------------------------------------------------------------- crops


def mouth_crops(frames: Iterable[np.ndarray], meshes: Tensor) -> np.ndarray:
    """Frames (H, W, 3) uint8 and their meshes (T, 468, 3) -> (T, 112, 112) uint8, grey, the lower part of the face."""
    return np.stack([_crop(frame, *square) for frame, square in zip(frames, crop_squares(meshes), strict=True)])


def crop_squares(meshes: Tensor) -> np.ndarray:
    """(T, 468, 2 or 3) -> (T, 3) left, top, side in pixels, smoothed over 13 frames; the ends are held."""
    from scipy.ndimage import uniform_filter1d

    low, high = meshes[..., :2].amin(1), meshes[..., :2].amax(1)
    half = (high - low).amax(1) / 2
    centre = (low + high) / 2
    left, top = centre[:, 0] - CROP_SIDE / 2 * half, centre[:, 1] - CROP_ABOVE * half
    squares = torch.stack([left, top, CROP_SIDE * half], 1).double().numpy()
    return uniform_filter1d(squares, SMOOTHED_FRAMES, axis=0, mode="nearest")


def _crop(frame: np.ndarray, left: float, top: float, side: float) -> np.ndarray:
    """Filtered when it is made smaller; beyond the frame its edge goes on."""
    grey = np.asarray(Image.fromarray(frame).convert("L"))
    height, width = grey.shape
    room = int(np.ceil(max(0.0, -left, -top, left + side - width, top + side - height)))
    image = Image.fromarray(np.pad(grey, room, mode="edge"))
    box = (left + room, top + room, left + side + room, top + side + room)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box))
