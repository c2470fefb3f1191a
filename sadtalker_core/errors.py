"""What can go wrong, as one tree. The message of every class here is for the user.

SadTalkerError                 anything this pack refuses, with a sentence on what to do
|-- InputError                 what came in by a wire or a widget cannot be used
|   |-- ImageError             a portrait or frame: shape, channels, size, not a number
|   |   `-- FaceNotFound       no face, not that many faces, or landmarks that are no face
|   |-- AudioError             audio: empty, too short, batched, not a number
|   |-- VideoError             a reference video or the frames to write
|   |-- OptionError            an option's value out of its range
|   |-- JobListError           a table of jobs: each line that cannot be done, and why
|   `-- WrongFamily            a wire made with one family of weights meets a node that holds the other
|-- CheckpointError            a weights file
|   |-- CheckpointMissing      not in the folders that were searched
|   |-- CheckpointDamaged      truncated, a Git LFS pointer, wrong size or hash, not a checkpoint at all
|   `-- CheckpointMismatch     readable, but with other keys or shapes than the network has
|-- DownloadError              fetching a weights file failed; the part that came is kept
|-- SigningError               a video cannot be signed: no package, no certificate, or one that does not fit
|-- PackageMissing             an optional package is not installed
|-- InUse                      another process is at work on the same files
|-- DoesNotFit                 the job needs more memory or disk than there is, raised before it starts
`-- Cancelled                  the caller's `on_progress` asked to stop
"""

from __future__ import annotations

from collections.abc import Sequence


class SadTalkerError(Exception):
    """Base of all errors of this package; the message is one or two sentences for the user."""


class InputError(SadTalkerError, ValueError):
    """An input cannot be used."""


class ImageError(InputError):
    """A portrait or frame has the wrong shape, channels or size, or contains NaN or infinite values."""


class FaceNotFound(ImageError):
    """No face, fewer faces than asked for, or landmarks that do not form a face."""


class AudioError(InputError):
    """The audio is empty, too short, batched, or contains NaN or infinite values."""


class VideoError(InputError):
    """A reference video, or the frames to write, cannot be used."""


class OptionError(InputError):
    """An option has an invalid value."""


class JobListError(InputError):
    """A table of jobs has invalid lines; one message for each."""


class WrongFamily(InputError):
    """A result of one model family was given to a model of the other."""


class CheckpointError(SadTalkerError):
    """A weights file cannot be used."""


class CheckpointMissing(CheckpointError, FileNotFoundError):
    """A weights file is in none of the folders that were searched."""


class CheckpointDamaged(CheckpointError):
    """A weights file is truncated, a Git LFS pointer, of the wrong size or hash, or no checkpoint at all."""


class CheckpointMismatch(CheckpointError):
    """A weights file can be read, but its keys or shapes are not those of the network."""


class DownloadError(SadTalkerError):
    """A download failed; the part received so far is kept as `.part`."""


class SigningError(SadTalkerError):
    """A video cannot be signed: the package is missing, or the certificate or its key is invalid."""


class PackageMissing(SadTalkerError):
    """An optional package is not installed."""


class InUse(SadTalkerError):
    """Another process is using the same files; the message names it, and since when."""


class DoesNotFit(SadTalkerError):
    """The job needs more memory or disk space than available; raised before it starts."""


class Cancelled(SadTalkerError):
    """The caller asked to stop."""


#: What importing an installed package may raise: one built for another numpy, or one that finds no place for its cache.
IMPORT_ERRORS = (ImportError, AttributeError, OSError, RuntimeError, SystemError, ValueError)


def import_failure(error: BaseException) -> str:
    """One of IMPORT_ERRORS in a line, for a log or a sentence."""
    return f"{type(error).__name__}: {shorten(' '.join(str(error).split()))}"


def shorten(text: object, limit: int = 300) -> str:
    """A user's own text as a sentence may repeat it: `limit` characters at most, the middle of more left out."""
    whole = str(text)
    if len(whole) <= limit:
        return whole
    head = (limit - 1) * 2 // 3
    return f"{whole[:head]}…{whole[len(whole) - (limit - 1 - head) :]}"


#: faults of a text that are looked for; one that is something else altogether is not read to its end
MOST_FAULTS = 1000


def join_faults(faults: Sequence[str], limit: int = 480) -> str:
    """Sentences about lines of a text as one message: as many as fit into `limit` letters, and how many more there
    are.
    """
    listed: list[str] = []
    length = 0
    for fault in faults:
        if listed and length + len(fault) > limit:
            break
        listed.append(shorten(fault, limit))
        length += len(fault) + 1
    left = len(faults) - len(listed)
    return " ".join([*listed, *([f"{left} more cannot be read."] if left else [])])
