"""Named tensors come in, one safetensors file goes out: whole, and readable for whoever may read other new files."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor


def save_whole(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    """The file appears whole or not at all. Tensors are contiguous and unshared.

    safetensors itself writes files that only their owner can read, and ComfyUI may run as somebody else.
    """
    from safetensors.torch import save_file

    unfinished = path.with_name(f"{path.name}.part")
    unfinished.touch()
    mode = unfinished.stat().st_mode
    save_file(tensors, str(unfinished), metadata=metadata)
    unfinished.chmod(mode)
    os.replace(unfinished, path)
    return path
