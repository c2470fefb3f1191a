"""How well brows and gaze are read: generated heads whose brows and eyes are known, each against its own usual face.

python -m tests.tools.mini_evaluator.reading FOLDER [people]     only these rows; the heads are kept in the folder
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, angles_of_rotation, brow_weights, gaze_weights
from sadtalker_core.datatypes import Box
from sadtalker_core.face.brows_and_gaze import brow_heights, gaze_across
from sadtalker_core.face.embedded import embedded_face_nets
from sadtalker_core.face.iris import find_irises
from sadtalker_core.face.mesh import face_mesh
from sadtalker_core.families.networks import LINEAR_3DMM
from sadtalker_core.model import assemble_mini
from sadtalker_core.training.heads.expressions import random_turn, talking, weights_of
from sadtalker_core.training.heads.mesh import load_head_mesh
from sadtalker_core.training.heads.person import PIVOT
from sadtalker_core.training.heads.scene import Scene, photograph

from . import measures
from .heads import generator_state
from .table import Row
from .trial import TEST_SEED

_SIDE, _IMAGES = 320, 8
_FURTHEST_DEG, _FIRST_PERSON = 15.0, 5000
_FACE_MIDDLE, _FACE_SIDE = np.array([0.0, 7.0, 1.2], np.float32), 2.0
_EYE_WIDTHS, _YAW_SHARE = 2.0, 0.32  #: as face/brows_and_gaze.py reads an angle


def of_generated(folder: Path, people: int) -> list[Row]:
    """Rows for so many people of `_IMAGES` images each, the first of them at rest."""
    seen = _seen(folder, people)
    person, brow, gaze, found = seen["person"], seen["brow"], seen["gaze"], np.isfinite(seen["look"])
    sine = _EYE_WIDTHS * seen["look"] + _YAW_SHARE * np.sin(seen["yaw"])
    looked = np.degrees(np.arcsin(np.clip(_apart(sine, person, found)[found], -1, 1)))
    off = _apart(gaze, person, found)[found]
    everybody = f"{people} people"

    def row(what: str, value: float) -> Row:
        return Row(f"generated heads, {what}", "3DMM from Video", {everybody: float(value)})

    everywhere = np.ones_like(found)
    height, true = (_apart(track, person, everywhere) for track in (seen["height"], brow))
    return [
        row("brows read, r", measures.correlation(height, true)),
        row("gaze across read, r", measures.correlation(looked, off)),
        row("gaze across read, off by degrees", np.abs(looked - off).mean()),
        row("irises found, share", found.mean()),
    ]


def _apart(track: np.ndarray, person: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(n,) less the median of each person's, over the rows that count."""
    result = np.full(len(track), np.nan)
    for one in np.unique(person):
        mine = where & (person == one)
        if mine.any():
            result[mine] = track[mine] - np.median(track[mine])
    return result


def _seen(folder: Path, people: int) -> dict[str, np.ndarray]:
    file = folder / "heads" / f"brows_and_gaze_{people}_{generator_state()}.npz"
    if not file.exists():
        mesh, net = load_head_mesh(folder / "heads"), embedded_face_nets()[1]
        (linear,) = assemble_mini().use(LINEAR_3DMM)
        rows = [row for k in range(people) for row in _look_at(mesh, net, linear, _FIRST_PERSON + k)]
        np.savez(file, **{name: np.array([row[name] for row in rows]) for name in rows[0]})
    with np.load(file) as stored:
        return {name: stored[name] for name in stored.files}


def _look_at(mesh, net, linear, number: int) -> list[dict[str, float]]:
    draw = np.random.default_rng([TEST_SEED, number])
    scene, rows = Scene(mesh, draw, _SIDE), []
    for k in range(_IMAGES):
        brow, across, up = (draw.uniform(-0.7, 1), draw.uniform(-1, 1), draw.uniform(-6, 6)) if k else (0.0, 0.0, 0.0)
        across *= _FURTHEST_DEG
        weights = talking(draw) if k and draw.random() < 0.5 else weights_of()
        both = torch.tensor([brow])
        added = brow_weights(both, both) + gaze_weights(torch.tensor([across]), torch.tensor([up]))
        weights = np.clip(weights + added[0, : len(weights)].numpy(), 0, 1).astype(np.float32)
        turn, shift = random_turn(draw, 0.35), draw.normal(0, 0.02, 3)
        image = torch.from_numpy(photograph(scene.frame(weights, turn, shift).rgb, draw)).float() / 255
        middle = scene.camera.project((turn @ (_FACE_MIDDLE - PIVOT) + PIVOT + shift)[None], _SIDE)[0]
        side = _FACE_SIDE / scene.camera.half / 2 * _SIDE
        around = Box(int(middle[0] - side / 2), int(middle[1] - side / 2), int(side), int(side))
        points = face_mesh(net, image, around).points
        irises = find_irises(image.permute(2, 0, 1), points)
        flip = torch.tensor(HEAD_TO_IMAGE)
        yaw = angles_of_rotation(flip[:, None] * torch.from_numpy(turn) * flip)[1]
        rows.append(
            {
                "person": number,
                "brow": brow if brow > 0 else 0.7 * brow,  # lowered by 1 they go .7 as far as lifted by 1
                "gaze": across,
                "yaw": float(yaw),
                "height": float(brow_heights(linear, points[None]).mean()),
                "look": float("nan") if irises is None else gaze_across(irises, points),
            }
        )
    return rows


if __name__ == "__main__":
    from .table import as_text

    print(as_text(of_generated(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20)))
