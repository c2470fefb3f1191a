"""Small and large files in the released layouts, filled with numbers that tell the tensors apart."""

from __future__ import annotations

import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from sadtalker_core.checkpoint.catalog import WeightsFile
from tests.parity.rule import released_keys

FLAT_PREFIXES = ("kp_extractor.", "generator.", "audio2exp.", "audio2pose.", "face_3drecon.")


def value(key: str) -> float:
    """The number that a tensor is filled with: another one for every key."""
    return zlib.crc32(key.encode()) / 2**32


def tensors(prefix: str | tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Canonical key -> tensor of the released shape, filled with `value(key)`."""
    return {
        key: torch.zeros(shape, dtype=torch.long)
        if key.endswith("num_batches_tracked")
        else torch.full(shape, value(key))
        for key, shape in released_keys().items()
        if key.startswith(prefix)
    }


def write(file: WeightsFile, folder: Path) -> Path:
    """Write a released file as it was released: flat safetensors, or a pickle with other things beside the tensors."""
    path = folder / file.name
    if "" in file.entries:
        save_file(tensors(FLAT_PREFIXES), path)
        return path
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4}]}
    content: dict = {"epoch": 20, "optimizer": optimizer}
    for entry, prefix in file.entries.items():
        content[entry] = {key[len(prefix) :]: tensor for key, tensor in tensors(prefix).items()}
    torch.save(content, path)
    return path
