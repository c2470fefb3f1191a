"""A person before a background, lit and photographed: weights and a turn in, `Frame` out; the exact flow between two.

The image is square, side `size`; it is rasterised at twice that and averaged down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import mesh as parts
from .mesh import HeadMesh
from .person import Person, make_person
from .raster import rasterise, vertex_normals
from .shading import Light, shade

OVERSAMPLING = 2
_DEPTH_OF_CAMERA_PLANE = 0.6
_SAME_SURFACE = 0.06  #: decimetres of depth within which two pixels show the same spot


@dataclass(frozen=True)
class Camera:
    """Mild perspective: the square shows `half` decimetres to each side of (x, y), seen from `distance`."""

    x: float
    y: float
    half: float
    distance: float

    def project(self, points: np.ndarray, size: int) -> np.ndarray:
        """(n, 3) decimetres -> (n, 3) x and y in pixels, and the depth as it was."""
        near = self.distance / (self.distance - (points[:, 2] - _DEPTH_OF_CAMERA_PLANE))
        x = ((points[:, 0] - self.x) * near / self.half * 0.5 + 0.5) * size
        y = (0.5 - (points[:, 1] - self.y) * near / self.half * 0.5) * size
        return np.stack([x, y, points[:, 2]], 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Frame:
    """rgb (S, S, 3) in 0..1, layer (S, S) ids of mesh.py, vertices (V, 3) decimetres, and the rasteriser's own arrays
    at twice the size: points (V, 3) pixels, depth, triangle, weights.
    """

    rgb: np.ndarray
    layer: np.ndarray
    vertices: np.ndarray
    points: np.ndarray
    depth: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray


class Scene:
    """Everything that stays the same from frame to frame."""

    def __init__(self, mesh: HeadMesh, rng: np.random.Generator, size: int):
        self.mesh, self.size = mesh, size
        self.person: Person = make_person(mesh, rng)
        self.camera = Camera(rng.uniform(-0.1, 0.1), rng.uniform(7.0, 7.2), rng.uniform(1.45, 1.6), rng.uniform(10, 40))
        self.light = _random_light(rng)
        self.background = _background(rng, size * OVERSAMPLING)
        self.blur = rng.uniform(0.3, 1.1) if rng.random() < 0.45 else 0.0

    def frame(self, weights: np.ndarray, rotation: np.ndarray, shift: np.ndarray) -> Frame:
        """weights (52,), rotation (3, 3), shift (3,) decimetres."""
        person, big = self.person, self.size * OVERSAMPLING
        vertices = person.posed(weights, rotation, shift)
        points = self.camera.project(vertices, big)
        depth, triangle, corners = rasterise(points, person.faces, big, big)
        image = self.background.copy()
        normals = vertex_normals(vertices, person.faces)
        ids = shade(
            image,
            triangle,
            corners,
            person.faces,
            person.layer,
            person.face_uv,
            person.rest,
            normals,
            self.mesh.masks,
            person.appearance,
            self.light,
        )
        rgb = image.reshape(self.size, OVERSAMPLING, self.size, OVERSAMPLING, 3).mean((1, 3))
        if self.blur:
            from scipy.ndimage import gaussian_filter

            rgb = gaussian_filter(rgb, (self.blur, self.blur, 0))
        layer = ids[OVERSAMPLING // 2 :: OVERSAMPLING, OVERSAMPLING // 2 :: OVERSAMPLING]
        return Frame(rgb.astype(np.float32), layer, vertices, points, depth, triangle, corners)


def exact_flow(person: Person, source: Frame, driving: Frame) -> tuple[np.ndarray, np.ndarray]:
    """For each driving pixel (S, S): where it lies in the source, minus where it is, in pixels (S, S, 2), and whether
    the source shows that spot (S, S) bool. The background stays where it is.
    """
    middle = slice(OVERSAMPLING // 2, None, OVERSAMPLING)
    triangle, weights = driving.triangle[middle, middle], driving.weights[middle, middle]
    rows, columns = np.nonzero(triangle >= 0)
    corners = source.points[person.faces[triangle[rows, columns]]]
    u, v = weights[rows, columns].T
    spot = corners[:, 0] * (1 - u - v)[:, None] + corners[:, 1] * u[:, None] + corners[:, 2] * v[:, None]
    size = len(triangle)
    flow = np.zeros((size, size, 2), np.float32)
    centre = (OVERSAMPLING // 2 + 0.5) / OVERSAMPLING  # the sample of the pixel that `middle` takes
    flow[rows, columns] = spot[:, :2] / OVERSAMPLING - np.stack([columns, rows], 1) - centre
    visible = source.triangle[middle, middle] < 0
    x, y = spot[:, 0].astype(int), spot[:, 1].astype(int)
    inside = (x >= 0) & (y >= 0) & (x < source.depth.shape[1]) & (y < source.depth.shape[0])
    nearest = np.full(len(spot), 1e9, np.float32)
    nearest[inside] = source.depth[y[inside], x[inside]]
    visible[rows, columns] = inside & (np.abs(nearest - spot[:, 2]) < _SAME_SURFACE)
    return flow, visible


def photograph(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera and a file do to an image: (S, S, 3) in 0..1 -> uint8, with sensor noise and sometimes JPEG."""
    noisy = rgb + rng.normal(0, rng.uniform(0, 0.025), rgb.shape)
    image = (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.4:
        import io

        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=int(rng.integers(45, 95)))
        image = np.array(Image.open(file))
    return image


def _random_light(rng: np.random.Generator) -> Light:
    def unit(vector: np.ndarray) -> np.ndarray:
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    return Light(
        key=unit(rng.normal(0, 1, 3) * [0.7, 0.5, 0.4] + [0, 0.5, 0.9]),
        fill=unit(rng.normal(0, 1, 3)),
        tint=rng.uniform(0.85, 1.12, 3).astype(np.float32),
        ambient=rng.uniform(0.45, 0.85),
        key_strength=rng.uniform(0.25, 0.75),
        fill_strength=rng.uniform(0, 0.3),
        steps=float(rng.integers(3, 7)) if rng.random() < 0.12 else 0.0,
        gamma=rng.uniform(0.85, 1.2),
    )


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A plain wall, a gradient, soft blotches or hard blocks."""
    from scipy.ndimage import gaussian_filter, zoom

    first, second = rng.uniform(0, 1, 3), rng.uniform(0, 1, 3)
    kind = rng.integers(0, 4)
    if kind == 0:
        image = np.ones((size, size, 3)) * first
    elif kind == 1:
        y, x = np.mgrid[0:size, 0:size] / size - 0.5
        along = np.clip(0.5 + x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1), 0, 1)[..., None]
        image = first * (1 - along) + second * along
    else:
        cells = int(rng.integers(3, 24))
        small = rng.uniform(0, 1, (cells, cells, 3)) * 0.6 + 0.4 * first
        image = zoom(small, (size / cells, size / cells, 1), order=1 if kind == 2 else 0)[:size, :size]
        for _ in range(6 if kind == 3 else 0):
            (left, right), (top, bottom) = np.sort(rng.integers(0, size, (2, 2)), 1)
            image[top:bottom, left:right] = rng.uniform(0, 1, 3)
        if rng.random() < 0.6:
            blur = size * rng.uniform(0.005, 0.04)
            image = gaussian_filter(image, (blur, blur, 0))
    return np.clip(image, 0, 1).astype(np.float32)


LAYERS_OF_THE_MOUTH = (parts.UPPER_TEETH, parts.LOWER_TEETH, parts.TONGUE, parts.MOUTH_INSIDE)
