"""What is to be kept goes out to a file that survives a kill: files that are whole or not there, lines that are.

    whole        a file of any kind           save_whole   named tensors as safetensors
    save_arrays  named arrays as numpy's .npz
    append_line  one more line of JSON        whole_lines  the lines that are there
    full_disk    the sentence for a disk that is full
    fault_of_target  why nothing can be written to a path
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from .errors import DoesNotFit, shorten

#: how libraries and ffmpeg tell of a full disk, on Linux and macOS, and on Windows
_WORDS_OF_A_FULL_DISK = ("No space left on device", "not enough space on the disk", "Disk quota exceeded")
#: bytes of a file's name on the usual file systems, less what is appended while a video is written
LONGEST_NAME = 255 - 40
#: of a path, that a sentence repeats
_REPEATED = 200
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The place to write to. It becomes `path` when the block ends; when it breaks off, `path` is as it was and
    nothing else is left.

    Raises DoesNotFit when the disk is full.
    """
    unfinished = path.with_name(f"{path.name}.part")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException as error:
        with suppress(OSError):  # what went wrong is told, not that this does, too
            unfinished.unlink(missing_ok=True)
        full = full_disk(error, path.parent)
        if full:
            raise full from error
        raise


def save_whole(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    """The file appears whole or not at all. Tensors are contiguous and unshared.

    safetensors itself writes files that only their owner can read, and ComfyUI may run as somebody else.
    """
    from safetensors.torch import save_file

    with whole(path) as unfinished:
        unfinished.touch()
        mode = unfinished.stat().st_mode
        save_file(tensors, str(unfinished), metadata=metadata)
        unfinished.chmod(mode)
    return path


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> Path:
    """What `numpy.load` reads; the file appears whole or not at all."""
    import numpy as np

    with whole(path) as unfinished, unfinished.open("wb") as out:
        np.savez(out, **arrays)
    return path


def append_line(file: Path, entry: Mapping[str, Any]) -> None:
    """One more line of JSON, on the disk when this returns; a last line that a kill cut short is dropped first."""
    with file.open("a+b") as lines:
        if lines.tell():
            lines.seek(-1, os.SEEK_END)
            if lines.read() != b"\n":
                lines.seek(0)
                lines.truncate(lines.read().rfind(b"\n") + 1)
        lines.write(json.dumps(entry).encode() + b"\n")
        lines.flush()
        os.fsync(lines.fileno())


def whole_lines(file: Path) -> list[str]:
    """Without their ends, none where there is no file; a last line that a kill cut short is left out."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return text.split("\n")[:-1]


def full_disk(error: BaseException | str, folder: Path) -> DoesNotFit | None:
    """What to raise when an error, or the words of one, say that the disk of a folder is full; else None."""
    told = isinstance(error, OSError) and error.errno in _FULL
    if told or any(words in str(error) for words in _WORDS_OF_A_FULL_DISK):
        return DoesNotFit(f"The disk of {shorten(folder)} is full; make room there and run again.")
    return None


def fault_of_target(path: Path) -> str:
    """Why a video cannot be written to an absolute path, or nothing; its folders need not exist yet."""
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        return f"its name is too long, use {LONGEST_NAME} bytes at most"
    if any(len(os.fsencode(part)) > 255 for part in path.parts):
        return "the name of one of its folders is too long"
    folder = next(folder for folder in path.parents if folder.exists())
    if not folder.is_dir():
        return f"{shorten(folder, _REPEATED)} is no folder"
    return "" if os.access(folder, os.W_OK) else f"{shorten(folder, _REPEATED)} cannot be written to"
