"""Shared by the nodes that write a file: its name, metadata, signature and preview."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import InputImpl, io, ui
from torch import Tensor

from ..sadtalker_core.claims import LONGEST_PART, Claim, claim_next
from ..sadtalker_core.compose.cutout import require_colour
from ..sadtalker_core.compose.formats import FORMATS, format_of
from ..sadtalker_core.compose.signature import ALGORITHMS, Signature
from ..sadtalker_core.compose.video import WriterOptions
from ..sadtalker_core.compose.video_file import write_playable_copy
from ..sadtalker_core.datatypes import OnProgress
from ..sadtalker_core.errors import OptionError, SadTalkerError, SigningError, shorten
from ..sadtalker_core.motion.track_file import TRACK_ENDING
from ..sadtalker_core.output_name import check, fill_in, place
from ..sadtalker_core.saving import disk_full_error
from .progress import Progress

#: environment variables of the ComfyUI process; not inputs, because a workflow that is shared must not carry them along
CERTIFICATES, PRIVATE_KEY = "SADTALKER_SIGN_CERTIFICATES", "SADTALKER_SIGN_KEY"
ALGORITHM, TIME_STAMP_URL = "SADTALKER_SIGN_ALGORITHM", "SADTALKER_SIGN_TIME_STAMP_URL"


#: of a file that is kept when a run breaks off, before the ending of its format
PARTIAL = "partial"
#: what may stand behind a stem while a file is made
LONGEST_ENDING = (
    f"_00000_{max(*(PARTIAL + one.ending for one in FORMATS.values()), TRACK_ENDING, key=len)}{LONGEST_PART}"
)
#: of the page's copy of a file that browsers do not play; it lies in ComfyUI's temp folder, in the same subfolder
COPY_ENDING = ".preview.mp4"


def claim(
    filename_prefix: str,
    default_stem: str,
    ending: str,
    hidden: Any,
    *,
    size_wh: tuple[int, int] = (0, 0),
    keep_partial: bool = False,
) -> tuple[Claim, str]:
    """An unused name in the output folder, and its subfolder.

    hidden: the node's prompt and extra_pnginfo;  keep_partial: whether a file stays when the run breaks off

    Raises OptionError for a prefix that makes no name, and for a folder that cannot be written to.
    """
    prompt = None if hidden is None else hidden.prompt
    workflow = _extra(hidden).get("workflow")
    filled = fill_in(filename_prefix, datetime.now(), size_wh, prompt, workflow)
    name = place(filled, Path(folder_paths.get_output_directory()), default_stem, LONGEST_ENDING)
    partial_ending = f"{PARTIAL}{ending}" if keep_partial else None
    with written_to(name.folder):
        return claim_next(name.folder, name.stem, ending, partial_ending=partial_ending), name.subfolder


@contextmanager
def written_to(folder: Path) -> Iterator[None]:
    """Turns an OSError while writing to the folder into a SadTalkerError that names it."""
    try:
        yield
    except OSError as error:
        sentence = f"nothing can be written to {shorten(folder)}: {shorten(error.strerror or error)}. Choose another "
        raise disk_full_error(error, folder) or OptionError(f"{sentence}folder, or make that one writable.") from error


def prefix_fault(filename_prefix: str | None) -> str | bool:
    """For `validate_inputs`, before anything runs: True, or why the prefix cannot be used. None comes by a wire."""
    if filename_prefix is None:
        return True
    try:
        check(filename_prefix, Path(folder_paths.get_output_directory()), LONGEST_ENDING)
    except OptionError as error:
        return str(error)
    return True


def output_of(path: Path, subfolder: str, *more: Any, check_stop: Callable[[], None] | None = None) -> io.NodeOutput:
    """The node's output: the written file as a VIDEO, and the preview that the page plays, which is the file, or a copy
    where no browser plays it.  more: the node's other outputs
    """
    played = ui.SavedResult(path.name, subfolder, io.FolderType.output)
    if not format_of(path).in_browsers:
        copy = Path(folder_paths.get_temp_directory()) / subfolder / f"{path.stem}{COPY_ENDING}"
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_playable_copy(path, copy, check_stop=check_stop)
            played = ui.SavedResult(copy.name, subfolder, io.FolderType.temp)
        except (SadTalkerError, OSError) as error:  # the file itself is there
            logging.warning("SadTalker: no preview of %s: %s", shorten(path.name), shorten(error))
        logging.info(
            "SadTalker: browsers do not play %s files; the node shows an mp4 of it on grey. The file: %s",
            path.suffix[1:],
            shorten(path, 200),
        )
    return io.NodeOutput(InputImpl.VideoFromFile(str(path)), *more, ui=ui.PreviewVideo([played]))


def outputs(name: str = "video") -> list[io.Output]:
    """The output of a node that writes a video.  name: its id, where an input is called video"""
    return [io.Video.Output(name, display_name="video", tooltip="The written file.")]


class Writing(WriterOptions):
    """The arguments that all nodes pass to what writes a video."""

    on_progress: OnProgress


def writing(hidden: Any, progress: Progress, *, quality: str, output_fps: float) -> Writing:
    """The user's settings; the graph and the signature for the file; progress and stop."""
    return {
        "quality": quality,
        "output_fps": output_fps,
        "metadata": workflow_metadata(hidden),
        "signature": signature(),
        "on_progress": progress,
        "check_stop": progress.check_stop,
    }


def sound_of(audio: Any) -> tuple[Tensor, float] | None:
    """An AUDIO wire as (waveform, sample rate in Hz), or None."""
    return None if audio is None else (audio["waveform"], audio["sample_rate"])


def backdrop(background_color: str, background: Tensor | None) -> Tensor | None:
    """What a cut-out is laid on: the images of the socket, else the colour, else nothing. Raises OptionError."""
    if background is not None or not background_color.strip():
        return background
    return require_colour("background_color", background_color)


def format_fault(background_color: str | None) -> str | bool:
    """For `validate_inputs`: True, or why the colour cannot be used. None comes by a wire."""
    try:
        backdrop(background_color or "", None)
    except OptionError as error:
        return str(error)
    return True


def workflow_metadata(hidden: Any) -> dict[str, str]:
    """What the page needs to restore the graph from the dropped file; nothing with --disable-metadata."""
    if args.disable_metadata or hidden is None:
        return {}
    found = {}
    if hidden.prompt is not None:
        found["prompt"] = json.dumps(hidden.prompt)
    for key, value in _extra(hidden).items():
        found[key] = json.dumps(value)
    return found


def _extra(hidden: Any) -> dict[str, Any]:
    """What the page sent along; other programs may send anything."""
    extra = None if hidden is None else hidden.extra_pnginfo
    return extra if isinstance(extra, dict) else {}


def signature() -> Signature | None:
    """Who signs the videos of this machine; nobody, unless its environment names certificates or a key."""
    certificates, private_key = os.environ.get(CERTIFICATES, ""), os.environ.get(PRIVATE_KEY, "")
    if not (certificates or private_key):
        return None
    if not (certificates and private_key):
        raise SigningError(
            f"to sign videos set both {CERTIFICATES} and {PRIVATE_KEY} in ComfyUI's environment, or none."
        )
    return Signature(
        Path(certificates),
        Path(private_key),
        os.environ.get(ALGORITHM) or ALGORITHMS[0],
        os.environ.get(TIME_STAMP_URL, ""),
    )
