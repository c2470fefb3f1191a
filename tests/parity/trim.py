"""A folder with all vectors comes in, the copy that the project carries goes out: fewer cases, thinned images.

    python -m tests.parity trim SOURCE DESTINATION

Inputs are kept as they are, of the cases that are kept, images packed as PNG; of large images that came out every
N-th row and column is kept, under the name `<field>_dsN`. Every stage stays, and both sizes of the renderer.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tests.parity.harness import vector_files

MAX_BYTES = 4_500_000


@dataclass(frozen=True)
class Keep:
    """cases: those that stay, None for all;  thin: {field: N};  drop: fields that go"""

    cases: tuple[str, ...] | None = None
    thin: dict[str, int] = field(default_factory=dict)
    drop: tuple[str, ...] = ()


#: by the file's name without .npz; a file that is not named stays whole
KEEP = {
    "align": Keep(thin={"image224": 5}),
    "chain": Keep(("crop3_pose",), {"frames_uint8": 5}),
    "e2e": Keep(("full_still_T3",), {"frames_256_rgb": 5, "frames_pasted_bgr": 5}),
    "extract": Keep(thin={"crop_image": 5}),
    "keypoints": Keep(("s256_a",)),
    "mel": Keep(("short", "eyeblink_short", "eyeblink_long", "silence", "idle")),
    "net_recon": Keep(("i0",)),
    "paste": Keep(thin={"frames": 5}),
    "render_256": Keep(("a",), {"prediction_f16": 3}),
    "render_512": Keep(thin={"prediction_f16": 5, "fourth_ds8": 4}),
    "resize_result": Keep(thin={"frames": 5}),
}


def trim(source: Path, destination: Path) -> int:
    """Write the copy; how many bytes it has."""
    destination.mkdir(parents=True, exist_ok=True)
    total = 0
    for file in vector_files(source):
        with np.load(file, allow_pickle=False) as opened:
            entries = {name: opened[name] for name in opened.files}
        target = destination / file.name
        np.savez_compressed(target, **dict(_kept(entries, KEEP.get(file.stem, Keep()))))
        total += target.stat().st_size
        print(f"{file.name:<24} {file.stat().st_size:>10,} -> {target.stat().st_size:>10,} bytes")
    print(f"{total:,} bytes in {destination}")
    return total


def _kept(entries: dict[str, np.ndarray], keep: Keep):
    wanted = {
        name: array
        for name, array in entries.items()
        if name.count("/") < 2 or keep.cases is None or name.split("/")[1] in keep.cases
    }
    referred = {str(array).lstrip("@").partition("[")[0] for array in wanted.values() if array.dtype.kind == "U"}
    for name, array in wanted.items():
        if re.fullmatch(r"in/[^/]+", name) and name[3:] not in referred:
            continue
        leaf = name.rpartition("/")[2]
        if leaf in keep.drop:
            continue
        if name.startswith("out/") and leaf in keep.thin:
            name, array = _thinned(name, array, keep.thin[leaf])
        is_image = array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] == 3
        yield (f"{name}.png", _packed(array)) if is_image else (name, array)


def _packed(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png", optimize=True)
    return np.frombuffer(stream.getvalue(), np.uint8)


def _thinned(name: str, array: np.ndarray, step: int) -> tuple[str, np.ndarray]:
    """As `harness.thin`; what is thinned already is thinned again, and its name says both at once."""
    stem, _, before = name.partition("_ds")
    array = array[..., ::step, ::step, :] if array.shape[-1] == 3 else array[..., ::step, ::step]
    return f"{stem}_ds{int(before or 1) * step}", array


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m tests.parity trim", description="Make the project's own small copy.")
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path)
    options = parser.parse_args(arguments)
    total = trim(options.source, options.destination)
    if total > MAX_BYTES:
        print(f"that is more than the {MAX_BYTES:,} bytes the project may carry", file=sys.stderr)
        return 1
    return 0
