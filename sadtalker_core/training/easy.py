"""From a folder of talking videos to a file for models/sadtalker: all steps of a training in one command.

    sadtalker train head-motion videos/         head movement of these people (PoseVAE)
    sadtalker train mouth videos/               mouth movement in speech (ExpNet)
    sadtalker train renderer videos/            the face renderer (needs a GPU, days)
    sadtalker train mapping videos/ --base F    from coefficients to that renderer's motion (MappingNet)

It prepares the videos, chooses the initial weights, steps and threads by the minutes of video, trains, validates, stops
when the held-out error no longer improves, exports the best state to the folder in which ComfyUI looks for SadTalker's
models, and prints which pose_style belongs to which speaker. The choices are written to OUT/chosen.toml; `sadtalker
train --from OUT/chosen.toml` repeats the run. Each step is a program of its own, and its command line is printed.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..checkpoint.catalog import MINI_MODEL
from ..errors import InputError, OptionError
from ..model_folders import add_models_option, model_folders
from ..timeline import FRAMES_PER_SECOND
from . import prepare
from .clips import read_clips
from .export import BASE, NEW, load_base_model, require_target
from .run_options import HOLD_OUT
from .summary import summarise, table, warnings_of
from .toml_file import read_toml, write_toml

CHOSEN_FILE = "chosen.toml"


@dataclass(frozen=True)
class Kind:
    """program: of sadtalker_core.training;  base: the default model;  gpu: whether it takes a GPU to finish
    config: of the trainer, by "gpu" and "cpu"; {} for the trainer's default
    """

    program: str
    base: str
    gpu: bool = False
    config: dict[str, str] = field(default_factory=dict)


RELEASED_256 = "SadTalker 256"
KINDS = {
    "head-motion": Kind("posevae", MINI_MODEL),
    "mouth": Kind("expnet", MINI_MODEL),
    "renderer": Kind("renderer", RELEASED_256, gpu=True, config={"cpu": "narrow", "gpu": "published"}),
    "mapping": Kind("mapping", "", gpu=True, config={"cpu": "narrow", "gpu": "released"}),
}


@dataclass(frozen=True)
class Chosen:
    """The settings of a training; see `choose`."""

    begin: str
    steps: int
    rate_scale: float
    threads: int
    validate_every: int
    patience: int
    videos_every: int
    config: str = ""


def choose(kind: str, minutes: float, gpu: bool) -> Chosen:
    """The settings for so many minutes of training video.  gpu: whether one is used

    Those of the small networks follow the table in docs/TRAINING.md (its row of an hour is an estimate); those of the
    renderer on a GPU are the published ones.
    """
    config = KINDS[kind].config.get("gpu" if gpu else "cpu", "")
    if kind == "head-motion":
        new = minutes >= NEW_FROM_MINUTES
        steps = 3000 if new else _between(200, 40 * minutes + 200, 1500)
        return Chosen(NEW if new else BASE, steps, 1.0 if new else 0.3, 1, max(10, steps // 40), 10, steps // 4)
    if kind == "mouth":
        new = minutes >= NEW_FROM_MINUTES
        steps = 6000 if new else _between(400, 40 * minutes + 400, 2000)
        return Chosen(NEW if new else BASE, steps, 1.0 if new else 0.1, 1, max(10, steps // 40), 10, steps // 4)
    if kind == "renderer":
        return Chosen(NEW, 200_000 if gpu else 2000, 1.0, 0, 2000 if gpu else 100, 0, 10_000 if gpu else 250, config)
    return Chosen(NEW, 20_000 if gpu else 1000, 1.0, 0, 500 if gpu else 50, 10, 5000 if gpu else 250, config)


#: minutes from which training from random weights gives better results than fine-tuning
NEW_FROM_MINUTES = 60.0


def _between(least: int, wanted: float, most: int) -> int:
    return int(min(max(wanted, least), most)) // 10 * 10


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    options = _parser().parse_args(arguments)
    settings = _from_file(options) if options.from_file else _from_options(options)
    kind = KINDS[settings["kind"]]
    out, videos, data = Path(settings["out"]), Path(settings["videos"]), Path(settings["data"])
    if not settings["base"]:
        raise OptionError("mapping needs --base: the file that `sadtalker train renderer` exported.")
    prepare.find_videos(videos, data)  # errors are reported before the work begins
    target = require_target(Path(settings["export"]))
    prepare.require_device(settings["device"])
    if kind.gpu and not _is_gpu(settings["device"]):
        print(
            f"Without a GPU only a narrow {settings['kind']} network can be tried; its images will be blotchy.",
            file=sys.stderr,
        )
    load_base_model(settings["base"], [Path(folder) for folder in settings["models"]])

    print(f"1 of 3: {videos} becomes clips in {data}")
    prepare_words = _prepare_words(settings)
    print(_printed("prepare", prepare_words))
    outcomes = prepare.prepare(
        videos,
        data,
        base=settings["base"],
        models=[Path(folder) for folder in settings["models"]],
        device=settings["device"],
        size=settings["size"],
    )
    print(prepare.report(outcomes))
    if not any(outcome.clips for outcome in outcomes):
        raise InputError(f"none of the {len(outcomes)} videos can be used; the reasons are listed above.")
    clips = read_clips(data)
    minutes = sum(clip.n_frames for clip in clips) / FRAMES_PER_SECOND / 60
    settings = _completed(settings, minutes)
    out.mkdir(parents=True, exist_ok=True)
    file = write_toml(out / CHOSEN_FILE, settings, _COMMENTS)
    words = _training_words(settings, data, out, target)
    print(f"2 of 3: {minutes:.1f} minutes. Begin: {settings['begin']}, at most {settings['steps']} steps; see {file}")
    print(_printed(kind.program, words), flush=True)
    if options.dry_run:
        speakers = summarise(clips, data)
        print(table(speakers), *(f"Warning: {text}" for text in warnings_of(speakers)), sep="\n")
        return
    print(f"3 of 3: training, then the best state goes to {target}")
    importlib.import_module(f"sadtalker_core.training.{kind.program}").main(words)
    print(f"Choose file/{target.name} in Load SadTalker Model (press R in ComfyUI first).")
    if settings["kind"] == "renderer":
        print(f"Before that: sadtalker train mapping {shlex.quote(str(videos))} --base {shlex.quote(str(target))}")


def _from_options(options: argparse.Namespace) -> dict[str, Any]:
    if options.kind is None or options.videos is None:
        raise OptionError(f"name what to train ({', '.join(KINDS)}) and a folder of videos, or give --from FILE.")
    name = f"{options.videos.resolve().name}_{options.kind}"
    out = options.out or Path("runs") / name
    return {
        "kind": options.kind,
        "videos": str(options.videos),
        "data": str(out / "clips"),
        "out": str(out),
        "export": str(options.export or _free_place(model_folders(options.models)[0], name, out)),
        "base": options.base or KINDS[options.kind].base,
        "models": [str(folder) for folder in options.models],
        "device": options.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        "size": options.size,
        "seed": options.seed,
        "hold_out": options.hold_out,
        **{name: getattr(options, name) for name in _CHOSEN if getattr(options, name, None) is not None},
    }


def _from_file(options: argparse.Namespace) -> dict[str, Any]:
    """Raises InputError or OptionError for a file that is not such a run."""
    settings = {_RENAMED.get(name, name): value for name, value in read_toml(options.from_file).items()}
    missing = [name for name in (*_REQUESTED, *_CHOSEN) if name not in settings]
    wrong = [name for name, kind in _TYPES.items() if name in settings and not isinstance(settings[name], kind)]
    unknown = sorted(set(settings) - {*_REQUESTED, *_CHOSEN})
    if missing or wrong or unknown:
        what = (
            f"lacks {missing[0]}" if missing else f"has a wrong {wrong[0]}" if wrong else f"has an unknown {unknown[0]}"
        )
        raise InputError(f"{options.from_file} {what}; it should be the {CHOSEN_FILE} of a run of sadtalker train.")
    if settings["kind"] not in KINDS:
        raise OptionError(
            f"expected one of {', '.join(KINDS)} as kind in {options.from_file}, got {settings['kind']!r}."
        )
    return settings


_REQUESTED = ("kind", "videos", "data", "out", "export", "base", "models", "device", "size", "seed", "hold_out")
_CHOSEN = ("begin", "steps", "rate_scale", "threads", "validate_every", "patience", "videos_every", "config")
#: names in files of earlier versions
_RENAMED = {"films_every": "videos_every"}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "kind": str, "videos": str, "data": str, "out": str, "export": str, "base": str, "models": list, "device": str,
    "size": int, "seed": int, "hold_out": (int, float), "begin": str, "steps": int, "rate_scale": (int, float),
    "threads": int, "validate_every": int, "patience": int, "videos_every": int, "config": str,
}  # fmt: skip
_COMMENTS = {
    "kind": "What `sadtalker train` was asked for; `sadtalker train --from` this file is the same run.",
    "begin": "Chosen by the minutes of video. begin: base fine-tunes the base's network, new from random weights.",
}


def _completed(settings: dict[str, Any], minutes: float) -> dict[str, Any]:
    chosen = vars(choose(settings["kind"], minutes * (1 - settings["hold_out"]), _is_gpu(settings["device"])))
    requested = {name: settings[name] for name in _REQUESTED}
    return {**requested, **{name: settings.get(name, chosen[name]) for name in _CHOSEN}}


def _is_gpu(device: str) -> bool:
    return torch.device(device).type != "cpu"


def _free_place(folder: Path, name: str, out: Path) -> Path:
    """The file that this run made before, or an unused name, so that no other model is replaced."""
    chosen = out / CHOSEN_FILE
    if chosen.is_file():
        return Path(str(read_toml(chosen).get("export", folder / f"{name}.safetensors")))
    number, file = 1, folder / f"{name}.safetensors"
    while file.exists():
        number += 1
        file = folder / f"{name}_{number}.safetensors"
    return file


def _prepare_words(settings: dict[str, Any]) -> list[str]:
    words = [settings["videos"], "--out", settings["data"], "--base", settings["base"], "--device", settings["device"]]
    return [*words, *_model_words(settings), *(("--size", str(settings["size"])) if settings["size"] else ())]


def _training_words(settings: dict[str, Any], data: Path, out: Path, target: Path) -> list[str]:
    device = torch.device(settings["device"])
    words = ["--data", str(data), "--out", str(out), "--base", settings["base"], *_model_words(settings)]
    words += ["--init-from", settings["begin"], "--export", str(target)]
    words += ["--accelerator", device.type, "--devices", "1" if device.index is None else f"{device.index},"]
    for name in ("steps", "seed", "hold_out", "rate_scale", "threads", "validate_every", "patience", "videos_every"):
        words += [f"--{name.replace('_', '-')}", str(settings[name])]
    if (settings["kind"], settings["begin"]) == ("mouth", BASE):
        words.append("--freeze-audio")
    return [*words, *(("--config", settings["config"]) if settings["config"] else ())]


def _model_words(settings: dict[str, Any]) -> list[str]:
    return [word for folder in settings["models"] for word in ("--models", folder)]


def _printed(program: str, words: Sequence[str]) -> str:
    return f"    python -m sadtalker_core.training.{program} {shlex.join(words)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sadtalker train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", nargs="?", choices=KINDS, help="what to train")
    parser.add_argument("videos", nargs="?", type=Path, help="folder of talking videos; folders in it are speakers")
    parser.add_argument("--from", dest="from_file", type=Path, metavar="FILE", help="a chosen.toml: the same run")
    parser.add_argument("--out", type=Path, help="folder of the run, clips included (runs/VIDEOS_KIND)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="the file to make (in models/sadtalker)")
    parser.add_argument("--base", help="the model to start from and to complete (mini; 'SadTalker 256' for renderer)")
    add_models_option(parser, "folder with models, also for the export; repeatable")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (cuda where there is one, else cpu)")
    parser.add_argument("--size", type=int, default=0, help="side of the clips' images in pixels (0: the base's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hold-out", type=float, default=HOLD_OUT, help=f"the share to validate with ({HOLD_OUT})")
    chosen = parser.add_argument_group("chosen by the minutes of video, unless set")
    chosen.add_argument("--begin", choices=(NEW, BASE), help="where the network begins")
    chosen.add_argument("--steps", type=int, help="at most; stops earlier without improvement")
    chosen.add_argument("--rate-scale", type=float, help="multiplies the learning rates")
    chosen.add_argument("--threads", type=int, help="CPU threads; 0: as suits the network")
    chosen.add_argument("--validate-every", type=int, help="steps between two validations")
    chosen.add_argument("--patience", type=int, help="validations without a better one; 0: never stop")
    chosen.add_argument("--videos-every", "--films-every", type=int, help="steps between two videos; 0: none")
    chosen.add_argument("--config", help="of the trainer")
    parser.add_argument("--dry-run", action="store_true", help="prepare, choose and print, but do not train")
    return parser


__all__ = ["CHOSEN_FILE", "KINDS", "Chosen", "choose", "main"]
