"""Pixels of the rasteriser to colours: procedural skin, lips, hair, eyes, teeth and clothes under two lights.

Every number about a place ("7.86 is the hairline") is a height or depth in the base mesh, in decimetres.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from . import mesh as parts
from .person import Appearance
from .raster import noise_at

_SKIN, _LEFT_EYE, _RIGHT_EYE = parts.SKIN, parts.LEFT_EYE, parts.RIGHT_EYE
_UPPER_TEETH, _LOWER_TEETH, _TONGUE = parts.UPPER_TEETH, parts.LOWER_TEETH, parts.TONGUE
_HAIR, _GLASSES = parts.HAIR, parts.GLASSES
_MOUTH_INSIDE, _CLOTHES = parts.MOUTH_INSIDE, parts.CLOTHES
_EYE_X, _EYE_Y, _EYE_Z = 0.30775, 7.28415, 1.24535
_LIP_DEPTH = 1.56  #: how far the lips come forward in the base mesh


class Light(NamedTuple):
    """key and fill: (3,) unit vectors towards two lights, tint (3,), the strengths, and `steps` of shade (0 =
    smooth).
    """

    key: np.ndarray
    fill: np.ndarray
    tint: np.ndarray
    ambient: float
    key_strength: float
    fill_strength: float
    steps: float
    gamma: float


class _Spot(NamedTuple):
    """Of the surface in a pixel: where it lies in the base mesh, how far beside the middle, and noise of three grains
    in -0.5..0.5.
    """

    x: float
    y: float
    z: float
    side: float
    coarse: float
    middle: float
    fine: float


@numba.njit(cache=True, fastmath=True, inline="always")
def _step(low: float, high: float, x: float) -> float:
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3 - 2 * t)


@numba.njit(cache=True, fastmath=True, inline="always")
def _mix(colour: np.ndarray, other: np.ndarray, amount: float) -> None:
    for k in range(3):
        colour[k] += (other[k] - colour[k]) * amount


@numba.njit(cache=True, fastmath=True)
def _paint_skin(colour: np.ndarray, spot: _Spot, appearance: Appearance) -> None:
    """Bare skin: its grain, blush, folds, lines of the brow and freckles."""
    grain = 1 + appearance.roughness * (1.2 * spot.coarse + 0.8 * spot.middle + 0.6 * spot.fine)
    for k in range(3):
        colour[k] = appearance.skin[k] * grain
    front = _step(0.7, 0.9, spot.z)
    blush = appearance.blush * 1.5 * np.exp(-((spot.side - 0.42) ** 2 + (spot.y - 6.95) ** 2) / 0.03) * front
    colour[1] *= 1 - blush
    colour[2] *= 1 - blush
    fold = np.exp(-((spot.side - 0.27 - 0.35 * (6.95 - spot.y)) ** 2) / 0.0012)
    fold *= _step(6.6, 6.75, spot.y) * _step(7.02, 6.92, spot.y)
    brow_lines = max(0.0, np.sin(spot.y * 75 + 2 * spot.coarse))
    brow_lines *= _step(7.6, 7.68, spot.y) * _step(7.9, 7.8, spot.y) * _step(0.5, 0.3, spot.side)
    lines = 1 - appearance.age_lines * (0.45 * fold + 0.3 * brow_lines) * front
    for k in range(3):
        colour[k] *= lines
    if appearance.freckles > 0 and noise_at(appearance.noise[3], spot.x * 24, spot.y * 24, spot.z * 24) > 0.72:
        spots = appearance.freckles * front * _step(7.3, 7.1, spot.y) * _step(6.6, 6.8, spot.y)
        for k in range(3):
            colour[k] *= 1 - spots


@numba.njit(cache=True, fastmath=True)
def _paint_lips_and_lids(
    colour: np.ndarray, other: np.ndarray, spot: _Spot, appearance: Appearance, lip: float, lid: float
) -> None:
    """Lipstick and eyeshadow, by the masks `lip` and `lid`, 0..1."""
    for k in range(3):
        other[k] = appearance.lips[k] * (1 + 0.25 * spot.fine)
        colour[k] *= 1 - appearance.eyeshadow * lid
    _mix(colour, other, lip * appearance.lip_cover)


@numba.njit(cache=True, fastmath=True)
def _paint_beard(colour: np.ndarray, other: np.ndarray, spot: _Spot, appearance: Appearance, lip: float) -> None:
    hairs = _step(6.92, 6.8, spot.y - 0.25 * _step(0.35, 0.6, spot.side))
    hairs *= _step(6.05, 6.25, spot.y) * _step(0.3, 0.4, spot.z)
    hairs *= (1 - lip) * (1 - 0.7 * np.exp(-((spot.y - 6.72) ** 2 / 0.004 + spot.x * spot.x / 0.02)))
    hairs *= appearance.beard * min(1.0, max(0.0, 0.6 + 1.2 * spot.fine + 0.8 * spot.middle))
    for k in range(3):
        other[k] = appearance.hair[k] * 0.8
    _mix(colour, other, hairs)


@numba.njit(cache=True, fastmath=True)
def _paint_brows(colour: np.ndarray, other: np.ndarray, spot: _Spot, appearance: Appearance) -> None:
    across = spot.side - _EYE_X
    arc = _EYE_Y + 0.145 + appearance.brow_lift + 0.05 * np.sin(3 * min(1.0, max(0.0, (across + 0.17) / 0.4)))
    taper = appearance.brow_thickness * (1 - 0.5 * min(1.0, max(0.0, (across - 0.05) / 0.2)))
    brow = np.exp(-(((spot.y - arc) / taper) ** 4)) * _step(-0.24, -0.17, across) * _step(0.27, 0.15, across)
    brow *= _step(0.7, 0.9, spot.z)
    hairs = noise_at(appearance.noise[3], spot.x * 72, spot.y * 40, spot.z * 45)
    for k in range(3):
        other[k] = appearance.brow[k]
    _mix(colour, other, brow * appearance.brow_cover * min(1.0, max(0.0, 0.45 + 0.9 * hairs)))


@numba.njit(cache=True, fastmath=True)
def _paint_short_hair(colour: np.ndarray, other: np.ndarray, spot: _Spot, appearance: Appearance) -> None:
    """What grows on the scalp; long hair is a mesh of its own."""
    height = spot.y + 0.12 * _step(0.2, 0.6, spot.side) + 0.1 * spot.middle
    top = _step(7.86 + appearance.hairline, 7.98 + appearance.hairline, height)
    temple = _step(0.62, 0.52, spot.z) * _step(6.95, 7.15, spot.y + (0.3 - spot.z) * 0.9)
    cover = max(top, temple)
    strands = noise_at(
        appearance.noise[3],
        spot.x * appearance.strand,
        spot.y * appearance.strand * 0.25,
        spot.z * appearance.strand * 0.4,
    )
    for k in range(3):
        other[k] = appearance.hair[k] * min(1.6, max(0.2, 0.75 + 0.9 * (strands - 0.5) + 0.6 * spot.middle))
    _mix(colour, other, cover)


@numba.njit(cache=True, fastmath=True)
def _paint_pattern(colour: np.ndarray, spot: _Spot, appearance: Appearance) -> None:
    """Blotches of another colour, as of paint."""
    frequency = appearance.pattern_frequency
    noise = noise_at(appearance.noise[2], spot.x * frequency, spot.y * frequency, spot.z * frequency)
    _mix(colour, appearance.pattern_colour, appearance.pattern * _step(0.0, 0.2, noise - 0.5))


@numba.njit(cache=True, fastmath=True)
def _paint_clothes(colour: np.ndarray, spot: _Spot, appearance: Appearance) -> None:
    striped = 0.6 if appearance.stripe_frequency > 4 and np.sin(spot.y * appearance.stripe_frequency * 3) > 0 else 0.0
    for k in range(3):
        cloth = appearance.cloth[k] * (1 - striped) + appearance.cloth_stripes[k] * striped
        colour[k] = cloth * (1 + 0.3 * spot.coarse)


@numba.njit(cache=True, fastmath=True)
def _paint_eye(colour: np.ndarray, other: np.ndarray, spot: _Spot, appearance: Appearance) -> float:
    """White, iris and pupil -> how much light the lids leave, 0..1."""
    dx, dy, dz = spot.side - _EYE_X, spot.y - _EYE_Y, spot.z - _EYE_Z
    angle = np.arccos(min(1.0, max(-1.0, dz / (np.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9))))
    red = 0.12 * _step(0.5, 1.1, angle)
    colour[0], colour[1], colour[2] = 0.9, 0.88 - red, 0.86 - red
    rays = noise_at(appearance.noise[3], np.arctan2(dy, dx) * 6, angle * 4, 0.5)
    for k in range(3):
        iris = appearance.iris[k] * (0.55 + 0.6 * _step(0.2, 0.4, angle)) * (0.75 + 0.5 * rays)
        other[k] = iris * (1 - 0.6 * _step(0.38, 0.47, angle))
    _mix(colour, other, _step(0.50, 0.45, angle))
    other[:] = 0.02
    _mix(colour, other, _step(0.2, 0.16, angle))
    return 0.72 + 0.28 * _step(0.14, 0.02, abs(dy))


@numba.njit(cache=True, fastmath=True)
def _paint_teeth(colour: np.ndarray, spot: _Spot, appearance: Appearance, upper: bool, ny: float) -> float:
    """Teeth and gums -> how much light reaches them, 0..1.  ny: of the normal, upwards"""
    gap = np.exp(-((spot.side * 8.5 - np.floor(spot.side * 8.5) - 0.02) ** 2) / 0.004)
    gum = _step(6.69, 6.71, spot.y) if upper else _step(6.51, 6.49, spot.y)
    for k in range(3):
        colour[k] = appearance.teeth[k] * (1 + 0.12 * spot.middle) * (1 - 0.25 * gap)
    _mix(colour, appearance.gums, gum)
    dark = 0.9 * min(1.0, max(0.12, 1 - (_LIP_DEPTH - 0.10 - spot.z) * 1.6))
    dark *= (1.0 if upper else 0.75) / (1 + (spot.side / 0.24) ** 4)
    return dark * (1 - 0.7 * min(1.0, ny * ny))  # no light falls on what the jaws turn to each other


@numba.njit(cache=True, fastmath=True)
def _paint_long_hair(colour: np.ndarray, spot: _Spot, appearance: Appearance) -> None:
    strands = noise_at(
        appearance.noise[3], spot.x * appearance.strand, spot.y * appearance.strand * 0.12, spot.z * appearance.strand
    )
    for k in range(3):
        colour[k] = appearance.hair[k] * min(1.5, max(0.2, 0.7 + 0.9 * (strands - 0.5)))


@numba.njit(cache=True, fastmath=True)
def _paint_part(
    colour: np.ndarray,
    other: np.ndarray,
    part: int,
    spot: _Spot,
    ny: float,
    masks: tuple[float, float, float],
    appearance: Appearance,
) -> tuple[int, float, float, float]:
    """Set `colour` -> the layer that is visible, how much it shines, how narrow its highlights are, and how much light
    reaches it, 0..1.  masks: lip, lid and inside of the mouth, 0..1
    """
    shine, gloss, dark = appearance.shine, appearance.gloss, 1.0
    if part == _SKIN:
        lip, lid, inside = masks
        _paint_skin(colour, spot, appearance)
        _paint_lips_and_lids(colour, other, spot, appearance, lip, lid)
        shine += 0.25 * lip * appearance.lip_cover
        if appearance.beard > 0:
            _paint_beard(colour, other, spot, appearance, lip)
        _paint_brows(colour, other, spot, appearance)
        if appearance.bald < 0.5:
            _paint_short_hair(colour, other, spot, appearance)
        if appearance.pattern > 0:
            _paint_pattern(colour, spot, appearance)
        if spot.y < appearance.collar + 0.12 * (spot.z - 0.6) and spot.y < 6.1:
            part = _CLOTHES
            _paint_clothes(colour, spot, appearance)
            shine *= 0.2
        if inside > 0.3:
            part = _MOUTH_INSIDE
            colour[:] = appearance.gums
            dark = 0.4 * min(1.0, max(0.1, 1 - (_LIP_DEPTH - 0.1 - spot.z) * 1.6))
            shine = 0.15
    elif part in (_LEFT_EYE, _RIGHT_EYE):
        dark = _paint_eye(colour, other, spot, appearance)
        shine, gloss = 0.9, 90.0
    elif part in (_UPPER_TEETH, _LOWER_TEETH):
        dark = _paint_teeth(colour, spot, appearance, part == _UPPER_TEETH, ny)
        shine, gloss = 0.45, 50.0
    elif part == _TONGUE:
        for k in range(3):
            colour[k] = appearance.tongue[k] * (1 + 0.3 * spot.fine)
        dark = 0.5 * min(1.0, max(0.12, 1 - (_LIP_DEPTH - 0.2 - spot.z) * 2.2))
        shine = 0.25
    elif part == _HAIR:
        _paint_long_hair(colour, spot, appearance)
    elif part == _GLASSES:
        colour[:] = appearance.glasses
        shine, gloss = 0.6, 60.0
    else:  # lashes
        for k in range(3):
            colour[k] = appearance.hair[k] * 0.15
    return part, shine, gloss, dark


@numba.njit(cache=True, fastmath=True)
def _lit(nx: float, ny: float, nz: float, light: Light, halfway: np.ndarray) -> tuple[float, float]:
    """A normal of any length -> how bright the surface is, and the cosine to `halfway` of light and viewer."""
    length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
    if nz < 0:
        length = -length
    nx, ny, nz = nx / length, ny / length, nz / length
    key = max(0.0, 0.8 * (nx * light.key[0] + ny * light.key[1] + nz * light.key[2]) + 0.2)
    fill = max(0.0, nx * light.fill[0] + ny * light.fill[1] + nz * light.fill[2])
    lit = light.ambient * (0.75 + 0.25 * ny) + light.key_strength * key + light.fill_strength * fill
    if light.steps > 0:
        lit = np.floor(lit * light.steps + 0.5) / light.steps
    return lit, max(0.0, nx * halfway[0] + ny * halfway[1] + nz * halfway[2])


@numba.njit(cache=True, fastmath=True)
def shade(
    image: np.ndarray,
    triangle: np.ndarray,
    weights: np.ndarray,
    faces: np.ndarray,
    layer: np.ndarray,
    face_uv: np.ndarray,
    rest: np.ndarray,
    normals: np.ndarray,
    masks: np.ndarray,
    appearance: Appearance,
    light: Light,
) -> np.ndarray:
    """Paint over `image` (h, w, 3) in place -> layer ids (h, w) uint8, 255 where no triangle is.

    triangle, weights: (h, w) and (h, w, 2), of `raster.rasterise`;  normals (V, 3): of the posed vertices
    faces, layer, face_uv, rest: of `Person`;  masks (3, M, M): of `HeadMesh`
    """
    height, width = triangle.shape
    ids = np.full((height, width), 255, np.uint8)
    size = masks.shape[1]
    colour = np.empty(3, np.float32)
    other = np.empty(3, np.float32)
    halfway = light.key + np.array([0.0, 0.0, 1.0], np.float32)
    halfway = halfway / np.sqrt((halfway**2).sum())
    for row in range(height):
        for column in range(width):
            t = triangle[row, column]
            if t < 0:
                continue
            u, v = weights[row, column, 0], weights[row, column, 1]
            a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
            s = 1 - u - v
            x = rest[a, 0] * s + rest[b, 0] * u + rest[c, 0] * v
            y = rest[a, 1] * s + rest[b, 1] * u + rest[c, 1] * v
            z = rest[a, 2] * s + rest[b, 2] * u + rest[c, 2] * v
            nx = normals[a, 0] * s + normals[b, 0] * u + normals[c, 0] * v
            ny = normals[a, 1] * s + normals[b, 1] * u + normals[c, 1] * v
            nz = normals[a, 2] * s + normals[b, 2] * u + normals[c, 2] * v
            coarse = noise_at(appearance.noise[0], x * 2.2, y * 2.2, z * 2.2) - 0.5
            middle = noise_at(appearance.noise[1], x * 9, y * 9, z * 9) - 0.5
            fine = noise_at(appearance.noise[2], x * 31, y * 31, z * 31) - 0.5
            tu = face_uv[t, 0, 0] * s + face_uv[t, 1, 0] * u + face_uv[t, 2, 0] * v
            tv = face_uv[t, 0, 1] * s + face_uv[t, 1, 1] * u + face_uv[t, 2, 1] * v
            mx, my = int(min(size - 1, max(0, tu * size))), int(min(size - 1, max(0, (1 - tv) * size)))
            masked = (masks[0, my, mx], masks[1, my, mx], masks[2, my, mx])
            part = layer[t]
            spot = _Spot(x, y, z, abs(x), coarse, middle, fine)
            visible, shine, gloss, dark = _paint_part(colour, other, part, spot, ny, masked, appearance)
            ids[row, column] = visible
            if part in (_SKIN, _TONGUE):
                nx, ny, nz = (
                    nx + appearance.bump * fine,
                    ny + appearance.bump * middle * 0.7,
                    nz + appearance.bump * coarse * 0.2,
                )
            lit, towards = _lit(nx, ny, nz, light, halfway)
            glint = shine * 0.5 * towards**gloss
            for k in range(3):
                value = (colour[k] * lit * light.tint[k] + glint) * dark
                image[row, column, k] = min(1.0, max(0.0, value)) ** light.gamma
    return ids
