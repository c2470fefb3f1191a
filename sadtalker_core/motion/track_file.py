"""Tracks come in, a small safetensors file goes out; and back. A second of expression and pose weighs 7 kB.

The file holds the tensors `expression` (T, 64) and `pose` (T, 6), either may lack, and one line of metadata under
TRACK_KEY: {"version": 1, "family": "mini", "fps": 25, "frames": T}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch

from ..claims import Claim
from ..coefficients import EXPRESSION, POSE
from ..datatypes import MINI, RELEASED, Expression, HeadPose, require_family
from ..errors import OptionError
from ..saving import save_whole
from ..timeline import FRAMES_PER_SECOND

TRACK_ENDING = ".track.safetensors"
TRACK_KEY = "sadtalker_track"
VERSION = 1
_WIDTHS = {"expression": EXPRESSION, "pose": POSE}


class Tracks(NamedTuple):
    """What a file holds; None for what it does not."""

    expression: Expression | None
    pose: HeadPose | None

    @property
    def n_frames(self) -> int:
        return max(len(track) for track in self if track is not None)


def save_tracks(path: Path | str | Claim, expression: Expression | None = None, pose: HeadPose | None = None) -> Path:
    """Write one or both tracks to a path or under a claimed name, and return where they are; the file appears whole or
    not at all. Raises OptionError for none, WrongFamily for two that do not belong together.
    """
    tracks = {name: track for name, track in (("expression", expression), ("pose", pose)) if track is not None}
    if not tracks:
        raise OptionError("there is no track to save; connect an expression, a pose, or both.")
    if expression is not None and pose is not None:
        require_family("The pose", pose.family, expression.family)
    said = {
        "version": VERSION,
        "family": next(iter(tracks.values())).family,
        "fps": FRAMES_PER_SECOND,
        "frames": max(map(len, tracks.values())),
    }
    tensors = {name: track.coefficients.detach().float().cpu().contiguous().clone() for name, track in tracks.items()}
    return save_whole(path if isinstance(path, Claim) else Path(path), tensors, {TRACK_KEY: json.dumps(said)})


def load_tracks(path: Path | str) -> Tracks:
    """Read such a file. Raises OptionError with a sentence when it is none, or one of a later version."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            said = (file.metadata() or {}).get(TRACK_KEY)
            if said is None:
                raise OptionError(f"{path.name} is no track: it does not come from Save Track.")
            tensors = {name: file.get_tensor(name) for name in file.keys() if name in _WIDTHS}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise OptionError(f"{path.name} cannot be read as a track ({error}). Save it again with Save Track.") from error
    family = _family(path.name, said)
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or len(tensor) == 0 or tensor.shape[1] != _WIDTHS[name] or tensor.dtype != torch.float32:
            raise OptionError(
                f"{path.name}: expected an {name} of float32 rows ({_WIDTHS[name]} numbers each), "
                f"got {tensor.dtype} {tuple(tensor.shape)}."
            )
        if not torch.isfinite(tensor).all():
            raise OptionError(f"{path.name}: its {name} holds values that are no numbers (NaN or infinity).")
    if not tensors:
        raise OptionError(f"{path.name} holds neither an expression nor a pose.")
    expression, pose = tensors.get("expression"), tensors.get("pose")
    return Tracks(
        None if expression is None else Expression(expression, family),
        None if pose is None else HeadPose(pose, family),
    )


def _family(name: str, said: str) -> str:
    try:
        facts = json.loads(said)
        version, family, fps = facts["version"], facts["family"], facts["fps"]
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(f"{name} does not say what its tracks are. Save it again with Save Track.") from error
    if version != VERSION:
        raise OptionError(f"{name} is a track of version {version}, known is {VERSION}. Update this node pack.")
    if family not in (MINI, RELEASED):
        raise OptionError(f"{name} is of the family {family!r}; known are {MINI} and {RELEASED}.")
    if fps != FRAMES_PER_SECOND:
        raise OptionError(f"{name} has {fps} frames a second; expected {FRAMES_PER_SECOND}.")
    return family


__all__ = ["TRACK_ENDING", "Tracks", "load_tracks", "save_tracks"]
