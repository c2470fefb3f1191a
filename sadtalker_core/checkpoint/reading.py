"""A weights file comes in, tensors under our names go out; no code from a file is ever run.

Three kinds of file are read: safetensors with our own names (their metadata describes what they hold), the released
flat safetensors, and the released torch pickles (with `weights_only`). Every tensor that is handed out is a copy in
memory: a file that is overwritten or cut afterwards changes no network and ends no process. For the 725 MB of a
released model that takes 0.4 s of one thread more than to map them and look at each page (0.5 to 0.7 s against 0.1 to
0.2 s). Only a pickle in a zip is mapped while it is read, because two thirds of it are an optimizer's numbers that
nobody asks for; `use_mmap=False` reads these, too.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..datatypes import OnProgress
from ..errors import CheckpointDamaged, shorten
from . import keys, stored_names
from .catalog import BY_NAME, WeightsFile
from .tensor_file import LONGEST_NAME, ZIP, WeightsOnDisk

#: the safetensors metadata that our own files carry, a JSON object
METADATA_KEY = "sadtalker_nodes"
FORMAT = 1
#: the sides of the square that a network can render; the hourglass halves it five times
IMAGE_SIZES = range(32, 2048 + 1, 32)


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
                    raise TypeError(f"{name} is {shorten(repr(getattr(metadata, name)), LONGEST_NAME)}")
            if not all(isinstance(config, dict) for config in metadata.configs.values()):
                raise TypeError("a config is not an object")
            if metadata.base is not None and not isinstance(metadata.base, str):
                raise TypeError(f"base is {shorten(repr(metadata.base), LONGEST_NAME)}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = shorten(error, 100)
            raise CheckpointDamaged(f"the metadata {METADATA_KEY!r} of {source} cannot be read: {reason}.") from error
        if metadata.image_size not in IMAGE_SIZES:
            raise CheckpointDamaged(
                f"the metadata of {source} has image_size {shorten(metadata.image_size, LONGEST_NAME)}; expected a "
                f"multiple of {IMAGE_SIZES.step} from {IMAGE_SIZES.start} to {IMAGE_SIZES.stop - 1}."
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
    file = WeightsOnDisk(path, released, folders)
    head = file.head()
    if head[8:9] != b"{" and head.startswith((ZIP, pickle.PROTO)):
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
    file = WeightsOnDisk(path, released, folders)
    file.head()
    cut_short = file.cut_short()
    if cut_short:
        raise file.damaged(cut_short)


def read_foreign(path: Path | str) -> dict[str, Tensor]:
    """A weights file of another project, safetensors or a pickle -> {its own key: tensor}.

    Raises CheckpointMissing, CheckpointDamaged, or CheckpointMismatch where it holds no named tensors.
    """
    file = WeightsOnDisk(Path(path), None, ())
    head = file.head()
    pickled = head[8:9] != b"{" and head.startswith((ZIP, pickle.PROTO))
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


def _torch_entries(file: WeightsOnDisk, content: Any) -> dict[str, Tensor]:
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


def _our_names(file: WeightsOnDisk, released: Iterable[str]) -> dict[str, str]:
    """{our name: the key that the file has for it}; what is dropped on purpose is left out."""
    released = list(released)
    unknown = [key for key in released if not keys.is_released(key)]
    if len(unknown) == len(released):
        raise file.mismatch(
            f"is another model: none of its {len(released)} tensors is SadTalker's"
            f"{' (the first is ' + shorten(unknown[0], LONGEST_NAME) + ')' if unknown else ''}"
        )
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        named = ", ".join(shorten(key, LONGEST_NAME) for key in unknown[:4])
        raise file.mismatch(f"contains tensors that SadTalker does not have: {named}{more}")
    return keys.rename(released)
