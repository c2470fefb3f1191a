"""What the tests of a second device let talk: the mini, and a released model with a handful of channels."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import sadtalker_core
from tests.face.images import astronaut, resized
from tests.training import narrow_model

NARROW = "narrow.safetensors"
MINI, RELEASED = "mini", f"file/{NARROW}"
CROP_COLUMNS = slice(70, 73)


def portrait() -> torch.Tensor:
    """(192, 192, 3) in 0..1."""
    return resized(astronaut(), 192, 192)


def _voice(seconds: float = 0.2) -> tuple[torch.Tensor, int]:
    """Noise that swells four times a second."""
    time = torch.arange(round(seconds * 16_000))
    swell = (time * (2 * torch.pi * 4 / 16_000)).sin().clamp(min=0)
    return torch.randn(len(time), generator=torch.Generator().manual_seed(7)).clamp(-4, 4) * swell * 0.2, 16_000


VOICE = _voice()


def write_narrow(folder: Path) -> Path:
    """A released model as a training of narrow networks exports it, with norms that no longer are those of new
    networks, and with key points that move: the mapping's answers are made larger.
    """
    path = narrow_model.write(folder / NARROW)
    with safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    seeded = torch.Generator().manual_seed(5)
    for name, tensor in tensors.items():
        if name.endswith(("running_mean", "running_var")):
            low, high = (0.5, 1.5) if name.endswith("var") else (-0.3, 0.3)
            tensor.uniform_(low, high, generator=seeded)
        if name.startswith("mapping") and name.endswith(("offsets.weight", "translation.weight")):
            tensor.mul_(20)
        if name == "mapping_full.stem.weight":
            tensor[:, CROP_COLUMNS].mul_(0.001)  # pixels
    save_file(tensors, path, metadata=metadata)
    return path


def load(model: str, folder: Path, **arguments) -> sadtalker_core.SadTalker:
    return sadtalker_core.load(model, models=folder, **arguments)


def clip(
    model: sadtalker_core.SadTalker, crop_mode: str = "crop", paste_back: bool = False, **arguments
) -> sadtalker_core.Video:
    """0.2 s of talk, 5 frames."""
    options = sadtalker_core.Options(
        crop_mode=crop_mode,
        paste_back=paste_back,
        pose_style=3,
        blink_rate=60.0,
        landmarks="embedded mesh",
        **arguments,
    )
    return model.animate(portrait(), VOICE, options)
