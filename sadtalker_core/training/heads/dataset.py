"""Pairs for the renderer: one person as the source and a few times as the driving image, in shards of arrays.

    python -m sadtalker_core.training.heads.dataset --work FOLDER --shards 40 --first 0

Shard `n` is made from seed `n` alone. Arrays of a shard (`P` people, `D` driving images each; pixels of the stage,
the square of render/meshwarp/placement.py that is cut out around a head):

    source (P, 160, 160, 3) uint8           driving (P, D, 128, 128, 3) uint8, the middle of the stage
    layer (P, D, 128, 128) uint8            ids of mesh.py
    flow (P, D, 64, 64, 2) float16          where a driving spot lies in the source, minus where it is, in pixels
    visible (P, D, 64, 64) bool             whether the source shows it
    source_points (P, 468, 3), driving_points (P, D, 468, 3) float32: x right, y down, z away
    source_weights (P, 52), driving_weights (P, D, 52) float16
    turn (P, D, 3, 3) float32               from the source's head to the driving one
    shift (P, D, 2) float32                 of the head between the two, in decimetres, x right and y up
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from ...render.meshwarp.placement import PITCH, STAGE, WINDOW, fit_head
from ...saving import save_arrays
from .expressions import expression, random_turn
from .landmarks import N_HEADS, landmark_weights
from .mesh import HeadMesh, load_head_mesh
from .scene import Camera, Frame, Scene, exact_flow, photograph

PEOPLE_PER_SHARD = 200
DRIVING = 3
_MARGIN = (STAGE - WINDOW) // 2


def make_shard(
    mesh: HeadMesh, landmarks: np.ndarray, seed: int, people: int = PEOPLE_PER_SHARD
) -> dict[str, np.ndarray]:
    """`people` generated heads -> arrays by name, one row for each head; the same seed gives the same bytes."""
    rows = [_person_rows(mesh, landmarks, np.random.default_rng([seed, k])) for k in range(people)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _person_rows(mesh: HeadMesh, landmarks: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    scene = Scene(mesh, rng, STAGE)
    weights = expression(rng, str(rng.choice(["neutral", "talk", "smile", "random"], p=[0.45, 0.25, 0.2, 0.1])))
    head, place = random_turn(rng, 0.7), rng.normal(0, 0.03, 3)
    scene.camera = _stage_camera(scene, landmarks, weights, head, place, rng)
    source = scene.frame(weights, head, place)
    row = {
        "source": photograph(source.rgb, rng),
        "source_points": _points(scene, landmarks, source),
        "source_weights": weights.astype(np.float16),
    }
    several: dict[str, list[np.ndarray]] = {}
    for _ in range(DRIVING):
        relative = random_turn(rng, 0.5) if rng.random() < 0.7 else np.eye(3, dtype=np.float32)
        moved = rng.normal(0, 0.03, 3) * [1, 1, 0] if rng.random() < 0.5 else np.zeros(3)
        goal = _driving_weights(weights, rng)
        frame = scene.frame(goal, relative @ head, place + moved)
        flow, visible = exact_flow(scene.person, source, frame)
        middle = slice(_MARGIN, _MARGIN + WINDOW)
        flow, visible = flow[middle, middle], visible[middle, middle]
        for name, value in {
            "driving": (np.clip(frame.rgb[middle, middle], 0, 1) * 255 + 0.5).astype(np.uint8),
            "layer": frame.layer[middle, middle],
            "flow": flow.reshape(WINDOW // 2, 2, WINDOW // 2, 2, 2).mean((1, 3)).astype(np.float16),
            "visible": visible.reshape(WINDOW // 2, 2, WINDOW // 2, 2).all((1, 3)),
            "driving_points": _points(scene, landmarks, frame),
            "driving_weights": goal.astype(np.float16),
            "turn": relative,
            "shift": moved[:2].astype(np.float32),
        }.items():
            several.setdefault(name, []).append(value)
    return row | {name: np.stack(values) for name, values in several.items()}


def _driving_weights(source: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A new expression, which often keeps part of the source's, as a smile stays in speech."""
    goal = expression(rng)
    if rng.random() < 0.4:
        goal = np.clip(goal + source * rng.uniform(0.3, 1), 0, 1)
    return goal


def _stage_camera(
    scene: Scene,
    landmarks: np.ndarray,
    weights: np.ndarray,
    head: np.ndarray,
    place: np.ndarray,
    rng: np.random.Generator,
) -> Camera:
    """The scene's camera, moved so that the image is the stage that inference would cut out, give or take a
    little.
    """
    import torch

    camera, pixels = scene.camera, 512
    points = _project(camera, landmarks @ scene.person.posed(weights, head, place)[: landmarks.shape[1]], pixels)
    fitted = fit_head(torch.from_numpy(points))
    decimetre = pixels / (2 * camera.half)
    half = STAGE * PITCH / 2 * float(fitted.scale) / decimetre * rng.uniform(0.96, 1.04)
    x, y = fitted.stage_centre().tolist()
    shift = rng.normal(0, 0.03, 2)
    return Camera(
        x=camera.x + (x - pixels / 2) / decimetre + shift[0],
        y=camera.y - (y - pixels / 2) / decimetre + shift[1],
        half=half,
        distance=camera.distance,
    )


def _points(scene: Scene, landmarks: np.ndarray, frame: Frame) -> np.ndarray:
    return _project(scene.camera, landmarks @ frame.vertices[: landmarks.shape[1]], STAGE)


def _project(camera: Camera, points: np.ndarray, size: int) -> np.ndarray:
    """Decimetres -> x, y in pixels, and the depth in pixels too, away from the viewer and 0 on average."""
    flat = camera.project(points, size)
    depth = (flat[:, 2].mean() - flat[:, 2]) * size / (2 * camera.half)
    return np.concatenate([flat[:, :2], depth[:, None]], 1).astype(np.float32)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the wheel and the shards")
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args(arguments)
    make_shards(options.work, range(options.first, options.first + options.shards))


def make_shards(work: Path, seeds: range, people: int = PEOPLE_PER_SHARD, landmark_heads: int = N_HEADS) -> None:
    """The shards that `work` does not hold yet. landmark_heads: how many heads vote on where the points of the mesh
    are.
    """
    mesh = load_head_mesh(work)
    landmarks = landmark_weights(mesh, work, landmark_heads)
    for seed in seeds:
        path = work / f"pairs_{seed:04d}.npz"
        if path.exists():
            continue
        start = time.time()
        save_arrays(path, make_shard(mesh, landmarks, seed, people))
        print(f"{path.name}: {people * DRIVING} pairs, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
