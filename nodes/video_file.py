"""What the nodes that write an mp4 share: where it goes, what is written into it, who signs it, how it is shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import InputImpl, io, ui

from ..sadtalker_core.compose.signature import ALGORITHMS, Signature
from ..sadtalker_core.errors import SigningError

#: environment variables of the ComfyUI process; not inputs, because a workflow that is shared must not carry them along
CERTIFICATES, PRIVATE_KEY = "SADTALKER_SIGN_CERTIFICATES", "SADTALKER_SIGN_KEY"
ALGORITHM, TIME_STAMP_URL = "SADTALKER_SIGN_ALGORITHM", "SADTALKER_SIGN_TIME_STAMP_URL"


class VideoFile(NamedTuple):
    """A name in the output folder that nobody has yet."""

    folder: Path
    stem: str
    subfolder: str

    @property
    def path(self) -> Path:
        return self.folder / f"{self.stem}.mp4"

    @property
    def partial(self) -> Path:
        """Where a run that was stopped leaves its frames."""
        return self.folder / f"{self.stem}partial.mp4"

    def shown(self) -> io.NodeOutput:
        """The written file as a VIDEO, and as what the page plays in the node."""
        return io.NodeOutput(
            InputImpl.VideoFromFile(str(self.path)),
            ui=ui.PreviewVideo([ui.SavedResult(self.path.name, self.subfolder, io.FolderType.output)]),
        )


def next_file(filename_prefix: str, width: int, height: int) -> VideoFile:
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        filename_prefix, folder_paths.get_output_directory(), width, height
    )
    return VideoFile(Path(folder), f"{name}_{counter:05}_", subfolder)


def outputs() -> list[io.Output]:
    return [io.Video.Output("video", display_name="video", tooltip="The file that was written.")]


def workflow_metadata(hidden) -> dict[str, str]:
    """What the page needs to restore the graph from the dropped file; nothing with --disable-metadata."""
    if args.disable_metadata or hidden is None:
        return {}
    found = {}
    if hidden.prompt is not None:
        found["prompt"] = json.dumps(hidden.prompt)
    for key, value in (hidden.extra_pnginfo or {}).items():
        found[key] = json.dumps(value)
    return found


def signature() -> Signature | None:
    """Who signs the videos of this machine; nobody, unless its environment names certificates or a key."""
    certificates, private_key = os.environ.get(CERTIFICATES, ""), os.environ.get(PRIVATE_KEY, "")
    if not (certificates or private_key):
        return None
    if not (certificates and private_key):
        raise SigningError(f"to sign videos set both {CERTIFICATES} and {PRIVATE_KEY} in ComfyUI's environment, or "
                           "none.")  # fmt: skip
    return Signature(
        Path(certificates),
        Path(private_key),
        os.environ.get(ALGORITHM) or ALGORITHMS[0],
        os.environ.get(TIME_STAMP_URL, ""),
    )
