"""Where the 468 points of the face mesh sit on the base mesh: many heads are rendered, the face network looks at each,
and every point votes for the vertex it fell on. Votes become weights, weights become the table
assets/mini_basis.safetensors.

    python -m sadtalker_core.training.heads.landmarks --work FOLDER

Mouths are open and eyes wide while the votes are taken, so that upper and lower lips and lids are distinguished. The
votes are then made symmetric.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...canonical_face import (
    CANONICAL_FACE_FILE,
    EYES,
    FACE_OUTLINE,
    INNER_LIPS,
    LEFT_EYE,
    MOUTH,
    N_POINTS,
    RIGHT_EYE,
    SKIN,
)
from ...coefficients import ARKIT_BLENDSHAPES
from ...saving import save_arrays
from . import mesh as parts
from .expressions import turn, weights_of
from .mesh import HeadMesh, load_head_mesh
from .person import PIVOT, teeth_edge, teeth_shifts
from .scene import OVERSAMPLING, Camera, Scene

N_HEADS, SEED = 300, 5
_SIDE = 320
_CAMERA = Camera(x=0.0, y=7.1, half=1.25, distance=20.0)
_NEAR_SURFACE = 0.08
_FAR_FROM_FAVOURITE = 0.12


def landmark_weights(mesh: HeadMesh, work: Path, n_heads: int = N_HEADS) -> np.ndarray:
    """(468, V) weights whose product with the vertices gives the points."""
    return _weights_of_votes(mesh, _cached_votes(mesh, work, n_heads)[0])


def _cached_votes(mesh: HeadMesh, work: Path, n_heads: int) -> tuple[np.ndarray, np.ndarray]:
    """The votes, kept in `work`, because they take a minute or two."""
    cache = work / f"landmark_votes_{n_heads}_{SEED}.npz"
    if not cache.exists():
        votes, found = _votes(mesh, n_heads)
        save_arrays(cache, {"votes": votes, "found": found})
    with np.load(cache) as stored:
        return stored["votes"], stored["found"]


def _votes(mesh: HeadMesh, n_heads: int) -> tuple[np.ndarray, np.ndarray]:
    """(468, V) how often a point fell on a vertex, and (468, 3) the mean of the points as found, y down and z away."""
    rng = np.random.default_rng(SEED)
    allowed = _outer_skin(mesh)
    votes = np.zeros((N_POINTS, len(mesh.vertices)))
    find_points, found = _face_net(), []
    for _ in range(n_heads):
        scene = Scene(mesh, rng, _SIDE)
        scene.camera = _CAMERA
        weights = weights_of(jawOpen=rng.uniform(0.3, 0.5), mouthLowerDown=0.3, mouthUpperUp=0.3, eyeWide=0.4)
        turned = turn(rng.normal(0, 0.06), rng.normal(0, 0.06), 0)
        frame = scene.frame(weights, turned, np.zeros(3))
        points = find_points(frame.rgb)
        found.append(points)
        candidates = frame.points[allowed]
        x, y = (np.clip(candidates[:, k].astype(int), 0, _SIDE * OVERSAMPLING - 1) for k in (0, 1))
        front = frame.depth[y, x] < candidates[:, 2] + _NEAR_SURFACE
        seen, places = allowed[front], candidates[front, :2] / OVERSAMPLING
        nearest = ((points[:, None, :2] - places) ** 2).sum(-1).argmin(1)
        votes[np.arange(N_POINTS), seen[nearest]] += 1
    return votes, np.mean(found, 0)


def _face_net() -> Callable[[np.ndarray], np.ndarray]:
    """-> a function from pixels (S, S, 3) with the head in its middle to points (468, 3) in pixels."""
    import torch

    from ...face.embedded import embedded_face_nets
    from ...face.sampling import Square, sample_squares

    _, net = embedded_face_nets()

    @torch.no_grad()
    def find(pixels: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(np.ascontiguousarray(pixels, np.float32))
        square = Square(_SIDE / 2, _SIDE / 2, _SIDE * 0.95)
        for _ in range(3):
            points = square.to_image(net(sample_squares(image, [square], net.config.side))[0][0], net.config.side)
            low, high = points[:, :2].amin(0), points[:, :2].amax(0)
            centre = (low + high) / 2
            square = Square(float(centre[0]), float(centre[1]), float((high - low).max()) * 1.5)
        return points.numpy()

    return find


def _outer_skin(mesh: HeadMesh) -> np.ndarray:
    """Vertices a face point may sit on: front skin, not the inside of the mouth."""
    size = mesh.masks.shape[1]
    inside = np.zeros(len(mesh.vertices), bool)
    skin = mesh.layer == parts.SKIN
    u, v = mesh.face_uv[skin].reshape(-1, 2).T
    rows, columns = ((1 - v) * (size - 1)).astype(int), (u * (size - 1)).astype(int)
    inside[mesh.faces[skin].ravel()] = mesh.masks[2, rows.clip(0, size - 1), columns.clip(0, size - 1)] > 0.3
    candidates = mesh.vertices_of(parts.SKIN)
    place = mesh.vertices[candidates]
    return candidates[~inside[candidates] & (place[:, 1] > 6.1) & (place[:, 2] > 0.2)]


def _weights_of_votes(mesh: HeadMesh, votes: np.ndarray) -> np.ndarray:
    """Drop strays, mirror, normalise."""

    def normalised(votes: np.ndarray) -> np.ndarray:
        favourite = mesh.vertices[votes.argmax(1)]
        far = np.linalg.norm(mesh.vertices[None] - favourite[:, None], axis=-1) > _FAR_FROM_FAVOURITE
        kept = np.where(far | (votes < 0.04 * votes.sum(1, keepdims=True)), 0, votes)
        return kept / kept.sum(1, keepdims=True)

    weights = normalised(votes)
    points = weights @ mesh.vertices
    other_point = _mirror(points)
    other_vertex = _mirror(mesh.vertices)
    return normalised(weights + weights[other_point][:, other_vertex]).astype(np.float32)


def _mirror(points: np.ndarray) -> np.ndarray:
    """(n,) the partner of each point on the other side of the face, itself in the middle: the pairing that is best
    over all.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import cKDTree

    if len(points) > N_POINTS:  # the base mesh is symmetric to the last digit
        return cKDTree(points).query(points * [-1, 1, 1])[1]
    distance = np.linalg.norm(points[:, None] - points[None] * [-1, 1, 1], axis=-1)
    return linear_sum_assignment(distance + distance.T)[1]


def canonical_face_tables(mesh: HeadMesh, weights: np.ndarray, found: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors of mini_basis.safetensors; see canonical_face.CanonicalFace."""
    mean = weights @ mesh.vertices
    units = np.einsum("kv,uvc->ukc", weights, mesh.units, optimize=True)
    triangles, kind = _triangulate(found)
    return {
        "mean": mean.astype(np.float32),
        "units": units.astype(np.float16),
        "triangles": triangles.astype(np.int32),
        "kind": kind,
        "pivot": PIVOT,
        **teeth_tables(mesh),
    }


def _triangulate(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Delaunay triangles of the face as the network saw it (mouth and eyes open), unrolled from a cylinder, the outline
    on an ellipse, so that the edges of all three become edges of triangles; the openings are then filled from lip to
    lip and lid to lid.
    """
    from scipy.spatial import Delaunay

    x, y, z = (found - found.mean(0)).T / np.ptp(found[:, 0])
    flat = np.stack([np.arctan2(x, 0.7 - z), -y], 1)
    flat -= (flat.min(0) + flat.max(0)) / 2
    lips = list(INNER_LIPS)  # lips roll inwards: the edge may lie behind the row before it, so draw it into the opening
    middle = flat[lips].mean(0)
    flat[lips] = middle + (flat[lips] - middle) * [0.9, 0.5]
    outline = list(FACE_OUTLINE)
    direction = flat[outline] / np.ptp(flat, axis=0)
    flat[outline] = direction / np.linalg.norm(direction, axis=1, keepdims=True) * np.ptp(flat, axis=0) * 0.75
    triangles = Delaunay(flat).simplices
    a, b, c = flat[triangles].transpose(1, 0, 2)
    turns_left = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] > 0
    triangles = np.where(turns_left[:, None], triangles, triangles[:, ::-1])
    centres = flat[triangles].mean(1)
    for ring in (INNER_LIPS, RIGHT_EYE, LEFT_EYE):
        outside = ~_inside_polygon(centres, flat[list(ring)])
        triangles, centres = triangles[outside], centres[outside]
    kinds = [np.full(len(triangles), SKIN, np.uint8)]
    filled = [triangles]
    for ring, kind in ((INNER_LIPS, MOUTH), (RIGHT_EYE, EYES), (LEFT_EYE[:1] + LEFT_EYE[:0:-1], EYES)):
        half = len(ring) // 2
        upper, lower = ring[: half + 1], (ring[0], *ring[: half - 1 : -1])
        for k in range(half):
            for corners in ((upper[k], lower[k], lower[k + 1]), (upper[k], lower[k + 1], upper[k + 1])):
                if len(set(corners)) == 3:
                    filled.append(np.array([corners]))
                    kinds.append(np.array([kind], np.uint8))
    triangles = np.concatenate(filled)
    _check_closed(triangles)
    return triangles, np.concatenate(kinds)


def _inside_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(n,) bool: a ray to the right crosses the edges of the polygon an odd number of times."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, None, 0], points[:, None, 1]
    passes = (start[:, 1] > y) != (end[:, 1] > y)
    slope = (end[:, 0] - start[:, 0]) / np.where(start[:, 1] == end[:, 1], 1, end[:, 1] - start[:, 1])
    return (passes & (x < start[:, 0] + (y - start[:, 1]) * slope)).sum(1) % 2 == 1


def _check_closed(triangles: np.ndarray) -> None:
    """Every edge belongs to two triangles that turn alike, or to the outline."""
    edges = [(int(a), int(b)) for t in triangles for a, b in zip(t, np.roll(t, -1), strict=True)]
    open_edges = {e for e in edges if e[::-1] not in set(edges)}
    assert len(edges) == len(set(edges)), "two triangles overlap"
    assert {frozenset(e) for e in open_edges} == {
        frozenset(e) for e in zip(FACE_OUTLINE, np.roll(FACE_OUTLINE, -1).tolist(), strict=True)
    }, sorted(open_edges)


def teeth_tables(mesh: HeadMesh) -> dict[str, np.ndarray]:
    """The tensors "teeth...": points along the edges of the teeth and the tip of the tongue, where the people of
    person.py have them.
    """
    picks, kinds, moved = [], [], []
    shifts = teeth_shifts(mesh, mesh.vertices)
    for kind, (group, places) in enumerate(
        (
            (parts.UPPER_TEETH, (-0.22, -0.11, 0.0, 0.11, 0.22)),
            (parts.LOWER_TEETH, (-0.2, -0.1, 0.0, 0.1, 0.2)),
            (parts.TONGUE, (-0.08, 0.0, 0.08)),
        )
    ):
        picks += [teeth_edge(mesh, group, across) for across in places]
        kinds += [kind] * len(places)
        moved += [shifts[group]] * len(places)
    return {
        "teeth": (mesh.vertices[picks] + np.stack(moved)).astype(np.float32),
        "teeth_units": mesh.units[:, picks].astype(np.float16),
        "teeth_kind": np.array(kinds, np.uint8),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    from safetensors.numpy import load_file, save_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the wheel and what is made of it")
    parser.add_argument("--out", type=Path, default=CANONICAL_FACE_FILE)
    parser.add_argument(
        "--teeth-only", action="store_true", help="keep the points that the file has: all else was fitted to them"
    )
    options = parser.parse_args(arguments)
    mesh = load_head_mesh(options.work)
    if options.teeth_only:
        tables = load_file(options.out) | teeth_tables(mesh)
    else:
        votes, found = _cached_votes(mesh, options.work, N_HEADS)
        tables = canonical_face_tables(mesh, _weights_of_votes(mesh, votes), found)
    about = {
        "made_by": "training/heads/landmarks.py",
        "units": "decimetres; x to the person's left, y up, z to the viewer",
        "licence": "made from MakeHuman's CC0 base mesh and blendshapes; point order of MediaPipe's face mesh",
        "expression_order": ",".join(ARKIT_BLENDSHAPES),
    }
    save_file({name: np.ascontiguousarray(t) for name, t in tables.items()}, options.out, metadata=about)
    print(f"wrote {options.out}: " + ", ".join(f"{name} {t.shape}" for name, t in tables.items()))


if __name__ == "__main__":
    main()
