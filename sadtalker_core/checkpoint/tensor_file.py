"""A weights file on the disk: what it is, what is in it, and the sentences about what is wrong with it.

No code from a file is ever run, and every tensor that is handed out is a copy in memory; reading.py has the reasons.
"""

from __future__ import annotations

import collections
import contextlib
import json
import math
import pickle
import struct
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datatypes import OnProgress
from ..errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, shorten
from .catalog import WeightsFile, is_file, searched

_POLL_S = 0.2

_LFS_POINTER = b"version https://git-lfs"
ZIP = b"PK\x03\x04"

#: safetensors' own bound, in bytes
LONGEST_HEADER = 100_000_000
#: letters of a tensor's name that a sentence repeats
LONGEST_NAME = 60

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8",
    "BOOL": "bool",
}  # fmt: skip

#: What torch's reader of pickles raises on damaged bytes. It executes the file like a program, and
#: the zip reader and the allocator below it add theirs, so that nearly every kind occurs.
_UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError,
    pickle.PickleError, RuntimeError, struct.error, TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
#: a re-packed archive may be smaller than what is in it, one that blows up is none of ours
_MOST_UNPACKED = 4


class _Bytes:
    """Adds up bytes and reports them a few times a second: there are thousands of tensors."""

    def __init__(self, on_progress: OnProgress | None, total: int):
        self.on_progress, self.total, self.done, self._next_s = on_progress, total, 0, 0.0

    def __call__(self, n_bytes: int) -> None:
        self.done += n_bytes
        if self.on_progress and (self.done == self.total or time.monotonic() >= self._next_s):
            self.on_progress(self.done, self.total)
            self._next_s = time.monotonic() + _POLL_S


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a safetensors file.  start: its first byte in the file, which holds n_bytes of it"""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    n_bytes: int


@dataclass(frozen=True)
class WeightsOnDisk:
    """A file on the disk, and the sentences about it."""

    path: Path
    released: WeightsFile | None
    folders: Sequence[Path]
    advice: str = "Delete it and download it again."

    @property
    def source(self) -> str:
        return f"{shorten(self.path.name, 120)} in {shorten(self.path.parent, 180)}"

    def expected(self) -> str:
        what = f" It should be {self.released.describe()}." if self.released else ""
        where = f" Folders searched: {searched(self.folders)}." if self.folders else ""
        return what + where

    def damaged(self, what: str) -> CheckpointDamaged:
        return CheckpointDamaged(f"{self.source} {what}.{self.expected()} {self.advice}")

    def mismatch(self, what: str) -> CheckpointMismatch:
        return CheckpointMismatch(f"{self.source} {what}.{self.expected()}")

    def head(self) -> bytes:
        """The first 512 bytes. Raises CheckpointMissing or CheckpointDamaged for what is no weights file at all."""
        if not is_file(self.path):
            raise CheckpointMissing(f"there is no file {self.source}.{self.expected()}")
        try:
            with self.path.open("rb") as stream:
                head = stream.read(512)
        except OSError as error:
            raise self.damaged(f"cannot be opened ({error.strerror})") from error
        if not head:
            raise self.damaged("is empty")
        if head.startswith(_LFS_POINTER):
            raise self.damaged("is a Git LFS pointer, not the file itself")
        if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            raise self.damaged("is a web page, not the file itself")
        return head

    def cut_short(self) -> str | None:
        """The error text for a file that is smaller than the released one; None where that is not known."""
        size = self.path.stat().st_size
        if self.released and self.released.size and size < self.released.size:
            return f"is truncated: {size:,} of {self.released.size:,} bytes are there"
        return None

    def unreadable(self, error: BaseException) -> CheckpointDamaged:
        return self.damaged(self.cut_short() or f"cannot be read as weights ({_first_line(error)})")

    def header(self) -> tuple[dict[str, StoredTensor], dict[str, str]]:
        """Of a safetensors file: where each tensor lies, and its metadata. Nothing is taken on trust."""
        size = self.path.stat().st_size
        with self.path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            text = stream.read(length) if 2 <= length <= LONGEST_HEADER else b""
        if not text.startswith(b"{"):
            raise self.damaged(self.cut_short() or "cannot be read as weights (it has no header)")
        if len(text) < length:
            self._promised(8 + length - size)
        try:
            facts = json.loads(text)
            metadata = facts.pop("__metadata__", None) or {}
            stored = {key: self._stored(entry, 8 + length) for key, entry in facts.items()}
            if not all(isinstance(value, str) for value in metadata.values()):
                raise TypeError("its metadata is not text")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self.unreadable(error) from error
        self._promised(max((entry.start + entry.n_bytes for entry in stored.values()), default=0) - size)
        if sum(entry.n_bytes for entry in stored.values()) > size - 8 - length:
            raise self.damaged("cannot be read as weights (its tensors overlap)")
        return stored, metadata

    def _stored(self, entry: Mapping[str, Any], behind: int) -> StoredTensor:
        dtype = getattr(torch, _DTYPES[entry["dtype"]])
        shape, (start, end) = tuple(entry["shape"]), entry["data_offsets"]
        if not all(type(number) is int and 0 <= number < 1 << 48 for number in (*shape, start, end)):
            raise ValueError("a shape or offset is not an integer")
        if end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError("a tensor is not as long as its shape requires")
        return StoredTensor(dtype, shape, behind + start, end - start)

    def _promised(self, more: int) -> None:
        if more > 0:
            raise self.damaged(self.cut_short() or f"is truncated: its header declares {more:,} more bytes")

    def read(
        self, stored: Mapping[str, StoredTensor], names: Mapping[str, str], on_progress: OnProgress | None = None
    ) -> dict[str, Tensor]:
        """{name: tensor} for {name: its key in the file}, read into memory of their own."""
        tensors: dict[str, Tensor] = {}
        progress = _Bytes(on_progress, sum(stored[key].n_bytes for key in names.values()))
        try:
            with self.path.open("rb", buffering=0) as stream:
                for name, key in names.items():
                    tensors[name] = self._tensor(stream, stored[key])
                    progress(stored[key].n_bytes)
        except (OSError, MemoryError, RuntimeError) as error:  # torch raises RuntimeError when memory runs out
            raise self.unreadable(error) from error
        return tensors

    def _tensor(self, stream: FileIO, entry: StoredTensor) -> Tensor:
        numbers = torch.empty(entry.n_bytes, dtype=torch.uint8)
        left = numbers.numpy().data
        stream.seek(entry.start)
        while left:
            n_read = stream.readinto(left)
            if not n_read:
                raise self.damaged(f"is truncated: it became {len(left):,} bytes shorter while it was read")
            left = left[n_read:]
        return numbers.view(entry.dtype).reshape(entry.shape)

    def unpickle(self, head: bytes, use_mmap: bool = True) -> Any:
        """What a torch pickle holds, read by torch's own reader of weights; its tensors may be mapped: see `copies`."""
        zipped = head.startswith(ZIP)
        try:
            if zipped and not zipfile.is_zipfile(self.path):
                raise self.damaged(self.cut_short() or "is truncated: the end of the archive is missing")
            mapped = zipped and self._as_stored() and use_mmap
            # newer torch goes by the name, and takes a pickle for what it is called
            mapped = mapped and self.path.suffix != ".safetensors"
            with _harmless_globals(), warnings.catch_warnings(), self.path.open("rb") as stream:
                warnings.simplefilter("ignore")  # its warnings about old files are of no use here
                return torch.serialization.load(
                    str(self.path) if mapped else stream, map_location="cpu", weights_only=True, mmap=mapped or None
                )
        except pickle.UnpicklingError as error:
            if "Unsupported global" in str(error) or "Unsupported class" in str(error):
                raise self.damaged(
                    "contains more than weights: it would run code when loaded, which is refused"
                ) from error
            raise self.unreadable(error) from error
        except _UNREADABLE as error:
            raise self.unreadable(error) from error

    def _as_stored(self) -> bool:
        """Whether nothing in the zip is compressed. Raises ValueError for one that would fill the memory."""
        with zipfile.ZipFile(self.path) as archive:
            records = archive.infolist()
        unpacked, size = sum(record.file_size for record in records), self.path.stat().st_size
        if unpacked > _MOST_UNPACKED * size:
            raise ValueError(f"{size:,} bytes that would become {unpacked:,}")
        return all(record.compress_type == zipfile.ZIP_STORED for record in records)

    def copies(
        self, tensors: Mapping[str, Any], names: Mapping[str, str], on_progress: OnProgress | None = None
    ) -> dict[str, Tensor]:
        """{name: a copy of the tensor in memory of its own} for {name: its key}."""
        copied: dict[str, Tensor] = {}
        selected = [tensors[key] for key in names.values()]
        progress = _Bytes(on_progress, sum(_n_bytes(tensor) for tensor in selected if isinstance(tensor, Tensor)))
        for name, key in names.items():
            tensor = tensors[key]
            if not isinstance(tensor, Tensor):
                raise self.mismatch(
                    f"contains no tensor but a {type(tensor).__name__} under {shorten(key, LONGEST_NAME)}"
                )
            if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
                raise self.mismatch(f"contains no plain tensor under {shorten(key, LONGEST_NAME)}")
            if _n_bytes(tensor) > tensor.untyped_storage().nbytes():
                raise self.damaged(f"declares more values than it has under {shorten(key, LONGEST_NAME)}")
            copied[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
            progress(_n_bytes(tensor))
        return copied


class TensorFile:
    """A safetensors file of whose tensors only what is asked for is read, into memory of its own. What is wrong with it
    is raised as by `read_tensors`.

    metadata: its texts by name;  advice: what to do with a damaged one
    """

    def __init__(self, path: Path | str, advice: str = WeightsOnDisk.advice):
        self._file = WeightsOnDisk(Path(path), None, (), advice)
        self._file.head()
        self._stored, self.metadata = self._file.header()

    def __contains__(self, name: str) -> bool:
        return name in self._stored

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """The rows start..stop of a tensor, all of it by default."""
        if name not in self._stored:
            raise self._file.mismatch(f"holds no {name!r}")
        whole = self._stored[name]
        first, last, _ = slice(start, stop).indices(whole.shape[0])
        n_rows, row = max(last - first, 0), whole.n_bytes // max(whole.shape[0], 1)
        part = StoredTensor(whole.dtype, (n_rows, *whole.shape[1:]), whole.start + first * row, n_rows * row)
        return self._file.read({name: part}, {name: name})[name]


def _n_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@contextlib.contextmanager
def _harmless_globals() -> Iterator[None]:
    """Optimizer and schedule states of old pickles hold plain numbers and counters: let these be read."""
    if not hasattr(torch.serialization, "safe_globals"):
        yield
        return
    import numpy as np

    scalar: Any = np.float64(0).__reduce__()[0]
    scalars: list[Any] = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]  # NumPy 1 and 2
    kinds: list[Any] = [np.dtype, *(type(np.dtype(name)) for name in ("float64", "float32", "int64"))]
    with torch.serialization.safe_globals([collections.Counter, collections.defaultdict, list, *kinds, *scalars]):
        yield


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
