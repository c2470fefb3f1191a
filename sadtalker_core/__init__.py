"""Talking heads: one portrait and audio become a video.

    import sadtalker_core

    model = sadtalker_core.load("mini")
    video = model.animate("face.jpg", "hello.wav", sadtalker_core.Options(pose_style=3))
    video.save("talk.mp4")

The portrait and the audio pass through the packages audio, face, motion, render and compose; pipeline.py shows the
order. Everything in `__all__` is public, and imported on first use, so that ComfyUI does not wait for it at start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import DubbedVideo, SadTalker, Video, load
    from .audio.speakers import SpeakerTrack, split_speakers
    from .audio.turns import Turn, read_turns
    from .compose.signature import Signature
    from .datatypes import Expression, HeadPose
    from .errors import (
        AudioError,
        Cancelled,
        CheckpointDamaged,
        CheckpointError,
        CheckpointMismatch,
        CheckpointMissing,
        DoesNotFit,
        DownloadError,
        FaceNotFound,
        ImageError,
        InputError,
        InUse,
        JobListError,
        OptionError,
        PackageMissing,
        SadTalkerError,
        SigningError,
        VideoError,
        WrongFamily,
    )
    from .motion.blendshape_export import export_blendshapes
    from .motion.blendshape_import import ImportedTracks, import_blendshapes
    from .options import OPTIONS, Option, Options

__all__ = [
    "load",
    "SadTalker",
    "Video",
    "DubbedVideo",
    "Options",
    "Option",
    "OPTIONS",
    "Signature",
    "read_turns",
    "Turn",
    "split_speakers",
    "SpeakerTrack",
    "export_blendshapes",
    "import_blendshapes",
    "ImportedTracks",
    "Expression",
    "HeadPose",
    "SadTalkerError",
    "InputError",
    "ImageError",
    "FaceNotFound",
    "AudioError",
    "VideoError",
    "OptionError",
    "JobListError",
    "WrongFamily",
    "CheckpointError",
    "CheckpointMissing",
    "CheckpointDamaged",
    "CheckpointMismatch",
    "DownloadError",
    "SigningError",
    "PackageMissing",
    "InUse",
    "DoesNotFit",
    "Cancelled",
]

#: where each lives; the errors in errors.py
_MODULES = {
    "load": "api",
    "SadTalker": "api",
    "Video": "api",
    "DubbedVideo": "api",
    "Options": "options",
    "Option": "options",
    "OPTIONS": "options",
    "Signature": "compose.signature",
    "read_turns": "audio.turns",
    "Turn": "audio.turns",
    "split_speakers": "audio.speakers",
    "SpeakerTrack": "audio.speakers",
    "export_blendshapes": "motion.blendshape_export",
    "import_blendshapes": "motion.blendshape_import",
    "ImportedTracks": "motion.blendshape_import",
    "Expression": "datatypes",
    "HeadPose": "datatypes",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
