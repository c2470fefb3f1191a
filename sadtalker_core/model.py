"""A model's name and the folders of its files come in, networks that are ready to run go out.

Files are read by `checkpoint`, which gives every tensor our name, "net.path.of.the.tensor"; `families.networks` names
the class of each network. So nothing here knows a released key, and nothing in `checkpoint` knows a network.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .checkpoint.catalog import (
    ASSETS,
    FACE_ALIGNMENT,
    FILE_PREFIX,
    MAPPING,
    MAPPING_FULL,
    MAPPINGS,
    MINI_MODEL,
    MODES_OF_MAPPING,
    RELEASED_MODELS,
    FoundFile,
    WeightsFile,
    find,
    find_files,
    find_together,
    searched,
)
from .checkpoint.fetch import fetch_model
from .checkpoint.reading import Metadata, NamedTensors, read_tensors, require_weights
from .checkpoint.writing import write_checkpoint
from .choices import one_of
from .datatypes import MINI, RELEASED, OnProgress
from .errors import CheckpointMismatch, CheckpointMissing, OptionError, import_failure, shorten
from .face.embedded import embedded_face_nets, embedded_person_segmenter
from .face.face_alignment_points import FaceAlignmentPoints, import_package
from .face.points import FaceSelector, PointFinder
from .families import FAMILIES, Family, Model
from .families.networks import (
    FACE_DETECTOR,
    FACE_MESH,
    NETWORKS,
    PERSON_SEGMENTER,
    config_of,
    shorten_names,
)
from .families.weights import load_weights
from .render.batches import memory_ran_out
from .render.estimate import free_bytes
from .threads import few_threads

#: (path, the released file that it bears the name of) -> what it holds
_ReadFile = Callable[[Path, "WeightsFile | None"], NamedTensors]


@dataclass(frozen=True, eq=False)
class SadTalkerModel(Model):
    """Everything that a model brings: its networks by our names, in float32 on the CPU, in eval mode, without
    gradients.

    name: what the user chose;  family: what it does in its own way
    image_size: the side of the square it drives, in pixels
    nets: "face_detector", "face_mesh" and "person_segmenter" always; then what `family.networks` lists
    missing: {net: why it is not among them}: one of the two mapping networks may be missing, until it is needed
    """

    name: str
    family: Family
    image_size: int
    nets: Mapping[str, nn.Module]
    missing: Mapping[str, str] = field(default_factory=dict)

    def bring(self, names: Sequence[str], *, working_bytes: int = 0) -> list[nn.Module]:
        """The networks of these names, in that order. They compute where they are; working_bytes is for a host that
        frees memory.

        Raises CheckpointMissing for one whose file is missing.
        """
        require_nets(names, self.missing)
        return [self.nets[name] for name in names]

    def free_bytes(self, device: torch.device) -> int:
        """What is free there, as far as torch knows."""
        return free_bytes(device)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether the error was that memory ran out."""
        return memory_ran_out(error)


def require_nets(nets: Sequence[str], missing: Mapping[str, str]) -> None:
    """Raises CheckpointMissing for the first of these networks that is missing, {net: why}."""
    for net in nets:
        if net in missing:
            raise CheckpointMissing(missing[net])


#: the embedded files of the mini family, each with our own metadata
MINI_FILES = ("linear_3dmm.safetensors", "mini_motion.safetensors", "mini_renderer.safetensors")
MINI_IMAGE_SIZE = 256

#: which landmarks the released family goes by; the mini family has its own mesh
LANDMARKS = AUTO, FACE_ALIGNMENT_PACKAGE, EMBEDDED_MESH = ("auto", "face-alignment", "embedded mesh")


@few_threads()
def load_model(
    model: str,
    folders: Sequence[Path],
    *,
    ops: Any = nn,
    allow_download: bool = False,
    on_progress: OnProgress | None = None,
    use_mmap: bool = True,
) -> SadTalkerModel:
    """The networks of a model: "mini", "SadTalker 256", "SadTalker 512", or "file/" and a path below one of the
    folders.

    ops: where the networks take their layers from (torch.nn, or ComfyUI's)
    allow_download: whether a released model may be fetched into the first folder
    on_progress(done, total): counts the bytes that are fetched, then those of each file that is read; may raise to stop
    use_mmap: whether a pickle may be mapped while it is read; the networks are in memory of their own in any case
    Raises CheckpointMissing, CheckpointDamaged or CheckpointMismatch, and what fetching raises.
    """
    if allow_download and model in RELEASED_MODELS:
        fetch_model(model, folders, on_progress=on_progress)
    read = functools.partial(read_tensors, folders=folders, use_mmap=use_mmap, on_progress=on_progress)
    loaded = _build(_read_model(model, folders, read), ops)
    for sentence in loaded.missing.values():
        logging.warning("SadTalker: %s", sentence)
    return loaded


def assemble_released(
    name: str, image_size: int, files: Sequence[FoundFile], folders: Sequence[Path] = (), ops: Any = nn
) -> SadTalkerModel:
    """The released networks out of their files, whichever file holds which. One of the two mapping networks may
    be missing.
    """
    read = [read_tensors(file.path, file.released, folders) for file in files]
    return _build(_ModelFiles.of_released(name, image_size, read, folders), ops)


def assemble_mini(ops: Any = nn) -> SadTalkerModel:
    """The built-in networks, out of the pack's own files."""
    return _build(_read_mini(), ops)


@dataclass(frozen=True, eq=False)
class _ModelFiles:
    """A model that is read and not built yet.

    own: files whose metadata describes their networks; earlier ones take precedence, and all of them over the
           released ones
    released: files with the released keys;  folders: those that were searched for them
    source, expected: for sentences, as in NamedTensors
    """

    name: str
    family: Family
    image_size: int
    source: str
    own: Sequence[NamedTensors] = ()
    released: Sequence[NamedTensors] = ()
    folders: Sequence[Path] = ()
    expected: str = ""

    @classmethod
    def of_released(
        cls, name: str, image_size: int, files: Sequence[NamedTensors], folders: Sequence[Path]
    ) -> _ModelFiles:
        sources, expected = " and ".join(file.source for file in files), "".join(file.expected for file in files)
        return cls(name, FAMILIES[RELEASED], image_size, sources, released=files, folders=folders, expected=expected)


def _read_model(model: str, folders: Sequence[Path], read: _ReadFile) -> _ModelFiles:
    """The files that a model's name stands for. A file of ours may build on others, which are then read, too."""
    if model == MINI_MODEL:
        return _read_mini()
    if model.startswith(FILE_PREFIX):
        (found,) = find_files(model, folders)
        file = read(found.path, found.released)
        if file.metadata is not None:
            return _read_with_base(model, file, file.metadata, folders, read)
        return _read_with_mappings(model, found, file, folders, read)
    return _read_released(model, folders, read)


def _read_mini() -> _ModelFiles:
    files = [read_tensors(ASSETS / name) for name in MINI_FILES]
    return _ModelFiles(MINI_MODEL, FAMILIES[MINI], MINI_IMAGE_SIZE, "the pack itself", own=files)


def _read_released(model: str, folders: Sequence[Path], read: _ReadFile) -> _ModelFiles:
    files = [read(file.path, file.released) for file in find_files(model, folders)]
    return _ModelFiles.of_released(model, RELEASED_MODELS[model].image_size, files, folders)


def _read_with_base(
    model: str, file: NamedTensors, metadata: Metadata, folders: Sequence[Path], read: _ReadFile
) -> _ModelFiles:
    """A file of ours, and below it the model that it builds on, where it does not hold all networks itself."""
    family = FAMILIES.get(metadata.family)
    if family is None:
        raise CheckpointMismatch(
            f"{file.source} is of the family {shorten(repr(metadata.family), 60)}; known are {shorten_names(FAMILIES)}."
        )
    whole = _ModelFiles(model, family, metadata.image_size, file.source, own=[file])
    base = metadata.base or (MINI_MODEL if family is FAMILIES[MINI] else None)
    if base is None or set(family.networks.names()) <= set(file.nets()):
        return whole
    if base.startswith(FILE_PREFIX):
        raise CheckpointMismatch(
            f"{file.source} builds on {shorten(repr(base), 60)}; only {MINI_MODEL} or a released model can be."
        )
    below = _read_mini() if base == MINI_MODEL else _read_released(base, folders, read)
    return replace(whole, own=[file, *below.own], released=below.released, folders=below.folders)


def _read_with_mappings(
    model: str, found: FoundFile, file: NamedTensors, folders: Sequence[Path], read: _ReadFile
) -> _ModelFiles:
    """A file with the released keys, and the two mapping networks, which were released apart, from beside it."""
    held = file.nets()
    siblings = [mapping for mapping in MAPPINGS if mapping is not found.released]
    missing = set(FAMILIES[RELEASED].networks.names()) - set(held) - set(_MAPPED)
    if missing:
        raise CheckpointMismatch(
            f"{file.source} holds {shorten_names(sorted(held))} but not {shorten_names(sorted(missing))}: it is "
            f"a partial model.{file.expected} Choose one of {', '.join(RELEASED_MODELS)}."
        )
    folders = (found.path.parent, *folders)
    paths = {mapping: find(mapping.name, folders) for mapping in siblings}
    if not any(paths.values()):
        absent = "; ".join(mapping.describe() for mapping in siblings)
        raise CheckpointMissing(
            f"{found.path.name} needs the mapping networks beside it, and there is no {absent}. "
            f"Folders searched: {searched(folders)}."
        )
    mappings = [read(path, mapping) for mapping, path in paths.items() if path]
    return _ModelFiles.of_released(model, _side_by_name(found), [file, *mappings], folders)


def _build(files: _ModelFiles, ops: Any) -> SadTalkerModel:
    """The networks out of what was read. Raises CheckpointMismatch where one is missing."""
    nets: dict[str, nn.Module] = {}
    for file in files.own:
        nets = {**_own_nets(file, ops, but=nets), **nets}
    own, released = frozenset(nets), FAMILIES[RELEASED].networks.names()
    for file in files.released:
        for net, tensors in file.nets().items():
            if net in released and net not in own:  # what a file holds for training alone stays there
                nets[net] = load_weights(build_released(net, ops), tensors, file.source, file.expected)
    unmapped = [net for net in _MAPPED if net not in nets] if files.released else []
    missing = {}
    if len(unmapped) < len(_MAPPED):  # one of them has to be there
        missing = {net: _missing_sentence(_MAPPED[net], files.folders) for net in unmapped}
    wanted = files.family.networks.names()
    absent = [net for net in wanted if net not in nets and net not in missing]
    if absent:
        raise CheckpointMismatch(
            f"{files.source} lacks {shorten_names(absent)}: a {files.family.name} model has "
            f"{', '.join(wanted)}.{files.expected}"
        )
    detector, mesh = embedded_face_nets(ops=ops)
    embedded = {
        FACE_DETECTOR.name: detector,
        FACE_MESH.name: mesh,
        PERSON_SEGMENTER.name: embedded_person_segmenter(ops=ops),
    }
    whole = {**embedded, **{net: nets[net] for net in wanted if net in nets}}
    return SadTalkerModel(files.name, files.family, files.image_size, whole, missing)


#: the networks of which one may be missing, and their files
_MAPPED = {"mapping": MAPPING, "mapping_full": MAPPING_FULL}


def _missing_sentence(mapping: WeightsFile, folders: Sequence[Path]) -> str:
    return (
        f"the crop modes {MODES_OF_MAPPING[mapping.name]} need {mapping.describe()}, which is not below the folders "
        f"searched: {searched(folders)}. Get it from {mapping.url}, load the model with allow_download on, or choose "
        f"another crop_mode."
    )


def choose_points(
    choice: str, family: Family, folders: Sequence[Path], device: torch.device
) -> Callable[[FaceSelector], PointFinder] | None:
    """What makes the finder of 68 points for the selected face; None stands for the embedded mesh.

    choice: one of LANDMARKS; "auto" is the face-alignment package when it is installed and one of the folders holds its
        weights, and else the mesh
    Raises OptionError for another choice, and when the package was chosen and cannot be imported; CheckpointMissing
    when it was chosen and it, or its weights, are missing; CheckpointDamaged for its weight files. With "auto", a
    package that cannot be imported is skipped with a line in the log.
    """
    choice = one_of("landmarks", choice, LANDMARKS)
    if not family.needs_landmarks or choice == EMBEDDED_MESH:
        return None
    together = find_together(FACE_ALIGNMENT, folders)
    if together is not None and importlib.util.find_spec("face_alignment") is not None:
        for file in FACE_ALIGNMENT:
            require_weights(together / file.name, file, folders)
        try:
            import_package()
        except OptionError as error:
            if choice == FACE_ALIGNMENT_PACKAGE:
                raise
            why = import_failure(error.__cause__ or error)
            logging.warning("SadTalker: landmarks by the built-in face mesh, face-alignment fails (%s).", why)
            return None
        expected = {file.name: file.describe() for file in FACE_ALIGNMENT}
        return lambda selector: FaceAlignmentPoints(together, device, selector, expected=expected)
    if choice == FACE_ALIGNMENT_PACKAGE:
        missing = [file.describe() for file in FACE_ALIGNMENT if find(file.name, folders) is None]
        apart = "one folder that holds both" if together is None else "the package"
        raise CheckpointMissing(
            "landmarks: face-alignment needs the package face-alignment and its two weight files in one model folder "
            f"({searched(folders)}). Missing: {'; '.join(missing) or apart}. Or choose 'embedded mesh'."
        )
    logging.info("SadTalker: landmarks by the built-in face mesh, no face-alignment weights in %s.", searched(folders))
    return None


def save_model(path: Path | str, loaded: SadTalkerModel, nets: Sequence[str] | None = None) -> Path:
    """Write networks of a model (those of its family, when none are named) into one file that `load_model` reads."""
    names = nets or loaded.family.networks.names()
    chosen = dict(zip(names, loaded.bring(names), strict=True))
    configs = {name: config_of(net) for name, net in chosen.items()}
    metadata = Metadata(loaded.family.name, loaded.name, loaded.image_size, configs)
    return write_checkpoint(path, {name: net.state_dict() for name, net in chosen.items()}, metadata)


def build_released(name: str, ops: Any = nn) -> nn.Module:
    """A network of the released family with its released widths, on the meta device; `load_weights` it before use."""
    network = NETWORKS[name]
    return network.build(network.released_config(), ops)


def _side_by_name(file: FoundFile) -> int:
    """256 or 512: the tensors of both releases have the same names and shapes, so only the file's name can tell."""
    size = next((m.image_size for m in RELEASED_MODELS.values() if file.released in m.sets[0]), None)
    if size is not None:
        return size
    name = shorten(file.path.name)
    if "512" in file.path.name:
        logging.info("SadTalker: %s is treated as a 512 model, because its name contains 512.", name)
        return 512
    if "256" not in file.path.name:
        logging.warning(
            "SadTalker: %s is treated as a 256 model. The files of both sizes look the same inside: if it is 512, "
            "rename it so that its name contains 512; if not, put 256 into its name to silence this message.",
            name,
        )
    return 256


def _own_nets(read: NamedTensors, ops: Any, but: Container[str] = ()) -> dict[str, nn.Module]:
    """The networks of a file with our names, as wide as in its metadata, without those that exist already."""
    if read.metadata is None:
        raise CheckpointMismatch(f"{read.source} lacks the metadata that describes its networks.")
    nets = {}
    for name, tensors in read.nets().items():
        if name not in NETWORKS or name not in read.metadata.configs:
            raise CheckpointMismatch(
                f"{read.source} holds an unknown network {shorten(repr(name), 60)}, or its config is missing from the "
                f"metadata; known are {', '.join(NETWORKS)}."
            )
        if name in but:
            continue
        network = NETWORKS[name]
        config = network.read_config(read.metadata.configs[name], read.source)
        try:
            net = network.build(config, ops)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:  # widths that do not fit
            raise CheckpointMismatch(
                f"no {name} can be made as wide as in the metadata of {read.source} ({shorten(error, 100)})."
            ) from error
        nets[name] = load_weights(net, tensors, read.source, read.expected)
    return nets


__all__ = [
    "LANDMARKS",
    "NETWORKS",
    "SadTalkerModel",
    "assemble_mini",
    "assemble_released",
    "build_released",
    "choose_points",
    "load_weights",
    "load_model",
    "require_nets",
    "save_model",
]
