"""An image, points for the crop and points in the square -> the square and the coefficients, in all five modes.

The original is wrong in two kinds of cases beside those of croper.py, where the pixels it cuts are wrong, too:

- in the extended modes it states the size of the narrower quad, though the square shows the wider crop: the frames
  come out stretched;
- a stated size may be larger than the pixels there are, where a face reaches over the edge of the image.

There our numbers are held against the slow calculation of croper.py, OpenCV and the alignment below.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from PIL import Image

from sadtalker_core.datatypes import CropMode, Portrait
from sadtalker_core.face.align import TEMPLATE
from sadtalker_core.face.extract import extract_released, read_squares
from tests.parity.harness import Row, Vectors, compare, compare_stored, fixed, rule_net, spread
from tests.parity.stages.croper import WRONG_CLAMP, WRONG_CORNERS, WRONG_SCALE, check_boxes, look_at, refused

STRETCHED = "the size was that of the quad, while the square shows the wider crop"
TOO_LARGE = "the size reached over the edge of the picture"


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    net = rule_net("face_recon", seed)
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        case_id = (vectors.stage, case)
        mode, size = CropMode(given["mode"]), int(given["pic_size"])
        height, width = given["image"].shape[:2]
        points, in_square = torch.from_numpy(given["lm68"]), torch.from_numpy(given["lm68_crop"])
        unseen = bool((in_square == -1).all())
        truth = look_at(given["lm68"], (width, height), 512)
        if truth.empty and mode is not CropMode.RESIZE:
            yield refused(case_id, given["lm68"], (width, height))
            continue

        # the first look is at the image, except in the resize mode; then comes the square
        looks = iter([in_square] if mode is CropMode.RESIZE else [points, points if unseen else in_square])
        portrait = Portrait(torch.from_numpy(given["image"]).float() / 255)
        portrait, rows = extract_released(net, portrait, lambda asked, near, looks=looks: next(looks), mode, size)
        crop = portrait.crop
        if unseen:  # we would move the points of the first look; the original takes the mean face
            rows = read_squares(net, crop.image[None], [None], mode)
        square = (crop.image * 255).round().permute(1, 2, 0).numpy()
        stated = np.array([crop.box.width, crop.box.height])

        if mode is CropMode.RESIZE:
            yield from _strict(case_id, square, rows, want)
            yield compare(*case_id, "crop_info_size_wh", stated, want["crop_info_size_wh"], 0)
            continue

        yield from check_boxes(case_id, given["lm68"], (width, height), truth, want["crop"], want["quad"])
        left, top, right, bottom = truth.outer if mode.extended else truth.inner
        rolled = any(truth.rolled) and not mode.extended
        if truth.shrink > 1 or rolled or (truth.lost_rows and not mode.extended):
            reason = WRONG_SCALE if truth.shrink > 1 else WRONG_CORNERS if rolled else WRONG_CLAMP
            part = given["image"][top:bottom, left:right]
            blocks = max(min(part.shape[:2]) // 1024, 1)  # a large face is averaged down first, see `crop.crop_square`
            high, wide = (side // blocks for side in part.shape[:2])
            part = part[: high * blocks, : wide * blocks].reshape(high, blocks, wide, blocks, 3).mean(axis=(1, 3))
            slow_square = cv2.resize(np.rint(part).astype(np.uint8), (size, size))
            slow_rows = _slow_rows(net, square.astype(np.uint8), None if unseen else given["lm68_crop"])
            yield fixed(*case_id, "crop_image", reason, square, slow_square, 2)
            yield fixed(*case_id, "full_3dmm", reason, rows.full_rows(), slow_rows, spread(slow_rows))
        else:
            yield from _strict(case_id, square, rows, want)

        if mode.extended:
            yield fixed(*case_id, "crop_info_size_wh", STRETCHED, stated, [right - left, bottom - top])
        elif truth.shrink > 1:
            yield fixed(*case_id, "crop_info_size_wh", WRONG_SCALE, stated, [right - left, bottom - top])
        elif rolled:
            yield fixed(*case_id, "crop_info_size_wh", WRONG_CORNERS, stated, [right - left, bottom - top])
        elif truth.wrong_right or truth.wrong_bottom:
            yield fixed(*case_id, "crop_info_size_wh", TOO_LARGE, stated, [right - left, bottom - top])
        else:
            yield compare(*case_id, "crop_info_size_wh", stated, want["crop_info_size_wh"], 0)


def _strict(case: tuple[str, str], square: np.ndarray, rows, want: dict) -> Iterator[Row]:
    yield compare_stored(*case, "crop_image", square, want, 1, 0.01)
    yield compare(*case, "full_3dmm", rows.full_rows(), want["full_3dmm"], spread(want["full_3dmm"]))
    motion, crop = want["coeff_3dmm"][:, :70], want["coeff_3dmm"][:, 70:]
    yield compare(*case, "coeff_3dmm exp to trans", rows.motion_rows(), motion, spread(motion))
    yield compare(*case, "coeff_3dmm s, tx, ty", rows.crop, crop, 1e-3)


def _slow_rows(net, square: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
    """The coefficients of a square by the normal equations of the fit and an affine sample of the enlarged image."""
    size = square.shape[0]
    if landmarks is None:
        five = (TEMPLATE[:, :2] + 1) / 2 * np.float32(size)
    else:
        p = landmarks
        five = np.array([(p[36] + p[39]) / 2, (p[42] + p[45]) / 2, p[30], p[48], p[54]], dtype=np.float64)
        five[:, 1] = size - 1 - five[:, 1]
    design = np.c_[TEMPLATE.astype(np.float64), np.ones(5)]
    fit = np.linalg.inv(design.T @ design) @ design.T @ five
    scale = 102 / ((np.linalg.norm(fit[:3, 0]) + np.linalg.norm(fit[:3, 1])) / 2)
    side = int(size * scale)
    left = int(side / 2 - 112 + (fit[3, 0] - size / 2) * scale)
    top = int(side / 2 - 112 + (size / 2 - fit[3, 1]) * scale)
    enlarged = np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC))
    face = np.zeros((224, 224, 3), dtype=np.float32)
    rows, columns = np.arange(top, top + 224), np.arange(left, left + 224)
    inside = np.ix_((rows >= 0) & (rows < side), (columns >= 0) & (columns < side))
    face[inside] = enlarged[np.ix_(rows[(rows >= 0) & (rows < side)], columns[(columns >= 0) & (columns < side)])] / 255
    with torch.no_grad():
        return net(torch.from_numpy(face).permute(2, 0, 1)[None]).numpy()
