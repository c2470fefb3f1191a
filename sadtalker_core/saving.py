"""What is to be kept goes out to a file that survives a kill: files that are whole or not there, lines that are.

atomic_write     a file of any kind              save_tensors    named tensors as safetensors
save_arrays      named arrays as numpy's .npz    save_bytes      anything that is bytes already
save_text        text that comes in pieces
append_jsonl     one more line of JSON           complete_lines  the lines that are there
disk_full_error  the error for a disk that is full
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor

from .claims import Claim, claim_path
from .errors import DoesNotFit, shorten

#: how libraries and ffmpeg tell of a full disk, on Linux and macOS, and on Windows
_WORDS_OF_A_FULL_DISK = ("No space left on device", "not enough space on the disk", "Disk quota exceeded")
_WORDS_OF_A_LIMIT = "File too large"
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """The place to write to. It becomes `path` when the block ends; when it breaks off, `path` is as it was and
    nothing else is left. What a kill leaves is removed by the next one who writes the same file.

    Raises DoesNotFit when the disk is full, and InUse while another process writes the same file.
    """
    with _claimed(path) as claim:
        part = claim.part("whole")
        yield part
        claim.publish(part)


def save_tensors(path: Path | Claim, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    """The file appears whole or not at all, where it then is. Tensors are contiguous and unshared. Raises as
    `atomic_write`.

    safetensors' own writer makes files that only their owner can read, though ComfyUI may run as somebody else, and
    (since 0.8) by way of a temporary file beside it, which a kill leaves behind for ever. So it gives the bytes.
    """
    from safetensors.torch import save

    return save_bytes(path, save(tensors, metadata=metadata))


@contextmanager
def _claimed(path: Path | Claim) -> Iterator[Claim]:
    """The claim under which a file is written, released if it was made here. Raises DoesNotFit on a full disk."""
    folder = path.path.parent if isinstance(path, Claim) else path.parent
    try:
        with nullcontext(path) if isinstance(path, Claim) else claim_path(path) as claim:
            yield claim
    except BaseException as error:  # a library's own kind, perhaps
        full = disk_full_error(error, folder)
        if full:
            raise full from error
        raise


def save_bytes(path: Path | Claim, data: bytes) -> Path:
    """The file appears whole or not at all, where it then is. Raises as `atomic_write`."""
    with _claimed(path) as claim:
        part = claim.part("whole")
        part.write_bytes(data)
        return claim.publish(part)


def save_text(path: Path | Claim, pieces: Iterable[str]) -> Path:
    """Writes pieces of text, one after the other, in UTF-8; the file appears whole or not at all, where it then is.
    Raises as `atomic_write`, and what the maker of the pieces raises.
    """
    with _claimed(path) as claim:
        part = claim.part("whole")
        with part.open("w", encoding="utf-8", newline="") as out:
            out.writelines(pieces)
        return claim.publish(part)


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> Path:
    """What `numpy.load` reads; the file appears whole or not at all."""
    import numpy as np

    with atomic_write(path) as unfinished, unfinished.open("wb") as out:
        np.savez(out, **arrays)
    return path


def append_jsonl(file: Path, entry: Mapping[str, Any]) -> None:
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


def complete_lines(file: Path) -> list[str]:
    """Without their ends, none where there is no file; a last line that a kill cut short is left out."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return text.split("\n")[:-1]


def disk_full_error(error: BaseException | str, folder: Path) -> DoesNotFit | None:
    """What to raise when an error, or its text, reports that a disk is full or takes no such file; else None."""
    by_number = isinstance(error, OSError) and error.errno in _FULL
    if by_number or any(words in str(error) for words in _WORDS_OF_A_FULL_DISK):
        return DoesNotFit(f"the disk of {shorten(folder)} is full; free some space and run again.")
    if (isinstance(error, OSError) and error.errno == errno.EFBIG) or _WORDS_OF_A_LIMIT in str(error):
        return DoesNotFit(
            f"a file of this size cannot be written to {shorten(folder)}: a FAT32 disk takes 4 GB at most, and a limit "
            "on the size of files (ulimit -f) may be set; use another folder or a shorter clip."
        )
    return None
