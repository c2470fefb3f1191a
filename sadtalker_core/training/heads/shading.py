"""Pixels of the rasteriser to colours: procedural skin, lips, hair, eyes, teeth and clothes under two lights.

Every number about a place ("7.86 is the hairline") is a height or depth in the base mesh, in decimetres.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from . import mesh as parts
from .person import Look
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


@numba.njit(cache=True, fastmath=True, inline="always")
def _step(low: float, high: float, x: float) -> float:
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3 - 2 * t)


@numba.njit(cache=True, fastmath=True, inline="always")
def _mix(colour: np.ndarray, other: np.ndarray, amount: float) -> None:
    for k in range(3):
        colour[k] += (other[k] - colour[k]) * amount


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
    look: Look,
    light: Light,
) -> np.ndarray:
    """Paint over `image` (h, w, 3) in place -> layer ids (h, w) uint8."""
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
            part = layer[t]
            side = abs(x)
            coarse = noise_at(look.noise[0], x * 2.2, y * 2.2, z * 2.2) - 0.5
            middle = noise_at(look.noise[1], x * 9, y * 9, z * 9) - 0.5
            fine = noise_at(look.noise[2], x * 31, y * 31, z * 31) - 0.5
            shine, gloss, dark = look.shine, look.gloss, 1.0
            ids[row, column] = part
            if part == _SKIN:
                tu = face_uv[t, 0, 0] * s + face_uv[t, 1, 0] * u + face_uv[t, 2, 0] * v
                tv = face_uv[t, 0, 1] * s + face_uv[t, 1, 1] * u + face_uv[t, 2, 1] * v
                mx, my = int(min(size - 1, max(0, tu * size))), int(min(size - 1, max(0, (1 - tv) * size)))
                lip, lid, inside = masks[0, my, mx], masks[1, my, mx], masks[2, my, mx]
                grain = 1 + look.roughness * (1.2 * coarse + 0.8 * middle + 0.6 * fine)
                for k in range(3):
                    colour[k] = look.skin[k] * grain
                front = _step(0.7, 0.9, z)
                blush = look.blush * 1.5 * np.exp(-((side - 0.42) ** 2 + (y - 6.95) ** 2) / 0.03) * front
                colour[1] *= 1 - blush
                colour[2] *= 1 - blush
                fold = (
                    np.exp(-((side - 0.27 - 0.35 * (6.95 - y)) ** 2) / 0.0012)
                    * _step(6.6, 6.75, y)
                    * _step(7.02, 6.92, y)
                )
                brow_lines = (
                    max(0.0, np.sin(y * 75 + 2 * coarse))
                    * _step(7.6, 7.68, y)
                    * _step(7.9, 7.8, y)
                    * _step(0.5, 0.3, side)
                )
                lines = 1 - look.age_lines * (0.45 * fold + 0.3 * brow_lines) * front
                for k in range(3):
                    colour[k] *= lines
                if look.freckles > 0 and noise_at(look.noise[3], x * 24, y * 24, z * 24) > 0.72:
                    spots = look.freckles * front * _step(7.3, 7.1, y) * _step(6.6, 6.8, y)
                    for k in range(3):
                        colour[k] *= 1 - spots
                for k in range(3):
                    other[k] = look.lips[k] * (1 + 0.25 * fine)
                    colour[k] *= 1 - look.eyeshadow * lid
                _mix(colour, other, lip * look.lip_cover)
                shine += 0.25 * lip * look.lip_cover
                if look.beard > 0:
                    hairs = (
                        _step(6.92, 6.8, y - 0.25 * _step(0.35, 0.6, side)) * _step(6.05, 6.25, y) * _step(0.3, 0.4, z)
                    )
                    hairs *= (1 - lip) * (1 - 0.7 * np.exp(-((y - 6.72) ** 2 / 0.004 + x * x / 0.02)))
                    hairs *= look.beard * min(1.0, max(0.0, 0.6 + 1.2 * fine + 0.8 * middle))
                    for k in range(3):
                        other[k] = look.hair[k] * 0.8
                    _mix(colour, other, hairs)
                across = side - _EYE_X
                arc = _EYE_Y + 0.145 + look.brow_lift + 0.05 * np.sin(3 * min(1.0, max(0.0, (across + 0.17) / 0.4)))
                taper = look.brow_thickness * (1 - 0.5 * min(1.0, max(0.0, (across - 0.05) / 0.2)))
                brow = (
                    np.exp(-(((y - arc) / taper) ** 4))
                    * _step(-0.24, -0.17, across)
                    * _step(0.27, 0.15, across)
                    * front
                )
                hairs = noise_at(look.noise[3], x * 72, y * 40, z * 45)
                for k in range(3):
                    other[k] = look.brow[k]
                _mix(colour, other, brow * look.brow_cover * min(1.0, max(0.0, 0.45 + 0.9 * hairs)))
                if look.bald < 0.5:
                    top = _step(
                        7.86 + look.hairline, 7.98 + look.hairline, y + 0.12 * _step(0.2, 0.6, side) + 0.1 * middle
                    )
                    temple = _step(0.62, 0.52, z) * _step(6.95, 7.15, y + (0.3 - z) * 0.9)
                    cover = max(top, temple)
                    strands = noise_at(look.noise[3], x * look.strand, y * look.strand * 0.25, z * look.strand * 0.4)
                    for k in range(3):
                        other[k] = look.hair[k] * min(1.6, max(0.2, 0.75 + 0.9 * (strands - 0.5) + 0.6 * middle))
                    _mix(colour, other, cover)
                if look.pattern > 0:
                    _mix(
                        colour,
                        look.pattern_colour,
                        look.pattern
                        * _step(
                            0.0,
                            0.2,
                            noise_at(
                                look.noise[2],
                                x * look.pattern_frequency,
                                y * look.pattern_frequency,
                                z * look.pattern_frequency,
                            )
                            - 0.5,
                        ),
                    )
                if y < look.collar + 0.12 * (z - 0.6) and y < 6.1:
                    ids[row, column] = _CLOTHES
                    striped = 0.6 if look.stripe_frequency > 4 and np.sin(y * look.stripe_frequency * 3) > 0 else 0.0
                    for k in range(3):
                        colour[k] = (look.cloth[k] * (1 - striped) + look.cloth_stripes[k] * striped) * (
                            1 + 0.3 * coarse
                        )
                    shine *= 0.2
                if inside > 0.3:
                    ids[row, column] = _MOUTH_INSIDE
                    for k in range(3):
                        colour[k] = look.gums[k]
                    dark = 0.4 * min(1.0, max(0.1, 1 - (_LIP_DEPTH - 0.1 - z) * 1.6))
                    shine = 0.15
            elif part in (_LEFT_EYE, _RIGHT_EYE):
                dx, dy, dz = side - _EYE_X, y - _EYE_Y, z - _EYE_Z
                angle = np.arccos(min(1.0, max(-1.0, dz / (np.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9))))
                red = 0.12 * _step(0.5, 1.1, angle)
                colour[0], colour[1], colour[2] = 0.9, 0.88 - red, 0.86 - red
                rays = noise_at(look.noise[3], np.arctan2(dy, dx) * 6, angle * 4, 0.5)
                for k in range(3):
                    other[k] = (
                        look.iris[k]
                        * (0.55 + 0.6 * _step(0.2, 0.4, angle))
                        * (0.75 + 0.5 * rays)
                        * (1 - 0.6 * _step(0.38, 0.47, angle))
                    )
                _mix(colour, other, _step(0.50, 0.45, angle))
                other[:] = 0.02
                _mix(colour, other, _step(0.2, 0.16, angle))
                shine, gloss = 0.9, 90.0
                dark = 0.72 + 0.28 * _step(0.14, 0.02, abs(dy))
            elif part in (_UPPER_TEETH, _LOWER_TEETH):
                gap = np.exp(-((side * 8.5 - np.floor(side * 8.5) - 0.02) ** 2) / 0.004)
                gum = _step(6.69, 6.71, y) if part == _UPPER_TEETH else _step(6.51, 6.49, y)
                for k in range(3):
                    colour[k] = look.teeth[k] * (1 + 0.12 * middle) * (1 - 0.25 * gap)
                _mix(colour, look.gums, gum)
                dark = 0.9 * min(1.0, max(0.12, 1 - (_LIP_DEPTH - 0.10 - z) * 1.6))
                dark *= (1.0 if part == _UPPER_TEETH else 0.75) / (1 + (side / 0.24) ** 4)
                dark *= 1 - 0.7 * min(1.0, ny * ny)  # no light falls on what the jaws turn to each other
                shine, gloss = 0.45, 50.0
            elif part == _TONGUE:
                for k in range(3):
                    colour[k] = look.tongue[k] * (1 + 0.3 * fine)
                dark = 0.5 * min(1.0, max(0.12, 1 - (_LIP_DEPTH - 0.2 - z) * 2.2))
                shine = 0.25
            elif part == _HAIR:
                strands = noise_at(look.noise[3], x * look.strand, y * look.strand * 0.12, z * look.strand)
                for k in range(3):
                    colour[k] = look.hair[k] * min(1.5, max(0.2, 0.7 + 0.9 * (strands - 0.5)))
            elif part == _GLASSES:
                for k in range(3):
                    colour[k] = look.glasses[k]
                shine, gloss = 0.6, 60.0
            else:  # lashes
                for k in range(3):
                    colour[k] = look.hair[k] * 0.15
            if part in (_SKIN, _TONGUE):
                nx, ny, nz = nx + look.bump * fine, ny + look.bump * middle * 0.7, nz + look.bump * coarse * 0.2
            length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            if nz < 0:
                length = -length
            nx, ny, nz = nx / length, ny / length, nz / length
            key = max(0.0, 0.8 * (nx * light.key[0] + ny * light.key[1] + nz * light.key[2]) + 0.2)
            fill = max(0.0, nx * light.fill[0] + ny * light.fill[1] + nz * light.fill[2])
            lit = light.ambient * (0.75 + 0.25 * ny) + light.key_strength * key + light.fill_strength * fill
            if light.steps > 0:
                lit = np.floor(lit * light.steps + 0.5) / light.steps
            glint = shine * 0.5 * max(0.0, nx * halfway[0] + ny * halfway[1] + nz * halfway[2]) ** gloss
            for k in range(3):
                value = (colour[k] * lit * light.tint[k] + glint) * dark
                image[row, column, k] = min(1.0, max(0.0, value)) ** light.gamma
    return ids
