"""An image and a hint at which face to animate come in, a `Portrait` goes out; the face itself is found later."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datatypes import Box, Portrait
from ..errors import ImageError, OptionError
from .hints import hinted_box
from .image import check_image

#: a pixel of a mask that is at least this white belongs to the face
MASK_THRESHOLD = 0.5
#: a part of the image; less is the soft edge of something
TRANSPARENT = 0.002


def portrait_from_image(
    image: Tensor,
    *,
    alpha: Tensor | None = None,
    batch_index: int = 0,
    face_index: int = 0,
    face_order: str = "largest",
    box: tuple[int, int, int, int] = (0, 0, 0, 0),
    face_mask: Tensor | None = None,
    face_landmarks: Any = None,
    bounding_box: Any = None,
    name: str = "",
    person_mask: Tensor | None = None,
) -> Portrait:
    """image (H, W, C) or a batch (B, H, W, C) -> the portrait of one of its faces.

    alpha:   (H, W), 1 where the image is transparent; of another size (core's placeholder) it is left out
    box:     x, y, width, height in pixels around the face; a width or height of 0 means: look for the face
    face_mask: (H, W) or (1, H, W), white over the selected face; stretched when it has another size
    face_landmarks, bounding_box: faces that another node has found, in the shapes of hints.py; index and order count
             them
    name:    what the user knows the image by
    person_mask: (H, W) or (B, H, W), 1 where the person is; stretched when it has another size. What it leaves out
             becomes transparent, in addition to what is transparent in the image itself
    Raises ImageError for an image that cannot be used, OptionError for a hint that points nowhere and for
    two of them, InputError and FaceNotFound for what another node has found.
    """
    if image.ndim == 4:
        if len(image) == 0:
            raise ImageError("the image batch is empty; check the node that made it.")
        if not 0 <= batch_index < len(image):
            raise OptionError(f"expected a batch_index from 0 to {len(image) - 1}, got {batch_index}.")
        image = image[batch_index]
    pixels, own_alpha = check_image(image)
    if own_alpha is None and alpha is not None and alpha.shape == pixels.shape[:2]:
        own_alpha = alpha.float()
    if person_mask is not None:
        own_alpha = _left_out(person_mask, batch_index, pixels, own_alpha)
    _log_if_transparent(own_alpha)
    face_box = _box_of(box, pixels)
    if face_mask is not None:
        if face_box is not None:
            raise OptionError(
                "expected a mask or a box around the face, got both; disconnect the mask, or set the width to 0."
            )
        face_box = mask_box(face_mask, (pixels.shape[0], pixels.shape[1]))
    size_wh = (pixels.shape[1], pixels.shape[0])
    found = hinted_box(
        face_landmarks, bounding_box, frame=batch_index, index=face_index, order=face_order, size_wh=size_wh
    )
    if found is not None and face_box is not None:
        raise OptionError(
            "expected one hint at the face, got face_landmarks or bounding_box beside a mask or a box; disconnect one, "
            "or set the width to 0."
        )
    face_box = found or face_box
    return Portrait(pixels, own_alpha, face_index, face_order, face_box, name=name, checked=True)


def check_portrait(portrait: Portrait) -> Portrait:
    """The portrait with an image (H, W, 3) that all stages can use: the only check, however the record was made.

    What `portrait_from_image` made comes back as it is. Raises ImageError as `image.check_image` does.
    """
    if portrait.checked:
        return portrait
    pixels, own_alpha = check_image(portrait.image, "the portrait")
    return replace(portrait, image=pixels, mask=own_alpha if portrait.mask is None else portrait.mask, checked=True)


def _log_if_transparent(alpha: Tensor | None) -> None:
    part = 0.0 if alpha is None else float((alpha > 0.5).float().mean())
    if part > TRANSPARENT:
        logging.info(
            "SadTalker: %.0f %% of the portrait is transparent; an mp4 shows the colours underneath, often black. In "
            "Video Combine and Render Video the formats webm and mov are transparent; background_color fills an mp4.",
            100 * part,
        )


def _left_out(person_mask: Tensor, batch_index: int, pixels: Tensor, own: Tensor | None) -> Tensor:
    """(H, W), 1 where the image is transparent: by itself or outside of person_mask."""
    person_mask = person_mask[None] if person_mask.ndim == 2 else person_mask
    if person_mask.ndim != 3 or 0 in person_mask.shape:
        raise ImageError(f"expected person_mask as (height, width), got the shape {tuple(person_mask.shape)}.")
    alpha = person_mask[min(batch_index, len(person_mask) - 1)].detach().float().cpu()
    if not torch.isfinite(alpha).all():
        raise ImageError("person_mask contains NaN or infinite values; check the node that made it.")
    if alpha.shape != pixels.shape[:2]:
        alpha = F.interpolate(alpha[None, None], pixels.shape[:2], mode="bilinear", align_corners=False)[0, 0]
    alpha = alpha.clamp(0, 1) if own is None else alpha.clamp(0, 1) * (1 - own)
    if not (alpha > MASK_THRESHOLD).any():
        raise OptionError(
            "person_mask shows nothing of the image: it is 1 where the person is. Load Image's mask is the other way "
            "round; put Invert Mask between."
        )
    return 1 - alpha


def _box_of(box: tuple[int, int, int, int], pixels: Tensor) -> Box | None:
    x, y, wide, high = box
    if wide == 0 or high == 0:
        return None
    height, width = pixels.shape[:2]
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + wide, width), min(y + high, height)
    if right - left < 2 or bottom - top < 2:
        raise OptionError(
            f"the box at ({x}, {y}) of {wide} x {high} pixels leaves nothing of the {width} x {height} image."
        )
    return Box(left, top, right - left, bottom - top)


def mask_box(face_mask: Tensor, size_hw: tuple[int, int]) -> Box:
    """face_mask (H, W) or (1, H, W), white over a face; stretched to size_hw where it has another size -> the box
    around what is white. Raises ImageError, OptionError.
    """
    mask = face_mask.float()
    if mask.ndim == 3 and len(mask) == 1:
        mask = mask[0]
    if mask.ndim != 2 or mask.numel() == 0:
        raise ImageError(f"expected one mask (height, width), got the shape {tuple(face_mask.shape)}.")
    if tuple(mask.shape) != size_hw:
        mask = F.interpolate(mask[None, None], size=size_hw, mode="nearest")[0, 0]
    rows, columns = torch.nonzero(mask >= MASK_THRESHOLD, as_tuple=True)
    if len(rows) == 0:
        raise OptionError(
            "the mask is empty; paint over the face to animate, or disconnect the mask to look for faces."
        )
    x, y = int(columns.min()), int(rows.min())
    return Box(x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y)
