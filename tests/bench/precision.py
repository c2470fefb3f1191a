"""What halved weights do to the lips: the mini renders the same clip in float32, bfloat16 and float16.

Out: how far the frames lie apart (0..1), and the lips' opening as the pack's own mesh reads it, in pixels. The released
weights are not at hand here; for those, frames.py says how far half precision moves what is read, in pixels.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.assembly import assemble_mini
from sadtalker_core.datatypes import CropMode, Motion, Portrait
from sadtalker_core.face.mesh import look, mesh_square
from sadtalker_core.render.flow_renderer import render_flow_frames
from tests.bench.measuring import picture, voice

NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}
#: the middle of the upper and of the lower inner lip
LIPS = (13, 14)


@torch.inference_mode()
def measure(seconds: float = 1.0) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    nets = assemble_mini()
    portrait, source = pipeline.extract(nets, Portrait(picture(wide=False)), CropMode.CROP)
    speech = pipeline.hear(voice(seconds), 16_000)
    motion = pipeline.map_tracks(
        nets, source, pipeline.express(nets, speech, source), pipeline.nod(nets, speech, source)
    )
    crop = portrait.require_crop()
    whole, opened = clip(nets, crop, motion, torch.float32)
    rows = []
    for name, dtype in NARROW.items():
        frames, gap = clip(nets, crop, motion, dtype)
        apart = (frames - whole).abs()
        rows.append({
            "what": f"mini {name}", "max": float(apart.max()), "mean": float(apart.mean()),
            "lips_max_px": float((gap - opened).abs().max()), "lips_mean_px": float((gap - opened).abs().mean()),
            "lips_opening_px": float(opened.max() - opened.min()),
        })  # fmt: skip
    return rows


def clip(nets, crop, motion: Motion, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Frames (T, 3, S, S), and how far the lips are open in each (T,), pixels."""
    renderer, mesh = nets.use("flow_renderer", "face_mesh")
    frames = torch.cat(list(render_flow_frames(copy.deepcopy(renderer).to(dtype), crop, motion)))
    opened, around = [], mesh_square(crop.landmarks)
    for frame in frames:
        points = look(mesh, frame.permute(1, 2, 0), [around])[0].points
        opened.append((points[LIPS[1]] - points[LIPS[0]])[:2].norm())
    return frames, torch.stack(opened)
