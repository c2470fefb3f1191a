"""The mini family's 3DMM: generated heads in, assets/linear_3dmm.safetensors out, and how good it is on other heads.

    python -m sadtalker_core.training.fit_linear_3dmm --work FOLDER [--people 1200] [--out FILE]

People of training/heads are rendered with known blendshape weights and head poses, the embedded mesh network looks at
each image, and a ridge regression learns to read weights and pose from the mesh. So the habits of the mesh network (a
lid that never quite closes, a depth that is too flat) are learned with it. Every head also counts mirrored. The last
fifth of the people is only measured; how much each unit is held back (its ridge) is chosen among the others.
Parts of the work are kept in FOLDER and taken up again. Letters: `N` images, `S` the side of an image.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..canonical_face import HEAD_TO_IMAGE, angles_of_rotation, load_canonical_face
from ..checkpoint.reading import Metadata
from ..checkpoint.writing import write_checkpoint
from ..coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX
from ..datatypes import MINI
from ..face.embedded import ASSETS, embedded_face_nets
from ..face.linear_3dmm import MINI_LINEAR_3DMM, Linear3DMM
from ..face.mesh import FaceMesh, detect_landmarks, mesh_square
from ..face.sampling import Square
from ..saving import save_arrays
from .heads.expressions import expression, random_turn
from .heads.mesh import HeadMesh, load_head_mesh
from .heads.person import PIVOT
from .heads.scene import Camera, Scene, photograph

SIDE = 224
IMAGES_PER_PERSON = 3
PEOPLE_PER_PART = 50
HELD_OUT = 0.2
FOLDS = 4
#: for the units the ridge is chosen among these; smaller ones read even more, but from what the network only trembles
#: by
BLENDSHAPE_RIDGES = tuple(10.0**k for k in (-8, -7.5, -7, -6.5, -6, -5.5, -5, -4, -3, -2))
#: for the pose it is set, a little larger than best on single images, and tracks are twice as quiet for it:
#: turn (3), growth, shift (2)
POSE_RIDGES = (1e-5, 1e-5, 1e-5, 1e-3, 1e-3, 1e-3)
#: units that the mesh does not tell (lower correlation than this on held-out heads) are always read as 0
TELLING = 0.2
#: what is read of a unit is moved and stretched before it is cut to 0..1: ridge regression alone would read a little of
#: everything at rest, and never the whole of anything
RESTS, GAINS = torch.linspace(-0.1, 0.6, 36).double(), torch.linspace(1, 2.5, 31).double()
NAME = "linear_3dmm"
OUT = ASSETS / "linear_3dmm.safetensors"
#: the middle of a face in head coordinates, and the side of a square that holds a head, in decimetres
FACE_MIDDLE, HEAD_SIDE = np.array([0.0, 7.0, 1.2], np.float32), 2.6


@dataclass(frozen=True, eq=False)
class Observations:
    """What the mesh network saw, and what was there; arrays of N rows.

    points (N, 468, 3) pixels;  person (N,);  weights (N, 52) blendshape weights;  rotation (N, 3, 3) in the axes of
    images scale (N,) pixels per decimetre at the pivot;  origin (N, 2) where the pivot is, in pixels
    """

    points: np.ndarray
    person: np.ndarray
    weights: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    origin: np.ndarray


# ----------------------------------------------------------------- looking at heads


def observe_people(work: Path, people: int) -> Observations:
    """Images of that many people, in parts that are kept in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    parts = []
    mesh, net = None, None
    for first in range(0, people, PEOPLE_PER_PART):
        last = min(first + PEOPLE_PER_PART, people)
        path = work / f"linear_3dmm_seen_{first:05d}_{last:05d}.npz"
        if not path.exists():
            start = time.time()
            mesh, net = mesh or load_head_mesh(work), net or embedded_face_nets()[1]
            rows = [row for person in range(first, last) for row in _observe(mesh, net, person)]
            save_arrays(path, {name: np.stack([row[name] for row in rows]) for name in rows[0]})
            print(f"{path.name}: {len(rows)} images in {time.time() - start:.0f} s", flush=True)
        with np.load(path) as stored:
            parts.append({name: stored[name] for name in stored.files})
    return Observations(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _observe(mesh: HeadMesh, net: FaceMesh, seed: int) -> list[dict[str, np.ndarray]]:
    """A few images of one person, those in which the network sees the face."""
    rng = np.random.default_rng([7, seed])
    scene = Scene(mesh, rng, SIDE)
    rows = []
    for _ in range(IMAGES_PER_PERSON):
        scene.camera = Camera(
            rng.uniform(-0.25, 0.25), rng.uniform(6.8, 7.2), rng.uniform(1.25, 1.9), float(rng.uniform(10, 40))
        )
        weights = expression(rng)
        turn, shift = random_turn(rng, rng.uniform(0.3, 1.4)), rng.normal(0, 0.05, 3)
        pixels = photograph(scene.frame(weights, turn, shift).rgb, rng)
        points = _points(net, pixels, scene.camera, turn @ (FACE_MIDDLE - PIVOT) + PIVOT + shift)
        if points is None:
            continue
        place, scale = _place(scene.camera, PIVOT + shift)
        flip = np.diag(HEAD_TO_IMAGE).astype(np.float32)
        rows.append(
            {
                "points": points,
                "person": np.int64(seed),
                "weights": weights.astype(np.float32),
                "rotation": flip @ turn @ flip,
                "scale": np.float32(scale),
                "origin": place,
            }
        )
    return rows


def _place(camera: Camera, point: np.ndarray) -> tuple[np.ndarray, float]:
    """Where a point of head coordinates is in the image, and how many pixels a decimetre has there."""
    here, beside = camera.project(np.stack([point, point + np.array([0.01, 0, 0], np.float32)]), SIDE)
    return here[:2], float(beside[0] - here[0]) / 0.01


def _points(net: FaceMesh, pixels: np.ndarray, camera: Camera, middle: np.ndarray) -> np.ndarray | None:
    """The mesh after three passes, as inference does, or None when the network sees no face."""
    image = torch.from_numpy(pixels.astype(np.float32) / 255)
    place, scale = _place(camera, middle)
    square = Square(float(place[0]), float(place[1]), HEAD_SIDE * scale)
    for _ in range(3):
        (observed,) = detect_landmarks(net, image, [square])
        square = mesh_square(observed.points)
    return observed.points.numpy().astype(np.float32) if observed.score > 0.9 else None


# ----------------------------------------------------------------- fitting


@dataclass(frozen=True, eq=False)
class Heads:
    """`Observations` as tensors in double precision."""

    points: Tensor
    person: Tensor
    weights: Tensor
    rotation: Tensor
    scale: Tensor
    origin: Tensor

    def __getitem__(self, rows: Tensor) -> Heads:
        return Heads(*(getattr(self, field.name)[rows] for field in fields(self)))

    def with_mirrored(self) -> Heads:
        """Twice as many: each head once more as a mirror shows it."""
        point, unit = mirror_points(), mirror_blendshapes()
        flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
        points = self.points[:, point] * flip + torch.tensor([SIDE, 0, 0])
        origin = self.origin * flip[:2] + torch.tensor([SIDE, 0])
        other = Heads(
            points, self.person, self.weights[:, unit], self.rotation * flip * flip[:, None], self.scale, origin
        )
        return Heads(*(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))


def heads_of(observed: Observations) -> Heads:
    """What was observed as tensors, in double precision."""
    arrays = {field.name: torch.from_numpy(getattr(observed, field.name)) for field in fields(observed)}
    return Heads(**{name: t if name == "person" else t.double() for name, t in arrays.items()})


def mirror_points() -> Tensor:
    """(468,) the partner of each point on the other side of the face; a point in the middle is its own."""
    from scipy.optimize import linear_sum_assignment

    mean = load_canonical_face().mean.double()
    apart = (mean[:, None] - mean[None] * torch.tensor([-1.0, 1.0, 1.0])).norm(dim=-1)
    return torch.from_numpy(linear_sum_assignment((apart + apart.T).numpy())[1])


def mirror_blendshapes() -> Tensor:
    """(52,) the partner of each blendshape."""
    sides = {"Left": "Right", "Right": "Left"}
    names = list(ARKIT_BLENDSHAPES)
    for i, name in enumerate(ARKIT_BLENDSHAPES):
        for side, other in sides.items():
            if name.endswith(side):
                names[i] = name[: -len(side)] + other
    return torch.tensor([BLENDSHAPE_INDEX[name] for name in names])


def fit(heads: Heads) -> Linear3DMM:
    """The whole: template, rigidity weights, and the linear map, with a ridge of its own for each output."""
    mirrored = heads[~held_out(heads.person)].with_mirrored()
    net = _template_of(mirrored)
    residuals, targets = _regression(net, mirrored)
    ridges = _choose_ridges(residuals, targets, mirrored.person)
    print("ridges: " + ", ".join(f"{ridge:.0e} x {int((ridges == ridge).sum())}" for ridge in ridges.unique()))
    matrix, bias = solve_ridge(residuals, targets, ridges)
    n_units = net.config.n_units
    (out_of_sample,) = _out_of_sample(residuals, targets, [ridges], mirrored.person)
    correlations = _correlation(out_of_sample[:, :n_units], targets[:, :n_units])
    zero, gain = _rest_and_gain(out_of_sample[:, :n_units], targets[:, :n_units])
    gain = gain * (correlations > TELLING)
    bias[:n_units] = gain * (bias[:n_units] - zero)
    matrix[:, :n_units] *= gain
    print(
        "always 0: "
        + ", ".join(name for name, r in zip(ARKIT_BLENDSHAPES, correlations.tolist(), strict=True) if r <= TELLING)
    )
    with torch.no_grad():
        net.read.weight.copy_(matrix.T)
        net.read.bias.copy_(bias)
    return net


def held_out(person: Tensor) -> Tensor:
    """person (N,) numbers -> (N,) bool: the last HELD_OUT of them, which no fit sees."""
    return person >= int((int(person.max()) + 1) * (1 - HELD_OUT))


def _template_of(heads: Heads) -> Linear3DMM:
    """A network whose template is the mean mesh, turned upright by the true poses; it trusts points that keep still."""
    depth = heads.points[..., 2:] - heads.points[..., 2:].mean(1, keepdim=True)
    centred = torch.cat([heads.points[..., :2] - heads.origin[:, None], depth], dim=-1)
    upright = (centred @ heads.rotation / heads.scale[:, None, None]).mean(0)
    net = Linear3DMM()
    moves = load_canonical_face().blendshapes.norm(dim=-1).amax(0)
    net.template.copy_(upright)
    net.rigidity_weights.copy_(1 / (1 + (moves / 0.05) ** 2))
    return net


def _regression(net: Linear3DMM, heads: Heads) -> tuple[Tensor, Tensor]:
    """The linear map's inputs (N, 1404) and targets (N, 58)."""
    residuals, rotation, scale, origin = net.residual(heads.points)
    turn = heads.rotation @ rotation.transpose(1, 2)
    corners = ((2, 1), (0, 2), (1, 0))
    axis = torch.stack([turn[:, i, j] - turn[:, j, i] for i, j in corners], dim=1) / 2
    axis = axis * (torch.asin(axis.norm(dim=1).clamp(1e-9, 1)) / axis.norm(dim=1).clamp_min(1e-9))[:, None]
    growth = torch.log(heads.scale / scale)[:, None]
    shift = (heads.origin - origin[:, :2]) / scale[:, None]
    return residuals, torch.cat([heads.weights, axis, growth, shift], dim=1)


def solve_ridge(inputs: Tensor, targets: Tensor, ridges: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of targets (N, m) by inputs (N, n) with a penalty `ridges` (m,) -> matrix (n, m), bias (m,)."""
    return next(_solve_ridges(inputs, targets, [ridges]))


def _solve_ridges(inputs: Tensor, targets: Tensor, several: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """`solve_ridge` for one penalty after the other; the axes, which take the time, are found once."""
    mean, target_mean = inputs.mean(0), targets.mean(0)
    centred = inputs - mean
    spread, axes = torch.linalg.eigh(centred.T @ centred / len(inputs))
    along = axes.T @ (centred.T @ (targets - target_mean)) / len(inputs)
    for ridges in several:
        matrix = axes @ (along / (spread.clamp_min(0)[:, None] + ridges[None]))
        yield matrix, target_mean - mean @ matrix


def _rest_and_gain(prediction: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """What to take away (m,) and to multiply by (m,) then, so that `prediction` (N, m) cut to 0..1 is nearest the
    truth.
    """
    best = torch.full(prediction.shape[1:], torch.inf, dtype=torch.float64)
    rest, gain = torch.zeros_like(best), torch.ones_like(best)
    for r in RESTS:
        for g in GAINS:
            error = (((prediction - r) * g).clamp(0, 1) - truth).square().mean(0)
            better = error < best
            best, rest, gain = (torch.where(better, new, old) for new, old in ((error, best), (r, rest), (g, gain)))
    return rest, gain


def _choose_ridges(inputs: Tensor, targets: Tensor, person: Tensor) -> Tensor:
    """(m,) for each output its ridge; for each unit the one with the smallest error on people that were left out."""
    units = targets[:, : -len(POSE_RIDGES)]
    tried = [torch.full(units.shape[1:], ridge, dtype=torch.float64) for ridge in BLENDSHAPE_RIDGES]
    errors = [((prediction - units) ** 2).mean(0) for prediction in _out_of_sample(inputs, units, tried, person)]
    chosen = torch.tensor(BLENDSHAPE_RIDGES, dtype=torch.float64)[torch.stack(errors).argmin(0)]
    return torch.cat([chosen, torch.tensor(POSE_RIDGES, dtype=torch.float64)])


def _out_of_sample(inputs: Tensor, targets: Tensor, several: list[Tensor], person: Tensor) -> list[Tensor]:
    """What each head is read as by a map that was fitted without that person, for each of `several` penalties."""
    prediction = [torch.empty_like(targets) for _ in several]
    for fold in range(FOLDS):
        left_out = person % FOLDS == fold
        for k, (matrix, bias) in enumerate(_solve_ridges(inputs[~left_out], targets[~left_out], several)):
            prediction[k][left_out] = inputs[left_out] @ matrix + bias
    return prediction


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """(N, m), (N, m) -> (m,); 0 where one of them never changes."""
    one, other = one - one.mean(0), other - other.mean(0)
    return (one * other).sum(0) / (one.norm(dim=0) * other.norm(dim=0)).clamp_min(1e-12)


# ----------------------------------------------------------------- measuring


def measure(net: Linear3DMM, heads: Heads) -> dict[str, float]:
    """On people the fit has not observed: mean absolute errors of the pose, correlations of the units."""
    heads = heads[held_out(heads.person)]
    with torch.no_grad():
        parameters = net(heads.points.float())
    truth = angles_of_rotation(heads.rotation)
    wrong = torch.rad2deg(angles_of_rotation(parameters.rotation.double()) - truth)
    found = {f"{name} degrees": float(wrong[:, k].abs().mean()) for k, name in enumerate(("pitch", "yaw", "roll"))}
    first, second = _pairs(heads.person)
    within = (wrong[first] - wrong[second]).abs().mean(0)
    found |= {f"{name} degrees, from image to image": float(within[k]) for k, name in enumerate(("pitch", "yaw"))}
    found["scale"] = float((parameters.scale / heads.scale - 1).abs().mean())
    found["origin decimetres"] = float(((parameters.origin - heads.origin).norm(dim=1) / heads.scale).mean())
    correlations = _correlation(parameters.blendshapes.double(), heads.weights)
    parted = heads.weights[:, BLENDSHAPE_INDEX["mouthClose"]] == 0
    jaw = BLENDSHAPE_INDEX["jawOpen"]
    jaws = (parameters.blendshapes.double()[parted, jaw : jaw + 1], heads.weights[parted, jaw : jaw + 1])
    found["jawOpen where the lips are not held closed"] = float(_correlation(*jaws))
    found |= {name: float(r) for name, r in zip(ARKIT_BLENDSHAPES, correlations, strict=True) if r > TELLING}
    return found


def _pairs(person: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of images of the same person."""
    number = torch.arange(len(person))
    first, second = torch.nonzero((person[:, None] == person) & (number[:, None] < number), as_tuple=True)
    return first, second


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the wheel of the heads and the parts")
    parser.add_argument("--people", type=int, default=1200)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    heads = heads_of(observe_people(options.work, options.people))
    print(f"{len(heads.person)} images of {int(heads.person.max()) + 1} people")
    net = fit(heads)
    halves = {name: tensor.half() for name, tensor in net.state_dict().items()}
    net.load_state_dict({name: tensor.float() for name, tensor in halves.items()})
    for name, value in measure(net, heads).items():
        print(f"  {name:45s} {value:.3f}")
    metadata = Metadata(MINI, MINI, 256, {NAME: asdict(MINI_LINEAR_3DMM)})
    print(f"wrote {write_checkpoint(options.out, {NAME: halves}, metadata)}")


if __name__ == "__main__":
    main()
