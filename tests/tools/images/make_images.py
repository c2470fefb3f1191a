"""Makes web/pictures anew, which the help pages show: the built-in model on a public portrait.

Not made here: node_*.jpg and page_templates.jpg, see make_node_images; talking_portrait.jpg, frames of the demo's
video; page_talking_portrait.jpg, from the screenshots of the page's tests.

    python -m tests.tools.images.make_images [name ...]    (needs torch, scikit-image for the portrait, soundfile)
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.compose.cutout import Backdrop, clean_edges
from sadtalker_core.compose.label import label_frames
from sadtalker_core.compose.plot import plot_motion
from sadtalker_core.datatypes import (
    MINI,
    CropMode,
    Expression,
    FaceCoefficients,
    HeadPose,
    Motion,
    Portrait,
    PoseAngles,
)
from sadtalker_core.face.draw import draw_landmarks
from sadtalker_core.face.portrait import portrait_from_image
from sadtalker_core.model import load_model
from sadtalker_core.motion import edit
from sadtalker_core.motion.set_expression import PRESETS, read_acting, set_expression
from sadtalker_core.motion.silence import silence_gate
from sadtalker_core.render.preview import preview_mesh
from tests.tools.comfyui.media import OUTLINE
from tests.tools.images.saving import save_small

PROJECT = Path(__file__).resolve().parents[3]
FOLDER = PROJECT / "web" / "pictures"
SEED = 1
YAWS = (-12.0, 0.0, 12.0)
CONTROLS_SHOWN = ("smile=1", "brows=1", "brows=-1", "frown=1", "squint=1", "wide_eyes=1", "gaze_x=1", "gaze_x=-1",
                  "gaze_y=1", "gaze_y=-1", "wink_left=1", "wink_right=1", "jaw=0.5", "lip_corner_left=-1",
                  "lip_corner_right=-1", "pucker=1")  # fmt: skip


def main() -> None:
    import skimage.data

    FOLDER.mkdir(parents=True, exist_ok=True)
    nets = load_model("mini", [])
    whole = torch.from_numpy(skimage.data.astronaut().copy()).float() / 255
    portrait, face = pipeline.extract(nets, portrait_from_image(whole))
    save("landmarks", pipeline.landmarks_image(portrait))
    save(
        "crop_modes",
        side_by_side(
            [
                boxes_drawn(nets, whole),
                *(
                    pipeline.extract(nets, portrait_from_image(whole), mode)[0].require_crop().image.permute(1, 2, 0)
                    for mode in (CropMode.CROP, CropMode.EXTENDED_CROP)
                ),
            ],
            height=256,
        ),
    )

    speech = pipeline.encode_audio(*voice())
    expression = pipeline.predict_expression(nets, speech, face, seed=SEED)
    pose = pipeline.predict_head_pose(nets, speech, face, seed=SEED)
    motion = pipeline.coefficients_to_motion(nets, face, expression, pose)
    save("motion_plot", plot_motion(speech, expression, pose, width=720, height=480))
    wide = int(motion.driving.weights[:, BLENDSHAPE_INDEX["jawOpen"]].argmax())
    ahead = replace(motion, driving=motion.driving[wide : wide + 1])
    drawn = next(iter(preview_mesh(portrait.require_crop(), ahead, side=256, behind=False)))
    over = next(iter(preview_mesh(portrait.require_crop(), ahead, side=256, behind=True)))
    frame = painted(nets, portrait, ahead)
    save("motion_preview", side_by_side([drawn, over, frame[0]], height=256))

    save("blink", side_by_side([eyes(frame) for frame in painted(nets, portrait, shutting(motion))], height=120))
    turned = [pose_at(motion, yaw) for yaw in YAWS]
    save("head_angles", side_by_side([painted(nets, portrait, one)[0] for one in turned], height=256))

    stream, mask = pipeline.paste(frame, portrait)
    back = next(iter(stream.batches())).permute(0, 2, 3, 1)
    save("paste_back", side_by_side([frame[0], mask[..., None].expand(-1, -1, 3), back[0]], height=256))
    save("visible_label", label_frames(back[:, :384, :384], size=0.07)[0])

    def shown(expression, pose):
        """(h, w, 3): the frame of the widest mouth, made of other tracks."""
        moved = pipeline.coefficients_to_motion(nets, face, expression, pose)
        return painted(nets, portrait, replace(moved, driving=moved.driving[wide : wide + 1]))[0]

    mouths = [edit.edit_expression(expression, mouth=scale) for scale in (0.3, 1.0, 1.8)]
    save("edit_expression", side_by_side([shown(mouth, pose) for mouth in mouths], height=256))
    save("set_expression", controls_shown(nets, portrait, face))
    turns = [edit.edit_pose(pose, offsets_deg=PoseAngles(*degrees)) for degrees in ((14, 0, 0), (0, 18, 0), (0, 0, 14))]
    save("edit_pose", side_by_side([shown(expression, turn) for turn in turns], height=256))

    styles = [pipeline.predict_head_pose(nets, speech, face, style=style, seed=SEED) for style in (0, 20, 45)]
    save("pose_styles", side_by_side([plotted(pose=style) for style in styles], height=240))
    gated = silence_gate(expression, speech, face)
    save("silence_gate", side_by_side([plotted(speech, track) for track in (expression, gated)], height=360))
    short = edit.resize(pose, 60, edit.FitHow.CUT)
    resized = [
        edit.resize(short, 180, how, crossfade=10)
        for how in (edit.FitHow.LOOP, edit.FitHow.PING_PONG, edit.FitHow.HOLD)
    ]
    save("resize_track", side_by_side([plotted(pose=track) for track in resized], height=240))
    one, other = (edit.resize(style, 60, edit.FitHow.CUT) for style in styles[:2])
    joined = [one, other, edit.blend(one, other, 0.5), edit.concatenate(one, other, 10)]
    save("blend_tracks", side_by_side([plotted(pose=track, width=360) for track in joined], height=240))
    save("face_order", faces_counted(whole))
    save("cutout", cut_outs(nets, whole))


def cut_outs(nets, whole: Tensor) -> Tensor:
    """A cut-out that has turned: transparent (on a chequered ground), on a colour, on an image."""
    person = Image.new("L", (whole.shape[1], whole.shape[0]))
    ImageDraw.Draw(person).polygon(OUTLINE, fill=255)
    person = torch.from_numpy(np.array(person.filter(ImageFilter.GaussianBlur(1)))).float() / 255
    portrait, face = pipeline.extract(nets, portrait_from_image(whole * (person > 0)[..., None], person_mask=person))
    tracks = Expression(face.expression, MINI), HeadPose(face.pose, MINI)
    turned = pose_at(pipeline.coefficients_to_motion(nets, face, *tracks), 10.0)
    (frame,) = torch.cat(list(pipeline.render(nets, portrait, turned, alpha=True).batches()))
    colours, alpha = frame[None, :3], frame[None, 3:]
    side = frame.shape[-1]
    square = torch.arange(side) // 16 % 2
    chequered = (0.75 + 0.25 * (square ^ square[:, None]))[..., None].expand(-1, -1, 3)
    sky = torch.tensor([0.15, 0.35, 0.65]) + torch.linspace(0, 1, side)[:, None, None] * torch.tensor([0.8, 0.3, -0.3])
    grounds = chequered[None], torch.tensor([0.0, 0.75, 0.3]), sky.expand(-1, side, -1)[None]
    clean = clean_edges(colours, alpha)
    laid = [Backdrop(ground, (side, side)).under(clean, alpha)[0].permute(1, 2, 0) for ground in grounds]
    return side_by_side(laid, height=256)


def controls_shown(nets, portrait: Portrait, face: FaceCoefficients) -> Tensor:
    """The face in silence, under one control or preset after the other, with its words below."""
    from PIL import Image, ImageDraw, ImageFont

    commands = ["", *CONTROLS_SHOWN, *(f"preset={name}" for name in PRESETS if name != "none")]
    idle = pipeline.predict_expression(nets, pipeline.encode_audio(None, idle_seconds=1.0), face, blink="off")
    rest = replace(idle, coefficients=idle.coefficients[12:13])
    wide, high, columns = 126, 150, 7
    sheet = Image.new("RGB", (columns * wide, -(-len(commands) // columns) * (high + 16)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, command in enumerate(commands):
        expression = set_expression(rest, read_acting(command))
        motion = pipeline.coefficients_to_motion(nets, face, expression, own_pose(face))
        frame = as_pil(painted(nets, portrait, motion)[0])
        side = frame.width
        cut = frame.crop((round(side * 0.18), round(side * 0.22), round(side * 0.8), round(side * 0.96)))
        x, y = place % columns * wide, place // columns * (high + 16)
        sheet.paste(cut.resize((wide - 2, high), Image.Resampling.LANCZOS), (x, y))
        pen.text((x + 2, y + high + 1), command.replace("preset=", "").replace("=", " ") or "as it was", "black", font)
    pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
    return pixels.view(sheet.height, sheet.width, 3).float() / 255


def own_pose(face: FaceCoefficients) -> HeadPose:
    return HeadPose(face.pose[:1].clone(), face.family)


def plotted(speech=None, expression=None, pose=None, width: int = 480) -> Tensor:
    return plot_motion(speech, expression, pose, width=width, height=240 if speech is None else 360)


def faces_counted(whole: Tensor) -> Tensor:
    """Two faces in one image, with the numbers that face_order "left to right" gives them."""
    from PIL import ImageFont

    nets = load_model("mini", [])
    both = torch.cat([whole[:320, 60:400], whole[:320, 60:400].flip(1)], dim=1)
    image = as_pil(both)
    pen = ImageDraw.Draw(image)
    for index in (0, 1):
        portrait = portrait_from_image(both, face_index=index, face_order="left to right")
        box = pipeline.extract(nets, portrait)[0].require_crop().box
        pen.rectangle([box.x, box.y, box.right, box.bottom], outline=(250, 205, 90), width=3)
        pen.text((box.x + 8, box.y + 4), str(index), fill=(250, 205, 90), font=ImageFont.load_default(36))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).float() / 255


def voice() -> tuple[Tensor, int]:
    """The demo's: (1, n) and its sample rate."""
    import soundfile

    samples, rate_hz = soundfile.read(PROJECT / "tests" / "demo" / "hello.flac", dtype="float32")
    return torch.from_numpy(samples)[None], rate_hz


def painted(nets, portrait: Portrait, motion: Motion) -> Tensor:
    """(T, h, w, 3)"""
    with torch.inference_mode():
        frames = torch.cat(list(pipeline.render(nets, portrait, motion).batches()))
    return frames.permute(0, 2, 3, 1).clone()


def shutting(motion: Motion) -> Motion:
    """Four frames of a lid that goes down, the mouth at rest."""
    own = motion.source
    rows = {name: track.expand(4, *track.shape[1:]).clone() for name, track in vars(own).items()}
    for lid in ("eyeBlinkLeft", "eyeBlinkRight"):
        rows["weights"][:, BLENDSHAPE_INDEX[lid]] = torch.linspace(0, 1, 4)
    return replace(motion, driving=replace(own, **rows))


def pose_at(motion: Motion, yaw: float) -> Motion:
    """One frame of the portrait's own face, with the head turned."""
    own = motion.source
    return replace(motion, driving=replace(own[:1], yaw=torch.full_like(own.yaw[:1], yaw)))


def boxes_drawn(nets, whole: Tensor) -> Tensor:
    drawn = whole
    for mode in (CropMode.CROP, CropMode.EXTENDED_CROP):
        box = pipeline.extract(nets, portrait_from_image(whole), mode)[0].require_crop().box
        drawn = draw_landmarks(drawn, torch.tensor([[0.0, 0.0], [400.0, 400.0]]) - 1000, box)
    return drawn


def eyes(frame: Tensor) -> Tensor:
    side = frame.shape[1]
    return frame[round(side * 0.38) : round(side * 0.58), round(side * 0.22) : round(side * 0.78)]


def side_by_side(images: list[Tensor], height: int) -> Tensor:
    gap = torch.ones(height, 4, 3)
    row: list[Tensor] = []
    for image in images:
        wide = round(image.shape[1] * height / image.shape[0])
        small = as_pil(image).resize((wide, height), Image.Resampling.LANCZOS)
        pixels = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)
        row += [gap, pixels.view(height, wide, 3).float() / 255]
    return torch.cat(row[1:], dim=1)


def as_pil(image: Tensor):
    from PIL import Image

    return Image.fromarray((image.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def save(name: str, image: Tensor) -> None:
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    save_small(as_pil(image), FOLDER / f"{name}.jpg")


if __name__ == "__main__":
    main()
