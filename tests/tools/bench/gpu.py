"""One run on a real GPU: is it right there, how fast, and in which arrangement? At most eight minutes.

    python -m tests.tools.bench.gpu                       on torch's CUDA device; writes gpu.json after each row
    python -m tests.tools.bench.gpu --parts frames        one part; --minutes 4, --device cuda:1, --json other.json
    python -m tests.tools.bench.gpu --device cpu --small  all parts with small networks, to try it out

It needs torch, numpy, safetensors and this tree: no ComfyUI, no test environment. What else is missing (ffmpeg, a
compiler for torch.compile) is left out, and a sentence says so. Each part has its share of the time, what one leaves is
the next one's, and when all of it is over the program ends, whatever it is at. A part that fails leaves the others
their time; where it takes the device along, they run in a new process. In this order:

    right     small networks of both families, in each precision, crop and full, Set Expression and a dubbed video: the
              frames against the CPU's
    job       the whole job, 30 s of voice to a video, crop and full, beside the original's arrangement of its generator
    frames    frames per second of 256 and 512, batches of 1, 4, 16, each precision, plain and fast; peaks of memory;
              how far images and the places that the lips are read from lie apart from plain fp32
    compiled  torch.compile and CUDA graphs on the best of these
    mini      image to video at 256, 512, 1024
    waits     how long the GPU waits for PoseVAE, ExpNet, paste-back and the encoder

Released weights are made by rule (tests/parity/rule.py), mini's are its own; the face is drawn. Letters: `B` batch, `S`
side of the square.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.coefficients import BLENDSHAPE_INDEX, EXPRESSION
from sadtalker_core.compose.ffmpeg import ffmpeg_command
from sadtalker_core.compose.video import VideoWriter
from sadtalker_core.datatypes import RELEASED, CropMode, Portrait
from sadtalker_core.device import in_precision
from sadtalker_core.dub.dub import DubOptions, dubbed_frames
from sadtalker_core.dub.schedule import SpeechTrack
from sadtalker_core.dub.source_video import FrameSequence
from sadtalker_core.errors import SadTalkerError
from sadtalker_core.families import FAMILIES
from sadtalker_core.model import SadTalkerModel, assemble_mini, build_released, load_weights
from sadtalker_core.motion.set_expression import read_acting
from sadtalker_core.render.facevid2vid.fast import accelerate
from sadtalker_core.timeline import FRAMES_PER_SECOND
from tests.parity import rule
from tests.tools.bench.measuring import PROJECT, drawn_face, machine, voice

#: seconds of the eight minutes
SHARES = {"right": 45.0, "job": 130.0, "frames": 130.0, "compiled": 90.0, "mini": 40.0, "waits": 35.0}
MINUTES = 8.0
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
RELEASED_NETS = ("face_recon", "expnet", "posevae", "mapping", "mapping_full", "keypoint_detector", "generator")
#: frames against the CPU's, 0..1, on average: TF32 keeps ten bits in convolutions, as fp16 does, bf16 seven
BOUNDS = {"fp32": 2e-3, "fp16": 5e-3, "bf16": 3e-2}
#: what Set Expression is asked for
ACTING = "smile=0.4; squint=0.3; gaze_x=0.5"
#: where lips lie in the square of a crop, x and y
LIPS = ((0.5, 0.66), (0.5, 0.74))
#: times the frames per second of the original's arrangement; of playback; milliseconds of a frame of 256
TARGETS = {"factor": 6.0, "of_playback": 1.0, "frame_ms": 13.0}
ORIGINALS_BATCH = 2


@dataclass(frozen=True)
class Size:
    """How much is done: all of it, or a little of everything."""

    voice_s: float = 30.0
    sides: tuple[int, ...] = (256, 512)
    batches: tuple[int, ...] = (1, 4, 16)
    mini_sides: tuple[int, ...] = (256, 512, 1024)
    rounds: int = 20
    small: bool = False


SMALL = Size(voice_s=0.2, sides=(32,), batches=(1, 2), mini_sides=(256,), rounds=1, small=True)


class TimeIsUp(Exception):
    """The share of a part is used."""


class Clock:
    """What is left of a part's share."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self.end - time.monotonic()

    def require(self, seconds: float = 0.0) -> None:
        if self.left <= seconds:
            raise TimeIsUp


class Report:
    """Rows as they come: printed, and written at once."""

    def __init__(self, file: Path, device: torch.device, append: bool = False) -> None:
        """append: to the rows that are in the file"""
        self.file = file
        gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
        self.found: dict[str, Any] = {"machine": {**machine(), "gpu": gpu, "device": str(device)}, "rows": []}
        if append:
            self.read()
        self.write()

    def read(self) -> None:
        self.found = json.loads(self.file.read_text(encoding="utf-8"))

    def add(self, part: str, row: dict[str, Any]) -> None:
        self.found["rows"].append({"part": part, **row})
        self.write()
        print(f"{part:9}", "; ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)

    def write(self) -> None:
        beside = self.file.with_name(self.file.name + ".new")
        beside.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        beside.replace(self.file)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return (
        ", ".join(f"{key} {_short(inner)}" for key, inner in value.items()) if isinstance(value, dict) else str(value)
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="the most that all of it may take")
    parser.add_argument("--small", action="store_true", help="small networks and little of everything, to try it out")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    parser.add_argument("--append", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("not measured: torch finds no CUDA device")
        return 2
    make_current(device)
    do_without_scipy()
    report = Report(asked.json, device, asked.append)
    limit = 60 * asked.minutes
    watchdog = threading.Timer(limit + 10, _give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        return run(report, device, asked.parts, limit, SMALL if asked.small else Size())
    finally:
        watchdog.cancel()


def make_current(device: torch.device) -> None:
    """Streams and graphs are made on torch's current CUDA device."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def _give_up() -> None:
    """A kernel or a compiler that does not come back: what was measured is written already."""
    print("the time is over in the middle of something; the rows so far are in the file", flush=True)
    os._exit(3)


def run(report: Report, device: torch.device, parts: Iterable[str], limit_s: float, size: Size) -> int:
    """The parts, each with its share of the time and what those before it left. 1 where one of them failed."""
    parts = [part for part in SHARES if part in set(parts)]
    scale = limit_s / sum(SHARES[part] for part in parts)
    end, failed = time.monotonic(), False
    last = end + limit_s
    for part in parts:
        end += SHARES[part] * scale
        clock, begun = Clock(end - time.monotonic()), time.monotonic()
        try:
            for row in PARTS[part](device, clock, size, report):
                report.add(part, row)
                failed |= row.get("ok") is False
                clock.require()
        except TimeIsUp:
            report.add(part, {"what": "the rest is left out: its share of the time is used"})
        except Exception as error:  # whatever it is, the other parts are worth their minutes
            words = (str(error).splitlines() or [""])[0][:300]
            report.add(part, {"what": "failed", "error": f"{type(error).__name__}: {words}"})
            failed = True
        report.add(part, {"what": "all of it", "took_s": time.monotonic() - begun})
        rest = parts[parts.index(part) + 1 :]
        if not is_usable(device):
            report.add(part, {"what": "lost the device: what is left runs in a new process"})
            return go_on(report, device, rest, last - time.monotonic(), size) if rest else 1
        free(device)
    return int(failed)


def is_usable(device: torch.device) -> bool:
    """After some errors of a kernel, a CUDA device is of no use to its process any more."""
    try:
        return float(torch.ones(1, device=device).add(1)) == 2
    except RuntimeError:
        return False


def go_on(report: Report, device: torch.device, parts: list[str], seconds: float, size: Size) -> int:
    """These parts in a process of its own, whose rows come behind those that the report has; 1, since one failed."""
    line = [sys.executable, "-m", "tests.tools.bench.gpu", "--append", "--device", str(device), "--parts", *parts]
    line += ["--minutes", str(max(seconds, 1) / 60), "--json", str(report.file.resolve())]
    subprocess.run([*line, "--small"] if size.small else line, cwd=PROJECT)
    report.read()
    return 1


# --------------------------------------------------------------------------------------------------- what is run


def released(size: Size, *only: str) -> SadTalkerModel:
    """The released networks by rule, or with `small` narrow ones of the same classes; faces are found as mini does."""
    embedded = assemble_mini().nets
    nets = {name: embedded[name] for name in ("face_detector", "face_mesh")}
    for name in only or RELEASED_NETS:
        nets[name] = narrow(name) if size.small else by_rule(name)
    return SadTalkerModel("by rule", FAMILIES[RELEASED], size.sides[0], nets)


def by_rule(name: str):
    return load_weights(build_released(name), rule.our_tensors(name, 0), f"rule-made {name}")


def narrow(name: str):
    """A network of the released family with a handful of channels."""
    from sadtalker_core.face.recon import FaceReconConfig, FaceReconNet
    from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
    from sadtalker_core.motion.expnet import ExpNet, ExpNetConfig
    from sadtalker_core.motion.posevae import PoseVAE, PoseVAEConfig
    from tests.render import tiny

    audio = AudioEncoderConfig(width=2)
    make: dict[str, Callable[[], Any]] = {
        "face_recon": lambda: FaceReconNet(FaceReconConfig(stem=4, blocks=(1,), widths=(4,), expansion=2)),
        "expnet": lambda: ExpNet(ExpNetConfig(audio)),
        "posevae": lambda: PoseVAE(PoseVAEConfig(audio=audio, unet_widths=(2, 4, 4, 4))),
        "mapping": tiny.mapping,
        "mapping_full": lambda: tiny.mapping(73),
        "keypoint_detector": tiny.keypoint_detector,
        "generator": tiny.generator,
    }
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        return make[name]().eval().requires_grad_(False)


def arranged(model: SadTalkerModel, device: torch.device, precision: str, *, fast: bool = True) -> SadTalkerModel:
    """On the device as the nodes would have it, or with the generator as it was trained. The model stays as it was:
    weights that were narrowed once would not be the CPU's again.
    """
    nets = {}
    for name, net in model.nets.items():
        if fast and name == "generator":
            nets[name] = in_precision(name, net, precision, device).to(device)
        else:
            nets[name] = copy.deepcopy(net)
            if fast:
                nets[name] = in_precision(name, nets[name], precision, device)
            nets[name].to(device)
    return replace(model, nets=nets)


class Steps(dict[str, float]):
    """Seconds by the clock of each step, the device's work included."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        wait(self.device)
        started = time.perf_counter()
        result = work()
        wait(self.device)
        self[name] = time.perf_counter() - started
        return result


def motion_of(
    model: SadTalkerModel, mode: str, wave: Tensor, steps: Steps, wide: bool, acting: str = ""
) -> tuple[Portrait, Any]:
    """acting: what Set Expression adds, as its text says it"""
    image = drawn_face(1920, wide=True) if wide else drawn_face()
    if model.family.name == RELEASED and not has_pillow():
        from tests.render import tiny

        stand_in = replace(assemble_mini(), image_size=model.image_size)
        portrait, _ = steps("face", lambda: pipeline.extract(stand_in, Portrait(image), mode))
        source = tiny.coefficients(CropMode(mode))
    else:
        portrait, source = steps("face", lambda: pipeline.extract(model, Portrait(image), mode))
    speech = steps("hearing", lambda: pipeline.encode_audio(wave, 16_000))
    expression = steps("expnet", lambda: pipeline.predict_expression(model, speech, source))
    if acting:
        expression = pipeline.set_expression(expression, read_acting(acting), model)
    pose = steps("posevae", lambda: pipeline.predict_head_pose(model, speech, source))
    return portrait, steps("mapping", lambda: pipeline.coefficients_to_motion(model, source, expression, pose))


def make_video(model: SadTalkerModel, mode: str, wave: Tensor, steps: Steps, batch_size: int = 0) -> int:
    """Image and voice to a video, full modes back into an image of 1920 x 1080; -> its frames. Without ffmpeg the
    frames are brought to the CPU, and that is all.
    """
    wide = mode != "crop"
    portrait, motion = motion_of(model, mode, wave, steps, wide)
    stream = pipeline.render(model, portrait, motion, batch_size=batch_size)
    whole = pipeline.make_paste_back(portrait) if wide else None

    def write() -> None:
        if has_ffmpeg():
            with tempfile.TemporaryDirectory() as folder:
                pipeline.render_video(Path(folder) / "film.mp4", stream, whole, audio=(wave, 16_000))
            return
        for batch in stream.batches():
            for head in batch.split(1):
                (head if whole is None else whole(head)).cpu()

    steps("frames to film", write)
    return len(motion)


def can_paste() -> bool:
    try:
        import kornia.geometry.transform  # noqa: F401
    except ImportError:
        return False
    return True


def has_pillow() -> bool:
    try:
        import PIL  # noqa: F401
    except ImportError:
        return False
    return True


def do_without_scipy() -> None:
    """Where it is missing the course of the head goes unsmoothed: a stage of no weight, not worth its download."""
    try:
        import scipy.signal  # noqa: F401
    except ImportError:
        signal: Any = ModuleType("scipy.signal")
        signal.savgol_filter = lambda track, *_, **__: track
        sys.modules.update({"scipy": ModuleType("scipy"), "scipy.signal": signal})


def has_scipy() -> bool:
    return hasattr(sys.modules.get("scipy.signal"), "__file__")


def modes() -> tuple[str, ...]:
    """Crop modes of the whole job that can be walked here."""
    return ("crop", "full") if can_paste() else ("crop",)


def what_is_missing() -> Iterator[dict[str, Any]]:
    """A row for each library that would be of use."""
    if not can_paste():
        yield {"what": "no kornia here: paste-back, and so the full mode, is left out"}
    if not has_pillow():
        yield {"what": "no Pillow here: mini finds the face of the released model, whose coefficients are made up"}
    if not has_scipy():
        yield {"what": "no scipy here: the course of the head is not smoothed"}
    if not has_ffmpeg():
        yield {"what": "no ffmpeg here: frames are brought to the CPU, not encoded"}


def has_ffmpeg() -> bool:
    try:
        return bool(ffmpeg_command())
    except SadTalkerError:
        return False


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).empty_cache()


@contextmanager
def peak(device: torch.device, row: dict[str, Any]) -> Iterator[None]:
    """Into row["peak_mb"] comes the most memory of the device within; on a CPU nothing does."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    yield
    if device.type == "cuda":
        row["peak_mb"] = torch.cuda.max_memory_allocated(device) / 1e6


# ------------------------------------------------------------------------------------------------------- the parts


@torch.inference_mode()
def right(device: torch.device, clock: Clock, size: Size, report: Report) -> Iterator[dict[str, Any]]:
    """A fifth of a second of each on both devices. Narrow released networks do the same as the wide ones. Then what
    mini has beside that: Set Expression, and a dubbed video.
    """
    wave = voice(0.2)
    for family in ("mini", "released"):
        model = assemble_mini() if family == "mini" else released(SMALL)
        whole: tuple[str, ...] = () if size.small and family == "mini" else ("fp32",)
        for mode, precisions in (("crop", tuple(DTYPES)), ("full", whole)):
            if not precisions:
                continue
            want = clip(arranged(model, torch.device("cpu"), "fp32"), mode, wave)
            for precision in precisions:
                clock.require()
                got = clip(arranged(model, device, precision), mode, wave)
                yield compared(f"{family}, {mode}, {precision}", got, want, precision)
    on_cpu, there = (arranged(assemble_mini(), place, "fp32") for place in (torch.device("cpu"), device))
    for what, made in (("set expression", lambda model: clip(model, "crop", wave, ACTING)), ("dubbed video", dubbed)):
        clock.require()
        yield compared(f"mini, {what}, fp32", made(there), made(on_cpu), "fp32")


def compared(what: str, got: Tensor, want: Tensor, precision: str) -> dict[str, Any]:
    apart = (got - want).abs()
    return {"what": what, "max": float(apart.max()), "mean": float(apart.mean()),
            "bound": BOUNDS[precision], "ok": bool(apart.mean() < BOUNDS[precision])}  # fmt: skip


def clip(model: SadTalkerModel, mode: str, wave: Tensor, acting: str = "") -> Tensor:
    """(T, 3, H, W) on the CPU."""
    device = next(next(iter(model.nets.values())).parameters()).device
    portrait, motion = motion_of(model, mode, wave, Steps(device), wide=False, acting=acting)
    return torch.cat([b.float().cpu() for b in pipeline.render(model, portrait, motion, batch_size=2).batches()])


def dubbed(model: SadTalkerModel) -> Tensor:
    """(T, 3, H, W) on the CPU: a drawn face that glides through the picture, and says a long "a"."""
    image = drawn_face(320)
    source = FrameSequence(torch.stack([image[:, 2 * k : 2 * k + 304] for k in range(4)]), FRAMES_PER_SECOND)
    weights = torch.zeros(len(source.images), EXPRESSION)
    weights[:, BLENDSHAPE_INDEX["jawOpen"]] = torch.linspace(0.2, 0.6, len(weights))
    track = SpeechTrack(weights, torch.ones(len(weights)))
    frames = [frame.float().cpu() / 255 for frame in dubbed_frames(model, source, track, DubOptions())]
    return torch.stack(frames).permute(0, 3, 1, 2)


@torch.inference_mode()
def job(device: torch.device, clock: Clock, size: Size, report: Report) -> Iterator[dict[str, Any]]:
    """The released model at 256: as the nodes do it with precision auto, then as the original does, in batches of two
    of the plain generator in fp32. Where the time would not be enough for the latter, its clip is a shorter one.
    """
    yield from what_is_missing()
    model, precision = released(size), "fp16" if device.type != "cpu" else "fp32"
    ours, wave = {}, voice(size.voice_s)
    fast = arranged(model, device, precision)
    for mode in modes():
        clock.require()
        make_video(fast, mode, voice(0.2), Steps(device))
        steps, row = Steps(device), {"what": f"{mode}, fast {precision}"}
        with peak(device, row):
            n_frames = make_video(fast, mode, wave, steps)
        ours[mode] = n_frames / sum(steps.values())
        yield row | {"frames": n_frames, "frames_per_second": ours[mode], "steps_s": steps,
                     "of_playback": ours[mode] / FRAMES_PER_SECOND, "target": TARGETS["of_playback"]}  # fmt: skip
    del fast
    free(device)
    plain = arranged(released(size), device, "fp32", fast=False)
    steps = Steps(device)
    n_frames = make_video(plain, "crop", voice(0.2), Steps(device), ORIGINALS_BATCH)
    n_frames = make_video(plain, "crop", voice(min(0.4, size.voice_s)), steps, ORIGINALS_BATCH)
    affordable = (clock.left / 3) * n_frames / sum(steps.values()) / FRAMES_PER_SECOND
    for mode in modes():
        clock.require()
        steps, row = Steps(device), {"what": f"{mode}, the original's arrangement: plain fp32, batches of two"}
        with peak(device, row):
            n_frames = make_video(plain, mode, voice(max(0.2, min(size.voice_s, affordable))), steps, ORIGINALS_BATCH)
        rate = n_frames / sum(steps.values())
        yield row | {"frames": n_frames, "frames_per_second": rate, "steps_s": steps,
                     "factor": ours[mode] / rate, "target": TARGETS["factor"]}  # fmt: skip


def given(side: int, batch: int, device: torch.device, n_keypoints: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth image, its key points, and those of some frames."""
    generator = torch.Generator().manual_seed(0)
    image = F.interpolate(torch.rand(1, 3, 32, 32, generator=generator), size=(side, side), mode="bicubic").clamp(0, 1)
    source = 1.6 * torch.rand(1, n_keypoints, 3, generator=generator) - 0.8
    driving = source + 0.1 * torch.randn(16, n_keypoints, 3, generator=generator)[:batch]
    return image.to(device), source.to(device), driving.to(device)


def generator_of(size: Size, precision: str, device: torch.device, *, fast: bool):
    """fast or plain; the plain one in half precision is narrowed as a whole, which is all that can be done to it."""
    plain = narrow("generator") if size.small else by_rule("generator")
    if fast:
        return accelerate(plain, DTYPES[precision], device=device).to(device)
    return plain.to(device, DTYPES[precision])


@torch.inference_mode()
def frames(device: torch.device, clock: Clock, size: Size, report: Report) -> Iterator[dict[str, Any]]:
    """The original's arrangement comes first, then what may be chosen, the likeliest first."""
    for side in size.sides:
        exact, base = None, 0.0
        choices = [("fp32", False), *((precision, True) for precision in ("fp16", "bf16", "fp32"))]
        choices += [] if size.small else [("fp16", False)]
        for precision, fast in choices:
            try:
                net = generator_of(size, precision, device, fast=fast)
                batches = size.batches if fast else dict.fromkeys((ORIGINALS_BATCH, *size.batches))
                for batch in batches:
                    clock.require()
                    row: dict[str, Any] = {"what": f"{'fast' if fast else 'plain'} {precision}", "side": side,
                                           "batch": batch}  # fmt: skip
                    try:
                        with peak(device, row):
                            rate, image, lips = measured(net, side, batch, device, size, clock)
                    except torch.OutOfMemoryError:
                        free(device)
                        yield row | {"what": f"{row['what']}: no room for this batch"}
                        continue
                    base = base or rate
                    exact = exact or (image, lips)
                    apart = (image - exact[0]).abs()
                    row |= {"frames_per_second": rate, "frame_ms": 1000 / rate, "factor": rate / base,
                            "max": float(apart.max()), "mean": float(apart.mean()),
                            "lips_px": float((lips - exact[1]).abs().max())}  # fmt: skip
                    yield row | ({"target": TARGETS["frame_ms"]} if side == 256 else {})
            except RuntimeError as error:
                yield {"what": f"{'fast' if fast else 'plain'} {precision} fails", "side": side,
                       "error": str(error).splitlines()[0][:200]}  # fmt: skip
            net = None
            free(device)


def measured(
    net, side: int, batch: int, device: torch.device, size: Size, clock: Clock
) -> tuple[float, Tensor, Tensor]:
    """Frames per second, the first frame, and where its lips are read from, in pixels (depth, 2, 2)."""
    dtype = next(net.parameters()).dtype if not hasattr(net, "decoder") else next(net.dense_motion.parameters()).dtype
    points = net.config.motion.n_keypoints
    image, source, driving = (tensor.to(dtype) for tensor in given(side, batch, device, points))
    prepared = net.encode_source(image, source)
    first = net.warp_and_decode(prepared, driving)
    places = torch.tensor(LIPS, device=device)[None, :, None] * 2 - 1
    moved = first.motion.deformation[0, ..., :2].permute(0, 3, 1, 2).float()
    read = F.grid_sample(moved, places.expand(len(moved), -1, -1, -1), align_corners=False)[..., 0] * side / 2
    rate = per_second(lambda keypoints: net.warp_and_decode(prepared, keypoints), driving, device, size.rounds, clock)
    return rate, first.image[0].float().cpu(), read.cpu()


def per_second(
    frame: Callable[[Tensor], Any], driving: Tensor, device: torch.device, rounds: int, clock: Clock
) -> float:
    """Frames per second, the median of five turns of `rounds` batches, or of as many batches as a tenth of the time has
    room for; two batches warm up.
    """
    steps = itertools.count(1)  # no frame may be like the one before, which would not be made again

    def seconds(batches: int) -> float:
        wait(device)
        started = time.perf_counter()
        for _ in range(batches):
            frame(driving + 0.002 * next(steps))
        wait(device)
        return time.perf_counter() - started

    budget = max(clock.left, 0) / 10
    seconds(1)
    rounds = max(1, min(rounds, int(budget / 5 / seconds(1))))
    rates, until = [], time.monotonic() + budget
    for _ in range(5):
        rates.append(rounds * len(driving) / seconds(rounds))
        if time.monotonic() > until:
            break
    return statistics.median(rates)


def compiled(device: torch.device, clock: Clock, size: Size, report: Report) -> Iterator[dict[str, Any]]:
    """In a process of its own, which can be ended: a compiler may take longer than all the rest. Its rows are those of
    gpu_compiled.py.
    """
    if size.small:
        from tests.tools.bench.gpu_compiled import compile_here

        yield from compile_here(device, clock, size, best_of(report, size))
        return
    options = {"device": str(device), "seconds": clock.left - 10, "best": best_of(report, size)}
    line = [sys.executable, "-m", "tests.tools.bench.gpu_compiled", json.dumps(options)]
    # its words go to a file: compilers have so many that a pipe would be full, and then both would wait for ever
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
        child = subprocess.Popen(
            line, cwd=PROJECT, stdout=subprocess.PIPE, stderr=words, text=True, start_new_session=True
        )
        ender = threading.Timer(max(clock.left, 1), end, [child])
        ender.start()
        assert child.stdout is not None
        try:
            for line_of_child in child.stdout:
                if line_of_child.startswith("{"):
                    yield json.loads(line_of_child)
            if child.wait():
                words.seek(0)
                last = [row for row in words.read().splitlines() if row.strip()][-1:]
                yield {"what": "ended early", "error": last[0][:300] if last else "the time was over"}
        finally:
            ender.cancel()
            end(child)
            child.stdout.close()
            child.wait()


def end(child: subprocess.Popen[str]) -> None:
    """The child and the compilers that it started, which would hold its output open."""
    if sys.platform == "win32":
        child.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def best_of(report: Report, size: Size) -> dict[str, Any]:
    """Batch and precision of the fastest row of `frames` at the first side that the fast arrangement made."""
    rows = [row for row in report.found["rows"] if row["part"] == "frames" and row.get("side") == size.sides[0]
            and row["what"].startswith("fast") and "frames_per_second" in row]  # fmt: skip
    if not rows:
        return {"precision": "fp16" if not size.small else "fp32", "batch": size.batches[-1], "side": size.sides[0]}
    row = max(rows, key=lambda row: row["frames_per_second"])
    return {"precision": row["what"].split()[-1], "batch": row["batch"], "side": row["side"]}


@torch.inference_mode()
def mini(device: torch.device, clock: Clock, size: Size, report: Report) -> Iterator[dict[str, Any]]:
    """Image to video, all of it."""
    wave = voice(min(size.voice_s, 10.0))
    for side in size.mini_sides:
        for precision in ("fp16", "fp32") if device.type != "cpu" else ("fp32",):
            clock.require()
            model = arranged(replace(assemble_mini(), image_size=side), device, precision)
            make_video(model, "crop", voice(0.2), Steps(device))
            steps, row = Steps(device), {"what": f"mini {precision}", "side": side}
            with peak(device, row):
                n_frames = make_video(model, "crop", wave, steps)
            yield row | {"frames": n_frames, "frames_per_second": n_frames / sum(steps.values()), "steps_s": steps}


@torch.inference_mode()
def waits(device: torch.device, clock: Clock, size: Size, report: Report) -> Iterator[dict[str, Any]]:
    """Ten seconds of the released model, full mode: each stage alone. In all but "frames" the GPU mostly waits."""
    yield from what_is_missing()
    mode = modes()[-1]
    model = arranged(released(size), device, "fp16" if device.type != "cpu" else "fp32")
    wave, steps = voice(min(size.voice_s, 10.0)), Steps(device)
    motion_of(model, mode, voice(0.2), Steps(device), wide=True)
    portrait, motion = motion_of(model, mode, wave, steps, wide=True)
    stream = pipeline.render(model, portrait, motion)
    for _ in itertools.islice(stream.batches(), 2):
        pass
    clock.require()
    heads = steps("frames", lambda: list(stream.batches()))
    steps("frames to the CPU", lambda: [batch.cpu() for batch in heads])
    some = [head for batch in heads for head in batch.split(1)][:50]
    clock.require()
    share = len(motion) / len(some)
    pasted = some
    if can_paste():
        whole = pipeline.make_paste_back(portrait)
        pasted = steps("paste-back", lambda: [whole(head) for head in some])
        steps["paste-back"] *= share
    if has_ffmpeg():
        height, width = pasted[0].shape[-2:]

        def encode() -> None:
            with tempfile.TemporaryDirectory() as folder:
                with VideoWriter(Path(folder) / "film.mp4", (width, height), FRAMES_PER_SECOND) as video:
                    for image in pasted:
                        video.write(image)

        steps("encoder", encode)
        steps["encoder"] *= share
    done = sum(steps.values())
    yield {"what": f"{mode}, each stage alone", "frames": len(motion), "steps_s": steps,
           "share_of_the_frames": steps["frames"] / done}  # fmt: skip
    overlapped = Steps(device)
    clock.require(2 * steps["frames"])
    n_frames = make_video(model, mode, wave, overlapped)
    yield {"what": f"{mode}, as Render Video does it", "frames": n_frames, "steps_s": overlapped,
           "waiting_s": overlapped["frames to film"] - steps["frames"]}  # fmt: skip


PARTS: dict[str, Callable[[torch.device, Clock, Size, Report], Iterator[dict[str, Any]]]] = {
    "right": right, "job": job, "frames": frames, "compiled": compiled, "mini": mini, "waits": waits,
}  # fmt: skip


def measure() -> list[dict[str, Any]]:
    """As a part of `make bench`: all of it, or one row that says why not."""
    if not torch.cuda.is_available():
        return [{"what": "not measured: torch finds no CUDA device"}]
    device = torch.device("cuda")
    with tempfile.TemporaryDirectory() as folder:
        report = Report(Path(folder) / "gpu.json", device)
        run(report, device, SHARES, 60 * MINUTES, Size())
    return report.found["rows"]


if __name__ == "__main__":
    sys.exit(main())
