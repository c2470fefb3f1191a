"""The bar, the live picture and the stop button, as one callable that the core can call without knowing ComfyUI."""

from __future__ import annotations

import comfy.utils
from comfy import model_management
from torch import Tensor

PREVIEW_SIDE = 512


class Progress:
    """`progress(done, total)` moves the node's bar; raises ComfyUI's own interruption when the user pressed stop."""

    def __init__(self, total: int = 1):
        self._bar = comfy.utils.ProgressBar(max(total, 1))
        self._picture: Tensor | None = None

    def show(self, picture: Tensor) -> None:
        """picture: (3, H, W) in 0..1, shown in the node with the next movement of the bar."""
        self._picture = picture

    def __call__(self, done: int, total: int) -> None:
        self.check_stop()
        preview = None if self._picture is None else ("JPEG", _as_pil(self._picture), PREVIEW_SIDE)
        self._picture = None
        self._bar.update_absolute(done, max(total, 1), preview)

    @staticmethod
    def check_stop() -> None:
        """Raises ComfyUI's own interruption when the user pressed stop."""
        model_management.throw_exception_if_processing_interrupted()


def _as_pil(picture: Tensor):
    from PIL import Image

    pixels = (picture.detach().float().clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
