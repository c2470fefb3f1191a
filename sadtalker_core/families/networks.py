"""The networks that models are made of: each has a name, which files know it by, and a class, which a type checker
knows it by. `EXPNET` is no network but stands for one: `model.use(EXPNET)` hands out the model's `ExpNet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints, overload

import torch
from torch import nn

from ..errors import CheckpointMismatch, shorten
from ..face.detector import FaceDetector
from ..face.linear_3dmm import Linear3DMM, Linear3DMMConfig
from ..face.mesh import FaceMesh
from ..face.person import PersonSegmenter
from ..face.recon import RELEASED_FACE_RECON, FaceReconConfig, FaceReconNet
from ..motion.expnet import RELEASED_EXPNET, ExpNet, ExpNetConfig
from ..motion.posevae import RELEASED_POSEVAE, PoseVAE, PoseVAEConfig
from ..render.facevid2vid.generator import RELEASED_GENERATOR, Generator, GeneratorConfig
from ..render.facevid2vid.keypoints import RELEASED_KEYPOINTS, KeypointConfig, KeypointDetector
from ..render.facevid2vid.motion_estimator import (
    RELEASED_MOTION_ESTIMATOR,
    MotionEstimator,
    MotionEstimatorConfig,
)
from ..render.mapping import RELEASED_MAPPING, RELEASED_MAPPING_FULL, MappingConfig, MappingNet
from ..render.meshwarp.network import FlowRenderer, FlowRendererConfig

#: the largest widths and numbers of layers that a file's metadata may state
WIDEST, MOST_LAYERS = 8192, 64
#: Numbers beyond this are no weights: trained ones stay far below, and squares of larger ones leave float32.
LARGEST_WEIGHT = 1e12

Kind = TypeVar("Kind", bound=nn.Module, covariant=True)
N = TypeVar("N", bound=nn.Module)
N2 = TypeVar("N2", bound=nn.Module)
N3 = TypeVar("N3", bound=nn.Module)
N4 = TypeVar("N4", bound=nn.Module)


@dataclass(frozen=True)
class Network(Generic[Kind]):
    """A network that a model may have.  name: ours;  kind: its class."""

    name: str
    kind: type[Kind]


@dataclass(frozen=True)
class StoredNetwork(Network[Kind]):
    """One that comes out of a checkpoint.

    name:     also the prefix of its tensors' names there
    config:   the class of its config, which metadata may spell out
    released: the config of the released widths; None for one that belongs to the mini family alone
    """

    config: type
    released: Any = None

    def released_config(self) -> Any:
        if self.released is None:
            raise ValueError(f"{self.kind.__name__} belongs to the mini family and has no released config")
        return self.released

    def read_config(self, config: Mapping[str, Any], source: str) -> Any:
        """The config that a file's metadata spells out; fields that it leaves out keep their defaults.

        Raises CheckpointMismatch for a field that the config does not have, or a value that it cannot have.
        """
        return _config(self.config, config, f"{source}, the config of {self.kind.__name__}")

    def build(self, config: Any, ops: Any = nn) -> Kind:
        """The network on the meta device: shapes without numbers, so that none are drawn and discarded."""
        with torch.device("meta"):
            return self.kind(config, ops=ops)


class NetworkHost:
    """Whoever has a model's networks: a `SadTalkerModel`, or the node layer's resident one."""

    def bring(self, names: Sequence[str], *, working_bytes: int = 0) -> list[nn.Module]:
        """The networks of these names, in that order, on their device, with so much memory left for activations.

        Raises CheckpointMissing for one whose file is missing.
        """
        raise NotImplementedError

    @overload
    def use(self, first: Network[N], /, *, working_bytes: int = 0) -> tuple[N]: ...

    @overload
    def use(self, first: Network[N], second: Network[N2], /, *, working_bytes: int = 0) -> tuple[N, N2]: ...

    @overload
    def use(
        self, first: Network[N], second: Network[N2], third: Network[N3], /, *, working_bytes: int = 0
    ) -> tuple[N, N2, N3]: ...

    @overload
    def use(
        self,
        first: Network[N],
        second: Network[N2],
        third: Network[N3],
        fourth: Network[N4],
        /,
        *,
        working_bytes: int = 0,
    ) -> tuple[N, N2, N3, N4]: ...

    def use(self, *networks: Network[nn.Module], working_bytes: int = 0) -> tuple[nn.Module, ...]:
        """What `bring` brings, each with its type: a network is brought together with those that it works with, so
        that none of them makes room for another. A generator may be one that is arranged for speed.
        """
        brought = self.bring([network.name for network in networks], working_bytes=working_bytes)
        return cast("tuple[nn.Module, ...]", tuple(brought))  # built as `NETWORKS` specifies


#: embedded in the pack, and part of every model
FACE_DETECTOR = Network("face_detector", FaceDetector)
FACE_MESH = Network("face_mesh", FaceMesh)
PERSON_SEGMENTER = Network("person_segmenter", PersonSegmenter)

FACE_RECON = StoredNetwork("face_recon", FaceReconNet, FaceReconConfig, RELEASED_FACE_RECON)
EXPNET = StoredNetwork("expnet", ExpNet, ExpNetConfig, RELEASED_EXPNET)
POSEVAE = StoredNetwork("posevae", PoseVAE, PoseVAEConfig, RELEASED_POSEVAE)
MAPPING = StoredNetwork("mapping", MappingNet, MappingConfig, RELEASED_MAPPING)
MAPPING_FULL = StoredNetwork("mapping_full", MappingNet, MappingConfig, RELEASED_MAPPING_FULL)
KEYPOINT_DETECTOR = StoredNetwork("keypoint_detector", KeypointDetector, KeypointConfig, RELEASED_KEYPOINTS)
GENERATOR = StoredNetwork("generator", Generator, GeneratorConfig, RELEASED_GENERATOR)
#: for training alone
MOTION_ESTIMATOR = StoredNetwork("motion_estimator", MotionEstimator, MotionEstimatorConfig, RELEASED_MOTION_ESTIMATOR)
LINEAR_3DMM = StoredNetwork("linear_3dmm", Linear3DMM, Linear3DMMConfig)
FLOW_RENDERER = StoredNetwork("flow_renderer", FlowRenderer, FlowRendererConfig)


@dataclass(frozen=True)
class FamilyNetworks:
    """The networks that every family has."""

    face_detector: Network[FaceDetector] = FACE_DETECTOR
    face_mesh: Network[FaceMesh] = FACE_MESH
    expnet: StoredNetwork[ExpNet] = EXPNET
    posevae: StoredNetwork[PoseVAE] = POSEVAE
    mapping: StoredNetwork[MappingNet] = MAPPING

    def own(self) -> tuple[StoredNetwork[Any], ...]:
        """Those that its files hold, in the order in which they are written."""
        raise NotImplementedError

    def names(self) -> tuple[str, ...]:
        """Their names in files, which are the prefixes of their tensors' names, too."""
        return tuple(network.name for network in self.own())


@dataclass(frozen=True)
class ReleasedNetworks(FamilyNetworks):
    """Those of the released family; `mapping_full` serves the full crop modes, `mapping` the others."""

    face_recon: StoredNetwork[FaceReconNet] = FACE_RECON
    mapping_full: StoredNetwork[MappingNet] = MAPPING_FULL
    keypoint_detector: StoredNetwork[KeypointDetector] = KEYPOINT_DETECTOR
    generator: StoredNetwork[Generator] = GENERATOR

    def own(self) -> tuple[StoredNetwork[Any], ...]:
        return (
            self.face_recon,
            self.expnet,
            self.posevae,
            self.mapping,
            self.mapping_full,
            self.keypoint_detector,
            self.generator,
        )


@dataclass(frozen=True)
class MiniNetworks(FamilyNetworks):
    """Those of the mini family."""

    person_segmenter: Network[PersonSegmenter] = PERSON_SEGMENTER
    linear_3dmm: StoredNetwork[Linear3DMM] = LINEAR_3DMM
    flow_renderer: StoredNetwork[FlowRenderer] = FLOW_RENDERER

    def own(self) -> tuple[StoredNetwork[Any], ...]:
        return self.linear_3dmm, self.expnet, self.posevae, self.mapping, self.flow_renderer


#: all that a file may hold, by name
NETWORKS: Mapping[str, StoredNetwork[Any]] = {
    network.name: network for network in (*ReleasedNetworks().own(), MOTION_ESTIMATOR, LINEAR_3DMM, FLOW_RENDERER)
}


def config_of(net: nn.Module) -> dict[str, Any]:
    """The config of a stored network, as metadata spells it out."""
    config: Any = net.config
    return asdict(config)


def _config(kind: type, config: Any, source: str) -> Any:
    if not isinstance(config, Mapping):
        raise CheckpointMismatch(f"{source} is {shorten(repr(config), 60)}; expected names and values.")
    hints = get_type_hints(kind)
    unknown = set(config) - {field.name for field in fields(kind)}
    if unknown:
        names = shorten_names(sorted(unknown))
        raise CheckpointMismatch(f"{source} names {names}, unknown to this version of the pack.")
    values = {}
    for name, value in config.items():
        if is_dataclass(hints[name]):
            values[name] = _config(hints[name], value, source)
        elif _can_be(hints[name], value, MOST_LAYERS if name.endswith(("levels", "blocks")) else WIDEST):
            values[name] = _frozen(value)
        else:
            raise CheckpointMismatch(f"{source} has {name} = {shorten(repr(value), 60)}, which is not possible.")
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


def _frozen(value: Any) -> Any:
    """JSON has lists where configs have tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def shorten_names(names: Iterable[object], shown: int = 4) -> str:
    """The first of these names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(shorten(name, 100) for name in names[:shown]) + more
