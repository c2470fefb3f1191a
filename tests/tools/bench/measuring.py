"""What all benches measure with: the reference convolution, processor time, peaks of memory, an image and a voice to
work on.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
LINUX_SELF = Path("/proc/self")


def machine() -> dict[str, Any]:
    """Whose numbers these are."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    facts = {name.strip(): value for name, _, value in (line.partition(": ") for line in lines)}
    flags = facts.get("flags", "").split()
    return {
        "processor": facts.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "bfloat16": [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def load() -> float | None:
    """How many programs wanted a core during the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


# ------------------------------------------------------------------------------------------------------------ time


def reference_convolution(clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of one 3 x 3 convolution 512 -> 256 at 128 x 128 in float32, the better of two."""
    import torch

    image, kernel = torch.ones(1, 512, 128, 128), torch.ones(256, 512, 3, 3)
    times = []
    for _ in range(2):
        started = clock()
        torch.nn.functional.conv2d(image, kernel, padding=1)
        times.append(clock() - started)
    return min(times)


def in_reference_convolutions(
    work: Callable[[], Any], clock: Callable[[], float] = time.process_time
) -> tuple[float, float, Any]:
    """Cost in reference convolutions taken before and after, seconds, and what the work gave."""
    before = reference_convolution(clock)
    started = clock()
    result = work()
    spent = clock() - started
    return spent / ((before + reference_convolution(clock)) / 2), spent, result


def processor_seconds() -> float:
    """Of this process and of the encoder that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# ---------------------------------------------------------------------------------------------------------- memory


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    if LINUX_SELF.exists():  # rusage would count what the parent held, too
        return _high_water_mb(LINUX_SELF)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def forget_peak() -> bool:
    """From now on `peak_mb` counts anew; only Linux can. Whether it did."""
    try:
        (LINUX_SELF / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def children_mb() -> list[float]:
    """The same of every program that this one has started; only Linux tells."""
    numbers = [number for file in LINUX_SELF.glob("task/*/children") for number in file.read_text().split()]
    return [_high_water_mb(LINUX_SELF.parent / number) for number in numbers]


def _high_water_mb(process: Path) -> float:
    lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0)


# ----------------------------------------------------------------------------------------------------- what to do


def sample_image(wide: bool):
    """(H, W, 3): the portrait as it is, 512 x 512, or enlarged and with its left edge drawn out to 1920 x 1080."""
    import numpy as np
    import torch
    from PIL import Image

    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the bench takes its portrait from scikit-image: pip install scikit-image")
    astronaut = Image.open(Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png").convert("RGB")
    if not wide:
        return torch.from_numpy(np.array(astronaut)).float() / 255
    pixels = np.pad(np.array(astronaut.resize((1080, 1080))), ((0, 0), (840, 0), (0, 0)), mode="edge")
    return torch.from_numpy(pixels).float() / 255


def drawn_face(side: int = 512, wide: bool = False):
    """(S, S, 3), or (9 / 16 W, W, 3): a face drawn with torch alone, which the pack's own detector finds."""
    import torch

    height, width = (side * 9 // 16, side) if wide else (side, side)
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-width / height, width / height, width), indexing="ij"
    )
    drawn = torch.full((height, width, 3), 0.35)
    skin, white, dark, lip = (0.85, 0.65, 0.55), (0.95, 0.95, 0.95), (0.15, 0.1, 0.1), (0.7, 0.25, 0.25)
    ovals = [(0.0, 0.0, 0.42, 0.56, 2.0, skin), (0.0, 0.07, 0.05, 0.14, 0.3, (0.7, 0.45, 0.4)),
             (0.0, 0.28, 0.16, 0.05, 2.0, lip)]  # fmt: skip
    for eye in (-0.17, 0.17):
        ovals += [(eye, -0.1, 0.09, 0.045, 2.0, white), (eye, -0.1, 0.035, 0.04, 3.0, dark),
                  (eye, -0.22, 0.11, 0.02, 2.0, dark)]  # fmt: skip
    for middle_x, middle_y, radius_x, radius_y, strength, colour in ovals:
        inside = 1 - ((x - middle_x) / radius_x) ** 2 - ((y - middle_y) / radius_y) ** 2
        share = (strength * inside.clamp(min=0).sqrt()).clamp(max=1)[..., None]
        drawn = drawn + share * (torch.tensor(colour) - drawn)
    return drawn


def voice(seconds: float):
    """(1, n) at 16 kHz: noise in syllables, four a second; the same ten seconds over and over, to save memory."""
    import torch

    n, ten = round(seconds * 16_000), 160_000
    syllables = (torch.arange(ten) * (2 * torch.pi * 4 / 16_000)).sin().clamp(min=0)
    piece = 0.2 * torch.randn(ten, generator=torch.Generator().manual_seed(7)) * syllables
    return piece.repeat(-(-n // ten))[None, :n]


def model_by_rule(side: int, *only: str):
    """A released model whose weights are made by rule, with all networks or only some; it finds faces with the
    embedded ones.
    """
    from sadtalker_core.datatypes import RELEASED
    from sadtalker_core.families import FAMILIES
    from sadtalker_core.model import SadTalkerModel, assemble_mini
    from tests.parity.harness import rule_net

    embedded = assemble_mini().nets
    nets = {name: embedded[name] for name in ("face_detector", "face_mesh")}
    names = only or ("face_recon", "expnet", "posevae", "mapping", "keypoint_detector", "generator")
    return SadTalkerModel("by rule", FAMILIES[RELEASED], side, nets | {name: rule_net(name, 0) for name in names})
