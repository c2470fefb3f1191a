"""A model's name and the folders of its files come in, networks that are ready to run go out.

Files are read by `checkpoint`, which gives every tensor our name, "net.path.of.the.tensor"; `NETWORKS` says in which
module each network is defined. So nothing here knows a released key, and nothing in `checkpoint` knows a network.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

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
)  # fmt: skip
from .checkpoint.fetch import fetch_model
from .checkpoint.reading import Metadata, NamedTensors, read_tensors, require_weights
from .checkpoint.writing import write_checkpoint
from .choices import one_of
from .datatypes import MINI, RELEASED
from .errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, OptionError, import_failure, shorten
from .face.face_alignment_points import FaceAlignmentPoints, import_package
from .face.points import FaceSelector, PointFinder
from .render.batches import memory_ran_out
from .render.estimate import free_bytes
from .threads import few_threads

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class SadTalkerModel:
    """Everything that a model brings: its networks by our names, in float32 on the CPU, in eval mode, without
    gradients.

    name: what the user chose;  family: RELEASED or MINI;  image_size: the side of the square it drives, in pixels
    nets: "face_detector" and "face_mesh" always; then
          released: face_recon, expnet, posevae, mapping, mapping_full, keypoint_detector, generator
          mini:     linear_3dmm, expnet, posevae, mapping, flow_renderer
    missing: {net: why it is not among them}: one of the two mapping networks may lack, and is missed where it is needed
    """

    name: str
    family: str
    image_size: int
    nets: Mapping[str, nn.Module]
    missing: Mapping[str, str] = field(default_factory=dict)

    def use(self, *nets: str, working_bytes: int = 0) -> list[nn.Module]:
        """These networks, in that order. They compute where they are; working_bytes is for a host that frees memory.

        Raises CheckpointMissing for one whose file is missing.
        """
        require_nets(nets, self.missing)
        return [self.nets[net] for net in nets]

    def free_bytes(self, device: torch.device) -> int:
        """What is free there, as far as torch knows."""
        return free_bytes(device)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether that was it."""
        return memory_ran_out(error)


def require_nets(nets: Sequence[str], missing: Mapping[str, str]) -> None:
    """Raises CheckpointMissing for the first of these networks that is lacking, {net: why}."""
    for net in nets:
        if net in missing:
            raise CheckpointMissing(missing[net])


@dataclass(frozen=True)
class NetworkSpec:
    """Where a network is drawn.  module: where;  network, config: names in there;  released: name of the released
    config."""

    module: str
    net: str
    config: str
    released: str | None = None

    def released_config(self) -> Any:
        if self.released is None:
            raise ValueError(f"{self.net} belongs to the mini family and has no released config")
        return getattr(self._module(), self.released)

    def read_config(self, config: Mapping[str, Any], source: str) -> Any:
        """The config that a file's metadata spells out; fields that it leaves out keep their defaults.

        Raises CheckpointMismatch for a field that the config does not have, or a value that it cannot have.
        """
        return _config(getattr(self._module(), self.config), config, f"{source}, the config of {self.net}")

    def build(self, config: Any, ops=nn) -> nn.Module:
        """The network on the meta device: shapes without numbers, so that none are drawn only to be thrown away."""
        with torch.device("meta"):
            return getattr(self._module(), self.net)(config, ops=ops)

    def _module(self):
        return importlib.import_module(f".{self.module}", __package__)


#: our name of a net = the prefix of its tensor names
NETWORKS: Mapping[str, NetworkSpec] = {
    "face_recon": NetworkSpec("face.recon", "FaceReconNet", "FaceReconConfig", "RELEASED_FACE_RECON"),
    "expnet": NetworkSpec("motion.expnet", "ExpNet", "ExpNetConfig", "RELEASED_EXPNET"),
    "posevae": NetworkSpec("motion.posevae", "PoseVAE", "PoseVAEConfig", "RELEASED_POSEVAE"),
    "mapping": NetworkSpec("render.mapping", "MappingNet", "MappingConfig", "RELEASED_MAPPING"),
    "mapping_full": NetworkSpec("render.mapping", "MappingNet", "MappingConfig", "RELEASED_MAPPING_FULL"),
    "keypoint_detector": NetworkSpec(
        "render.facevid2vid.keypoints", "KeypointDetector", "KeypointConfig", "RELEASED_KEYPOINTS"
    ),
    "generator": NetworkSpec("render.facevid2vid.generator", "Generator", "GeneratorConfig", "RELEASED_GENERATOR"),
    "motion_estimator": NetworkSpec(
        "render.facevid2vid.motion_estimator", "MotionEstimator", "MotionEstimatorConfig", "RELEASED_MOTION_ESTIMATOR"
    ),
    "linear_3dmm": NetworkSpec("face.linear_3dmm", "Linear3DMM", "Linear3DMMConfig"),
    "flow_renderer": NetworkSpec("render.meshwarp.network", "FlowRenderer", "FlowRendererConfig"),
}
FAMILY_NETS: Mapping[str, tuple[str, ...]] = {
    RELEASED: ("face_recon", "expnet", "posevae", "mapping", "mapping_full", "keypoint_detector", "generator"),
    MINI: ("linear_3dmm", "expnet", "posevae", "mapping", "flow_renderer"),
}
#: the embedded files of the mini family, each with our own metadata
MINI_FILES = ("linear_3dmm.safetensors", "mini_motion.safetensors", "mini_renderer.safetensors")
MINI_IMAGE_SIZE = 256

#: what a file may say about the widths of its networks, and about how many layers they have
WIDEST, MOST_LAYERS = 8192, 64
#: Numbers beyond this are no weights: trained ones stay far below, and squares of larger ones leave float32.
LARGEST_WEIGHT = 1e12

#: which landmarks the released family goes by; the mini family has its own mesh
LANDMARKS = AUTO, FACE_ALIGNMENT_PACKAGE, EMBEDDED_MESH = ("auto", "face-alignment", "embedded mesh")


@few_threads()
def load_model(
    model: str,
    folders: Sequence[Path],
    *,
    ops=nn,
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
    if model == MINI_MODEL:
        return assemble_mini(ops)
    if allow_download and model in RELEASED_MODELS:
        fetch_model(model, folders, on_progress=on_progress)
    found = find_files(model, folders)
    read = functools.partial(read_tensors, folders=folders, use_mmap=use_mmap, on_progress=on_progress)
    if model.startswith(FILE_PREFIX):
        loaded = _assemble_file(model, found[0], folders, ops, read)
    else:
        files = [read(file.path, file.released) for file in found]
        loaded = _assemble(model, RELEASED_MODELS[model].image_size, files, folders, ops)
    for sentence in loaded.missing.values():
        logging.warning("SadTalker: %s", sentence)
    return loaded


def assemble_released(name: str, image_size: int, files: Sequence[FoundFile], folders: Sequence[Path] = (),
                      ops=nn) -> SadTalkerModel:  # fmt: skip
    """The released networks out of their files, whichever file holds which. One of the two mapping networks may
    lack."""
    read = [read_tensors(file.path, file.released, folders) for file in files]
    return _assemble(name, image_size, read, folders, ops)


def _assemble(name: str, image_size: int, read: Sequence[NamedTensors], folders: Sequence[Path], ops) -> SadTalkerModel:
    nets: dict[str, nn.Module] = {}
    for file in read:
        for net, tensors in file.nets().items():
            if net in FAMILY_NETS[RELEASED]:  # what a file holds for training alone stays there
                nets[net] = load_weights(build_released(net, ops), tensors, file.source, file.expected)
    sources, expected = " and ".join(file.source for file in read), "".join(file.expected for file in read)
    missing = {net: _not_there(file, folders) for net, file in _MAPPED.items() if net not in nets}
    if len(missing) == len(_MAPPED):
        missing = {}  # one of them has to be there
    return _checked_model(name, RELEASED, image_size, nets, sources, ops, expected, missing)


#: the networks of which one may lack, and their files
_MAPPED = {"mapping": MAPPING, "mapping_full": MAPPING_FULL}


def _not_there(mapping: WeightsFile, folders: Sequence[Path]) -> str:
    return (
        f"the crop modes {MODES_OF_MAPPING[mapping.name]} need {mapping.describe()}, which is not below the folders "
        f"searched: {searched(folders)}. Get it from {mapping.url} or switch on allow_download at Load SadTalker "
        f"Model, or choose another crop_mode."
    )


def assemble_mini(ops=nn) -> SadTalkerModel:
    """The built-in networks, out of the pack's own files."""
    nets = {}
    for name in MINI_FILES:
        nets.update(_own_nets(read_tensors(ASSETS / name), ops))
    return _checked_model(MINI_MODEL, MINI, MINI_IMAGE_SIZE, nets, "the pack itself", ops)


def choose_points(choice: str, family: str, folders: Sequence[Path],
                  device: torch.device) -> Callable[[FaceSelector], PointFinder] | None:  # fmt: skip
    """What makes the finder of 68 points for the face that is meant; None stands for the embedded mesh.

    choice: one of LANDMARKS; "auto" is the face-alignment package when it is installed and one of the folders holds its
        weights, and else the mesh
    Raises OptionError for another choice, and when the package was chosen and cannot be imported; CheckpointMissing
    when it was chosen and lacks, or its weights; CheckpointDamaged for its weight files. Where nobody chose it, a
    package that cannot be imported is left alone with a line in the log.
    """
    choice = one_of("landmarks", choice, LANDMARKS)
    if family == MINI or choice == EMBEDDED_MESH:
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
    names = nets or FAMILY_NETS[loaded.family]
    chosen = dict(zip(names, loaded.use(*names), strict=True))
    configs = {name: _config_dict(net.config) for name, net in chosen.items()}
    metadata = Metadata(loaded.family, loaded.name, loaded.image_size, configs)
    return write_checkpoint(path, {name: net.state_dict() for name, net in chosen.items()}, metadata)


def build_released(name: str, ops=nn) -> nn.Module:
    """A network of the released family with its released widths, on the meta device; `load_weights` it before use."""
    spec = NETWORKS[name]
    return spec.build(spec.released_config(), ops)


def load_weights(net: nn.Module, tensors: Mapping[str, Tensor], source: str, expected: str = "") -> nn.Module:
    """Pour tensors into a network, every parameter and buffer exactly once, and still it: eval mode, no gradients,
    float32.

    tensors: by the net's own paths;  source: what the user knows them by, a file's name
    expected: what else the sentence says about that file, beginning with a space
    Raises CheckpointMismatch naming the tensors that lack, are too many, or have another shape or kind, and
    CheckpointDamaged for numbers that no training has left: see `require_sound`.
    """
    wanted = net.state_dict()
    both = [name for name in wanted if name in tensors]
    missing = [name for name in wanted if name not in tensors]
    unexpected = [shorten(name, 60) for name in tensors if name not in wanted]
    misshapen = [f"{name} {_shape(tensors[name])} instead of {_shape(wanted[name])}"
                 for name in both if tensors[name].shape != wanted[name].shape]  # fmt: skip
    other_kind = [f"{name} in {tensors[name].dtype}" for name in both
                  if tensors[name].is_floating_point() != wanted[name].is_floating_point()]  # fmt: skip
    faults = (("lacks", missing), ("has too many:", unexpected), ("has", misshapen), ("has", other_kind))
    problems = [f"it {verb} {_shorten(names)}" for verb, names in faults if names]
    if problems:
        raise CheckpointMismatch(f"{source} does not fit {type(net).__name__}: {'; '.join(problems)}.{expected}")
    ready = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    require_sound(ready, source, type(net).__name__, expected)
    net.load_state_dict(ready, strict=True, assign=True)
    unfilled = [name for name, buffer in net.named_buffers() if buffer.is_meta]
    if unfilled:
        raise RuntimeError(f"{type(net).__name__} computes {unfilled} in its constructor; make them persistent instead")
    return net.eval().requires_grad_(False)


def require_sound(tensors: Mapping[str, Tensor], source: str, net: str, expected: str = "") -> None:
    """Raises CheckpointDamaged for weights that are NaN or infinite, infinite, absurdly large or all zero, and for
    variances below zero. One look at each number: 0.05 s of one thread for a released model.
    """
    silent = True
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.is_meta or not tensor.numel():
            continue
        least, most = (float(value) for value in tensor.aminmax())
        if not -LARGEST_WEIGHT <= least <= most <= LARGEST_WEIGHT:  # false for what is no number, too
            what = f"{least:.3g} to {most:.3g}" if least == least else "values that are NaN"
            raise CheckpointDamaged(f"{source} cannot be used: {name} of {net} holds {what}. The file is damaged, or "
                                    f"its training diverged.{expected}")  # fmt: skip
        if name.endswith("running_var") and least < 0:
            raise CheckpointDamaged(f"{source} cannot be used: {name} of {net}, a variance, is {least:.3g}. The "
                                    f"file is damaged.{expected}")  # fmt: skip
        silent = silent and (tensor.ndim < 2 or least == most == 0)
    if silent and any(tensor.ndim >= 2 for tensor in tensors.values()):
        raise CheckpointDamaged(f"{source} cannot be used: all weights of {net} are zero. Download it again.{expected}")


def _assemble_file(model: str, file: FoundFile, folders: Sequence[Path], ops,
                   read_file: Callable[..., NamedTensors]) -> SadTalkerModel:  # fmt: skip
    """One file that the user chose. It may be ours, and then it says what it is, or hold the released keys: then the
    two mapping networks, which were released apart, are looked for beside it."""
    read = read_file(file.path, file.released)
    if read.metadata is not None:
        return _assemble_own(model, read, read.metadata, folders, ops, read_file)
    held = read.nets()
    siblings = [mapping for mapping in MAPPINGS if mapping is not file.released]
    missing = set(FAMILY_NETS[RELEASED]) - set(held) - {"mapping", "mapping_full"}
    if missing:
        raise CheckpointMismatch(
            f"{read.source} holds {_shorten(sorted(held))} but not {_shorten(sorted(missing))}: it is a partial "
            "model."
            f"{read.expected} Choose one of {', '.join(RELEASED_MODELS)}."
        )
    folders = (file.path.parent, *folders)
    paths = {mapping: find(mapping.name, folders) for mapping in siblings}
    if not any(paths.values()):
        absent = "; ".join(mapping.describe() for mapping in siblings)
        raise CheckpointMissing(f"{file.path.name} needs the mapping networks beside it, and there is no {absent}. "
                                f"Folders searched: {searched(folders)}.")  # fmt: skip
    mappings = [read_file(path, mapping) for mapping, path in paths.items() if path]
    return _assemble(model, _side_by_name(file), [read, *mappings], folders, ops)


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
            "rename it so that its name contains 512; if not, put 256 into its name to silence this message.", name
        )  # fmt: skip
    return 256


def _assemble_own(model: str, read: NamedTensors, metadata: Metadata, folders: Sequence[Path], ops,
                  read_file: Callable[..., NamedTensors]) -> SadTalkerModel:  # fmt: skip
    if metadata.family not in FAMILY_NETS:
        raise CheckpointMismatch(f"{read.source} is of the family {shorten(repr(metadata.family), 60)}; known are "
                                 f"{_shorten(FAMILY_NETS)}.")  # fmt: skip
    nets, missing = _own_nets(read, ops), {}
    base = metadata.base or (MINI_MODEL if metadata.family == MINI else None)
    if base and set(FAMILY_NETS[metadata.family]) - set(nets):
        if base.startswith(FILE_PREFIX):
            raise CheckpointMismatch(f"{read.source} builds on {shorten(repr(base), 60)}; only {MINI_MODEL} or a "
                                     f"released model can be.")  # fmt: skip
        below = _load_base(base, folders, ops, read_file)
        missing = {net: why for net, why in below.missing.items() if net not in nets}
        nets = {**below.nets, **nets}
    return _checked_model(model, metadata.family, metadata.image_size, nets, read.source, ops, missing=missing)


def _load_base(base: str, folders: Sequence[Path], ops, read_file: Callable[..., NamedTensors]) -> SadTalkerModel:
    if base == MINI_MODEL:
        return assemble_mini(ops)
    files = [read_file(file.path, file.released) for file in find_files(base, folders)]
    return _assemble(base, RELEASED_MODELS[base].image_size, files, folders, ops)


def _own_nets(read: NamedTensors, ops) -> dict[str, nn.Module]:
    """The networks of a file with our names, as wide as its metadata says."""
    if read.metadata is None:
        raise CheckpointMismatch(f"{read.source} lacks the metadata that says what its networks are.")
    nets = {}
    for name, tensors in read.nets().items():
        if name not in NETWORKS or name not in read.metadata.configs:
            raise CheckpointMismatch(
                f"{read.source} holds an unknown network {shorten(repr(name), 60)}, or its config is missing from the "
                "metadata; "
                f"known are {', '.join(NETWORKS)}."
            )
        spec = NETWORKS[name]
        config = spec.read_config(read.metadata.configs[name], read.source)
        try:
            net = spec.build(config, ops)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:  # widths that do not fit
            raise CheckpointMismatch(f"no {name} can be made as wide as the metadata of {read.source} says "
                                     f"({shorten(error, 100)}).") from error  # fmt: skip
        nets[name] = load_weights(net, tensors, read.source, read.expected)
    return nets


def _checked_model(
    name: str,
    family: str,
    image_size: int,
    nets: dict[str, nn.Module],
    source: str,
    ops,
    expected: str = "",
    missing: Mapping[str, str] | None = None,
) -> SadTalkerModel:
    """missing: {net: why} of those that may lack"""
    missing = missing or {}
    absent = [net for net in FAMILY_NETS[family] if net not in nets and net not in missing]
    if absent:
        whole = ", ".join(FAMILY_NETS[family])
        raise CheckpointMismatch(f"{source} lacks {_shorten(absent)}: a {family} model has {whole}.{expected}")
    from .face.embedded import embedded_face_nets

    detector, mesh = embedded_face_nets(ops=ops)
    own = {net: nets[net] for net in FAMILY_NETS[family] if net in nets}
    return SadTalkerModel(name, family, image_size, {"face_detector": detector, "face_mesh": mesh, **own}, missing)


def _config(kind: type, config: Any, source: str) -> Any:
    if not isinstance(config, Mapping):
        raise CheckpointMismatch(f"{source} is {shorten(repr(config), 60)}; expected names and values.")
    hints = get_type_hints(kind)
    unknown = set(config) - {field.name for field in fields(kind)}
    if unknown:
        raise CheckpointMismatch(f"{source} names {_shorten(sorted(unknown))}, unknown to this version of the pack.")
    values = {}
    for name, value in config.items():
        if is_dataclass(hints[name]):
            values[name] = _config(hints[name], value, source)
        elif _can_be(hints[name], value, MOST_LAYERS if name.endswith(("levels", "blocks")) else WIDEST):
            values[name] = _frozen(value)
        else:
            raise CheckpointMismatch(f"{source} says {name} = {shorten(repr(value), 60)}, which cannot be.")
    try:
        return kind(**values)
    except ValueError as error:
        raise CheckpointMismatch(f"{source} cannot be: {shorten(error, 100)}.") from error


def _can_be(hint: Any, value: Any, most: int) -> bool:
    """Whether a value out of JSON is of the kind that a config's field has: a number in bounds, a list of such, yes."""
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        whole = isinstance(value, (list, tuple)) and 0 < len(value) <= MOST_LAYERS
        if whole and kinds[-1] is not ...:
            whole = len(value) == len(kinds)
        return whole and all(_can_be(kinds[0], item, most) for item in value)
    if hint is float:
        return type(value) in (int, float) and 0 < value <= LARGEST_WEIGHT
    if hint is int:
        return type(value) is int and (0 if most == MOST_LAYERS else 1) <= value <= most
    return type(value) is hint


def _config_dict(config: Any) -> dict[str, Any]:
    return asdict(config)


def _frozen(value: Any) -> Any:
    """JSON has lists where configs have tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _shorten(names, shown: int = 4) -> str:
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(shorten(name, 100) for name in names[:shown]) + more


__all__ = [
    "FAMILY_NETS",
    "LANDMARKS",
    "NETWORKS",
    "NetworkSpec",
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
