"""Brows, lids and gaze: from videos to rows of the table, and what 3DMM from Video reads out of those videos.

Brow heights are those of the pack's mesh; where irises are is told by face/iris.py in the video as in the portrait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.audio.speech import idle_speech
from sadtalker_core.canonical_face import IN_DEG, OUT_DEG, load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import Box
from sadtalker_core.errors import SadTalkerError
from sadtalker_core.face.brows_and_gaze import gaze_across
from sadtalker_core.face.iris import find_irises
from sadtalker_core.face.mesh import face_mesh
from sadtalker_core.model import assemble_mini
from sadtalker_core.motion.blink import Blinks
from sadtalker_core.motion.upper_face import upper_face

from . import measures
from .evaluators import MESH, Evaluators
from .table import Row
from .trial import LOOK_DEG

if TYPE_CHECKING:
    from .rows import Take

#: points of the mesh along both brows, and the corners of both eyes
_BROWS = (285, 295, 282, 334, 296, 336, 55, 65, 52, 105, 66, 107)
_CORNERS = ((33, 133), (263, 362))
_EVERY = 2  #: one frame of so many is looked at for brows
_BLINK_MINUTES = 20
_WIDTH_BY_RADIUS = 2.0  #: of an eye and its ball


def of_eyes(takes: Mapping[str, Take], evaluators: Evaluators) -> list[Row]:
    """The rows of all videos, and those of blinks, which need none."""
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for name, take in takes.items():
        arrays = take.video
        heights = brow_heights(_meshes(arrays["spoken"][::_EVERY], arrays["landmarks"], evaluators))
        values["brow height, spread by distance of the eyes", MESH][name] = float(heights.std())
        values["gaze told 12 degrees, off by", "iris"][name] = gaze_off(arrays)
        for what, value in read_back(arrays).items():
            values[f"read back from the film, {what}", "3DMM from Video"][name] = value
    rows = [Row(what, evaluator, found) for (what, evaluator), found in values.items()]
    return rows + [Row(f"blinks, {what}", "coefficients", {"idle": value}) for what, value in blinks().items()]


def brow_heights(meshes: Tensor) -> Tensor:
    """meshes (T, 468, 3) -> (T,) how far brows are above the eyes, by the distance of the eyes; up the face."""
    eyes = torch.stack([meshes[:, list(corners), :2].mean(1) for corners in _CORNERS], dim=1)
    across = eyes[:, 1] - eyes[:, 0]
    up = torch.stack([across[:, 1], -across[:, 0]], dim=1) / across.square().sum(1, keepdim=True)
    return ((meshes[:, list(_BROWS), :2].mean(1) - eyes.mean(1)) * up).sum(1)


def gaze_off(arrays: Mapping[str, np.ndarray]) -> float:
    """Degrees by which the worse of two looks aside differs from what was told; nan where no iris is found."""
    names = [str(name) for name in arrays["names"]]
    shown = [f"look {degrees:+g}" for degrees in (-LOOK_DEG, LOOK_DEG)]
    if not set(shown) <= set(names):
        return float("nan")
    points = torch.from_numpy(arrays["landmarks"]).float()
    looks = []
    for name in ("neutral", *shown):
        irises = find_irises(_floats(arrays["commanded"][names.index(name)]).permute(2, 0, 1), points)
        looks.append(float("nan") if irises is None else gaze_across(irises, points))
    turned = np.degrees(np.arcsin(np.clip(_WIDTH_BY_RADIUS * (np.array(looks[1:]) - looks[0]), -1, 1)))
    return float(np.abs(turned - [-LOOK_DEG, LOOK_DEG]).max())


def read_back(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """jaw, brows, lids and gaze: correlation of what drove the video with what is read out of it, and how much of the
    jaw's spread is read; empty where no face is found.
    """
    try:
        seen = pipeline.extract_video(assemble_mini(), _floats(arrays["spoken"]), 25.0).expression.numpy()
    except SadTalkerError:
        return {}
    found = {
        f"{unit}, r": measures.correlation(track(arrays["offsets"]), track(seen))
        for unit, track in (("jaw", _jaw), ("brows", _brows), ("lids", _lids), ("gaze across", _across))
    }
    return found | {"jaw, share of its spread": measures.spread_ratio(_jaw(seen), _jaw(arrays["offsets"]))}


def blinks() -> dict[str, float]:
    """Over many blinks of one seed: how many frames lids are down by half or more, how deep, how different."""
    lids = upper_face(idle_speech(60.0 * _BLINK_MINUTES), Blinks()).lids.numpy()
    shut = np.flatnonzero(np.diff(np.pad((lids > 0).any(1), 1).astype(int)))
    each = [lids[a:b] for a, b in zip(shut[::2], shut[1::2], strict=True)]
    depth = np.array([one.max() for one in each])
    frames = np.array([(one.mean(1) > one.max() / 2).sum() for one in each], np.float64)
    return {
        "a minute": len(each) / _BLINK_MINUTES,
        "frames shut by half or more": float(frames.mean()),
        "spread of these frames": float(frames.std()),
        "share that stop halfway": float((depth < 0.93).mean()),
        "depth of one eye by the other's, off by": float(np.mean([abs(np.diff(one.max(0)))[0] for one in each])),
    }


def _jaw(weights: np.ndarray) -> np.ndarray:
    return weights[:, BLENDSHAPE_INDEX["jawOpen"]]


def _lids(weights: np.ndarray) -> np.ndarray:
    return weights[:, [BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]]].mean(1)


def _brows(weights: np.ndarray) -> np.ndarray:
    moved = load_canonical_face().displacements(torch.from_numpy(np.asarray(weights, np.float32)))
    return moved[:, list(_BROWS), 1].mean(1).numpy()


def _across(weights: np.ndarray) -> np.ndarray:
    out, into = BLENDSHAPE_INDEX["eyeLookOutLeft"], BLENDSHAPE_INDEX["eyeLookInLeft"]
    return weights[:, out] * OUT_DEG - weights[:, into] * IN_DEG


def _meshes(frames: np.ndarray, landmarks: np.ndarray, evaluators: Evaluators) -> Tensor:
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    around = Box(*(int(number) for number in (*low, *(high - low))))
    return torch.stack([face_mesh(evaluators.mesh, _floats(frame), around).points for frame in frames])


def _floats(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float() / 255
