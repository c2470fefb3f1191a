"""Generated people never trained on: the renderer against images, flow and layers that are known exactly.

In: people drawn from TEST_SEED by the generator of training. Out: one number per row of the table, and per person.
The face network finds the mesh in the source, as it would in a portrait; blendshape weights and turn are the true ones.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, angles_of_rotation
from sadtalker_core.coefficients import EXPRESSION
from sadtalker_core.datatypes import BlendshapeMotion, Box, CropMode, FaceCrop, Motion
from sadtalker_core.face.embedded import embedded_person_segmenter
from sadtalker_core.face.mesh import face_mesh
from sadtalker_core.face.person import PersonSegmenter, person_in_square
from sadtalker_core.render.meshwarp.compositor import evenly_beyond, render_flow_frames
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow, rigid_flow
from sadtalker_core.render.meshwarp.network import FlowRenderer
from sadtalker_core.render.meshwarp.placement import MARGIN, PITCH, STAGE, WINDOW, fit_head
from sadtalker_core.render.meshwarp.rig import FaceRig
from sadtalker_core.render.meshwarp.silhouette import Silhouette
from sadtalker_core.render.meshwarp.warp import pixel_centres, sample
from sadtalker_core.training.heads import mesh as layers
from sadtalker_core.training.heads.dataset import make_shard
from sadtalker_core.training.heads.landmarks import landmark_weights
from sadtalker_core.training.heads.mesh import load_head_mesh
from sadtalker_core.training.heads.scene import LAYERS_OF_THE_MOUTH

from .mouths import RenderedMouth, shares
from .trial import TEST_SEED

_MIDDLE = slice(MARGIN, MARGIN + WINDOW)
_TEETH = (layers.UPPER_TEETH, layers.LOWER_TEETH)
_NEAR = 12  #: pixels of 128 from the head: beside it something has to give way
_MEANS = ("flow", "flow, mesh alone", "flow, face", "background, near", "background, far")
_FEWEST_MOUTH = 40  #: pixels below which a mouth is too small to be judged


def people(folder: Path, count: int) -> dict[str, np.ndarray]:
    """A shard of `count` people as dataset.py describes it; kept in the folder until the generator changes."""
    work = folder / "heads"
    file = work / f"people_{count}_{generator_state()}.npz"
    if not file.exists():
        mesh = load_head_mesh(work)
        np.savez(file, **make_shard(mesh, landmark_weights(mesh, work), TEST_SEED, count))
    with np.load(file) as stored:
        return {name: stored[name] for name in stored.files}


def generator_state() -> str:
    """Changes with the code that makes heads."""
    files = sorted(Path(layers.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def evaluator(net: FlowRenderer, mesh_net: torch.nn.Module, shard: dict[str, np.ndarray]) -> dict[Any, Any]:
    """-> flow (mean distance from the exact flow where the source shows that spot of the head, pixels of 128), the same
    of the mesh alone and within the outline of the face; how far the background is dragged along near the head and far
    from it; colour and mouth colour (L1 by that of copying the source, of
    the best single colour); and ("teeth", "open") and the like, as mouths.py has them: what is seen in mouths that are
    so far open, as rendered and in truth.
    """
    sums: dict[str, list[float]] = defaultdict(list)
    mouths = []
    from scipy.ndimage import distance_transform_edt

    segmenter = embedded_person_segmenter()
    for k in range(len(shard["source"])):
        source = torch.from_numpy(shard["source"][k]).float() / 255
        around = shard["source_points"][k][:, :2]
        low, high = around.min(0), around.max(0)
        points = face_mesh(mesh_net, source, Box(*map(int, (*low, *(high - low))))).points
        moved, frames = _rendered(net, segmenter, source, points, shard, k)
        for d in range(len(frames)):
            layer, truth = shard["layer"][k, d], shard["driving"][k, d].astype(np.float32) / 255
            head = layer < layers.CLOTHES
            for name, flow, where in (
                ("flow", moved.repaired, head),
                ("flow, mesh alone", moved.by_mesh, head),
                ("flow, face", moved.repaired, head & moved.face[d].numpy()),
            ):
                sums[name].append(_flow_error(flow[d], shard["flow"][k, d], shard["visible"][k, d], where))
            away = distance_transform_edt(~head)
            moves = (moved.repaired[d].norm(dim=0) * moved.person[d]).numpy()
            for name, where in (("near", away < _NEAR), ("far", away >= _NEAR)):
                wall = (layer == layers.BACKGROUND) & where
                sums[f"background, {name}"].append(float(moves[wall].mean()) if wall.any() else float("nan"))
            frame = frames[d].permute(1, 2, 0).numpy()[_MIDDLE, _MIDDLE]
            sums["frame"].append(float(np.abs(frame - truth).mean()))
            sums["copy"].append(float(np.abs(source.numpy()[_MIDDLE, _MIDDLE] - truth).mean()))
            opening = np.isin(layer, LAYERS_OF_THE_MOUTH)
            if opening.sum() >= _FEWEST_MOUTH:
                rows = np.flatnonzero(opening.any(1))
                gap = (rows[-1] - rows[0] + 1) * PITCH * 100
                mouths.append(RenderedMouth(frame[opening], truth[opening], np.isin(layer, _TEETH)[opening], gap))
    found = {name: float(np.nanmean(sums[name])) for name in _MEANS}
    found["flow, worst person"] = float(np.nanmax(np.nanmean(np.reshape(sums["flow"], (len(shard["source"]), -1)), 1)))
    found["colour"] = float(np.sum(sums["frame"]) / np.sum(sums["copy"]))
    return found | {"mouth colour": _mouth_colour(mouths)} | shares(mouths)


class _Moved(NamedTuple):
    """Displacements (D, 2, 128, 128) after and before the repair, in pixels of 128; face (D, 128, 128) bool; person
    (D, 128, 128) in 0..1, what share of a pixel is moved by them: the rest is what is behind, and stays.
    """

    repaired: Tensor
    by_mesh: Tensor
    face: Tensor
    person: Tensor


def _rendered(net, segmenter: PersonSegmenter, source: Tensor, points: Tensor, shard, k: int) -> tuple[_Moved, Tensor]:
    """-> what the mesh and the network say, and the finished frames (D, 3, 160, 160) as Face Render makes them."""
    weights = torch.from_numpy(shard["driving_weights"][k]).float()
    own = torch.from_numpy(shard["source_weights"][k]).float()
    turn, shift = torch.from_numpy(shard["turn"][k]), torch.from_numpy(shard["shift"][k])
    stage, count = source.permute(2, 0, 1), len(weights)
    box = Box(0, 0, STAGE, STAGE)
    person = person_in_square(segmenter, source, box, stage, points)
    with torch.inference_mode():
        on_stage = None if person is None else person[None]
        rig = FaceRig.from_points(points, own, person=on_stage)
        flow, rigid = mesh_flow(rig, weights, turn, shift), rigid_flow(rig, turn, shift)
        window = flow.displacement[:, :, _MIDDLE, _MIDDLE]
        encoded = net.encode(stage[None])
        features = [f.expand(count, -1, -1, -1) for f in encoded]
        whole = flow.displacement.clone()
        whole[:, :, _MIDDLE, _MIDDLE] = net(stage[None], features, window, flow.maps, rigid).flow
        if person is not None:
            whole = evenly_beyond(flow, whole)
        outlined = Silhouette(net, stage[None], encoded, rig, on_stage)(whole, flow.on_face, flow.face)
        repaired = outlined[:, :, _MIDDLE, _MIDDLE]
        there = (pixel_centres(STAGE, stage.device) + outlined.permute(0, 2, 3, 1)) * (2 / STAGE) - 1
        shown = (
            torch.ones_like(outlined[:, :1]) if on_stage is None else sample(on_stage.expand(count, -1, -1, -1), there)
        )
    to_128 = 128 / WINDOW
    flip = torch.diag(torch.tensor(HEAD_TO_IMAGE))
    pitch, yaw, roll = (angles_of_rotation(flip @ turn @ flip) * (180 / math.pi)).unbind(-1)
    half = STAGE / 2 / fit_head(points).scale
    moved = torch.stack([shift[:, 0] / half, -shift[:, 1] / half, torch.zeros(count)], -1).float()
    driving = BlendshapeMotion(yaw, pitch, roll, moved, _wide(weights))
    at_rest = torch.zeros(1)
    motion = Motion(driving, BlendshapeMotion(at_rest, at_rest, at_rest, torch.zeros(1, 3), _wide(own[None])))
    crop = FaceCrop(stage, points, box, CropMode.CROP, person=person)
    frames = torch.cat(list(render_flow_frames(net, crop, motion, batch_size=count)))
    face = flow.face[:, 0, _MIDDLE, _MIDDLE] > 0.5
    return _Moved(repaired * to_128, window * to_128, face, shown[:, 0, _MIDDLE, _MIDDLE]), frames


def _wide(weights: Tensor) -> Tensor:
    return torch.nn.functional.pad(weights, (0, EXPRESSION - weights.shape[-1]))


def _flow_error(flow: Tensor, exact: np.ndarray, visible: np.ndarray, where: np.ndarray) -> float:
    """Over spots of the mask (128, 128) that the source shows, at half size, where the exact flow is kept."""
    half = torch.nn.functional.avg_pool2d(flow, flow.shape[-1] // exact.shape[0]).permute(1, 2, 0).numpy()
    step = where.shape[0] // exact.shape[0]
    whole = where.reshape(exact.shape[0], step, exact.shape[1], step).all((1, 3))
    off = np.linalg.norm(half - exact.astype(np.float32) * (128 / WINDOW), axis=-1)
    seen = visible & whole
    return float(off[seen].mean()) if seen.any() else float("nan")


def _mouth_colour(mouths: list[RenderedMouth]) -> float:
    """L1 of what is in the mouths, by that of the best single colour."""
    fill = np.concatenate([mouth.true for mouth in mouths]).mean(0)
    painted = sum(np.abs(mouth.rendered - mouth.true).sum() for mouth in mouths)
    return float(painted / sum(np.abs(fill - mouth.true).sum() for mouth in mouths))
