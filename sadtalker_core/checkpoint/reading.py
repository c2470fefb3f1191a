"""A weights file comes in, tensors under our names go out; no code from a file is ever run.

Three kinds of file are read: safetensors with our own names (their metadata describes what they hold), the released
flat safetensors, and the released torch pickles (with `weights_only`). Every tensor that is handed out is a copy in
memory: a file that is overwritten or cut afterwards changes no network and ends no process. For the 725 MB of a
released model that takes 0.4 s of one thread more than to map them and look at each page (0.5 to 0.7 s against 0.1 to
0.2 s). Only a pickle in a zip is mapped while it is read, because two thirds of it are an optimizer's numbers that
nobody asks for; `use_mmap=False` reads these, too.
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datatypes import OnProgress
from ..errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, shorten
from . import keys, stored_names
from .catalog import BY_NAME, WeightsFile, is_file, searched

#: the safetensors metadata that our own files carry, a JSON object
METADATA_KEY = "sadtalker_nodes"
FORMAT = 1


_POLL_S = 0.2

_LFS_POINTER = b"version https://git-lfs"
_ZIP = b"PK\x03\x04"

#: the sides of the square that a network can render; the hourglass halves it five times
IMAGE_SIZES = range(32, 2048 + 1, 32)
#: safetensors' own bound, in bytes
LONGEST_HEADER = 100_000_000
#: letters of a tensor's name that a sentence repeats
_NAME = 60

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


@dataclass(frozen=True)
class Metadata:
    """The metadata of one of our own files.

    family: "released" or "mini";  name: for the user;  image_size: the side of its square in pixels
    configs: {our name of a net: its widths}, as in the network's config class
    base: the model that the networks it lacks are taken from, or None
    """

    family: str
    name: str
    image_size: int
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    base: str | None = None

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **self.__dict__}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str) -> Metadata:
        """Raises CheckpointDamaged where the text is not what `to_json` writes."""
        try:
            facts = json.loads(text)
            if facts.pop("format") > FORMAT:
                raise CheckpointDamaged(f"{source} was written by a newer version of SadTalker Nodes; update the pack.")
            metadata = cls(**facts)
            for name, kind in (("family", str), ("name", str), ("image_size", int), ("configs", dict)):
                if type(getattr(metadata, name)) is not kind:
                    raise TypeError(f"{name} is {shorten(repr(getattr(metadata, name)), _NAME)}")
            if not all(isinstance(config, dict) for config in metadata.configs.values()):
                raise TypeError("a config is not an object")
            if metadata.base is not None and not isinstance(metadata.base, str):
                raise TypeError(f"base is {shorten(repr(metadata.base), _NAME)}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = shorten(error, 100)
            raise CheckpointDamaged(f"the metadata {METADATA_KEY!r} of {source} cannot be read: {reason}.") from error
        if metadata.image_size not in IMAGE_SIZES:
            raise CheckpointDamaged(
                f"the metadata of {source} has image_size {shorten(metadata.image_size, _NAME)}; expected a multiple "
                f"of {IMAGE_SIZES.step} from {IMAGE_SIZES.start} to {IMAGE_SIZES.stop - 1}."
            )
        return metadata


@dataclass(frozen=True, eq=False)
class NamedTensors:
    """tensors: by our names, "net.path.of.the.tensor";  metadata: None for a released file
    source, expected: for sentences, which file this is and what it should be
    """

    tensors: Mapping[str, Tensor]
    metadata: Metadata | None
    source: str
    expected: str = ""

    def nets(self) -> dict[str, dict[str, Tensor]]:
        """{our name of a net: {its own path: tensor}}"""
        nets: dict[str, dict[str, Tensor]] = {}
        for name, tensor in self.tensors.items():
            net, _, path = name.partition(".")
            nets.setdefault(net, {})[path] = tensor
        return nets


def read_tensors(
    path: Path | str,
    released: WeightsFile | None = None,
    folders: Sequence[Path] = (),
    *,
    use_mmap: bool = True,
    on_progress: OnProgress | None = None,
) -> NamedTensors:
    """Read a weights file.

    released: the catalog's entry, where the file bears the name of one; found by the name otherwise.
    folders: those that were searched, for the sentences.
    use_mmap: whether a pickle may be mapped while it is read; its tensors are copies in any case
    on_progress(done, total): after each tensor, in bytes; may raise to stop
    Raises CheckpointMissing, CheckpointDamaged (a Git-LFS pointer, a web page, truncated, unreadable) or
    CheckpointMismatch (readable, but the tensors are other ones), each naming the file and what it should be.
    """
    path = Path(path)
    released = released or BY_NAME.get(path.name)
    file = _File(path, released, folders)
    head = file.head()
    if head[8:9] != b"{" and head.startswith((_ZIP, pickle.PROTO)):
        entries = _torch_entries(file, file.unpickle(head, use_mmap))
        tensors, metadata = file.copies(entries, _our_names(file, entries), on_progress), None
    else:
        stored, facts = file.header()
        if METADATA_KEY in facts:
            metadata = Metadata.from_json(facts[METADATA_KEY], file.source)
            tensors = file.read(stored, {stored_names.our_name(key): key for key in stored}, on_progress)
        else:
            metadata = None
            tensors = file.read(stored, _our_names(file, stored), on_progress)
    return NamedTensors(tensors, metadata, file.source, file.expected())


def require_weights(path: Path, released: WeightsFile, folders: Sequence[Path] = ()) -> None:
    """For a released file that another package reads: rule out what its size and first bytes show to be wrong.

    Raises CheckpointMissing or CheckpointDamaged, with the sentences of `read_tensors`.
    """
    file = _File(path, released, folders)
    file.head()
    cut_short = file.cut_short()
    if cut_short:
        raise file.damaged(cut_short)


def read_foreign(path: Path | str) -> dict[str, Tensor]:
    """A weights file of another project, safetensors or a pickle -> {its own key: tensor}.

    Raises CheckpointMissing, CheckpointDamaged, or CheckpointMismatch where it holds no named tensors.
    """
    file = _File(Path(path), None, ())
    head = file.head()
    pickled = head[8:9] != b"{" and head.startswith((_ZIP, pickle.PROTO))
    if not pickled:
        stored, _ = file.header()
        content: Any = file.read(stored, {stored_names.our_name(key): key for key in stored})
    else:
        content = file.unpickle(head)
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise file.mismatch("contains no named tensors")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    return file.copies(tensors, {key: key for key in tensors}) if pickled else tensors


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
class _Stored:
    """A tensor in a safetensors file.  start: its first byte in the file, which holds n_bytes of it"""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    n_bytes: int


@dataclass(frozen=True)
class _File:
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

    def header(self) -> tuple[dict[str, _Stored], dict[str, str]]:
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

    def _stored(self, entry: Mapping[str, Any], behind: int) -> _Stored:
        dtype = getattr(torch, _DTYPES[entry["dtype"]])
        shape, (start, end) = tuple(entry["shape"]), entry["data_offsets"]
        if not all(type(number) is int and 0 <= number < 1 << 48 for number in (*shape, start, end)):
            raise ValueError("a shape or offset is not an integer")
        if end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError("a tensor is not as long as its shape requires")
        return _Stored(dtype, shape, behind + start, end - start)

    def _promised(self, more: int) -> None:
        if more > 0:
            raise self.damaged(self.cut_short() or f"is truncated: its header declares {more:,} more bytes")

    def read(
        self, stored: Mapping[str, _Stored], names: Mapping[str, str], on_progress: OnProgress | None = None
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

    def _tensor(self, stream: FileIO, entry: _Stored) -> Tensor:
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
        zipped = head.startswith(_ZIP)
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
                raise self.mismatch(f"contains no tensor but a {type(tensor).__name__} under {shorten(key, _NAME)}")
            if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
                raise self.mismatch(f"contains no plain tensor under {shorten(key, _NAME)}")
            if _n_bytes(tensor) > tensor.untyped_storage().nbytes():
                raise self.damaged(f"declares more values than it has under {shorten(key, _NAME)}")
            copied[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
            progress(_n_bytes(tensor))
        return copied


class TensorFile:
    """A safetensors file of whose tensors only what is asked for is read, into memory of its own. What is wrong with it
    is raised as by `read_tensors`.

    metadata: its texts by name;  advice: what to do with a damaged one
    """

    def __init__(self, path: Path | str, advice: str = _File.advice):
        self._file = _File(Path(path), None, (), advice)
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
        part = _Stored(whole.dtype, (n_rows, *whole.shape[1:]), whole.start + first * row, n_rows * row)
        return self._file.read({name: part}, {name: name})[name]


def _n_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _torch_entries(file: _File, content: Any) -> dict[str, Tensor]:
    """The tensors of a pickle under canonical keys; what lies beside the known entries (optimizers) is left there."""
    if not isinstance(content, Mapping):
        raise file.mismatch(f"holds a {type(content).__name__}, not named tensors")
    if file.released is None or "" in file.released.entries:
        if not any(isinstance(value, Tensor) for value in content.values()):
            known = ", ".join(name for name, known in BY_NAME.items() if known.entries)
            raise file.mismatch(
                f"is a pickle of unknown layout; those that can be read keep their original names: {known}"
            )
        return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    tensors = {}
    for entry, prefix in file.released.entries.items():
        if not isinstance(content.get(entry), Mapping):
            has = shorten(", ".join(map(str, content)), 200)
            raise file.mismatch(f"has no entry {entry!r}, only {has or 'none'}")
        tensors.update({f"{prefix}{key}": tensor for key, tensor in content[entry].items()})
    return tensors


def _our_names(file: _File, released: Iterable[str]) -> dict[str, str]:
    """{our name: the key that the file has for it}; what is dropped on purpose is left out."""
    released = list(released)
    unknown = [key for key in released if not keys.is_released(key)]
    if len(unknown) == len(released):
        raise file.mismatch(
            f"is another model: none of its {len(released)} tensors is SadTalker's"
            f"{' (the first is ' + shorten(unknown[0], _NAME) + ')' if unknown else ''}"
        )
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        named = ", ".join(shorten(key, _NAME) for key in unknown[:4])
        raise file.mismatch(f"contains tensors that SadTalker does not have: {named}{more}")
    return keys.rename(released)


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
