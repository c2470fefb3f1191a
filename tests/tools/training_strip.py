"""Frames of what a training changed, as one image: real, by the built-in network, by the trained one.

    python -m tests.tools.training_strip strip.png "shaker=RUN:CLIPS" "one-sided smile=RUN:CLIPS"

RUN is the folder of a PoseVAE's or an ExpNet's run that exported RUN/best.safetensors, CLIPS the folder that it learnt
from. The voice of a clip that was held out moves a public portrait (NASA, of scikit-image) by the built-in renderer,
once with what was measured in that clip, and once by each network; the other track of the coefficients is the measured
one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.datatypes import Expression, HeadPose, Portrait
from sadtalker_core.families.networks import EXPNET, POSEVAE
from sadtalker_core.model import SadTalkerModel, load_model
from sadtalker_core.training.clips import Clip, read_clips
from sadtalker_core.training.export import load_base_model
from sadtalker_core.training.states import HELD_OUT, read_settings
from tests.face.images import astronaut
from tests.tools.images.saving import save_small

#: of each row: images, frames between two, and the pixels of each
N_IMAGES, EVERY, CELL, LABEL, HEAD = 6, 10, 96, 92, 16


def held_out_clip(run: Path, clips: Path) -> Clip:
    """The longest that the run did not learn from."""
    held = read_settings(run)[HELD_OUT]
    parts = [clip.part(*held[clip.name]) for clip in read_clips(clips) if clip.name in held]
    return max(parts, key=lambda clip: clip.n_frames)


def images_of(model: SadTalkerModel, clip: Clip, by: SadTalkerModel | None, net: str) -> tuple[list[np.ndarray], str]:
    """(S, S, 3) each, and how far the head moves, in words.

    by: the model whose network `net` moves the head or the mouth; None: what was measured
    """
    rows, speech = clip.coefficients(), clip.speech()
    expression, moved = rows.expression, rows.pose
    if by is not None and net == EXPNET:
        expression = pipeline.predict_expression(by, speech, rows, blink="off").coefficients
    elif by is not None:
        moved = pipeline.predict_head_pose(by, speech, rows, style=0).coefficients
    at = torch.arange(N_IMAGES) * EVERY + EVERY
    portrait, source = pipeline.extract(model, Portrait(astronaut()))
    pose = source.pose[:1] + (moved - moved[:1])[at]
    motion = pipeline.coefficients_to_motion(
        model, source, Expression(expression[at], rows.family), HeadPose(pose, rows.family)
    )
    images = [_levels(frame) for batch in pipeline.render(model, portrait, motion).batches() for frame in batch]
    axis = int(rows.rotation.std(dim=0).argmax())
    degrees = float(torch.rad2deg(moved[:, axis] - moved[0, axis]).square().mean().sqrt())
    return images, f"{('pitch', 'yaw', 'roll')[axis]} {degrees:.1f} deg" if net == POSEVAE else ""


def _levels(frame: Tensor) -> np.ndarray:
    """The middle of the crop, where the face is."""
    edge = frame.shape[-1] // 8
    middle = frame[:, edge:-edge, edge:-edge]
    return (middle.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()


def sheet(rows: Sequence[tuple[str, Sequence[np.ndarray]]]) -> Image.Image:
    """A row for each, its name at the left, the time of each image above."""
    columns = max(len(images) for _, images in rows)
    whole = Image.new("RGB", (LABEL + CELL * columns, HEAD + CELL * len(rows)), "white")
    draw = ImageDraw.Draw(whole)
    for x in range(columns):
        draw.text((LABEL + x * CELL + 4, 2), f"{(x + 1) * EVERY / 25:.2f} s", fill="black")
    for y, (name, images) in enumerate(rows):
        draw.multiline_text((4, HEAD + y * CELL + CELL // 3), name, fill="black")
        for x, image in enumerate(images):
            small = Image.fromarray(image).resize((CELL, CELL), Image.Resampling.LANCZOS)
            whole.paste(small, (LABEL + x * CELL, HEAD + y * CELL))
    return whole


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a .png, or a .jpg of at most 60 kB")
    parser.add_argument("person", nargs="+", metavar="NAME=RUN:CLIPS")
    options = parser.parse_args(arguments)
    built_in, rows = load_model("mini", []), []
    for person in options.person:
        name, _, places = person.partition("=")
        run, clips = map(Path, places.rsplit(":", 1))
        clip = held_out_clip(run, clips)
        trained = load_base_model(str(run / "best.safetensors"))
        net = POSEVAE if "styles" in read_settings(run) else EXPNET
        for label, by in (("real", None), ("built-in", built_in), ("trained", trained)):
            images, remark_on_head = images_of(built_in, clip, by, net)
            rows.append((f"{name},\n{label}\n{remark_on_head}", images))
    image = sheet(rows)
    save_small(image, options.file) if options.file.suffix == ".jpg" else image.save(options.file)


if __name__ == "__main__":
    main()
