"""How sharp videos are beside the portrait, and whether their sharpness breathes.

Sharpness is the mean absolute Laplacian of the light. It is looked at where nothing is meant to change: on the skin
above the nose, without eyes and brows, which goes along with the mesh that the renderer moved.
Letters: `T` frames, `H W` images.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sadtalker_core.canonical_face import FACE_OUTLINE, LEFT_EYE, RIGHT_EYE

_INNER = 0.85  #: of the outline of the face: its edge is hair and background
_WIDER = 1.25  #: of eyes with their brows
_BROWS = ((70, 63, 105, 66, 107, 46, 53, 52, 65, 55), (300, 293, 334, 296, 336, 276, 283, 282, 295, 285))
_BRIDGE, _UNDER_THE_NOSE = 168, 2
Key = tuple[str, str]


def sharpness(image: np.ndarray, where: np.ndarray) -> float:
    """image (H, W, 3) uint8, where (H, W) bool -> the mean absolute Laplacian of its light there."""
    light = np.pad(image.astype(np.float64).mean(-1), 1, mode="edge")
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    return float(np.abs(4 * light[1:-1, 1:-1] - around)[where].mean())


def skin(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """points (468, 2 or 3) in pixels -> (H, W) bool."""
    from PIL import Image, ImageDraw
    from scipy.spatial import ConvexHull

    points = points[:, :2].astype(np.float64)
    drawn = Image.new("1", (width, height))
    pen = ImageDraw.Draw(drawn)

    def fill(outline: np.ndarray, size: float, value: int) -> None:
        middle = outline.mean(0)
        pen.polygon([(float(x), float(y)) for x, y in middle + (outline - middle) * size], fill=value)

    fill(points[list(FACE_OUTLINE)], _INNER, 1)
    for eye, brow in zip((RIGHT_EYE, LEFT_EYE), _BROWS, strict=True):
        around = points[[*eye, *brow]]
        fill(around[ConvexHull(around).vertices], _WIDER, 0)
    up = points[_BRIDGE] - points[_UNDER_THE_NOSE]
    y, x = np.mgrid[:height, :width] + 0.5
    above = (x - points[_UNDER_THE_NOSE, 0]) * up[0] + (y - points[_UNDER_THE_NOSE, 1]) * up[1] > 0
    return np.asarray(drawn) & above


def of_video(video: Mapping[str, np.ndarray]) -> dict[Key, float]:
    """video, as inside/video.py writes it:

    spoken (T, H, W, 3), moved (T, 468, 2)       frames, and the mesh that the renderer moved
    source (H, W, 3), landmarks (468, 2)         the portrait's crop and its mesh
    between (n, H, W, 3)                         the source moved by parts of a pixel
    pasted (n, h, w, 3), whole (h, w, 3)         the box of the head in whole frames, and in the image
    """
    shape = video["source"].shape[:2]
    rest = skin(video["landmarks"], *shape)
    own = sharpness(video["source"], rest)
    spoken = [
        sharpness(frame, skin(points, *shape)) for frame, points in zip(video["spoken"], video["moved"], strict=True)
    ]
    between = [sharpness(frame, rest) for frame in video["between"]]
    everywhere = np.ones(video["whole"].shape[:2], bool)
    pasted = [sharpness(image, everywhere) for image in video["pasted"]]
    return {
        ("sharpness of the face, by the source's", "pixels"): float(np.mean(spoken)) / own,
        ("sharpness pulses in the film, sd by mean", "pixels"): float(np.std(spoken) / np.mean(spoken)),
        ("sharpness pulses between pixels, sd by mean", "pixels"): float(np.std(between) / np.mean(between)),
        ("sharpness around the head in the whole image, by its own", "pixels"): float(np.mean(pasted))
        / sharpness(video["whole"], everywhere),
    }
