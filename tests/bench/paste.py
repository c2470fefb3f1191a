"""Paste-back into 1920 x 1080 with encoding: CPU time of a frame, beside OpenCV's seamlessClone where there is one.

    python -m tests.bench.paste [--frames 24]

Out: CPU milliseconds of one core per frame, frames a second that two cores can make of it, the same of one yardstick
(render/estimate.py; a busy machine slows both down), and the jump of the gradients along the box in levels of 255,
with a tint of 3 % to hide.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sadtalker_core.compose.paste import PasteBack, resize
from sadtalker_core.compose.video import VideoWriter
from sadtalker_core.datatypes import Box, CropMode, FaceCrop, Portrait
from tests.bench.memory import picture

BOX = Box(1040, 10, 540, 540)
TINT = 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=24)
    n_frames = parser.parse_args().frames
    torch.set_num_threads(1)
    whole = picture(wide=True)
    portrait = Portrait(whole, crop=FaceCrop(torch.zeros(3, 256, 256), torch.zeros(68, 2), BOX, CropMode.FULL))
    still = resize(whole.permute(2, 0, 1)[None, :, BOX.y : BOX.bottom, BOX.x : BOX.right], (256, 256))
    heads = [TINT * moved(still, i / 25) for i in range(n_frames)]

    paste = PasteBack(portrait)
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        before = os.times()
        with VideoWriter(Path(folder) / "film.mp4", (1920, 1080), 25) as video:
            for head in heads:
                pasted = paste.as_bytes(head)
                video.write(pasted)
        after = os.times()
    ours = 1000 * (after.user + after.system - before.user - before.system) / n_frames
    encoder = 1000 * (after.children_user + after.children_system
                      - before.children_user - before.children_system) / n_frames  # fmt: skip
    print(f"paste-back {ours:.1f} ms, encoder {encoder:.1f} ms: "
          f"{1000 / max(ours, (ours + encoder) / 2):.0f} frames/s on two cores")  # fmt: skip
    print(f"jump along the box: {seam(pasted[0]):.2f}; of the picture itself {seam(to_levels(whole)):.2f}")
    print(f"a yardstick {1000 * yardstick():.0f} ms")
    against_opencv(whole, heads)


def yardstick() -> float:
    """CPU seconds of one, the better of two."""
    image, kernel, spent = torch.ones(1, 512, 128, 128), torch.ones(256, 512, 3, 3), []
    for _ in range(2):
        before = time.process_time()
        F.conv2d(image, kernel, padding=1)
        spent.append(time.process_time() - before)
    return min(spent)


def moved(head: Tensor, seconds: float) -> Tensor:
    """A head (1, 3, h, w) that nods a little."""
    turn = 0.03 * math.sin(2 * seconds)
    way = torch.tensor([[[math.cos(turn), -math.sin(turn), 0.02 * math.sin(3 * seconds)],
                         [math.sin(turn), math.cos(turn), 0.02 * math.cos(2 * seconds) - 0.02]]])  # fmt: skip
    grid = F.affine_grid(way, [1, *head.shape[1:]], align_corners=False)
    return F.grid_sample(head, grid, align_corners=False, padding_mode="border")


def against_opencv(whole: Tensor, heads: list[Tensor]) -> None:
    try:
        import cv2
    except ImportError:
        print("OpenCV is not installed; nothing to compare with")
        return
    cv2.setNumThreads(1)
    background = to_levels(whole).numpy()
    centre = (BOX.x + BOX.width // 2, BOX.y + BOX.height // 2)
    before, few = os.times(), heads[-3:]
    for head in few:
        square = cv2.resize(to_levels(head[0].permute(1, 2, 0)).numpy(), (BOX.width, BOX.height))
        cloned = cv2.seamlessClone(square, background, 0 * square + 255, centre, cv2.NORMAL_CLONE)
    after = os.times()
    spent = 1000 * (after.user + after.system - before.user - before.system) / len(few)
    print(f"seamlessClone {spent:.1f} ms, jump along the box {seam(torch.from_numpy(cloned)):.2f}")


def to_levels(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def seam(image: Tensor) -> float:
    """(H, W, 3) bytes: how far the step across the box's four edges is from the mean of the steps beside it."""
    rows, columns = slice(BOX.y, BOX.bottom), slice(BOX.x, BOX.right)
    levels = image.float()
    bands = [levels[rows, x - 2 : x + 2].movedim(1, 0) for x in (BOX.x, BOX.right)]
    bands += [levels[y - 2 : y + 2, columns] for y in (BOX.y, BOX.bottom)]
    jumps = [(band[2] - band[1] - (band[1] - band[0] + band[3] - band[2]) / 2).abs().mean() for band in bands]
    return float(torch.stack(jumps).mean())


if __name__ == "__main__":
    main()
