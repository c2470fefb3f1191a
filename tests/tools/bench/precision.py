"""What halved weights do to the frames and to the lips: the same clip in float32, bfloat16 and float16.

Out: how far the frames lie apart (0..1), and how far the lips' opening, in pixels. The mini's is read from its frames
by the pack's own mesh. The released weights are not at hand here, and with weights made by rule no lips are painted, so
for those it is the opening that their motion gives to the lips of a portrait: how far apart lies what is read where its
lips are. The nodes leave that motion in float32; what would become of it in half precision is in the rows "all".
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.datatypes import CropMode, Motion, Portrait
from sadtalker_core.face.mesh import detect_landmarks, mesh_square
from sadtalker_core.families.networks import FACE_MESH, FLOW_RENDERER
from sadtalker_core.model import assemble_mini
from sadtalker_core.render.facevid2vid.fast import FastGenerator, accelerate
from sadtalker_core.render.meshwarp.compositor import render_flow_frames
from tests.parity.harness import rule_net
from tests.tools.bench.frames import BF16, FP16, FP32, given
from tests.tools.bench.measuring import sample_image, voice

NARROW = {"bf16": BF16, "fp16": FP16}
#: the middle of the upper and of the lower inner lip
LIPS = (13, 14)


@torch.inference_mode()
def measure(seconds: float = 1.0) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    nets = assemble_mini()
    portrait, source = pipeline.extract(nets, Portrait(sample_image(wide=False)), CropMode.CROP)
    speech = pipeline.encode_audio(voice(seconds), 16_000)
    motion = pipeline.coefficients_to_motion(
        nets,
        source,
        pipeline.predict_expression(nets, speech, source),
        pipeline.predict_head_pose(nets, speech, source),
    )
    crop = portrait.require_crop()
    exact = clip(nets, crop, motion, FP32)
    rows = [row(f"mini {name}", clip(nets, crop, motion, dtype), exact) for name, dtype in NARROW.items()]
    lips = crop.landmarks[list(LIPS), :2]
    exact = driven(accelerate(rule_net("generator", 0)), crop.image, lips)
    for name, dtype in NARROW.items():
        for how, motion_dtype in (("motion fp32", FP32), ("all", dtype)):
            net = accelerate(rule_net("generator", 0), dtype, motion_dtype)
            rows.append(row(f"released {name}, {how}", driven(net, crop.image, lips), exact))
    return rows


def row(what: str, narrow: tuple[Tensor, Tensor], exact: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """Each of both: frames, and the openings of the lips in them, (T,) or (T, D)."""
    frames, lips = ((a - b).abs() for a, b in zip(narrow, exact, strict=True))
    opened = exact[1].amax(0) - exact[1].amin(0)
    return {
        "what": what,
        "max": float(frames.max()),
        "mean": float(frames.mean()),
        "lips_max_px": float(lips.max()),
        "lips_mean_px": float(lips.mean()),
        "lips_opening_px": float(opened.mean()),
    }


def driven(net: FastGenerator, image: Tensor, lips: Tensor, n_frames: int = 4) -> tuple[Tensor, Tensor]:
    """The first of some frames, (1, 3, S, S), and how far apart lies what is read, in each of them and each depth D of
    the volume, at the two places lips (2, 2): (T, D), pixels downwards.
    """
    side = image.shape[-1]
    _, source, driving = given(side, n_frames)
    prepared = net.encode_source(image[None], source)
    places = (lips / side * 2 - 1)[None, :, None]
    opened = []
    for keypoints in driving[:, None]:
        moved = net.dense_motion(prepared.compressed_features, source, keypoints).deformation
        read = F.grid_sample(moved[..., 1].float(), places, align_corners=False)[0, :, :, 0] * side / 2
        opened.append(read[:, 1] - read[:, 0])
    return net.warp_and_decode(prepared, driving[:1]).image.float(), torch.stack(opened)


def clip(nets, crop, motion: Motion, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Frames (T, 3, S, S), and how far the lips are open in each (T,), pixels."""
    renderer, mesh = nets.use(FLOW_RENDERER, FACE_MESH)
    frames = torch.cat(list(render_flow_frames(copy.deepcopy(renderer).to(dtype), crop, motion)))
    opened, around = [], mesh_square(crop.landmarks)
    for frame in frames:
        points = detect_landmarks(mesh, frame.permute(1, 2, 0), [around])[0].points
        opened.append((points[LIPS[1]] - points[LIPS[0]])[:2].norm())
    return frames, torch.stack(opened)
