"""Makes training data: a folder of talking videos comes in, a folder of clips (see clips.py) goes out.

    python -m sadtalker_core.training.prepare VIDEOS --out DATA
    python -m sadtalker_core.training.prepare VIDEOS --out DATA --base "SadTalker 256" --models FOLDER --device cuda

segmenting.py describes how a video becomes clips. A finished video has a line in DATA/videos.jsonl and is not read
again; one that was interrupted starts over. For a video that cannot be used the reason is in that line and in the index
of the clips.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..checkpoint.catalog import MINI_MODEL
from ..claims import sweep
from ..datatypes import CropMode
from ..errors import InputError, OptionError, shorten
from ..saving import append_jsonl, atomic_write, complete_lines
from ..timeline import FRAMES_PER_SECOND
from .clips import INDEX_FILE, read_clips, write_clip, write_failure
from .export import add_base_options
from .run_options import command
from .segmenting import Outcome, Reader, Video, extract_clips, size_of
from .summary import VIDEOS_FILE, summarise, table, warnings_of
from .video_reader import announced_seconds

SETTINGS_FILE = "prepare.json"
ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".3gp")


def find_videos(folder: Path, out: Path) -> tuple[list[Video], list[str]]:
    """The videos below a folder, by name, and the files there that are none by their ending.

    Raises InputError for a folder that is none or holds none, and for two videos whose clips would have one name.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder of videos, and {folder} is none.")
    videos: dict[str, Video] = {}
    others = []
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if (
            not path.is_file()
            or any(part.startswith(".") for part in place.parts)
            or out.resolve() in path.resolve().parents
        ):
            continue
        if path.suffix.lower() not in ENDINGS:
            others.append(place.as_posix())
            continue
        name = "__".join(place.with_suffix("").parts)
        if name in videos:
            raise InputError(f"{videos[name].source} and {place.as_posix()} would both be called {name}; rename one.")
        speaker = place.parent.as_posix() if len(place.parts) > 1 else name
        videos[name] = Video(path, place.as_posix(), name, speaker)
    if not videos:
        raise InputError(f"there is no video in {folder}; these endings are known: {', '.join(ENDINGS)}.")
    return list(videos.values()), others


def prepare(
    folder: Path,
    out: Path,
    *,
    base: str = MINI_MODEL,
    models: Sequence[Path] = (),
    mode: CropMode = CropMode.CROP,
    device: str = "cpu",
    size: int = 0,
    workers: int = 1,
) -> list[Outcome]:
    """Cut every video below a folder that is not cut yet -> what became of each, by name.

    base, models, mode, device, size: who reads the faces, and how, see Reader.open
    workers: processes that cut a video each
    A bar on the terminal counts the frames: those of each video twice.
    Raises InputError for the folder, OptionError where `out` holds clips of another base, CheckpointError for the base.
    """
    from tqdm import tqdm

    videos, _ = find_videos(folder, out)
    require_device(device)
    _check_settings(out, {"base": Path(base).name, "crop_mode": mode.value, "size": size})
    sweep(Path(out))
    done = read_outcomes(out)
    videos, copies = _without_copies(videos, done)
    for copy in copies:
        if copy.source in done and done[copy.source].clips:
            for name in done[copy.source].clips:
                write_failure(out, name, source=copy.source, reason=copy.reason)
    waiting = [v for v in videos if v.source not in done or done[v.source].size != size_of(v.path)]
    frames = 2 * sum(map(_announced_frames, waiting))
    with tqdm(total=frames, unit="frame", disable=None if waiting else True) as bar:
        for video, outcome in _outcomes(waiting, out, (base, tuple(models), mode, device, size), workers, bar):
            before = done.get(video.source)
            for name in sorted({*(before.clips if before else ())} - {*outcome.clips}):
                write_failure(out, name, source=video.source, reason="the video is another one by now")
            if outcome.reason:
                write_failure(out, video.name, source=video.source, reason=outcome.reason)
                bar.write(f"{video.source}: {outcome.reason}")
            append_jsonl(out / VIDEOS_FILE, asdict(outcome))
            done[video.source] = outcome
    return sorted([*(done[video.source] for video in videos), *copies], key=lambda outcome: outcome.source)


def require_device(device: str) -> None:
    """Raises OptionError for one that torch does not know or this machine does not have."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = shorten(" ".join(str(error).split()), 120)
        raise OptionError(
            f"--device {device} is not available on this machine ({reason}). Leave it out for cpu."
        ) from error


def _without_copies(videos: Sequence[Video], done: Mapping[str, Outcome]) -> tuple[list[Video], list[Outcome]]:
    """The videos without those that are copies of another one, or links to it; and the outcomes of the copies.

    Of two with the same content the one that was cut already is kept, else the first. Only files of equal size are
    compared.
    """
    by_size: dict[int, list[Video]] = defaultdict(list)
    for video in videos:
        by_size[size_of(video.path)].append(video)
    copies: dict[str, Outcome] = {}
    for size, alike in by_size.items():
        first: dict[str, Video] = {}
        for video in sorted(alike, key=lambda v: (v.source not in done, v.source)) if size and len(alike) > 1 else ():
            other = first.setdefault(_content(video.path), video)
            if other is not video:
                reason = f"it is the same file as {other.source}; a copy adds nothing to the training"
                copies[video.source] = Outcome(video.source, size, reason=reason)
    return [video for video in videos if video.source not in copies], list(copies.values())


def _content(path: Path) -> str:
    """A hash of the content; the path, for a file that cannot be read."""
    digest = hashlib.blake2b()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return str(path)
    return digest.hexdigest()


def read_outcomes(out: Path) -> dict[str, Outcome]:
    """{source: what became of it}; a last line that a kill cut short is left out."""
    lines = map(json.loads, complete_lines(out / VIDEOS_FILE))
    outcomes = (Outcome(**{**one, "clips": tuple(one["clips"]), "notes": tuple(one["notes"])}) for one in lines)
    return {outcome.source: outcome for outcome in outcomes}


def report(outcomes: Sequence[Outcome], others: Sequence[str] = ()) -> str:
    """A summary for the terminal: what became of the videos."""
    used = [outcome for outcome in outcomes if not outcome.reason]
    n_clips, seconds = sum(len(outcome.clips) for outcome in used), sum(outcome.seconds for outcome in used)
    length = f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.1f} seconds"
    lines = [f"Videos: {len(used)} of {len(outcomes)} can be used. Clips: {n_clips}, {length} in all."]
    lines += [f"  left out   {outcome.source}: {outcome.reason}" for outcome in outcomes if outcome.reason]
    lines += [f"  note       {outcome.source}: {note}" for outcome in outcomes for note in outcome.notes]
    if others:
        lines.append(f"  no videos  {len(others)} other files: {', '.join(others[:4])}{', ...' * (len(others) > 4)}")
    return "\n".join(lines)


def _outcomes(
    videos: Sequence[Video], out: Path, reading: tuple[Any, ...], workers: int, bar: Any
) -> Iterator[tuple[Video, Outcome]]:
    """(video, outcome) as they come to an end.  reading: what Reader.open wants."""
    if not videos:
        return
    if workers == 1 or len(videos) < 2:
        reader = Reader.open(*reading)
        for video in videos:
            yield video, extract_clips(reader, video, partial(write_clip, out), bar.update)
        return
    spawn = multiprocessing.get_context("spawn")
    counted, lock = spawn.Value("q", 0), spawn.Lock()
    with ProcessPoolExecutor(
        workers, mp_context=spawn, initializer=_Worker.open, initargs=(reading, out, workers, counted, lock)
    ) as pool:
        running = {pool.submit(_Worker.cut, video): video for video in videos}
        try:
            while running:
                ended, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                bar.update(counted.value - bar.n)
                for future in ended:
                    yield running.pop(future), future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Worker:
    """The state that a process of the pool keeps between videos."""

    reader: Reader
    write: Callable[..., Any]
    on_image: Callable[[], None]

    @classmethod
    def open(cls, reading: tuple[Any, ...], out: Path, workers: int, counted: Any, lock: Any) -> None:
        def write(*named: Any, **clip: Any) -> None:
            with lock:  # the index is one file for all
                write_clip(out, *named, **clip)

        def on_image() -> None:
            with counted.get_lock():
                counted.value += 1

        torch.set_num_threads(max((os.cpu_count() or 1) // workers, 1))
        threading.Thread(target=_exit_with_the_parent, daemon=True).start()
        cls.reader, cls.write, cls.on_image = Reader.open(*reading), write, on_image

    @classmethod
    def cut(cls, video: Video) -> Outcome:
        return extract_clips(cls.reader, video, cls.write, cls.on_image)


def _exit_with_the_parent() -> None:
    """Ends this worker when its parent is killed; it would otherwise go on writing to the end of its video."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _announced_frames(video: Video) -> int:
    try:
        return round(announced_seconds(video.path) * FRAMES_PER_SECOND)
    except InputError:
        return 0


def _check_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write down how the faces are read. Raises OptionError where clips are there that were read in another way."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / SETTINGS_FILE
    earlier = json.loads(file.read_text(encoding="utf-8")) if (out / INDEX_FILE).exists() else settings
    for name, value in settings.items():
        if earlier[name] != value:
            raise OptionError(
                f"{out} holds clips with {name} = {earlier[name]!r}, and this is {value!r}. Their numbers "
                f"mean other things: name another folder with --out."
            )
    with atomic_write(file) as unfinished:
        unfinished.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def _workers(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return int(text)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(
        prog="python -m sadtalker_core.training.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", type=Path, help="folder of talking videos; folders in it are speakers")
    parser.add_argument("--out", type=Path, required=True, help="folder of the clips; one that is there goes on")
    add_base_options(parser, "reads the faces")
    parser.add_argument(
        "--crop-mode",
        choices=[mode.value for mode in CropMode if mode is not CropMode.RESIZE],
        default="crop",
        help="how much is cut, as in 3DMM Extract; full and extfull for training.mapping --net mapping_full (crop)",
    )
    parser.add_argument("--size", type=int, default=0, help="side of the images in pixels (0: as the base has it)")
    parser.add_argument("--device", default="cpu", help="where its networks compute: cpu, cuda, cuda:1, mps (cpu)")
    parser.add_argument("--workers", type=_workers, default=1, help="processes, each with a video and the networks (1)")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text, or none of the terminal's letters
        sys.stdout.reconfigure(errors="backslashreplace")
    _, others = find_videos(options.videos, options.out)
    outcomes = prepare(
        options.videos,
        options.out,
        base=options.base,
        models=options.models,
        mode=CropMode(options.crop_mode),
        device=options.device,
        size=options.size,
        workers=options.workers,
    )
    print(report(outcomes, others))
    clips = read_clips(options.out) if any(outcome.clips for outcome in outcomes) else []
    if not clips:
        raise InputError(f"none of the {len(outcomes)} videos can be used; the reasons stand above.")
    speakers = summarise(clips, options.out)
    print(table(speakers), *(f"Warning: {text}" for text in warnings_of(speakers)), sep="\n")


if __name__ == "__main__":
    command(main)
