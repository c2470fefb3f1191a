"""A dubbed video beside the true one: what the lips do, how far pixels are off, what happens at the seam.

Letters: `T` frames, `S` their side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.audio.speech import encode_speech
from sadtalker_core.canonical_face import LOWER_INNER_LIP, UPPER_INNER_LIP
from sadtalker_core.dub.dub import DubOptions, dubbed_frames, speech_track
from sadtalker_core.dub.mouth import place_of
from sadtalker_core.dub.rest import Person
from sadtalker_core.dub.source_video import FrameSequence
from sadtalker_core.face.mesh import track_meshes
from sadtalker_core.model import load_model
from sadtalker_core.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ

from .videos import TwoVideos

COLUMNS = (
    "lip gap, r to the truth (bar .85)",
    "the same of the undubbed film",
    "lip gap, spread by the truth's",
    "error in the mouth region by that of no change (bar .5)",
    "largest change beyond the mask (bar 0)",
    "flicker along the seam by the film's own (bar 1.2)",
)
_UPPER, _LOWER = list(UPPER_INNER_LIP[2:7]), list(LOWER_INNER_LIP[::-1][2:7])
_EYES = (33, 263)
_SEAM = 0.02, 0.98  #: of the mask: what lies between is the seam


@dataclass(frozen=True, eq=False)
class Dubbed:
    """frames (T, S, S, 3) bytes;  masks (T, S, S) in 0..1;  points (T, 468, 3) of the first video"""

    frames: np.ndarray
    masks: np.ndarray
    points: np.ndarray

    def sheet(self, videos: TwoVideos, n_rows: int = 10, half: int = 33) -> np.ndarray:
        """Mouths at 4 x in evenly spread frames: the first video, dubbed, the true second one."""
        rows = []
        for k in np.linspace(2, len(self.frames) - 3, n_rows).astype(int):
            x, y = (int(v) for v in self.points[k][[13, 14], :2].mean(0))
            part = slice(max(y - half, 0), y + half), slice(max(x - half - 11, 0), x + half + 11)
            videos_here = (video[k][part] for video in (videos.first, self.frames, videos.second))
            rows.append(np.concatenate([image.repeat(4, 0).repeat(4, 1) for image in videos_here], 1))
        height, width = (min(row.shape[axis] for row in rows) for axis in (0, 1))
        return np.concatenate([row[:height, :width] for row in rows])


def dubbed(videos: TwoVideos) -> Dubbed:
    """The first video with the second voice, as Dub Video makes it."""
    model = load_model("mini", [])
    first = torch.from_numpy(videos.first)
    video = FrameSequence(first.float() / 255, FRAMES_PER_SECOND)
    speech = encode_speech(torch.from_numpy(videos.voices[1])[None], SAMPLE_RATE_HZ)
    track, _ = speech_track(model, None, speech)
    made = torch.stack(list(dubbed_frames(model, video, track, DubOptions(length="silence")))).numpy()
    return Dubbed(made, *masks_of(videos.first))


def masks_of(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The masks of a video (T, S, S) in 0..1, and its meshes (T, 468, 3)."""
    points = meshes(frames)
    person = Person.of(load_model("mini", []).nets["linear_3dmm"], points)
    masks = np.zeros(frames.shape[:3], np.float32)
    for k, mesh in enumerate(points):
        place = place_of(mesh, person.rest)
        box, side = place.square(), frames.shape[1]
        rows, columns = slice(max(box.y, 0), min(box.bottom, side)), slice(max(box.x, 0), min(box.right, side))
        mask = place.mask(box).numpy()
        masks[k, rows, columns] = mask[
            rows.start - box.y : rows.stop - box.y, columns.start - box.x : columns.stop - box.x
        ]
    return masks, points.numpy()


def meshes(frames: np.ndarray) -> Tensor:
    model = load_model("mini", [])
    images = (torch.from_numpy(frame).float() / 255 for frame in frames)
    seen = track_meshes(model.nets["face_detector"], model.nets["face_mesh"], images)
    return torch.stack([one.points for one in seen])


def lip_gaps(points: Tensor) -> np.ndarray:
    """(T,) how far lips are apart, by the distance of the eyes."""
    eyes = (points[:, _EYES[1], :2] - points[:, _EYES[0], :2]).norm(dim=-1)
    return ((points[:, _LOWER, 1] - points[:, _UPPER, 1]).mean(1) / eyes).numpy()


def compared(videos: TwoVideos, made: Dubbed) -> dict[str, float]:
    """-> column -> value"""
    gaps = [lip_gaps(meshes(frames)) for frames in (videos.first, made.frames, videos.second)]
    region = made.masks > 0.5
    off, unchanged = (_error(frames, videos.second, region) for frames in (made.frames, videos.first))
    # masks are of meshes that are not smoothed; a pixel to each side is allowed for
    beyond = ~_grown(made.masks > 0, 3)
    changed = np.abs(made.frames.astype(int) - videos.first).max(-1)
    seam = (made.masks > _SEAM[0]) & (made.masks < _SEAM[1])
    values = (
        np.corrcoef(gaps[1], gaps[2])[0, 1],
        np.corrcoef(gaps[0], gaps[2])[0, 1],
        gaps[1].std() / gaps[2].std(),
        off / unchanged,
        changed[beyond].max(initial=0),
        _flicker(made.frames, seam) / _flicker(videos.first, seam),
    )
    return dict(zip(COLUMNS, map(float, values), strict=True))


def error_of_moving(videos: TwoVideos, moved: np.ndarray, shown: np.ndarray, frames: range) -> tuple[float, float]:
    """moved, shown: see videos.moved_exactly -> its error in the mouth region by that of no change, and how much of it
    lies in pixels that the first video shows, where only the light is wrong.
    """
    which = list(frames)
    region = masks_of(videos.first)[0][which] > 0.5
    truth = videos.second[which].astype(np.float32)
    off = np.abs(moved - truth).mean(-1)
    unchanged = np.abs(videos.first[which] - truth).mean(-1)[region].sum()
    return float(off[region].sum() / unchanged), float(off[region & shown].sum() / unchanged)


def _error(frames: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(np.abs(frames[where].astype(np.float32) - truth[where]).mean())


def _flicker(frames: np.ndarray, where: np.ndarray) -> float:
    """How much pixels leave the straight line between the frame before and the one after."""
    wide = frames.astype(np.float32)
    off = np.abs(wide[1:-1] - (wide[:-2] + wide[2:]) / 2).mean(-1)
    return float(off[where[1:-1]].mean())


def _grown(where: np.ndarray, by: int) -> np.ndarray:
    wide = torch.nn.functional.max_pool2d(torch.from_numpy(where).float()[:, None], 2 * by + 1, 1, by)
    return wide[:, 0].numpy() > 0
