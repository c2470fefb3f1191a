"""Which faces people make and how they hold their heads: draws of the 52 blendshape weights and of rotations."""

from __future__ import annotations

import numpy as np

from ...coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX

_ANY_UNIT = [name for name in ARKIT_BLENDSHAPES if name != "tongueOut"]


def weights_of(**units: float) -> np.ndarray:
    """(52,) weights; a name without its side means both: weights_of(jawOpen=0.5, eyeBlink=1)."""
    weights = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
    for name, amount in units.items():
        for side in ("", "Left", "Right"):
            if name + side in BLENDSHAPE_INDEX:
                weights[BLENDSHAPE_INDEX[name + side]] = amount
    return weights


def talking(rng: np.random.Generator) -> np.ndarray:
    """A mouth in the middle of a word."""
    kind = rng.choice(["open", "wide", "round", "closed", "biting"], p=[0.38, 0.22, 0.2, 0.14, 0.06])
    jaw = rng.beta(1.3, 2.2) * 0.95
    if kind == "open":
        return weights_of(jawOpen=jaw, mouthLowerDown=rng.uniform(0, 0.5), mouthUpperUp=rng.uniform(0, 0.4))
    if kind == "wide":
        return weights_of(
            jawOpen=jaw * 0.6,
            mouthStretch=rng.uniform(0.1, 0.7),
            mouthSmile=rng.uniform(0, 0.4),
            mouthLowerDown=rng.uniform(0, 0.7),
            mouthUpperUp=rng.uniform(0, 0.6),
        )
    if kind == "round":
        pucker = rng.uniform(0, 1)
        return weights_of(jawOpen=jaw * 0.8, mouthPucker=0.9 * pucker, mouthFunnel=rng.uniform(0, 0.9) * (1.1 - pucker))
    if kind == "closed":
        jaw *= 0.5
        roll = rng.uniform(0, 0.7)
        return weights_of(
            jawOpen=jaw, mouthClose=jaw, mouthPress=rng.uniform(0, 0.6), mouthRollLower=roll, mouthRollUpper=roll * 0.7
        )
    return weights_of(jawOpen=jaw * 0.25, mouthRollLower=rng.uniform(0.3, 0.8), mouthUpperUp=rng.uniform(0.1, 0.5))


def expression(rng: np.random.Generator, kind: str | None = None) -> np.ndarray:
    """(52,) weights of a face that is `kind`: neutral, talk, smile, random; None draws the kind, mostly talk."""
    kind = kind or str(rng.choice(["neutral", "talk", "smile", "random"], p=[0.08, 0.64, 0.12, 0.16]))
    if kind == "random":
        weights = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
        for name in rng.choice(_ANY_UNIT, rng.integers(2, 7), replace=False):
            weights[BLENDSHAPE_INDEX[name]] = rng.uniform(0, 0.8)
        return weights
    weights = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
    if kind == "talk":
        weights = talking(rng)
    elif kind == "smile":
        smile = rng.uniform(0.3, 1)
        weights = weights_of(
            mouthSmile=smile, cheekSquint=smile * 0.5, jawOpen=rng.uniform(0, 0.3), mouthUpperUp=rng.uniform(0, 0.6)
        )
    if rng.random() < 0.35:
        weights += weights_of(eyeBlink=rng.choice([1.0, rng.uniform(0.2, 1)]))
    elif rng.random() < 0.2:
        weights += weights_of(eyeWide=rng.uniform(0, 0.7))
    if rng.random() < 0.35:
        weights += weights_of(browInnerUp=rng.uniform(0, 0.8), browOuterUp=rng.uniform(0, 0.6))
    if rng.random() < 0.15:
        weights += weights_of(browDown=rng.uniform(0, 0.7))
    if rng.random() < 0.2:
        weights += look_aside(rng)
    return np.clip(weights, 0, 1)


def look_aside(rng: np.random.Generator) -> np.ndarray:
    """Blendshape weights of eyes that look somewhere else."""
    across, up = rng.uniform(-0.8, 0.8), rng.uniform(-0.6, 0.6)
    left, right = ("eyeLookOutLeft", "eyeLookInRight") if across > 0 else ("eyeLookInLeft", "eyeLookOutRight")
    vertical = "eyeLookUp" if up > 0 else "eyeLookDown"
    return weights_of(**{left: abs(across), right: abs(across), vertical: abs(up)})


def turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3), radians: yaw about y first, then pitch about x, then roll about z. Positive yaw looks to the right of the
    image, positive pitch looks down, positive roll tilts the head counter-clockwise as seen in the image.
    """
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def random_turn(rng: np.random.Generator, amount: float = 1.0) -> np.ndarray:
    """A head as people hold it: 16, 8 and 6 degrees of standard deviation at amount 1, cut off at 2.6 of them."""
    angles = np.clip(rng.normal(0, 1, 3), -2.6, 2.6) * [0.28, 0.14, 0.1] * amount
    return turn(*angles)
