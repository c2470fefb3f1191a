"""Paste-back into 1920 x 1080 with encoding: processor time of a frame, beside OpenCV's seamlessClone if installed.

    python -m tests.bench --parts paste        python -m tests.tools.bench.paste [--frames 24]

Out, for each blend: processor milliseconds of a frame, the encoder's beside it, frames per second that two cores can
make of both, and the jump of the gradients along the box in levels of 255, with a tint of 3 % to hide. Then the jump
alone, on images of the tests, beside what it is without any blend. The last frame of each blend goes to the folder,
if one is named, to be looked at.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sadtalker_core.compose.paste import Blend, PasteBack, resize
from sadtalker_core.compose.video import VideoWriter
from sadtalker_core.datatypes import Box, CropMode, FaceCrop, Portrait
from tests.face import images
from tests.tools.bench.measuring import reference_convolution, sample_image

BOX = Box(1040, 10, 540, 540)
TINT = 0.97
TARGET = 25.0
#: images of the tests, and a box on each; the last one lies at an edge
SEAMS = {
    "astronaut": Box(133, 20, 185, 185),
    "camera": Box(180, 60, 160, 160),
    "chelsea": Box(140, 50, 180, 180),
    "coffee": Box(0, 100, 200, 200),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    for row in measure(asked.frames, asked.folder):
        print(row)


@torch.inference_mode()
def measure(n_frames: int = 24, folder: Path | None = None) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    whole = sample_image(wide=True)
    portrait, heads = talking(whole, BOX, n_frames)
    stick = reference_convolution()
    rows: list[dict[str, Any]] = [
        {"what": "the picture itself", "jump": seam(to_levels(whole), BOX), "yardstick_ms": 1000 * stick}
    ]
    for blend in Blend:
        paste = PasteBack(portrait, blend=blend)
        paste.as_bytes(heads[0])
        rows.append({"what": blend.value, **encoded(paste.as_bytes, heads, folder), "target_fps": TARGET})
    cloned = opencv(whole, BOX)
    if cloned is not None:
        rows.append({"what": "OpenCV's seamlessClone", **encoded(cloned, heads[-4:], folder), "target_fps": TARGET})
    return rows + [jumps(images.sample_image(name), box, name) for name, box in SEAMS.items()]


def talking(whole: Tensor, box: Box, n_frames: int) -> tuple[Portrait, list[Tensor]]:
    """A portrait whose face lies in the box, and heads (1, 3, 256, 256) of some frames with a tint."""
    portrait = Portrait(whole, crop=FaceCrop(torch.zeros(3, 256, 256), torch.zeros(68, 2), box, CropMode.FULL))
    still = resize(whole.permute(2, 0, 1)[None, :, box.y : box.bottom, box.x : box.right], (256, 256))
    return portrait, [TINT * moved(still, i / 25) for i in range(n_frames)]


def jumps(whole: Tensor, box: Box, name: str) -> dict[str, Any]:
    """The jump along the box of the image as it is, and of a frame by each blend and by none."""
    portrait, heads = talking(whole, box, 24)
    found: dict[str, Any] = {"what": f"jump on {name}", "picture": seam(to_levels(whole), box)}
    ways = {blend.value: PasteBack(portrait, blend=blend).as_bytes for blend in Blend}
    ways["no blend"] = PasteBack(portrait, feather=0, colour_match=0).as_bytes
    cloned = opencv(whole, box)
    if cloned is not None:
        ways["seamlessClone"] = cloned
    return found | {way: seam(paste(heads[-1])[0], box) for way, paste in ways.items()}


def encoded(paste: Callable[[Tensor], Tensor], heads: list[Tensor], folder: Path | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as scratch:
        before = os.times()
        with VideoWriter(Path(scratch) / "film.mp4", (1920, 1080), 25) as video:
            for head in heads:
                pasted = paste(head)
                video.write(pasted)
        after = os.times()
    ours = 1000 * (after.user + after.system - before.user - before.system) / len(heads)
    encoder = (
        1000
        * (after.children_user + after.children_system - before.children_user - before.children_system)
        / len(heads)
    )
    if folder is not None:
        from PIL import Image

        Image.fromarray(pasted[0].numpy()).save(folder / f"{getattr(paste, '__name__', 'pasted')}_{ours:.0f}.png")
    return {
        "paste_ms": ours,
        "encoder_ms": encoder,
        "fps_on_two_cores": 1000 / max(ours, (ours + encoder) / 2),
        "jump": seam(pasted[0], BOX),
    }


def moved(head: Tensor, seconds: float) -> Tensor:
    """A head (1, 3, h, w) that nods a little."""
    turn = 0.03 * math.sin(2 * seconds)
    way = torch.tensor(
        [
            [
                [math.cos(turn), -math.sin(turn), 0.02 * math.sin(3 * seconds)],
                [math.sin(turn), math.cos(turn), 0.02 * math.cos(2 * seconds) - 0.02],
            ]
        ]
    )
    grid = F.affine_grid(way, [1, *head.shape[1:]], align_corners=False)
    return F.grid_sample(head, grid, align_corners=False, padding_mode="border")


def opencv(whole: Tensor, box: Box) -> Callable[[Tensor], Tensor] | None:
    """The same by OpenCV, if it is installed."""
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(1)
    background = to_levels(whole).numpy()
    centre = (box.x + box.width // 2, box.y + box.height // 2)

    def cloned(head: Tensor) -> Tensor:
        square = cv2.resize(to_levels(head[0].permute(1, 2, 0)).numpy(), (box.width, box.height))
        pasted = cv2.seamlessClone(square, background, 0 * square + 255, centre, cv2.NORMAL_CLONE)
        return torch.from_numpy(pasted)[None]

    return cloned


def to_levels(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def seam(image: Tensor, box: Box) -> float:
    """(H, W, 3) bytes: how far the step across each edge of the box, but not of the image, is from the mean of the
    steps beside it.
    """
    rows, columns = slice(box.y, box.bottom), slice(box.x, box.right)
    levels = image.float()
    bands = [levels[rows, x - 2 : x + 2].movedim(1, 0) for x in (box.x, box.right) if 0 < x < levels.shape[1]]
    bands += [levels[y - 2 : y + 2, columns] for y in (box.y, box.bottom) if 0 < y < levels.shape[0]]
    jumps = [(band[2] - band[1] - (band[1] - band[0] + band[3] - band[2]) / 2).abs().mean() for band in bands]
    return float(torch.stack(jumps).mean())


if __name__ == "__main__":
    main()
