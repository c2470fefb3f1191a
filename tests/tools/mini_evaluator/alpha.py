"""Is a moving cut-out on its own background the opaque video again?

    python -m tests.tools.mini_evaluator.alpha

Two photographs are cut out along an oval and a body, with an edge of a pixel and 8 bits, on a plain colour. The head
turns by 14 degrees to both sides and opens its mouth, for 12 frames at 256 and at 512. Printed: by how many levels the
frames, laid on that colour by their alpha, differ at most from the opaque ones outside rims of 2 and 3 pixels, and how
many pixels of all frames by more than one. The first run fetches the photographs (sources.py).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from sadtalker_core import pipeline
from sadtalker_core.datatypes import MINI, Box, HeadPose
from sadtalker_core.face.portrait import portrait_from_image
from sadtalker_core.model import SadTalkerModel, assemble_mini
from tests.tools.comfyui.layout import home

from . import portraits
from .trial import PHOTOGRAPHS

NAMES = ("astronaut", "obama")
FRAMES = 12
COLOUR = torch.tensor([51, 128, 204]) / 255


def main() -> int:
    model = assemble_mini()
    for photograph in PHOTOGRAPHS:
        if photograph.name in NAMES:
            image = torch.from_numpy(portraits.photograph_of(photograph, home() / "mini_evaluator").copy())
            for size in (256, 512):
                frames = turning(model, image[..., :3].float() / 255, size)
                figures = (f"outside {rim} px {worst:.2f} levels, {n} over 1" for rim, worst, n in differences(frames))
                print(f"{photograph.name} {size}:", "; ".join(figures))
    return 0


def outline(box: Box, height: int, width: int) -> Tensor:
    """(H, W) 0..1 of an oval head and a body below."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x, below = x - box.x - box.width / 2, y - box.y - 0.85 * box.height
    far = (x / (0.36 * box.width)).hypot((y - box.y - box.height / 2) / (0.46 * box.height))
    head = ((1 - far) * 0.36 * box.width + 0.5).clamp(0, 1)
    return torch.maximum(head, below.clamp(0, 1) * (0.45 * box.width - x.abs()).clamp(0, 1))


def turning(model: SadTalkerModel, image: Tensor, size: int) -> Tensor:
    """image (H, W, 3) -> (T, 4, S, S) of its cut-out."""
    whole, _ = pipeline.extract(model, portrait_from_image(image), render_size=size)
    alpha = outline(whole.require_crop().box, *image.shape[:2])[..., None]
    cut = torch.lerp(COLOUR.expand_as(image), image, alpha).mul(255).round().byte()
    shown = (alpha[..., 0] * 255).round() / 255
    portrait, face = pipeline.extract(model, portrait_from_image(cut, person_mask=shown), render_size=size)
    speech = pipeline.encode_audio(None, idle_seconds=FRAMES / 25)
    expression = pipeline.predict_expression(model, speech, face, seed=1)
    weights = expression.coefficients.clone()
    weights[:, 25] = torch.linspace(0, 0.6, len(weights))  # jawOpen
    pose = face.pose[:1].expand(len(weights), -1).clone()
    pose[:, 0] += torch.linspace(0.08, -0.08, len(pose))
    pose[:, 1] += torch.linspace(-0.24, 0.24, len(pose))
    motion = pipeline.coefficients_to_motion(
        model, face, replace(expression, coefficients=weights), HeadPose(pose, MINI)
    )
    with torch.inference_mode():
        return torch.cat(list(pipeline.render(model, portrait, motion, alpha=True).batches())).float().cpu()


def differences(frames: Tensor) -> list[tuple[int, float, int]]:
    """(T, 4, S, S) -> for rims of 2 and 3 pixels: the rim, the largest difference in levels, pixels over one level."""
    colours, alpha = frames[:, :3], frames[:, 3:]
    laid = torch.lerp(COLOUR[:, None, None].expand_as(colours), colours, alpha)
    edge = ((alpha > 1 / 512) & (alpha < 511 / 512)).float()
    found = []
    for rim in (2, 3):
        beyond = F.max_pool2d(edge, 2 * rim + 1, 1, rim) == 0
        levels = ((laid - colours).abs() * beyond).amax(1) * 255
        found.append((rim, float(levels.max()), int((levels > 1).sum())))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
