"""Whole pipelines and their stages: the mini and the released networks from image to video, and an hour of audio.

Letters: `T` frames of a clip.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.datatypes import MINI, RELEASED, CropMode, Portrait
from sadtalker_core.face.crop import BY_THE_FACE, FIXED_RENDER
from sadtalker_core.families.networks import KEYPOINT_DETECTOR
from sadtalker_core.model import assemble_mini
from sadtalker_core.render.facevid2vid.fast import accelerate
from tests.render import tiny
from tests.tools.bench.measuring import (
    forget_peak,
    in_reference_convolutions,
    model_by_rule,
    peak_mb,
    processor_seconds,
    reference_convolution,
    sample_image,
    voice,
)

#: wall-clock reference convolutions a frame of the mini may cost on two cores, all networks and the encoding included
MINI_TARGET = 0.40
MINI_SECONDS = 8.0
#: frames per second on two idle cores, image to video, by the side of the head; and how long a reference convolution
#: takes one of these cores (docs/BENCH.md)
MINI_FPS = {256: 40.0, 512: 28.0, 1024: 12.0}
IDLE_CONVOLUTION_S = 0.19
#: seconds by the clock on two cores, and MB, that an hour of audio may take up to the motion
HOUR_BARS = {MINI: 30.0, RELEASED: 180.0}
HOUR_MB = 1000.0
#: as most files have it
STEREO_HZ = 44_100


def video(
    nets,
    folder: str,
    wave: Tensor,
    step: Callable[[str, Callable[[], Any]], Any],
    wide: bool = False,
    render_size: int = FIXED_RENDER,
) -> int:
    """Crop mode, from the image and the voice to the video; -> T. wide: back into an image of 1920 x 1080."""
    whole = Portrait(sample_image(wide))
    portrait, source = step("face", lambda: pipeline.extract(nets, whole, CropMode.CROP, render_size=render_size))
    speech = step("hearing", lambda: pipeline.encode_audio(wave, 16_000))
    expression = step("expression", lambda: pipeline.predict_expression(nets, speech, source))
    pose = step("pose", lambda: pipeline.predict_head_pose(nets, speech, source))
    motion = step("motion", lambda: pipeline.coefficients_to_motion(nets, source, expression, pose))
    stream = pipeline.render(nets, portrait, motion)
    target, back = Path(folder) / "film.mp4", pipeline.make_paste_back(portrait) if wide else None
    step("frames and encoding", lambda: pipeline.render_video(target, stream, back, audio=(wave, 16_000)))
    return len(motion)


class Steps(dict[str, float]):
    """Seconds by the clock of each step."""

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        self[name] = time.perf_counter() - started
        return result


@torch.inference_mode()
def mini() -> dict[str, Any]:
    """By the clock, as a user waits for it, with small networks on one thread and the encoder on what cores there are;
    and processor time of everything, the encoder's too.
    """
    torch.set_num_threads(1)
    nets = assemble_mini()
    with tempfile.TemporaryDirectory() as folder:
        video(nets, folder, voice(0.4), Steps())  # what is imported and looked up once is not a frame's cost
        steps, cpu, rendering = Steps(), processor_seconds(), time.process_time()
        wall_cost, wall, n_frames = in_reference_convolutions(
            lambda: video(nets, folder, voice(MINI_SECONDS), steps), time.perf_counter
        )
        cpu, rendering = processor_seconds() - cpu, time.process_time() - rendering
    stick = reference_convolution()
    return {
        "frames": n_frames,
        "wall_convolutions": wall_cost / n_frames,
        "target": MINI_TARGET,
        "frames_per_second": n_frames / wall,
        "cpu_yardsticks": cpu / n_frames / stick,
        "cpu_yardsticks_of_the_encoder": (cpu - rendering) / n_frames / stick,
        "cpu_s": cpu / n_frames,
        "cpu_yardstick_s": stick,
        "steps_wall_s": steps,
        "peak_mb": peak_mb(),
    }


@torch.inference_mode()
def mini_sizes() -> list[dict[str, Any]]:
    """Image to video at each size, by processor time, which two cores share; and by the clock on all cores against one
    thread alone, which shows what a crowd does to work that is done side by side.
    """
    nets, rows = assemble_mini(), []
    cores = torch.get_num_threads()
    wave = voice(MINI_SECONDS / 4)
    with tempfile.TemporaryDirectory() as folder:
        for side, wanted in MINI_FPS.items():
            size = BY_THE_FACE if side == FIXED_RENDER else side  # the portrait's head is smaller than 256
            torch.set_num_threads(1)
            stick, speeds = reference_convolution(), {}
            for threads in (1, cores):
                torch.set_num_threads(threads)
                video(nets, folder, voice(0.4), Steps(), render_size=size)
                before, started = processor_seconds(), time.perf_counter()
                n_frames = video(nets, folder, wave, Steps(), render_size=size)
                speeds[threads] = n_frames / (time.perf_counter() - started)
                spent = processor_seconds() - before
            torch.set_num_threads(1)
            stick = (stick + reference_convolution()) / 2
            torch.set_num_threads(cores)
            cost = spent / n_frames / stick
            rows.append(
                {
                    "what": f"image to film at {side}",
                    "cpu_convolutions": cost,
                    "bar_convolutions": 2 / wanted / IDLE_CONVOLUTION_S,
                    "fps_on_two_idle_cores": 2 / cost / IDLE_CONVOLUTION_S,
                    "bar_fps": wanted,
                    "fps_one_thread": speeds[1],
                    "fps_all_threads": speeds[cores],
                    "peak_mb": peak_mb(),
                }
            )
    return rows


@torch.inference_mode()
def released(side: int, seconds: float = 0.2) -> dict[str, Any]:
    """Image to video with the released networks, the generator arranged for speed as the nodes do it, and the heads
    put back into an image of 1920 x 1080.
    """
    torch.set_num_threads(1)
    nets = model_by_rule(side)
    nets = replace(nets, nets={**nets.nets, "generator": accelerate(nets.nets["generator"])})
    loading, steps = peak_mb(), Steps()
    forget_peak()
    weights = peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        cost, spent, n_frames = in_reference_convolutions(lambda: video(nets, folder, voice(seconds), steps, wide=True))
        size = (Path(folder) / "film.mp4").stat().st_size
    return {
        "frames": n_frames,
        "convolutions": cost,
        "cpu_s": spent,
        "film_bytes": size,
        "steps_wall_s": steps,
        "loading_mb": loading,
        "weights_mb": weights,
        "peak_mb": peak_mb(),
    }


@torch.inference_mode()
def stages() -> list[dict[str, Any]]:
    """What each stage costs around the generators, in processor time on one thread."""
    torch.set_num_threads(1)
    rows = []
    for nets, face in ((model_by_rule(256), tiny.coefficients()), (assemble_mini(), tiny.coefficients(family=MINI))):
        for what, (amount, stage) in _stages_of(nets, face).items():
            stage()
            cost, spent, _ = in_reference_convolutions(stage)
            rows.append({"what": f"{nets.family.name}: {what}", "convolutions": cost / amount, "cpu_s": spent / amount})
    return rows


def _stages_of(nets, face) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Name -> how much of it (seconds of voice, or one), and the doing."""
    n, wave, whole = 4, voice(4.0), Portrait(sample_image(wide=False))
    speech = pipeline.encode_audio(wave, 16_000)
    expression, pose = pipeline.predict_expression(nets, speech, face), pipeline.predict_head_pose(nets, speech, face)
    found: dict[str, tuple[int, Callable[[], Any]]] = {
        "hearing, a second": (n, lambda: pipeline.encode_audio(wave, 16_000)),
        "expression, a second": (n, lambda: pipeline.predict_expression(nets, speech, face)),
        "pose, a second": (n, lambda: pipeline.predict_head_pose(nets, speech, face)),
        "mapping, a second": (n, lambda: pipeline.coefficients_to_motion(nets, face, expression, pose)),
        "face and coefficients, a picture": (1, lambda: pipeline.extract(nets, whole, CropMode.CROP)),
    }
    if "keypoint_detector" in nets.nets:
        (detector,) = nets.use(KEYPOINT_DETECTOR)
        image = torch.rand(1, 3, nets.image_size, nets.image_size)
        found["key points, a clip"] = (1, lambda: detector(image))
    return found


@torch.inference_mode()
def audio_to_motion(family: str, seconds: float) -> dict[str, Any]:
    """The whole length from a voice of 44.1 kHz in stereo to the motion. Processor time on one thread: half of it on
    two cores at best.
    """
    torch.set_num_threads(1)
    nets = assemble_mini() if family == MINI else model_by_rule(256, "expnet", "posevae", "mapping")
    face = tiny.coefficients(family=family)
    wave, steps = voice(seconds * STEREO_HZ / 16_000).expand(2, -1), Steps()
    forget_peak()
    before = peak_mb()

    def run_pipeline() -> int:
        speech = steps("hearing", lambda: pipeline.encode_audio(wave, STEREO_HZ))
        expression = steps("expression", lambda: pipeline.predict_expression(nets, speech, face))
        pose = steps("pose", lambda: pipeline.predict_head_pose(nets, speech, face))
        return len(steps("mapping", lambda: pipeline.coefficients_to_motion(nets, face, expression, pose)))

    cost, spent, n_frames = in_reference_convolutions(run_pipeline)
    return {
        "family": family,
        "seconds": seconds,
        "frames": n_frames,
        "convolutions": cost,
        "cpu_s": spent,
        "bar_s": HOUR_BARS[family] * seconds / 3600,
        "before_mb": before,
        "peak_mb": peak_mb(),
        "bar_mb": HOUR_MB,
        "steps_wall_s": steps,
    }
