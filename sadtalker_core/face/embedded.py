"""The embedded face networks: the pack's own files in, networks that find faces out. No download, no choice of device.

assets/face_mesh.safetensors holds the tensors of `FaceDetector` under "detector." and of `FaceMesh` under "mesh.", in
half precision, assets/person.safetensors those of `PersonSegmenter`; training/convert_face_mesh.py made both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .detector import FaceDetector
from .mesh import FaceMesh
from .person import PersonSegmenter

ASSETS = Path(__file__).resolve().parent.parent / "assets"
FACE_MESH_FILE = ASSETS / "face_mesh.safetensors"
PERSON_FILE = ASSETS / "person.safetensors"


def build_face_nets(tensors: dict[str, Tensor], *, ops: Any = nn) -> tuple[FaceDetector, FaceMesh]:
    """The tensors of face_mesh.safetensors -> both networks in float32, in eval mode, on the CPU."""
    detector, mesh = FaceDetector(ops=ops), FaceMesh(ops=ops)
    for name, net in (("detector", detector), ("mesh", mesh)):
        own = {
            our_name(key).removeprefix(f"{name}."): t.float()
            for key, t in tensors.items()
            if key.startswith(f"{name}.")
        }
        net.load_state_dict(own, strict=True)
        net.eval().requires_grad_(False)
    return detector, mesh


def embedded_face_nets(*, ops: Any = nn) -> tuple[FaceDetector, FaceMesh]:
    """Read the pack's own file and build both networks."""
    from safetensors.torch import load_file

    return build_face_nets(load_file(FACE_MESH_FILE), ops=ops)


def embedded_person_segmenter(*, ops: Any = nn) -> PersonSegmenter:
    """Read the pack's own file and build the network, in float32, in eval mode, on the CPU."""
    from safetensors.torch import load_file

    net = PersonSegmenter(ops=ops)
    net.load_state_dict({key: tensor.float() for key, tensor in load_file(PERSON_FILE).items()}, strict=True)
    net.eval().requires_grad_(False)
    return net


def our_name(key: str) -> str:
    """Of a tensor in the file, which calls the two detectors near and far."""
    return key.replace("detector.near.", "detector.short_range.").replace("detector.far.", "detector.full_range.")
