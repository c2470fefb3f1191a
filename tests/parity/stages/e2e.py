"""A portrait and a voice -> frames, through every package in order; each thing that is handed on is compared, too.

The draws are those of the original: Python's `random` for the blinks, the stored z for the head. Where the user's list
of angles has several stations, the original never reaches the last one (see facerender_data.py): our track is then held
against a slow reference, and the frames are rendered with the original's angles, so that all of them can be compared.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from sadtalker_core.audio.speech import encode_speech
from sadtalker_core.datatypes import CropMode, FaceCoefficients, KeypointMotion, Motion, Portrait
from sadtalker_core.face.extract import extract_released
from sadtalker_core.motion.blink import released_blinks
from sadtalker_core.motion.expression import run_expnet
from sadtalker_core.motion.pose import predict_motion, run_posevae
from sadtalker_core.opencv_resize import resize_bilinear
from sadtalker_core.render.driving import DrivingOptions, coefficients_to_motion
from sadtalker_core.render.facevid2vid.animate import render_frames
from sadtalker_core.render.frames import to_box_aspect
from sadtalker_core.timeline import SAMPLE_RATE_HZ
from tests.parity.harness import Row, Vectors, compare, compare_stored, fixed, rule_net, spread
from tests.parity.stages.croper import WRONG_CORNERS, look_at
from tests.parity.stages.extract import STRETCHED, TOO_LARGE
from tests.parity.stages.paste import pasted
from tests.tolerances import LEVEL, SHARE

#: a frame's pixel may be a level off by rounding; the blend spreads it, and rounds once more. (The stage `paste`, where
#: both sides blend the same frames, asks for one level.)
PASTED_LEVEL = 2
#: of an angle in degrees, stored in float32
DEGREES = 1e-5


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        chain = _Chain((vectors.stage, case), vectors.inputs(case), vectors.outputs(case), seed)
        portrait, source = yield from chain.look()
        motion = yield from chain.move(source)
        yield from chain.render(portrait, motion)


@dataclass(frozen=True, eq=False)
class _Chain:
    """One case: what goes in, what the original gave, and the packages in the order in which they are called."""

    case: tuple[str, str]
    given: dict
    want: dict
    seed: int

    def row(self, field: str, got, max_tol: float | None = None, mean_tol: float | None = None) -> Row:
        want = self.want[field]
        return compare(*self.case, field, got, want, spread(want) if max_tol is None else max_tol, mean_tol)

    def net(self, name: str):
        return rule_net(name, self.seed)

    def look(self) -> Iterator[Row]:
        """Image -> the face cut out, and its coefficients."""
        given, mode = self.given, CropMode(self.given["mode"])
        looks = iter([torch.from_numpy(given["lm68"]), torch.from_numpy(given["lm68_crop"])])
        portrait = Portrait(torch.from_numpy(given["image"]).float() / 255)
        find = lambda image, near: next(looks)  # noqa: E731
        portrait, source = extract_released(self.net("face_recon"), portrait, find, mode, 256)
        motion, crop = self.want["coeff_3dmm"][:, :70], self.want["coeff_3dmm"][:, 70:]
        yield compare(*self.case, "coeff_3dmm exp to trans", source.motion_rows(), motion, spread(motion))
        yield compare(*self.case, "coeff_3dmm s, tx, ty", source.crop, crop, 1e-3)

        height, width = given["image"].shape[:2]
        truth, box = look_at(given["lm68"], (width, height), 512), portrait.crop.box
        if mode.extended:
            wrong = STRETCHED
        elif any(truth.rolled):
            wrong = WRONG_CORNERS
        else:
            wrong = TOO_LARGE if truth.wrong_right or truth.wrong_bottom else ""
        if wrong:
            left, top, right, bottom = truth.outer if mode.extended else truth.inner
            yield fixed(*self.case, "crop_info_size_wh", wrong, [box.width, box.height], [right - left, bottom - top])
        else:
            yield self.row("crop_info_size_wh", [box.width, box.height], 0)
        return portrait, source

    def move(self, source: FaceCoefficients) -> Iterator[Row]:
        """Voice -> expression and head pose -> what moves the image."""
        given = self.given
        speech = encode_speech(torch.from_numpy(given["wav16k"]), SAMPLE_RATE_HZ)
        blink = released_blinks(speech.n_frames, random.Random(given["py_seed"]))
        yield self.row("num_frames", speech.n_frames, 0)
        yield self.row("ratio", blink, 0)

        posevae, z = self.net("posevae"), torch.from_numpy(given["z"])
        expression = run_expnet(self.net("expnet"), speech, source, blink)
        pose = run_posevae(posevae, speech, source, given["class"], noise=z)
        rough = source.pose[:1] + predict_motion(posevae, speech, source.pose[:1], given["class"], z)
        yield self.row("exp", expression.coefficients)
        yield self.row("pose", rough)
        yield self.row("coeff", torch.cat([expression.coefficients, pose.coefficients], dim=1))

        degrees = {axis: [float(v) for v in given[axis]] for axis in ("yaw", "pitch", "roll") if axis in given}
        motion = coefficients_to_motion(
            self.net("mapping_full" if source.crop_mode.full else "mapping"),
            source,
            expression,
            pose,
            DrivingOptions(given["expression_scale"], still=given["still"], **degrees),
            kind=KeypointMotion,
        )
        for axis, values in degrees.items():
            motion = yield from self.restore(motion, axis, values)
        return motion

    def restore(self, motion: Motion, axis: str, values: list[float]) -> Iterator[Row]:
        """The motion with the original's angles, after ours have been held against a slow reference."""
        track, n_frames = getattr(motion.driving, axis), len(motion)
        whole = sum(abs(there - here) for here, there in pairwise(values))
        if whole == 0 or n_frames == 1:
            yield compare(*self.case, axis, track, np.full(n_frames, values[0]), DEGREES)
            return motion
        step = whole / (n_frames - 1)
        theirs = [
            here + k * (step if there > here else -step)
            for here, there in pairwise(values)
            for k in range(int(np.ceil(abs(there - here) / step - 1e-9)))
        ]
        theirs = (theirs + theirs[-1:] * n_frames)[:n_frames]
        ours = [_along(values, step * frame) for frame in range(n_frames)]
        yield fixed(*self.case, axis, "the last angle is reached", track, ours, DEGREES)
        return replace(motion, driving=replace(motion.driving, **{axis: torch.tensor(theirs)}))

    def render(self, portrait: Portrait, motion: Motion) -> Iterator[Row]:
        """What moves the image -> frames: in the square, in the aspect of the box, back in the image."""
        nets = self.net("keypoint_detector"), self.net("generator")
        frames = torch.cat(list(render_frames(*nets, portrait.crop, motion, batch_size=self.given["batch_size"])))
        levels = np.rint(frames.permute(0, 2, 3, 1).numpy() * 255)
        yield compare_stored(*self.case, "frames_256_rgb", levels, self.want, LEVEL, SHARE)
        resized = to_box_aspect(frames, portrait.crop.box).permute(0, 2, 3, 1)
        yield self.row("frames_resized_shape", list(resized.shape), 0)
        if any(name.startswith("frames_pasted_bgr") for name in self.want):
            height, width = resized.shape[1:3]
            in_bytes = resize_bilinear(torch.from_numpy(levels / 255).permute(0, 3, 1, 2), (height, width))
            heads = (in_bytes.permute(0, 2, 3, 1) * 255).round().numpy().astype(np.uint8)[..., ::-1].copy()
            whole = pasted(self.given["image"][..., ::-1].copy(), heads, portrait.crop.box)
            yield compare_stored(*self.case, "frames_pasted_bgr", whole, self.want, PASTED_LEVEL, SHARE)


def _along(stations: list[float], way: float) -> float:
    """Where one stands after so many degrees on the way from station to station."""
    for here, there in pairwise(stations):
        if way <= abs(there - here) + 1e-9:
            return here + (way if there > here else -way)
        way -= abs(there - here)
    return stations[-1]
