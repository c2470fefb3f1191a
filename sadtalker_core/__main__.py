"""The command line: a portrait and audio become a video; a video is dubbed with other audio.

    sadtalker make face.jpg hello.wav -o talk.mp4 --model mini --seed 7
    sadtalker make two_people.jpg talk.wav -o talk.mp4 --speakers who_speaks_when.txt
    sadtalker make cutout.png hello.wav -o talk.webm --format webm
    sadtalker dub video.mp4 voice.wav -o out.mp4
    sadtalker batch jobs.csv
    sadtalker models --download "SadTalker 256"
    sadtalker train head-motion videos/

`sadtalker face.jpg hello.wav -o talk.mp4` means `sadtalker make ...`, and `python -m sadtalker_core` is the same as
`sadtalker`. Exit status: 0 it is done, 1 it failed, 2 an argument or an input cannot be used and nothing was begun,
130 it was stopped. `sadtalker batch --help` adds those of a table, `sadtalker train --help` the options of
a training.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .api import DubbedVideo, SadTalker, Video, load
from .arguments import background_file, background_of, require_target
from .audio.turns import read_turns_file
from .checkpoint.catalog import MINI_MODEL, RELEASED_MODELS, WeightsFile, find, find_files, missing_files
from .checkpoint.fetch import fetch_model
from .errors import CheckpointMissing, InputError, OptionError, SadTalkerError, VideoError, shorten
from .model_folders import VARIABLE, add_models_option, model_folders
from .options import OPTIONS, Option, Options
from .progress_bar import progress_bar
from .render.batches import memory_ran_out

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 130
COMMANDS = ("make", "dub", "batch", "models", "train")
#: where options of `make` belong, in its help
GROUPS = {
    "model": ("model", "precision"),
    "portrait": ("face_index", "face_order", "crop_mode", "crop_scale", "crop_offset_x", "crop_offset_y", "landmarks",
                 "render_size"),
    "motion": ("idle_seconds", "blink", "blink_rate", "blink_strength", "pose_style", "seed", "expression_scale",
               "yaw_scale", "pitch_scale", "roll_scale", "still", "yaw", "pitch", "roll"),
    "video": ("paste_back", "feather", "colour_match", "quality", "output_fps"),
    "audio": ("loudness",),
    "expression": ("expression",),
    "file": ("format", "background"),
    "dubbing": ("length", "strength", "keep_mouth", "original_volume", "label"),
}  # fmt: skip
#: the group of options that only dubbing has, and those of the others that it uses
DUBBING = "dubbing"
DUBBED_BY = ("model", "precision", "face_index", "face_order", "quality", "output_fps", "loudness", *GROUPS[DUBBING])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit status."""
    for stream in (sys.stdout, sys.stderr):  # names of files may be no text, or none of the terminal's letters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        _parser().print_help()
        return BAD_INPUT
    if arguments[0] == "batch":
        from .batch.__main__ import main as run_table

        return run_table(arguments[1:])
    if arguments[0] == "train":
        return _train(arguments[1:])
    if arguments[0] not in (*COMMANDS, "-h", "--help"):
        arguments.insert(0, "make")
    asked = _parser().parse_args(_joined(arguments))
    try:
        return asked.run(asked)
    except KeyboardInterrupt:
        return _report("stopped.", STOPPED)
    except InputError as error:
        return _report(error, BAD_INPUT)
    except (SadTalkerError, OSError) as error:
        return _report(error, FAILED)
    except RuntimeError as error:
        if not memory_ran_out(error):
            raise
        return _report(
            f"out of memory ({shorten(str(error).splitlines()[0])}); try --batch-size 1, --precision fp16 or a "
            "smaller model.",
            FAILED,
        )


def _train(arguments: list[str]) -> int:
    from .training.easy import main as train
    from .training.run_options import command

    try:
        command(lambda: train(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)
    return DONE


def _report(error: object, status: int) -> int:
    print(f"sadtalker: {error}", file=sys.stderr)
    return status


# -------------------------------------------------------------------------------------------------------------- make


def _make(asked: argparse.Namespace) -> int:
    options = _options(asked)
    target = _target(
        asked, portrait=asked.portrait, audio=asked.audio, speakers=asked.speakers, background=background_file(options)
    )
    background_of(options)
    if asked.audio is None and not options.idle_seconds:
        raise OptionError("name an audio file, or give --idle-seconds for a clip in which nobody speaks.")
    if asked.speakers is not None and asked.audio is None:
        raise OptionError("speakers: there is no audio to divide among them; name an audio file, too.")
    talk = {} if asked.speakers is None else {"speakers": read_turns_file(asked.speakers.expanduser())}
    model = _model(asked, options)
    if model is None:
        return BAD_INPUT
    return _save(model.animate(asked.portrait, asked.audio, options, **talk), target, asked, "render")


def _dub(asked: argparse.Namespace) -> int:
    options = _options(asked)
    target = _target(asked, video=asked.video, audio=asked.audio)
    model = _model(asked, options)
    if model is None:
        return BAD_INPUT
    return _save(model.dub(asked.video, asked.audio, options), target, asked, "dub")


def _options(asked: argparse.Namespace) -> Options:
    return Options(**{name: getattr(asked, name) for name in OPTIONS if hasattr(asked, name)})


def _target(asked: argparse.Namespace, **inputs: Path | None) -> Path:
    """The checked path of the output. Raises OptionError for it, and for inputs that do not exist."""
    files = {what: file for what, file in inputs.items() if file is not None}
    written = getattr(asked, "format", OPTIONS["format"].default)
    target = require_target(asked.out, overwrite=asked.overwrite, inputs=[*files.values()], format=written)
    for what, file in files.items():
        if what != "background" and not file.expanduser().is_file():
            raise OptionError(f"{what}: there is no file {shorten(file)}.")
    return target


def _model(asked: argparse.Namespace, options: Options) -> SadTalker | None:
    """The model; None where its weights are missing, after printing which."""
    try:
        with progress_bar("load", "B", asked.quiet) as progress:
            return load(
                options.model,
                device=asked.device,
                precision=options.precision,
                models=asked.models,
                allow_download=asked.allow_download,
                batch_size=asked.batch_size,
                on_progress=progress,
            )
    except CheckpointMissing as error:
        hint = " On the command line, allow_download is --allow-download." if options.model in RELEASED_MODELS else ""
        _report(f"{error}{hint}", BAD_INPUT)
        return None


def _save(video: Video | DubbedVideo, target: Path, asked: argparse.Namespace, what: str) -> int:
    made = video.n_frames

    def report_progress(done: int, total: int) -> None:
        nonlocal made
        made = total
        progress(done, total)

    try:
        with progress_bar(what, "frame", asked.quiet) as progress:
            report_progress(0, made)
            video.save(target, overwrite=asked.overwrite, on_progress=report_progress)
    except VideoError as error:  # the encoder's: all inputs have been checked before
        return _report(error, FAILED)
    width, height = (side + side % 2 for side in video.size)  # as the file has them
    print(f"{target}: {made} frames of {width} x {height}, {made / video.fps:.2f} s")
    return DONE


# ------------------------------------------------------------------------------------------------------------ models


def _models(asked: argparse.Namespace) -> int:
    folders = model_folders(asked.models)
    if asked.download is not None:
        return _download(asked.download or [*RELEASED_MODELS], folders, sure=asked.yes)
    print(f"{MINI_MODEL}: built in")
    for name in RELEASED_MODELS:
        try:
            found = find_files(name, folders)
            print(f"{name}: ready")
            for weights_file in found:
                print(f"    {weights_file.path}")
        except CheckpointMissing:
            print(f"{name}: missing {_megabytes(missing_files(name, folders))}")
            for file in RELEASED_MODELS[name].sets[0]:
                path = find(file.name, folders)
                print(f"    {path or f'{file.name}, {_megabytes([file])}, is missing'}")
    print("Folders searched, in this order (--models and $" + VARIABLE + " add others before them):")
    for folder in folders:
        print(f"    {folder}" + ("" if folder.is_dir() else "  (does not exist)"))
    return DONE


def _download(models: Sequence[str], folders: Sequence[Path], *, sure: bool) -> int:
    missing = list(dict.fromkeys(file for name in models for file in missing_files(name, folders)))
    if not missing:
        print("Nothing is missing.")
        return DONE
    for file in missing:
        print(f"    {file.name}, {_megabytes([file])}, from {file.url}")
    if not sure and not _confirmed(f"Download {_megabytes(missing)} into {folders[0]}? [y/N] "):
        print("Nothing was downloaded.")
        return FAILED
    for name in models:
        with progress_bar(name, "B", False) as progress:
            fetch_model(name, folders, on_progress=progress)
    print(f"Downloaded into {folders[0]}.")
    return DONE


def _confirmed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there to ask
        print()
        return False


def _megabytes(files: Sequence[WeightsFile]) -> str:
    return f"{sum(file.size or 0 for file in files) / 1e6:,.0f} MB"


# --------------------------------------------------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """Report what is wrong in one sentence, without a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}; see {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sadtalker", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = " | ".join(COMMANDS)
    commands = parser.add_subparsers(title="commands", metavar=names, required=True)
    make = commands.add_parser("make", help="one portrait and one audio file become a video (the default)")
    _fill_make(make)
    dub = commands.add_parser("dub", help="dub a video: jaw and lips of a person in it follow other audio")
    _fill_dub(dub)
    commands.add_parser("batch", help="many videos from a table of jobs, spread over workers by Ray", add_help=False)
    commands.add_parser("train", help="a folder of talking videos becomes a model that moves so", add_help=False)
    models = commands.add_parser("models", help="which models are there, what is missing, and downloads")
    _add_models(models)
    models.add_argument(
        "--download",
        nargs="*",
        metavar="MODEL",
        choices=[*RELEASED_MODELS],
        help=f"fetch what is missing of these ({', '.join(RELEASED_MODELS)}; both when none is named); "
        "asks first, with the sizes",
    )
    models.add_argument("--yes", action="store_true", help="download without asking")
    models.set_defaults(run=_models)
    return parser


def _fill_make(make: argparse.ArgumentParser) -> None:
    make.add_argument("portrait", type=Path, help="an image with a face that looks at the camera")
    make.add_argument(
        "audio",
        type=Path,
        nargs="?",
        help="an audio file, or a video with an audio track; without one, see --idle-seconds",
    )
    make.add_argument("-o", "--out", type=Path, required=True, help="the video to write, an mp4 unless --format is set")
    _add_overwrite(make)
    groups = _add_groups(make, {title: names for title, names in GROUPS.items() if title != DUBBING})
    groups["audio"].add_argument(
        "--speakers",
        type=Path,
        metavar="FILE",
        help="who speaks when: lines such as '0:00-1:50 anna', SRT, WebVTT, RTTM or Audacity labels. The faces "
        "of the image talk in turns, the first speaker is the face furthest left (or by --face-order), "
        "and the video shows the whole image",
    )
    _add_run(make)
    make.set_defaults(run=_make)


def _fill_dub(dub: argparse.ArgumentParser) -> None:
    dub.add_argument("video", type=Path, help="a video with a face; you need the consent of the person in it")
    dub.add_argument("audio", type=Path, help="an audio file, or a video with an audio track: the new speech")
    dub.add_argument("-o", "--out", type=Path, required=True, help="the mp4 to write")
    _add_overwrite(dub)
    _add_groups(dub, {title: [n for n in names if n in DUBBED_BY] for title, names in GROUPS.items()})
    _add_run(dub)
    dub.set_defaults(run=_dub)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite", action="store_true", help="replace OUT when it exists; otherwise that is refused"
    )


def _add_groups(
    parser: argparse.ArgumentParser, groups: Mapping[str, Sequence[str]]
) -> dict[str, argparse._ArgumentGroup]:
    """The groups by their titles."""
    made = {}
    for title, names in groups.items():
        if names:
            made[title] = parser.add_argument_group(title)
            for name in names:
                _add_option(made[title], OPTIONS[name])
    return made


def _add_run(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("run")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, ... (default: auto)")
    run.add_argument(
        "--batch-size",
        type=_count,
        default=0,
        metavar="N",
        help="frames rendered at once; 0 as many as the memory suggests (default: 0)",
    )
    _add_models(run)
    run.add_argument("--allow-download", action="store_true", help="fetch a released model that is missing, about 1 GB")
    run.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_models(parser: argparse._ActionsContainer) -> None:
    add_models_option(
        parser,
        f"a folder with released models, searched before ${VARIABLE}, models/sadtalker of the ComfyUI around this "
        "pack, and the user's cache folder; may be given several times",
    )


def _add_option(group: argparse._ArgumentGroup, option: Option) -> None:
    flag = f"--{option.name.replace('_', '-')}"
    words = [option.help]
    if option.type is bool:
        words.append(f"(default: {'on' if option.default else 'off'})")
        group.add_argument(
            flag,
            dest=option.name,
            action=argparse.BooleanOptionalAction,
            default=option.default,
            help=_escaped(" ".join(words)),
        )
        return

    def read(text: str) -> Any:
        try:
            return option.read(text)
        except OptionError as error:
            message = str(error).removeprefix(f"{option.name}: ").removesuffix(".")
            raise argparse.ArgumentTypeError(message) from error

    unit = f" {option.unit}" if option.unit else ""
    if option.type in (int, float):
        words.append(
            f"({option.min:g} to {option.max:g}{unit}; default: {option.default:g})"
            if option.name != "seed"
            else f"({option.min} to {option.max}; default: {option.default})"
        )
    else:
        words.append(f"(default: {option.default})" if option.default else "(default: empty)")
    placeholder = f"{{{','.join(option.choices)}}}" if option.choices else option.name.rpartition("_")[2].upper()
    group.add_argument(
        flag, dest=option.name, type=read, default=option.default, metavar=placeholder, help=_escaped(" ".join(words))
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--yaw -20,0,20` as argparse takes it, `--yaw=-20,0,20`: a value may begin with a minus."""
    angles = {f"--{name}" for name, option in OPTIONS.items() if option.lists_angles}
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] in angles and re.match(r"[-\N{MINUS SIGN}][\d.]", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("expected 0 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
