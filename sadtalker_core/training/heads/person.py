"""One seed, one person: the shape of the head and the look of it.

`Person.posed` moves it: blendshape weights and a head rotation in, vertices out. `Appearance` is what the shader needs.
`rest` coordinates are those of the base mesh before any change of shape, so that shading code can mean "above the eye".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...coefficients import BLENDSHAPE_INDEX
from . import mesh as parts
from .mesh import HeadMesh
from .raster import noise_over, vertex_normals

PIVOT = np.array([0.0, 6.45, 0.25], np.float32)  #: the head turns around this point, the top of the neck
NOISE_GRID = 16

# The base mesh hides its teeth behind the lips, and targets of shape move lips and teeth apart, so every person's are
# laid by the own lips. Decimetres below the edge of the lip at rest, in the middle: of the upper lip for the upper
# teeth, of the lower lip for the others; and along z from where the base mesh has them. So a closed mouth has its teeth
# one behind the other, as people do; the lower row appears once the jaw has opened a little.
UPPER_TEETH_BELOW, LOWER_TEETH_BELOW, TONGUE_BELOW = 0.034, -0.005, 0.022
UPPER_TEETH_FORWARD, LOWER_TEETH_FORWARD, TONGUE_FORWARD = 0.02, -0.03, -0.06
TEETH_SPREAD = 0.006  #: standard deviation among people of where the edges lie
_LIP_BOX = (0.012, 6.5, 6.75, 1.45)  #: how far beside the middle, from which height to which, and in front of which z
_HANGS_ON_JAW = -0.2  #: decimetres by which jawOpen moves what belongs to the lower lip


class Appearance(NamedTuple):
    """What the shader needs to know, colours (3,) in 0..1; see shading.py for how each is used."""

    skin: np.ndarray
    lips: np.ndarray
    lip_cover: float
    hair: np.ndarray
    brow: np.ndarray
    brow_thickness: float
    brow_cover: float
    brow_lift: float
    iris: np.ndarray
    teeth: np.ndarray
    tongue: np.ndarray
    gums: np.ndarray
    beard: float
    hairline: float
    bald: float
    strand: float
    cloth: np.ndarray
    cloth_stripes: np.ndarray
    stripe_frequency: float
    collar: float
    roughness: float
    bump: float
    shine: float
    gloss: float
    blush: float
    freckles: float
    eyeshadow: float
    age_lines: float
    glasses: np.ndarray
    pattern: float
    pattern_frequency: float
    pattern_colour: np.ndarray
    noise: np.ndarray  #: (4, n, n, n) random grids


#: its name before 2026-12-01, by which code that numba compiled then, and kept beside the source, finds it
Look = Appearance


@dataclass(frozen=True, eq=False)
class Person:
    """rest, vertices (V, 3), faces (F, 3), layer (F,), face_uv (F, 3, 2), units (52, V, 3), follow (V,): how much of a
    head turn reaches the vertex, 1 the head, 0 the chest.
    """

    rest: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    layer: np.ndarray
    face_uv: np.ndarray
    units: np.ndarray
    follow: np.ndarray
    appearance: Appearance

    def posed(self, weights: np.ndarray, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """(V, 3): blendshape weights (52,), rotation (3, 3) about the pivot, shift (3,) of the head."""
        active = np.flatnonzero(weights)
        moved = self.vertices + np.tensordot(weights[active].astype(np.float32), self.units[active], 1)
        turned = (moved - PIVOT) @ rotation.T.astype(np.float32) + PIVOT + shift.astype(np.float32)
        return moved + self.follow[:, None] * (turned - moved)


def smoothstep(low: float, high: float, x: Any) -> Any:
    """0 below `low`, 1 above `high`, smooth between them."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def make_person(mesh: HeadMesh, rng: np.random.Generator) -> Person:
    """A person drawn at random: shape, skin, hair and eyes."""
    male = float(np.clip(rng.choice([rng.beta(1, 6), rng.beta(6, 1)]), 0, 1))
    origin = rng.dirichlet([0.5, 0.5, 0.5])  # african, asian, caucasian targets
    age = rng.dirichlet([0.05, 0.15, 1.6, 0.7])  # baby, child, young, old
    appearance = _make_appearance(rng, male, origin, age)
    rest, faces, layer, face_uv, units = mesh.vertices, mesh.faces, mesh.layer, mesh.face_uv, mesh.units
    vertices = _make_shape(mesh, rng, male, origin, age)

    on_skin = np.zeros(len(rest), np.float32)
    on_skin[mesh.vertices_of(parts.SKIN)] = 1
    skin_faces = faces[layer == parts.SKIN]
    volume = rng.uniform(0.03, 0.24) * (1 - appearance.bald) * scalp(rest, appearance.hairline) * on_skin
    waves = (
        0.6
        + 0.8 * noise_over(appearance.noise[0], rest, 1.7)
        + 0.25 * (noise_over(appearance.noise[1], rest, 9.0) - 0.5)
    )
    vertices = vertices + vertex_normals(vertices, skin_faces) * (volume * waves)[:, None]
    for group, shift in teeth_shifts(mesh, vertices).items():
        vertices[mesh.vertices_of(group)] += shift + np.array([0, rng.normal(0, TEETH_SPREAD), 0], np.float32)

    follow = smoothstep(5.75, 6.35, rest[:, 1] + 0.45 * (rest[:, 2] - 0.3))
    extras = []
    if not appearance.bald and rng.random() < 0.08 + 0.67 * (1 - male):
        extras.append((*_long_hair(rng), parts.HAIR))
    if rng.random() < 0.12:
        extras.append((*_glasses(rng), parts.GLASSES))
    for points, triangles, name in extras:
        faces = np.concatenate([faces, triangles + len(rest)])
        rest, vertices = np.concatenate([rest, points]), np.concatenate([vertices, points])
        layer = np.concatenate([layer, np.full(len(triangles), name, np.int32)])
        face_uv = np.concatenate([face_uv, np.zeros((len(triangles), 3, 2), np.float32)])
        follow = np.concatenate([follow, smoothstep(5.2, 7.2, points[:, 1])])
        units = np.concatenate([units, np.zeros((len(units), len(points), 3), np.float32)], 1)
    if rng.random() < 0.35:  # no lashes: a soft photograph does not show any
        keep = layer != parts.LASHES
        faces, layer, face_uv = faces[keep], layer[keep], face_uv[keep]
    return Person(
        rest=np.ascontiguousarray(rest, np.float32),
        vertices=np.ascontiguousarray(vertices, np.float32),
        faces=np.ascontiguousarray(faces, np.int32),
        layer=np.ascontiguousarray(layer, np.int32),
        face_uv=np.ascontiguousarray(face_uv, np.float32),
        units=units,
        follow=follow.astype(np.float32),
        appearance=appearance,
    )


def scalp(rest: np.ndarray, hairline: float) -> np.ndarray:
    """How much of a point of the base mesh lies under hair, 0..1."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    front = smoothstep(7.86 + hairline, 7.98 + hairline, y + 0.12 * smoothstep(0.2, 0.6, x)) * smoothstep(
        0.2, 0.5, y - 7.2
    )
    side = smoothstep(0.62, 0.52, z) * smoothstep(6.95, 7.15, y + (0.3 - z) * 0.9)
    return np.clip(np.maximum(front, side), 0, 1).astype(np.float32)


def teeth_shifts(mesh: HeadMesh, vertices: np.ndarray) -> dict[int, np.ndarray]:
    """vertices (V, 3) of a shape of the base mesh -> by how much to move (3,) upper teeth, lower teeth and tongue, so
    that they lie by its lips; keys are layers of mesh.py.
    """
    beside, low, high, front = _LIP_BOX
    x, y, z = mesh.vertices.T
    lips = np.intersect1d(
        mesh.vertices_of(parts.SKIN), np.flatnonzero((abs(x) < beside) & (y > low) & (y < high) & (z > front))
    )
    on_jaw = mesh.units[BLENDSHAPE_INDEX["jawOpen"], lips, 1] < _HANGS_ON_JAW
    upper, lower = vertices[lips[~on_jaw], 1].min(), vertices[lips[on_jaw], 1].max()
    return {
        group: np.array([0, goal - vertices[teeth_edge(mesh, group), 1], forward], np.float32)
        for group, goal, forward in (
            (parts.UPPER_TEETH, upper - UPPER_TEETH_BELOW, UPPER_TEETH_FORWARD),
            (parts.LOWER_TEETH, lower - LOWER_TEETH_BELOW, LOWER_TEETH_FORWARD),
            (parts.TONGUE, lower - TONGUE_BELOW, TONGUE_FORWARD),
        )
    }


def teeth_edge(mesh: HeadMesh, group: int, across: float = 0.0) -> int:
    """The vertex at the edge of a row of teeth, or at the tip of the tongue, `across` decimetres from the middle."""
    vertices = mesh.vertices_of(group)
    x, y, z = mesh.vertices[vertices].T
    up = {parts.UPPER_TEETH: -1, parts.LOWER_TEETH: 1, parts.TONGUE: 0.5}[group]
    return int(vertices[np.argmax(up * y + 0.7 * z - 2 * np.abs(x - across))])


def _make_shape(
    mesh: HeadMesh, rng: np.random.Generator, male: float, origin: np.ndarray, age: np.ndarray
) -> np.ndarray:
    """Macro blend of sex, age, origin, muscle and weight, plus a handful of local targets, placed like the base
    mesh.
    """
    shape = mesh.vertices.copy()

    def thirds(x: float) -> dict[str, float]:
        return {"min": max(0, 1 - 2 * x), "average": 1 - abs(2 * x - 1), "max": max(0, 2 * x - 1)}

    muscles, weights = thirds(rng.beta(3, 3)), thirds(rng.beta(3, 3))
    for sex, share in (("female", 1 - male), ("male", male)):
        for years, years_share in zip(("baby", "child", "young", "old"), share * age, strict=True):
            if years_share < 0.01:
                continue
            for name, part in zip(("african", "asian", "caucasian"), origin, strict=True):
                shape += years_share * part * mesh.shapes[f"macro/{name}-{sex}-{years}"]
            for muscle, a in muscles.items():
                for weight, b in weights.items():
                    moved = mesh.shapes.get(f"macro/universal-{sex}-{years}-{muscle}muscle-{weight}weight")
                    if moved is not None and a * b > 0.01:
                        shape += years_share * a * b * moved
    local = [name for name in mesh.shapes if not name.startswith("macro/")]
    for i in rng.choice(len(local), rng.integers(8, 26), replace=False):
        folder, _, name = local[i].partition("/")
        amount = rng.uniform(0, 0.55) * (0.5 if folder == "asym" else 1)
        both = [f"{folder}/{side}-{name[2:]}" for side in "lr"] if name[:2] in ("l-", "r-") else [local[i]]
        for pick in both:
            if pick in mesh.shapes:
                shape += amount * mesh.shapes[pick]
    eyes = mesh.vertices_of(parts.LEFT_EYE, parts.RIGHT_EYE)
    skin = mesh.vertices_of(parts.SKIN)
    chin = skin[np.argmin(np.abs(mesh.vertices[skin] - [0, 6.28, 1.25]).sum(1))]
    between, target = shape[eyes].mean(0), mesh.vertices[eyes].mean(0)
    height = shape[skin][:, 1].max() - shape[chin, 1]
    size = (mesh.vertices[skin][:, 1].max() - mesh.vertices[chin, 1]) / height * rng.uniform(0.97, 1.03)
    return ((shape - between) * size + target).astype(np.float32)


def _make_appearance(rng: np.random.Generator, male: float, origin: np.ndarray, age: np.ndarray) -> Appearance:
    def colour(*rgb: float) -> np.ndarray:
        return np.array(rgb, np.float32)

    melanin = np.clip(origin @ [0.85, 0.3, 0.16] + rng.normal(0, 0.09), 0.02, 0.97)
    light, dark = colour(0.98, 0.83, 0.74), colour(0.37, 0.225, 0.155)
    skin = light ** (1 - melanin) * dark**melanin * (1 + rng.normal(0, 0.035, 3))
    lips, lip_cover = skin * [1, 0.62, 0.62] * rng.uniform(0.8, 1.05), rng.uniform(0.25, 1)
    if male < 0.5 and rng.random() < 0.35:
        lips, lip_cover = colour(rng.uniform(0.45, 0.8), rng.uniform(0.08, 0.25), rng.uniform(0.12, 0.35)), 1.0
    hairs = [[0.05, 0.04, 0.035], [0.16, 0.09, 0.05], [0.32, 0.19, 0.1], [0.62, 0.45, 0.25], [0.55, 0.54, 0.53]]
    hairs += [[0.38, 0.13, 0.06], [0.1, 0.06, 0.04], [0.8, 0.66, 0.42]]
    hair = colour(*hairs[rng.choice(8, p=[0.28, 0.2, 0.15, 0.1, 0.08, 0.05, 0.1, 0.04])]) * rng.uniform(0.7, 1.3)
    if rng.random() < 0.04:
        hair = rng.uniform(0, 1, 3)
    irises = [[0.25, 0.14, 0.07], [0.15, 0.08, 0.04], [0.3, 0.42, 0.55], [0.3, 0.4, 0.25], [0.4, 0.28, 0.14]]
    iris = colour(*irises[rng.choice(5, p=[0.35, 0.3, 0.13, 0.1, 0.12])]) * rng.uniform(0.8, 1.2)
    patterned = rng.random() < 0.15
    values = dict(
        skin=skin,
        lips=lips,
        lip_cover=lip_cover,
        hair=hair,
        brow=hair * rng.uniform(0.4, 1.0),
        brow_thickness=rng.uniform(0.03, 0.09),
        brow_cover=rng.uniform(0.35, 1),
        brow_lift=rng.uniform(-0.03, 0.05),
        iris=iris,
        teeth=colour(0.93, 0.9, 0.84) * rng.uniform(0.8, 1.02) * (1 + rng.normal(0, 0.015, 3)),
        tongue=colour(0.66, 0.3, 0.3) * rng.uniform(0.8, 1.15),
        gums=colour(0.55, 0.24, 0.22) * rng.uniform(0.75, 1.1),
        beard=rng.uniform(0, 0.9) if male > 0.5 and rng.random() < 0.45 else 0.0,
        hairline=rng.uniform(-0.12, 0.14),
        bald=float(male > 0.5 and rng.random() < 0.12),
        strand=rng.uniform(18, 48),
        cloth=rng.uniform(0.03, 0.9, 3),
        cloth_stripes=rng.uniform(0.03, 0.9, 3),
        stripe_frequency=rng.uniform(0.5, 9),
        collar=rng.uniform(5.75, 6.1),
        roughness=rng.uniform(0.02, 0.12),
        bump=rng.uniform(0, 0.35),
        shine=rng.uniform(0.0, 0.4),
        gloss=rng.uniform(8, 40),
        blush=rng.uniform(0, 0.12),
        freckles=rng.uniform(0, 0.3) if rng.random() < 0.25 else 0.0,
        eyeshadow=rng.uniform(0.05, 0.3),
        age_lines=rng.uniform(0, 0.25) + 0.5 * age[3],
        glasses=rng.uniform(0.02, 0.4, 3) * rng.uniform(0.3, 2),
        pattern=rng.uniform(0.1, 0.45) if patterned else 0.0,
        pattern_frequency=rng.uniform(3, 14),
        pattern_colour=rng.uniform(0, 1, 3),
        noise=rng.random((4, NOISE_GRID, NOISE_GRID, NOISE_GRID)),
    )
    arrays = {name: np.ascontiguousarray(v, np.float32) for name, v in values.items() if np.ndim(v)}
    parts: dict[str, Any] = {name: arrays[name] if np.ndim(v) else float(v) for name, v in values.items()}
    return Appearance(**parts)


def _strip_faces(rows: int, columns: int) -> np.ndarray:
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    upper = np.stack([first, first + 1, first + columns], 1)
    lower = np.stack([first + 1, first + columns + 1, first + columns], 1)
    return np.concatenate([upper, lower]).astype(np.int32)


def _long_hair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A curtain around the back of the head and down to the shoulders."""
    opening = rng.uniform(1.75, 2.15)
    around = np.linspace(-opening, opening, 28)
    heights = np.linspace(8.25, rng.uniform(5.3, 6.6), 14)
    width, flare = rng.uniform(0.98, 1.15), rng.uniform(0.5, 1.2)
    upper = 0.25 + 0.62 * np.sqrt(np.clip(1 - ((heights - 7.5) / 1.15) ** 2, 0, 1))
    radius = np.where(heights > 7.5, upper, 0.87 + 0.12 * (7.5 - heights) * flare)[:, None]
    x, z = np.sin(around) * radius * 0.98 * width, 0.45 - np.cos(around) * radius * 1.12
    points = np.stack([x, np.broadcast_to(heights[:, None], x.shape), z], -1).reshape(-1, 3)
    return (points + rng.normal(0, 0.012, points.shape)).astype(np.float32), _strip_faces(len(heights), len(around))


def _glasses(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two rims, a bridge and temples, as flat bands in front of the eyes."""
    half_width, half_height = rng.uniform(0.2, 0.27), rng.uniform(0.13, 0.24)
    rim, squareness, y, front = rng.uniform(0.015, 0.045), rng.uniform(1, 3), 7.27 + rng.uniform(-0.03, 0.02), 1.52
    turn = np.linspace(0, 2 * np.pi, 33)
    c, s = np.cos(turn), np.sin(turn)
    unit = np.stack([np.sign(c) * np.abs(c) ** (1 / squareness), np.sign(s) * np.abs(s) ** (1 / squareness)], 1)
    points, triangles, count = [], [], 0

    def band(inner: np.ndarray, outer: np.ndarray) -> None:
        nonlocal count
        rows = np.concatenate([inner, outer])
        points.append(rows)
        triangles.append(_strip_faces(2, len(inner)) + count)
        count += len(rows)

    for side in (-1, 1):
        centre = np.array([side * 0.31, y])
        loop = [
            np.c_[
                centre + unit * [half_width + g, half_height + g], front - 0.25 * (unit[:, :1] * side * half_width) ** 2
            ]
            for g in (0, rim)
        ]
        band(*loop)
        outer = side * (0.31 + half_width)
        path = np.array([[outer, y + 0.08, front - 0.02], [side * 0.66, y + 0.08, 1.1], [side * 0.74, y + 0.05, 0.55]])
        band(path, path - [0, rim * 1.2, 0])
    bridge = np.array([[x, y + 0.05 + 0.02 * (1 - (x / 0.12) ** 2), front] for x in np.linspace(-0.12, 0.12, 5)])
    band(bridge, bridge - [0, rim, 0])
    return np.concatenate(points).astype(np.float32), np.concatenate(triangles)
