"""What blendshape_export.py and blendshape_import.py have in common: the forms of the files, their columns and signs.

    Live Link Face CSV    Timecode, BlendShapeCount, 52 weights in the app's order, head and eyes in radians
    JSON                  for glTF and VRM: names, a row of weights for each frame, the head as angles and quaternions
    Azure, Rhubarb, phonemes: see mouth_cues.py; also Azure's 55 values per frame

Angles of the CSV are in radians. Eyes: in the app's recordings (two takes, 7,800 frames, in
github.com/alexdjulin/LiveLinkFace-CSV-Retarget-For-Motionbuilder) positive yaw looks to the person's right, pitch
down, and roll is 0.97 to 1.00 times yaw times pitch, which of all units radians alone give. The head, which is
switched off in these takes, is the other way round: positive pitch looks up, yaw turns to the person's left (the right
of the image), roll tilts to their right (counterclockwise as seen). So do programs that show it read it:
VRCFaceTracking (its LiveLinkTrackingModule negates all three, and its UnifiedHeadData has down, right and left above
0), MeFaMo and GodotLiveLinkFace; Faceit agrees in pitch and unit and has yaw and roll the other way.
JSON keeps the signs of HeadPose.

Letters: `T` frames at 25 fps, `n` frames of a file.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX
from ..datatypes import Expression
from ..errors import WrongFamily

LIVE_LINK, JSON_ARKIT, JSON_VRM = EXPORT_FORMS = ("Live Link Face CSV", "JSON, ARKit names", "JSON, VRM 1.0 names")
LOWEST_FPS, HIGHEST_FPS = 1.0, 240.0
JSON_KEY, VERSION = "sadtalker_blendshapes", 1
FRAMES_AT_ONCE = 512

_SIDES = ("Left", "Right")
_EYE = ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide")


def _both(*names: str) -> list[str]:
    return [f"{name}{side}" for name in names for side in _SIDES]


#: ARKit's order, which Azure's frames have, too
APPLE_ORDER = (
    *(f"{name}{side}" for side in _SIDES for name in _EYE),
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    *_both("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch"),
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    *_both("mouthPress", "mouthLowerDown", "mouthUpperUp", "browDown"),
    "browInnerUp", *_both("browOuterUp"), "cheekPuff", *_both("cheekSquint", "noseSneer"), "tongueOut",
)  # fmt: skip
_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
HEAD_COLUMNS = ("HeadYaw", "HeadPitch", "HeadRoll")
EYE_COLUMNS = tuple(f"{side}Eye{angle}" for side in _SIDES for angle in ("Yaw", "Pitch", "Roll"))
#: the columns after Timecode and BlendShapeCount, as the app writes them: ARKit's, with right before left of jaw and
#: mouth
LIVE_LINK_COLUMNS = (
    *(f"{name[0].upper()}{name[1:]}" for name in (_SWAPPED.get(name, name) for name in APPLE_ORDER)),
    *HEAD_COLUMNS,
    *EYE_COLUMNS,
)
_INDEX = {name.lower(): k for name, k in BLENDSHAPE_INDEX.items()}
#: where each of the app's 52 columns is in an expression
LIVE_LINK_INDEX = [_INDEX[name.lower()] for name in LIVE_LINK_COLUMNS[: len(ARKIT_BLENDSHAPES)]]


def require_names(expression: Expression, verb: str) -> None:
    """Raises WrongFamily for coefficients that are no blendshapes."""
    if not expression.blendshapes:
        raise WrongFamily(
            f"a {expression.family} expression cannot be {verb} as blendshapes: its coefficients have no names, each "
            "moves mouth, eyes and brows together. Use the mini model."
        )


def flipped_signs(angles: Tensor) -> Tensor:
    """Pitch, yaw and roll of a head with the signs of HeadPose -> with those of the app, and back; 0 is no -0."""
    return 0.0 - angles


def between(table: Tensor, places: Tensor) -> Tensor:
    """table (n, N) at fractional rows `places` (m,), linearly interpolated; a whole number gives its row to the bit."""
    nearest = places.round()
    places = torch.where((places - nearest).abs() < 1e-4, nearest, places).clamp(0, len(table) - 1)
    before = places.floor().long()
    after = (before + 1).clamp(max=len(table) - 1)
    return torch.lerp(table[before], table[after], (places - before).to(table)[:, None])
