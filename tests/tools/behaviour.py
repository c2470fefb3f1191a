"""Hashes of what the pack makes, to be compared before and after a change that must change nothing.

    python tests/tools/behaviour.py > before.txt        and later:  ... > after.txt; diff before.txt after.txt

Printed are SHA-256 of: the frames of five short mini clips, the tracks of both families (the released networks with
rule-made weights), a Paste Back frame, the frames of a video that a batch worker makes, a reference video's
coefficients, a motion preview; and max_abs of every fast row of the parity table. One thread, so that a machine gives
the same numbers each time.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))
CORE = "sadtalker_core"


def module(*names: str) -> ModuleType:
    """The first of these modules of the core that exists."""
    for name in names:
        try:
            return importlib.import_module(f"{CORE}.{name}" if name else CORE)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{CORE}.{name}".startswith(error.name):
                raise
    raise ModuleNotFoundError(f"none of {names} is in {CORE}")


def pick(owner: Any, *names: str) -> Any:
    """The first of these attributes that the owner has: its name before a change, or after it."""
    return next(getattr(owner, name) for name in names if hasattr(owner, name))


pipeline = module("pipeline")
loading = module("assembly", "model")
encode_audio = pick(pipeline, "hear", "encode_audio")
predict_expression = pick(pipeline, "express", "predict_expression")
predict_head_pose = pick(pipeline, "nod", "predict_head_pose")
to_motion = pick(pipeline, "map_tracks", "coefficients_to_motion")
paste_back = pick(pipeline, "whole_picture", "make_paste_back")


PoseAngles = module("datatypes").PoseAngles


def show(name: str, *values: Any) -> None:
    digest = hashlib.sha256()
    for value in values:
        data = value.detach().cpu().contiguous() if isinstance(value, torch.Tensor) else value
        if isinstance(data, torch.Tensor):
            digest.update(f"{tuple(data.shape)} {data.dtype}".encode())
            data = data.numpy().tobytes()
        digest.update(data if isinstance(data, bytes) else str(data).encode())
    print(f"{name:<40} {digest.hexdigest()}", flush=True)


def syllables(seconds: float, seed: int = 7, rate_hz: int = 16_000) -> torch.Tensor:
    """Noise that swells four times a second, (n,)."""
    n = round(seconds * rate_hz)
    swell = (torch.arange(n) * (2 * torch.pi * 4 / rate_hz)).sin().clamp(min=0)
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)).clamp(-4, 4) * swell * 0.2


def tracks_of(motion: Any) -> list[torch.Tensor]:
    return [
        part
        for rows in (motion.driving, motion.source)
        for part in (rows.yaw, rows.pitch, rows.roll, rows.translation, pick(rows, "offsets", "weights"))
    ]


#: mode of the crop, style, seed, seconds (no voice: an idle clip), further wishes for the motion
CLIPS = (
    ("crop", 0, 1, 0.4, True, {}),
    ("full", 3, 2, 0.4, True, {"expression_scale": 1.4, "pose_scale": PoseAngles(yaw=1.5, pitch=0.5, roll=2.0)}),
    ("extcrop", 11, 3, 0.32, False, {"yaw": "-20, 20", "pitch": 8.0}),
    ("resize", 45, 4, 0.32, True, {"still": True}),
    ("extfull", 7, 2**63 + 5, 0.4, True, {"roll": "10"}),
)


def mini_clips(image: torch.Tensor) -> None:
    datatypes = module("datatypes")
    nets = pick(loading, "assemble_mini", "load_mini")()
    for k, (mode, style, seed, seconds, speaks, options) in enumerate(CLIPS):
        speech = encode_audio(syllables(seconds, k), 16_000) if speaks else encode_audio(None, idle_seconds=seconds)
        portrait, source = pipeline.extract(nets, datatypes.Portrait(image), datatypes.CropMode(mode))
        expression = predict_expression(nets, speech, source, seed=seed, blinks_per_minute=60.0)
        pose = predict_head_pose(nets, speech, source, style=style, seed=seed)
        motion = to_motion(nets, source, expression, pose, **options)
        stream = pipeline.render(nets, portrait, motion, batch_size=4)
        frames = torch.cat(list(stream.batches()))
        show(f"mini {mode} coefficients", source.full_rows(), source.crop)
        show(f"mini {mode} tracks", expression.coefficients, pose.coefficients, *tracks_of(motion))
        show(f"mini {mode} frames", frames)
        if mode == "full":
            whole = paste_back(portrait)
            show("paste back, multiband", whole(frames[:2]), whole.mask)
            pasted, mask = pipeline.paste(frames.permute(0, 2, 3, 1), portrait, mask=torch.ones(image.shape[:2]))
            show("paste back, with a mask", *pasted.batches(), mask)
        if mode == "crop":
            preview = module("render.preview").preview_mesh(portrait.require_crop(), motion, side=96)
            show("motion preview", *preview)
            show("landmarks drawn", pick(pipeline, "landmarks_picture", "landmarks_image")(portrait))
            show("motion plot", module("compose.plot").plot_motion(speech, expression, pose, width=320, height=240))
            reference = pipeline.extract_video(nets, stream_of(frames), 25.0)
            show("reference video", reference.full_rows(), reference.crop, reference.found)
            lent = predict_expression(nets, speech, source, reference=reference)
            show("a reference's blinks", lent.coefficients)


def stream_of(frames: torch.Tensor) -> Iterator[torch.Tensor]:
    yield from frames.permute(0, 2, 3, 1)


def released_tracks() -> None:
    """ExpNet, PoseVAE and MappingNet of the released family with rule-made weights."""
    from tests.parity.harness import rule_net

    datatypes = module("datatypes")
    speech = encode_audio(syllables(3.0), 16_000)
    seeded = torch.Generator().manual_seed(11)
    source = datatypes.FaceCoefficients.from_full_rows(
        torch.randn(1, 257, generator=seeded) * 0.1,
        torch.tensor([[1.0, 112.0, 112.0]]),
        family="released",
        crop_mode=datatypes.CropMode.CROP,
        pic_size=256,
    )
    nets = {name: rule_net(name, 0) for name in ("expnet", "posevae", "mapping")}
    families = module("families")
    family = "released" if hasattr(families, "family_of") else families.FAMILIES["released"]  # before, or after
    model = pick(loading, "Talker", "SadTalkerModel")("rule-made", family, 256, nets)
    expression = predict_expression(model, speech, source, seed=5, blinks_per_minute=15.0)
    pose = predict_head_pose(model, speech, source, style=20, seed=5)
    show("released expression", expression.coefficients)
    show("released pose", pose.coefficients)
    show("released motion", *tracks_of(to_motion(model, source, expression, pose)))


def batch_video(image: torch.Tensor) -> None:
    import imageio_ffmpeg
    from PIL import Image

    from tests.waves import write_wave

    jobs, worker = module("batch.jobs"), module("batch.worker")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        Image.fromarray((image * 255).byte().numpy()).save(folder / "face.png")
        write_wave(folder / "voice.wav", syllables(0.48), 16_000)
        table = folder / "jobs.csv"
        table.write_text(
            "portrait,voice,out,seed,pose_style,paste_back\nface.png,voice.wav,talk.mp4,9,5,yes\n", "utf-8"
        )
        (job,) = jobs.read_jobs(table)
        order = pick(worker, "Order", "JobPayload").of(job)
        answer = worker.Worker(n_threads=1).do(next(n for n in ("make", "run_job") if hasattr(worker.Worker, n)), order)
        video = folder / "talk.mp4"
        video.write_bytes(answer.value[0])
        reader = imageio_ffmpeg.read_frames(str(video))
        about = next(reader)
        show("batch video, frames", about["size"], about["fps"], *reader)


def parity_table(stages: list[str] | None) -> None:
    from tests.parity.harness import OWN_VECTORS, SLOW_STAGES, Vectors, check_file, vector_files

    for file in vector_files(OWN_VECTORS):
        stage = Vectors(file).stage
        if stage in SLOW_STAGES or (stages and stage not in stages):
            continue
        for row in check_file(file, 0):
            print(f"parity {row.stage} {row.case} {row.field} {row.max_abs!r}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("mini", "released", "batch", "parity"), help="one part alone")
    parser.add_argument("--stages", nargs="+", help="of the parity table, only these")
    wished = parser.parse_args()
    from tests.face.images import astronaut, resized

    torch.set_num_threads(1)
    image = resized(astronaut(), 384, 384)
    parts = {
        "mini": lambda: mini_clips(image),
        "released": released_tracks,
        "batch": lambda: batch_video(image),
        "parity": lambda: parity_table(wished.stages),
    }
    with torch.inference_mode():
        for name, part in parts.items():
            if wished.only in (None, name):
                part()


if __name__ == "__main__":
    main()
