"""Tracks come in, a small safetensors file goes out; and back. A second of expression and pose weighs 7 kB.

The file holds the tensors `expression` (T, 64) and `pose` (T, 6), either may be missing, and one line of metadata under
TRACK_KEY: {"version": 1, "family": "mini", "fps": 25, "frames": T}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..claims import Claim
from ..coefficients import EXPRESSION, POSE
from ..datatypes import MINI, RELEASED, Expression, HeadPose, require_family
from ..errors import OptionError, shorten
from ..saving import save_tensors
from ..timeline import FRAMES_PER_SECOND

TRACK_ENDING = ".track.safetensors"
TRACK_KEY = "sadtalker_track"
VERSION = 1
_WIDTHS = {"expression": EXPRESSION, "pose": POSE}
_DTYPE_NAMES = {"F16": "float16", "BF16": "bfloat16", "F64": "float64"}
#: ten hours; as many as an idle clip and Resize Track can have
MOST_FRAMES = 900_000
#: weights are near 1, radians below 4, and what moves a head stays below 100: beyond this it is no track
LARGEST = 1000.0


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
        require_family("the pose", pose.family, expression.family)
    header = {
        "version": VERSION,
        "family": next(iter(tracks.values())).family,
        "fps": FRAMES_PER_SECOND,
        "frames": max(map(len, tracks.values())),
    }
    tensors = {name: track.coefficients.detach().float().cpu().contiguous().clone() for name, track in tracks.items()}
    return save_tensors(path if isinstance(path, Claim) else Path(path), tensors, {TRACK_KEY: json.dumps(header)})


def load_tracks(path: Path | str) -> Tracks:
    """Read such a file. Raises OptionError with a sentence when it is none, one of a later version, or one whose
    numbers cannot be a track: another type or shape, NaN, or beyond LARGEST.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    name = shorten(path.name)
    try:
        with safe_open(str(path), framework="pt") as file:
            header = (file.metadata() or {}).get(TRACK_KEY)
            if header is None:
                raise OptionError(f"{name} is not a track of Save Track.")
            found = [kind for kind in file.keys() if kind in _WIDTHS]  # noqa: SIM118
            for kind in found:  # before anything is read: a file may be of any size
                _check_shape(name, kind, file.get_slice(kind))
            # copied: what is still mapped to the file would change when the file does
            tensors = {kind: file.get_tensor(kind).clone() for kind in found}
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(
            f"{name} cannot be read as a track ({shorten(error)}). Save it again with Save Track."
        ) from error
    family, n_frames = _facts(name, header)
    if not tensors:
        raise OptionError(f"{name} holds neither an expression nor a pose.")
    for kind, tensor in tensors.items():
        _check_values(name, kind, tensor)
    expression, pose = tensors.get("expression"), tensors.get("pose")
    tracks = Tracks(
        None if expression is None else Expression(expression, family),
        None if pose is None else HeadPose(pose, family),
    )
    if n_frames is not None and n_frames != tracks.n_frames:
        raise OptionError(
            f"{name} declares {shorten(n_frames)} frames but has {tracks.n_frames}. Save it again with Save Track."
        )
    return tracks


def _check_shape(name: str, kind: str, stored: Any) -> None:
    """stored: a slice of safetensors, which knows its shape and type without being read"""
    shape, dtype = tuple(stored.get_shape()), stored.get_dtype()
    if len(shape) != 2 or not 1 <= shape[0] <= MOST_FRAMES or shape[1] != _WIDTHS[kind] or dtype != "F32":
        raise OptionError(
            f"{name}: expected 1 to {MOST_FRAMES} float32 rows of {_WIDTHS[kind]} values in its {kind}, "
            f"got {_DTYPE_NAMES.get(dtype, dtype)} {shorten(shape)}."
        )


def _check_values(name: str, kind: str, tensor: torch.Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise OptionError(f"{name}: its {kind} contains NaN or infinite values.")
    largest = float(tensor.abs().max())
    if largest > LARGEST:
        raise OptionError(f"{name}: expected values from -{LARGEST:g} to {LARGEST:g} in its {kind}, got {largest:g}.")


def _facts(name: str, header: str) -> tuple[str, object]:
    """The family, and the number of frames by the file's metadata; None where it has none."""
    try:
        facts = json.loads(header)
        version, family, fps = facts["version"], facts["family"], facts["fps"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OptionError(f"{name} has no metadata about its tracks. Save it again with Save Track.") from error
    if version != VERSION:
        raise OptionError(
            f"{name} is a track of version {shorten(version)}, expected {VERSION}; update SadTalker Nodes."
        )
    if family not in (MINI, RELEASED):
        raise OptionError(f"{name} is of the family {shorten(repr(family))}; known are {MINI} and {RELEASED}.")
    if fps != FRAMES_PER_SECOND:
        raise OptionError(f"{name} has {shorten(fps)} fps; expected {FRAMES_PER_SECOND}.")
    return family, facts.get("frames")


__all__ = ["TRACK_ENDING", "Tracks", "load_tracks", "save_tracks"]
