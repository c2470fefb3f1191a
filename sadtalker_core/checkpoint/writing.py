"""Networks' tensors and their configs come in, one safetensors file with our names goes out; see `reading`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..saving import save_tensors
from . import stored_names
from .reading import METADATA_KEY, Metadata


def write_checkpoint(path: Path | str, nets: Mapping[str, Mapping[str, Tensor]], metadata: Metadata) -> Path:
    """Write networks, {our name: {its own path: tensor}}, into one file; it appears whole or not at all.

    Tensors keep their dtype, and are stored contiguous and unshared. metadata.configs must name every network.
    """
    nameless = sorted(set(nets) - set(metadata.configs))
    if nameless:
        raise ValueError(f"the metadata has no config for {', '.join(nameless)}")
    tensors = {
        f"{net}.{name}": tensor.detach().cpu().contiguous().clone()
        for net, parts in nets.items()
        for name, tensor in parts.items()
    }
    return save_tensors(Path(path), stored_names.for_file(tensors), {"format": "pt", METADATA_KEY: metadata.to_json()})
