"""A weights file comes in, tensors under our names go out; no code from a file is ever run.

Three kinds of file are read: safetensors with our own names (their metadata says what they hold), the released flat
safetensors, and the released torch pickles (with `weights_only`). Large files are mapped, not copied: a tensor costs
memory when it is used.
"""

from __future__ import annotations

import collections
import contextlib
import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing
from . import keys
from .catalog import BY_NAME, WeightsFile, searched

#: the safetensors metadata that our own files carry, a JSON object
METADATA_KEY = "sadtalker_nodes"
FORMAT = 1

_LFS_POINTER = b"version https://git-lfs"
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Metadata:
    """What one of our own files says about itself.

    family: "released" or "mini";  name: for the user;  image_size: the side of its square in pixels
    configs: {our name of a net: its widths}, as in the net's config class
    base: the model that the nets it lacks are taken from, or None
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
            said = json.loads(text)
            if said.pop("format") > FORMAT:
                raise CheckpointDamaged(f"{source} was written by a newer SadTalker Nodes; update the pack to read it.")
            metadata = cls(**said)
            kinds = ((metadata.family, str), (metadata.image_size, int), (metadata.configs, dict))
            if not all(isinstance(value, kind) for value, kind in kinds):
                raise TypeError("family, image_size or configs is of another type")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointDamaged(f"the metadata {METADATA_KEY!r} of {source} cannot be read: {error}.") from error
        return metadata


@dataclass(frozen=True, eq=False)
class NamedTensors:
    """tensors: by our names, "net.path.of.the.tensor";  metadata: None for a released file
    source, should_be: for sentences, which file this is and what it should be
    """

    tensors: Mapping[str, Tensor]
    metadata: Metadata | None
    source: str
    should_be: str = ""

    def nets(self) -> dict[str, dict[str, Tensor]]:
        """{our name of a net: {its own path: tensor}}"""
        nets: dict[str, dict[str, Tensor]] = {}
        for name, tensor in self.tensors.items():
            net, _, path = name.partition(".")
            nets.setdefault(net, {})[path] = tensor
        return nets


def read_tensors(path: Path | str, released: WeightsFile | None = None, folders: Sequence[Path] = ()) -> NamedTensors:
    """Read a weights file.

    released: the catalog's entry, where the file bears the name of one; found by the name otherwise.
    folders: those that were searched, for the sentences.
    Raises CheckpointMissing, CheckpointDamaged (a Git-LFS pointer, a web page, truncated, unreadable) or
    CheckpointMismatch (readable, but the tensors are other ones), each naming the file and what it should be.
    """
    path = Path(path)
    released = released or BY_NAME.get(path.name)
    file = _File(path, released, folders)
    head = file.look()
    if head[8:9] != b"{" and head.startswith((_ZIP, pickle.PROTO)):
        tensors, metadata = _our_names(file, _torch_entries(file, file.unpickle(head))), None
    else:
        tensors, said = file.safetensors()
        if METADATA_KEY in said:
            metadata = Metadata.from_json(said[METADATA_KEY], file.source)
        else:
            tensors, metadata = _our_names(file, tensors), None
    return NamedTensors(tensors, metadata, file.source, file.should_be())


def require_weights(path: Path, released: WeightsFile, folders: Sequence[Path] = ()) -> None:
    """For a released file that another package reads: rule out what can be told from its size and first bytes.

    Raises CheckpointMissing or CheckpointDamaged, with the sentences of `read_tensors`.
    """
    file = _File(path, released, folders)
    file.look()
    cut_short = file.cut_short()
    if cut_short:
        raise file.damaged(cut_short)


def read_foreign(path: Path | str) -> dict[str, Tensor]:
    """A weights file of another project, safetensors or a pickle -> {its own key: tensor}.

    Raises CheckpointMissing, CheckpointDamaged, or CheckpointMismatch where it holds no named tensors.
    """
    file = _File(Path(path), None, ())
    head = file.look()
    pickled = head[8:9] != b"{" and head.startswith((_ZIP, pickle.PROTO))
    content = file.unpickle(head) if pickled else file.safetensors()[0]
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise file.mismatch("holds no named tensors")
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


@dataclass(frozen=True)
class _File:
    """A file on the disk, and the sentences about it."""

    path: Path
    released: WeightsFile | None
    folders: Sequence[Path]

    @property
    def source(self) -> str:
        return f"{self.path.name} in {self.path.parent}"

    def should_be(self) -> str:
        what = f" It should be {self.released.describe()}." if self.released else ""
        where = f" Folders searched: {searched(self.folders)}." if self.folders else ""
        return what + where

    def damaged(self, what: str) -> CheckpointDamaged:
        return CheckpointDamaged(f"{self.source} {what}.{self.should_be()} Delete it and get it again.")

    def mismatch(self, what: str) -> CheckpointMismatch:
        return CheckpointMismatch(f"{self.source} {what}.{self.should_be()}")

    def look(self) -> bytes:
        """The first bytes, after ruling out what is no weights file at all."""
        if not self.path.is_file():
            raise CheckpointMissing(f"there is no file {self.source}.{self.should_be()}")
        try:
            with self.path.open("rb") as stream:
                head = stream.read(512)
        except OSError as error:
            raise self.damaged(f"cannot be opened ({error})") from error
        if not head:
            raise self.damaged("is empty")
        if head.startswith(_LFS_POINTER):
            raise self.damaged("is a Git-LFS pointer: a note of a hundred bytes that stands for the file, not the file")
        if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            raise self.damaged("is a web page: something saved the page about the file, not the file")
        return head

    def cut_short(self) -> str | None:
        """What is said of a file that is smaller than the released one; None where it is not known to be."""
        size = self.path.stat().st_size
        if self.released and self.released.size and size < self.released.size:
            return f"is truncated: {size:,} of {self.released.size:,} bytes are there"
        return None

    def unreadable(self, error: BaseException) -> CheckpointDamaged:
        return self.damaged(self.cut_short() or f"cannot be read as weights ({_first_line(error)})")

    def safetensors(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self.path), framework="pt", device="cpu") as opened:
                return {key: opened.get_tensor(key) for key in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            missing = self._bytes_behind_the_end()
            if missing and not self.cut_short():
                raise self.damaged(f"is truncated: its header promises {missing:,} more bytes") from error
            raise self.unreadable(error) from error

    def _bytes_behind_the_end(self) -> int:
        size = self.path.stat().st_size
        with self.path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= 100_000_000:
                return 0
            header = stream.read(length)
        if len(header) < length:
            return 8 + length - size if header.startswith(b"{") else 0
        try:
            ends = [entry["data_offsets"][1] for name, entry in json.loads(header).items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return 0
        return max(8 + length + max(ends, default=0) - size, 0)

    def unpickle(self, head: bytes) -> Any:
        zipped = head.startswith(_ZIP)
        if zipped and not zipfile.is_zipfile(self.path):
            raise self.damaged(self.cut_short() or "is truncated: the end of the archive is missing")
        try:
            with _harmless_globals():
                return torch.serialization.load(
                    str(self.path), map_location="cpu", weights_only=True, mmap=zipped or None
                )
        except pickle.UnpicklingError as error:
            if "Unsupported global" in str(error) or "Unsupported class" in str(error):
                raise self.damaged(
                    "holds more than weights: it asks to run code when it is read, which is never done"
                ) from error
            raise self.unreadable(error) from error
        except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
            raise self.unreadable(error) from error


def _torch_entries(file: _File, content: Any) -> dict[str, Tensor]:
    """The tensors of a pickle under canonical keys; what lies beside the known entries (optimizers) is left there."""
    if not isinstance(content, Mapping):
        raise file.mismatch(f"holds a {type(content).__name__}, not named tensors")
    if file.released is None or "" in file.released.entries:
        if not any(isinstance(value, Tensor) for value in content.values()):
            known = ", ".join(name for name, known in BY_NAME.items() if known.entries)
            raise file.mismatch(f"is a pickle of another layout; the ones that can be read keep their names: {known}")
        return {key: value for key, value in content.items() if isinstance(value, Tensor)}
    tensors = {}
    for entry, prefix in file.released.entries.items():
        if not isinstance(content.get(entry), Mapping):
            raise file.mismatch(f"lacks the entry {entry!r}; it has {', '.join(map(str, content)) or 'none'}")
        tensors.update({f"{prefix}{key}": tensor for key, tensor in content[entry].items()})
    return tensors


def _our_names(file: _File, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    unknown = [key for key in tensors if not keys.is_released(key)]
    if len(unknown) == len(tensors):
        raise file.mismatch(f"holds another model: none of its {len(tensors)} tensors is SadTalker's"
                            f"{' (the first is ' + unknown[0] + ')' if unknown else ''}")  # fmt: skip
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise file.mismatch(f"holds tensors that SadTalker does not have: {', '.join(unknown[:4])}{more}")
    wrong = [key for key, tensor in tensors.items() if not isinstance(tensor, Tensor)]
    if wrong:
        raise file.mismatch(f"holds no tensor but a {type(tensors[wrong[0]]).__name__} under {wrong[0]}")
    return {ours: tensors[key] for ours, key in keys.rename(tensors).items()}


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
