"""The language of the face model: which number of a row means what. Nobody else slices by number.

There are three layouts of a row:

    full, 257    identity 80 | expression 64 | texture 80 | rotation 3 | lighting 27 | translation 3
    crop,  73    expression 64 | rotation 3 | translation 3 | crop 3
    motion, 70   expression 64 | rotation 3 | translation 3            (= a pose is the last six)

`rotation` is (pitch, yaw, roll) in radians, `translation` is in the units of the face model, `crop` is
(s, tx, ty): scale and centre of the alignment in pixels of the cropped square, so it depends on `pic_size`.
The released family uses the basis of its 3-D face model; the mini family keeps the shapes and gives the first
52 expression numbers the meaning of the ARKit blendshapes named below (0 = rest, 1 = full), the other 12 stay 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IDENTITY = 80
EXPRESSION = 64
TEXTURE = 80
ROTATION = 3
LIGHTING = 27
TRANSLATION = 3
CROP = 3

POSE = ROTATION + TRANSLATION
MOTION_ROW = EXPRESSION + POSE
CROP_ROW = MOTION_ROW + CROP

#: name -> width, in the order of the 257-row
FULL_LAYOUT = {
    "identity": IDENTITY,
    "expression": EXPRESSION,
    "texture": TEXTURE,
    "rotation": ROTATION,
    "lighting": LIGHTING,
    "translation": TRANSLATION,
}
FULL_ROW = sum(FULL_LAYOUT.values())

#: name -> width, in the order of the 73-row (the 70-row is the same without `crop`)
CROP_LAYOUT = {"expression": EXPRESSION, "rotation": ROTATION, "translation": TRANSLATION, "crop": CROP}

#: the blendshapes of the mini family, in the order of its expression numbers
ARKIT_BLENDSHAPES = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
BLENDSHAPE_INDEX = {name: i for i, name in enumerate(ARKIT_BLENDSHAPES)}


def split_row(row: Any, layout: Mapping[str, int]) -> dict[str, Any]:
    """Cut the last axis of `row` (..., sum of widths) into {name: part} by `layout`; array or tensor."""
    parts, start = {}, 0
    for name, width in layout.items():
        parts[name] = row[..., start : start + width]
        start += width
    if start != row.shape[-1]:
        raise ValueError(f"expected rows of {start} coefficients, got {row.shape[-1]}")
    return parts
