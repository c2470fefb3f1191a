"""Does a face do what Set Expression is told, and does it still close its lips?

    python -m tests.tools.mini_evaluator.acting [FOLDER]

Each control at 0, .5 and 1 (and -.5, -1) and each preset on two photographs, a painting and a generated head: sheets of
the whole face, and of eyes and mouth at 4 times, are written to FOLDER (default: .comfyui/mini_evaluator/acting), and
contact.jpg, the controls on the first three, which is docs/acting.jpg. Then
two readings are spoken under several wishes, and the closures of p, b and m are counted: by the coefficients that go to
the renderer, by the lips that it draws, and by those that a face mesh finds in the frames. The first run fetches what
it needs (sources.py).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.datatypes import BlendshapeMotion, Expression, FaceCoefficients, HeadPose, Motion, Portrait
from sadtalker_core.face.metrics import inner_lip_gap
from sadtalker_core.face.portrait import portrait_from_image
from sadtalker_core.model import SadTalkerModel, assemble_mini
from sadtalker_core.motion.set_expression import CONTROLS, PRESETS, Acting, read_acting, set_expression
from sadtalker_core.render.meshwarp.posed_rig import PosedRig
from tests.tools.comfyui.layout import home

from . import measures, portraits, voices
from .evaluators import Evaluators
from .trial import CLOSED_GAP, HEADS, PHOTOGRAPHS

#: what is said while the lips close, by the names of the rows
COMMANDS = ("smile=1", "frown=1", "pucker=1", "jaw=0.3", "lip_corner_left=1; lip_corner_right=-1", "preset=happy",
          "preset=sad", "preset=surprised", "micro_expressions=1")  # fmt: skip
READINGS = ("0930", "0920")
FRAMES = 24
STEPS = (0.5, 1.0)


def main(arguments: list[str]) -> int:
    folder = home() / "mini_evaluator"
    out = Path(arguments[0]) if arguments else folder / "acting"
    out.mkdir(parents=True, exist_ok=True)
    model = assemble_mini()
    faces = {name: _extracted(model, image) for name, image in _portraits(folder).items()}
    shown = []
    for name, (portrait, source) in faces.items():
        for kind, commands in _sheets().items():
            frames = rendered(model, portrait, source, list(commands.values()))
            points = portrait.require_crop().landmarks[:, :2].numpy()
            if kind == "controls" and len(shown) < 3:
                shown.append(contact(frames, list(commands), points))
            for part, sheet in sheets(frames, list(commands), points).items():
                sheet.save(out / f"{name} {kind} {part}.png")
    below_one_another(shown).save(out / "contact.jpg", quality=72)
    print("\n".join(closures(model, *faces["astronaut"], folder)))
    return 0


def _portraits(folder: Path) -> dict[str, np.ndarray]:
    photograph = portraits.photograph_of(PHOTOGRAPHS[0], folder)
    other = portraits.photograph_of(PHOTOGRAPHS[2], folder)
    return {
        "astronaut": photograph,
        "obama": other,
        "painting": portraits.painted(other),
        "head": portraits.head_of(HEADS[0], folder),
    }


def _extracted(model: SadTalkerModel, image: np.ndarray) -> tuple[Portrait, FaceCoefficients]:
    with torch.inference_mode():
        return pipeline.extract(model, portrait_from_image(torch.from_numpy(image.copy())), render_size=0)


def _sheets() -> dict[str, dict[str, Acting]]:
    """kind of sheet -> what stands below an image -> the wish."""
    nothing = {"nothing": Acting()}
    controls = {}
    for name, control in CONTROLS.items():
        for value in (*STEPS, *(-step for step in STEPS)):
            if control.low <= value:
                controls[f"{name} {value:g}"] = Acting({name: value})
    presets = {f"{name} {value:g}": Acting({}, name, value) for name in PRESETS if name != "none" for value in STEPS}
    return {"controls": nothing | controls, "presets": nothing | presets}


def rendered(model: SadTalkerModel, portrait: Portrait, source: FaceCoefficients, commands: list[Acting]) -> Tensor:
    """(N, 3, H, W) the portrait as it is while nobody speaks, under each wish, held."""
    rest = _silent(model, source)
    motions = [_motion(model, source, set_expression(rest, command)) for command in commands]
    rows = {
        name: torch.cat([getattr(motion.driving, name) for motion in motions])
        for name in ("yaw", "pitch", "roll", "translation", "weights")
    }
    return _rendered(model, portrait, replace(motions[0], driving=BlendshapeMotion(**rows)))


def _silent(model: SadTalkerModel, source: FaceCoefficients) -> Expression:
    """One frame of what ExpNet says in silence: of a portrait that laughs, it closes the mouth."""
    with torch.inference_mode():
        idle = pipeline.predict_expression(model, pipeline.encode_audio(None, idle_seconds=1.0), source, blink="off")
    return replace(idle, coefficients=idle.coefficients[12:13])


def _motion(model: SadTalkerModel, source: FaceCoefficients, expression: Expression) -> Motion:
    pose = HeadPose(source.pose[:1].expand(len(expression), -1).clone(), source.family)
    with torch.inference_mode():
        return pipeline.coefficients_to_motion(model, source, expression, pose, still=True)


def _rendered(model: SadTalkerModel, portrait: Portrait, motion: Motion) -> Tensor:
    with torch.inference_mode():
        return torch.cat(list(pipeline.render(model, portrait, motion).batches())).cpu()


def sheets(frames: Tensor, names: list[str], points: np.ndarray) -> dict[str, Image.Image]:
    """frames (N, 3, S, S); points (468, 2) of the portrait -> sheets of the face, of the eyes and of the mouth."""
    low, high = points.min(0), points.max(0)
    (left, top), (width, height) = low, high - low
    parts = {
        "face": (left - 0.1 * width, top - 0.1 * height, left + 1.1 * width, top + 1.1 * height),
        "eyes": (left, top + 0.08 * height, left + width, top + 0.5 * height),
        "mouth": (left + 0.15 * width, top + 0.6 * height, left + 0.85 * width, top + height),
    }
    return {
        part: _sheet(frames, names, box, *((200, 7) if part == "face" else (420, 5))) for part, box in parts.items()
    }


def contact(frames: Tensor, names: list[str], points: np.ndarray) -> Image.Image:
    """The same, small: of a portrait without a wish and under each control at .5 and 1, the face."""
    kept = [k for k, name in enumerate(names) if " -" not in name]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return _sheet(frames[kept], [names[k] for k in kept], (left, top, right, bottom), 96, 9)


def below_one_another(images: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    for k, image in enumerate(images):
        sheet.paste(image, (0, sum(above.height for above in images[:k])))
    return sheet


def _sheet(frames: Tensor, names: list[str], box: tuple[float, ...], wide: int, columns: int) -> Image.Image:
    """One part of each frame, so many pixels wide, with its name below."""
    size = wide, round(wide * (box[3] - box[1]) / (box[2] - box[0]))
    sheet = Image.new("RGB", (columns * size[0], -(-len(names) // columns) * (size[1] + 14)), "white")
    pen = ImageDraw.Draw(sheet)
    for k, (frame, name) in enumerate(zip(frames, names, strict=True)):
        pixels = Image.fromarray((frame.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy())
        x, y = k % columns * size[0], k // columns * (size[1] + 14)
        sheet.paste(pixels.crop(tuple(map(round, box))).resize(size, Image.Resampling.LANCZOS), (x, y))
        pen.text((x + 2, y + size[1]), name, fill="black")
    return sheet


def closures(model: SadTalkerModel, portrait: Portrait, source: FaceCoefficients, folder: Path) -> list[str]:
    """A line for each wish: of the frames of p, b and m, how many are closed, with the wish and without."""
    spoken = {number: voices.reading(number, folder) for number in READINGS}
    plain = {number: _spoken_text(model, one, source) for number, one in spoken.items()}
    shut_in = {number: np.concatenate(one.closures(len(plain[number]))) for number, one in spoken.items()}
    looked_at = shut_in[READINGS[0]][:FRAMES]
    evaluators = Evaluators(folder)
    lines = [
        f"p, b, m: share closed by coefficients ({sum(map(len, shut_in.values()))} frames), by",
        f"the lips that are drawn, by those that a face mesh finds in {len(looked_at)} frames;",
        "then the mean gap of both, by the distance of the eyes",
    ]
    for command in ("", *COMMANDS):
        motions = {
            number: _motion(model, source, set_expression(plain[number], read_acting(command))) for number in spoken
        }
        shut = [measures.commanded_shut(motions[n].driving.weights.numpy())[shut_in[n]] for n in spoken]
        motion = motions[READINGS[0]]
        rows = {name: track[looked_at] for name, track in vars(motion.driving).items()}
        video = _rendered(model, portrait, replace(motion, driving=BlendshapeMotion(**rows)))
        images = (video.permute(0, 2, 3, 1).clamp(0, 1) * 255).byte().numpy()
        drawn = _drawn_gap(portrait, motion, shut_in[READINGS[0]])
        gap = evaluators.read(images, portrait.require_crop().landmarks)["mesh"].gap
        lines.append(
            f"{command or 'nothing':42s} {np.concatenate(shut).mean():.3f}  {(drawn < CLOSED_GAP['mesh']).mean():.3f}  "
            f"{(gap < CLOSED_GAP['mesh']).mean():.3f}  {drawn.mean():.4f}  {gap.mean():.4f}"
        )
    return lines


def _drawn_gap(portrait: Portrait, motion: Motion, frames: np.ndarray) -> np.ndarray:
    """Of these frames, how far the lips that the renderer draws are apart, by the distance of the eyes."""
    crop = portrait.require_crop()
    head = PosedRig(crop.landmarks, crop.pic_size, motion.source)
    driving = BlendshapeMotion(**{name: track[frames] for name, track in vars(motion.driving).items()})
    places, depth = head.rig.driven(driving.weights, *head.pose(driving))
    return inner_lip_gap(torch.cat([places, depth[..., None] * 0], dim=-1)[:, :468]).numpy()


def _spoken_text(model: SadTalkerModel, spoken: voices.Spoken, source: FaceCoefficients) -> Expression:
    wave = torch.from_numpy(spoken.utterance.wave)[None]
    with torch.inference_mode():
        return pipeline.predict_expression(model, pipeline.encode_audio(wave, 16_000), source, seed=1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
