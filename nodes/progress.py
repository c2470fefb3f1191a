"""The bar, the live image and the stop button, as one callable that the core can call without knowing ComfyUI."""

from __future__ import annotations

from typing import Any

import comfy.utils
from comfy import model_management
from torch import Tensor

PREVIEW_SIDE = 512


class Progress:
    """`progress(done, total)` moves the node's bar; raises ComfyUI's own interruption when the user pressed stop."""

    def __init__(self, total: int = 1):
        self._bar = comfy.utils.ProgressBar(max(total, 1))
        self._image: Tensor | None = None

    def show(self, image: Tensor) -> None:
        """image: (3, H, W) in 0..1, displayed in the node at the next step of the bar."""
        self._image = image

    def __call__(self, done: int, total: int) -> None:
        self.check_stop()
        preview = None if self._image is None else ("JPEG", _as_pil(self._image), PREVIEW_SIDE)
        self._image = None
        self._bar.update_absolute(done, max(total, 1), preview)

    @staticmethod
    def check_stop() -> None:
        """Raises ComfyUI's own interruption when the user pressed stop."""
        model_management.throw_exception_if_processing_interrupted()


def _as_pil(image: Tensor) -> Any:
    from PIL import Image

    pixels = (image.detach().float().clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
