"""The whole recipe of the built-in model: nothing in, the trained files of assets/ out, which are mini_motion,
linear_3dmm and mini_renderer.

    python -m sadtalker_core.training.train_mini --work runs/mini            hours of one core
    python -m sadtalker_core.training.train_mini --work runs/mini --quick    a minute: every stage, without a usable
    result

Speech is spoken by espeak-ng and flite, heads are built from the wheel of heads/mesh.py; no recording
of a person is used. A stopped run goes on with the same line: each stage keeps its parts in the folder and does what is
missing. The tables that the stages read lie in assets/ already and have commands of their own: mini_basis comes from
heads.landmarks, face_mesh from convert_face_mesh, mel_bands from mel_bands.

The files appear in WORK/assets with recipe.json beside them: seeds, sizes, seconds of each stage, machine. Copy them
over sadtalker_core/assets when `make eval-mini` rates them better.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..saving import atomic_write
from . import expnet_mini, fit_linear_3dmm, mapping_mini, pack_motion_mini, posevae_mini, renderer_mini, temporal_mini
from .heads.dataset import PEOPLE_PER_SHARD, make_shards
from .heads.landmarks import N_HEADS
from .voices import speech_set


@dataclass(frozen=True)
class Scale:
    """How much of everything. The quick one is as small as each stage can bear."""

    speech_hours: float = 4.0
    held_out_minutes: float = 6.0
    expnet_steps: int = 3500
    temporal_steps: int = 3000
    posevae_steps: int = 3600
    mapping_steps: int = 8600
    landmark_heads: int = N_HEADS
    linear_3dmm_people: int = 1200
    shards: int = 17
    people_per_shard: int = PEOPLE_PER_SHARD
    renderer_steps: int = 4500


FULL = Scale()
QUICK = Scale(
    speech_hours=0.004,
    held_out_minutes=0.25,
    expnet_steps=2,
    temporal_steps=2,
    posevae_steps=2,
    mapping_steps=2,
    landmark_heads=4,
    linear_3dmm_people=10,
    shards=1,
    people_per_shard=2,
    renderer_steps=1,
)
SPEECH_SEED, SEED = 1, 0


def train_mini(work: Path, scale: Scale, note: str = "") -> Path:
    """-> the folder with the files and recipe.json."""
    out = work / "assets"
    out.mkdir(parents=True, exist_ok=True)
    record = out / "recipe.json"
    seconds: dict[str, float] = json.loads(record.read_text())["seconds"] if record.exists() else {}
    for name, run in stages(work, out, scale, note).items():
        print(f"== {name}", flush=True)
        begin = time.time()
        run()
        seconds[name] = round(seconds.get(name, 0.0) + time.time() - begin, 1)
        recipe = {
            "scale": asdict(scale),
            "seeds": {"speech": SPEECH_SEED, "all else": SEED},
            "seconds": seconds,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} used",
            "torch": torch.__version__,
            "note": note,
            "sha256": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.glob("*.safetensors"))},
        }
        with atomic_write(record) as unfinished:
            unfinished.write_text(json.dumps(recipe, indent=1) + "\n")
    return out


def stages(work: Path, out: Path, scale: Scale, note: str) -> dict[str, Callable[[], None]]:
    """Name -> what to do; each may be done again at any time."""
    speech, heads = work / "speech.npz", work / "heads"
    runs = {name: work / name for name in ("expnet", "temporal", "posevae", "mapping")}

    def spoken() -> None:
        if not speech.exists():
            hours, minutes = str(scale.speech_hours), str(scale.held_out_minutes)
            speech_set.main(
                ["--hours", hours, "--held-out-minutes", minutes, "--seed", str(SPEECH_SEED), "--out", str(speech)]
            )

    def trained(name: str, main: Callable[[list[str]], None], steps: int, *more: str) -> Callable[[], None]:
        line = ["--speech", str(speech), "--out", str(runs[name]), "--steps", str(steps), "--seed", str(SEED), *more]
        return lambda: main(line)

    def rendered() -> None:
        renderer_mini.main(
            ["--work", str(heads), "--steps", str(scale.renderer_steps), "--out", str(out / renderer_mini.OUT.name)]
        )

    return {
        "speech": spoken,
        "expnet": trained("expnet", expnet_mini.main, scale.expnet_steps),
        "temporal": trained("temporal", temporal_mini.main, scale.temporal_steps),
        "posevae": trained("posevae", posevae_mini.main, scale.posevae_steps, "--expnet", str(runs["expnet"])),
        "mapping": trained("mapping", mapping_mini.main, scale.mapping_steps),
        "motion packed": lambda: pack_motion_mini.main(
            [
                *(word for name in runs for word in (f"--{name}", str(runs[name]))),
                "--note",
                note,
                "--out",
                str(out / pack_motion_mini.ASSET.name),
            ]
        ),
        "heads": lambda: make_shards(heads, range(scale.shards), scale.people_per_shard, scale.landmark_heads),
        "linear 3DMM": lambda: fit_linear_3dmm.main(
            [
                "--work",
                str(heads),
                "--people",
                str(scale.linear_3dmm_people),
                "--out",
                str(out / fit_linear_3dmm.OUT.name),
            ]
        ),
        "renderer": rendered,
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/mini"), help="folder (default runs/mini)")
    parser.add_argument("--quick", action="store_true", help="every stage, as small as it can be")
    parser.add_argument("--threads", type=int, default=1, help="of each calculation (default 1)")
    parser.add_argument("--note", default="", help="put into the files: machine, what was special")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"done: {train_mini(options.work, QUICK if options.quick else FULL, options.note)}")


if __name__ == "__main__":
    main()
