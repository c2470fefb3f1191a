"""The shader of the generated heads, on triangles that are written down here: no mesh, no wheel."""

import numpy as np
import pytest

from sadtalker_core.training.heads import mesh as parts
from sadtalker_core.training.heads.person import Appearance
from sadtalker_core.training.heads.raster import NOTHING
from sadtalker_core.training.heads.shading import Light, shade

SIDE = 48
LAYERS = (*range(9), parts.MOUTH_INSIDE, parts.CLOTHES)
COLOURS = ("skin", "lips", "hair", "brow", "iris", "teeth", "tongue", "gums", "cloth", "cloth_stripes", "glasses")
#: mean colour of each of LAYERS, as the shader gave it when it was one function
PAINTED = (
    (0.2526, 0.2606, 0.3411), (0.5585, 0.4410, 0.4039), (0.5181, 0.4093, 0.3748),
    (0.0179, 0.0440, 0.0316), (0.0083, 0.0301, 0.0250), (0.0102, 0.0132, 0.0181),
    (0.0247, 0.0373, 0.0741), (0.1116, 0.1812, 0.3846), (0.4047, 0.1090, 0.3620),
    (0.0225, 0.0232, 0.0053), (0.0953, 0.1881, 0.3856),
)  # fmt: skip


def everything(rng):
    """An appearance that has all there is: beard, freckles, hair, stripes, a pattern."""
    colours = {name: rng.uniform(0.1, 0.9, 3).astype(np.float32) for name in (*COLOURS, "pattern_colour")}
    amounts = dict(
        lip_cover=0.7, brow_thickness=0.06, brow_cover=0.8, brow_lift=0.01, beard=0.6, hairline=0.05, bald=0.0,
        strand=30.0, stripe_frequency=6.0, collar=6.0, roughness=0.08, bump=0.2, shine=0.3, gloss=20.0, blush=0.1,
        freckles=0.25, eyeshadow=0.2, age_lines=0.3, pattern=0.2, pattern_frequency=8.0,
    )  # fmt: skip
    return Appearance(**colours, **amounts, noise=rng.random((4, 8, 8, 8)).astype(np.float32))


def painted(rng, light):
    """Every pixel a triangle of its own somewhere on a head -> the image, the layers, what was there before."""
    n_points, n_faces = 900, 600
    low, high = [-0.9, 5.5, -0.6], [0.9, 8.4, 1.6]
    rest = rng.uniform(low, high, (n_points, 3)).astype(np.float32)
    normals = rng.normal(size=(n_points, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    faces = rng.integers(0, n_points, (n_faces, 3)).astype(np.int32)
    layer = np.where(np.arange(n_faces) < 300, parts.SKIN, np.arange(n_faces) % 9).astype(np.int32)
    masks = rng.random((3, 16, 16)).astype(np.float32) * np.array([1, 1, 0.35], np.float32)[:, None, None]
    triangle = rng.integers(0, n_faces, (SIDE, SIDE)).astype(np.int32)
    triangle[:, 0] = NOTHING
    weights = (rng.random((SIDE, SIDE, 2)) / 2).astype(np.float32)
    before = rng.random((SIDE, SIDE, 3)).astype(np.float32)
    image = before.copy()
    uv = rng.random((n_faces, 3, 2)).astype(np.float32)
    layers = shade(image, triangle, weights, faces, layer, uv, rest, normals, masks, everything(rng), light)
    return image, layers, before


def light():
    key, fill, tint = (np.array(v, np.float32) for v in ([0.3, 0.5, 0.81], [-0.6, 0.1, 0.79], [1, 0.95, 0.9]))
    return Light(key, fill, tint, 0.6, 0.5, 0.2, 4.0, 1.1)


@pytest.mark.slow
def test_every_part_of_a_head_is_painted_in_its_colours():
    image, layers, before = painted(np.random.default_rng(3), light())
    means = np.array([image[layers == layer].mean(0) for layer in LAYERS])
    assert np.array_equal(image[layers == parts.BACKGROUND], before[layers == parts.BACKGROUND])
    assert np.allclose(means, PAINTED, atol=1e-3)
