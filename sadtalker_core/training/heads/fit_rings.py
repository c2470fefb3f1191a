"""How deep hair, ears and neck lie around a face, and what share of the head's motion they take: `surroundings.RINGS`.

    python -m sadtalker_core.training.heads.fit_rings --work FOLDER

In: shards of pairs (dataset.py), whose exact flow gives where every spot of a head went. Out, printed: for each ring
the two cosine series. A spot beside the face that lies z behind its middle moves by

    share * ((turn - 1) (x, y) + z * turn's column for z + shift)

which is linear in share and share * z. The shares of the shipped table were then made smaller by hand, where a ring is
rarely on a head, which the last rows show, and at the crown, where its depth is less, too.
Letters: `V` points of the outline, `N` observations of one of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import FACE_OUTLINE, load_canonical_face
from ...render.meshwarp.placement import MARGIN, STAGE, WINDOW, fit_head
from ...render.meshwarp.surroundings import RINGS
from . import mesh as layers

ORDER = 4
_FEWEST = 30  #: a point with fewer observations is left out
_ROUNDS = 8
_USED = ("turn", "shift", "source_points", "flow", "layer", "visible")


def went_to(flow: Tensor, places: Tensor) -> Tensor:
    """flow (1, 2, h, h) of the window in pixels of the stage: where a driving spot lies in the source, minus where it
    is. places (V, 2) in the source -> where they are in the driving image, by fixed-point iteration.
    """
    goal = places.clone()
    for _ in range(_ROUNDS):
        goal = places - _at(flow, goal)
    return goal


def _at(image: Tensor, places: Tensor) -> Tensor:
    """image (1, C, h, h) of the window, places (V, 2) of the stage -> (V, C)."""
    grid = (places - MARGIN) * (2 / WINDOW) - 1
    return F.grid_sample(image, grid[None, None], padding_mode="border", align_corners=False)[0, :, 0].T


def depth_and_share(spots: Tensor, moved: Tensor, turns: Tensor, shifts: Tensor) -> tuple[float, float]:
    """spots, moved (N, 2) in decimetres from the pivot, turns (N, 3, 3), shifts (N, 2) -> depth behind the pivot's
    plane, and share, by least squares.
    """
    flat = ((turns[:, :2, :2] - torch.eye(2)) @ spots[..., None])[..., 0] + shifts
    inputs = torch.stack([flat, turns[:, :2, 2]], dim=-1).flatten(0, 1).double()
    share, both = torch.linalg.lstsq(inputs, moved.flatten()[:, None].double()).solution[:, 0].tolist()
    return both / share, share


def cosine_series(values: Tensor) -> list[float]:
    """(V,) around the face, nan where unknown -> the first ORDER + 1 factors."""
    angle = torch.arange(len(values)) * (2 * torch.pi / len(values))
    known = ~values.isnan()
    waves = torch.cos(angle[known, None] * torch.arange(ORDER + 1)).double()
    return torch.linalg.lstsq(waves, values[known, None].double()).solution[:, 0].tolist()


def observations(shard: dict[str, np.ndarray], out: float) -> list[tuple[Tensor, ...]]:
    """For each pair with a turn: spots (V, 2), how they moved (V, 2), turn, shift, and whether a head was visible there
    (V,).
    """
    found: list[tuple[Tensor, ...]] = []
    for k, d in np.ndindex(shard["turn"].shape[:2]):
        turn = torch.from_numpy(shard["turn"][k, d])
        if (turn - torch.eye(3)).abs().max() < 0.02:
            continue
        points = torch.from_numpy(shard["source_points"][k])
        fit = fit_head(points)
        outline = points[list(FACE_OUTLINE), :2]
        middle = (outline.amin(0) + outline.amax(0)) / 2
        ring = middle + (outline - middle) * out
        flow = torch.from_numpy(shard["flow"][k, d].astype(np.float32)).permute(2, 0, 1)[None]
        head = torch.from_numpy((shard["layer"][k, d][::2, ::2] < layers.CLOTHES) & shard["visible"][k, d])
        goal = went_to(flow, ring)
        visible = (_at(head[None, None].float(), goal)[:, 0] > 0.99) & (
            (goal + _at(flow, goal) - ring).norm(dim=1) < 0.5
        )
        visible &= ((goal > MARGIN + 1) & (goal < STAGE - MARGIN - 1)).all(1)
        up = torch.tensor([1.0, -1.0]) / fit.scale
        spots = ring * up - fit.origin[:2] / fit.scale
        found.append((spots, (goal - ring) * up, turn, torch.from_numpy(shard["shift"][k, d]), visible))
    return found


def fit_ring(rows: list[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor, Tensor]:
    """-> depth in head coordinates, share of the motion, and how often a head was there, (V,) each; both sides
    alike.
    """
    spots, moved, turns, shifts, visible = (torch.stack(column) for column in zip(*rows, strict=True))
    mirror = [-v % len(FACE_OUTLINE) for v in range(len(FACE_OUTLINE))]
    aside, flip = torch.tensor([-1.0, 1.0]), torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    depths, shares = torch.full((2, len(mirror)), torch.nan)
    for v, other in enumerate(mirror):
        one, two = visible[:, v], visible[:, other]
        if int(one.sum() + two.sum()) < _FEWEST:
            continue
        depth, share = depth_and_share(
            torch.cat([spots[one, v], spots[two, other] * aside]),
            torch.cat([moved[one, v], moved[two, other] * aside]),
            torch.cat([turns[one], flip @ turns[two] @ flip]),
            torch.cat([shifts[one], shifts[two] * aside]),
        )
        depths[v], shares[v] = depth + float(load_canonical_face().pivot[2]), share
    return depths, shares, visible.float().mean(0)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with shards pairs_*.npz")
    parser.add_argument("--shards", type=int, nargs="+", default=[3, 5, 7])
    options = parser.parse_args(arguments)
    shards = []
    for number in options.shards:
        with np.load(options.work / f"pairs_{number:04d}.npz") as stored:
            shards.append({name: stored[name] for name in _USED})
    for out, *_ in RINGS:
        depth, share, head = fit_ring([row for shard in shards for row in observations(shard, out)])
        for name, values in (("depth", depth), ("share", share), ("on a head", head)):
            print(f"{out:.2f} {name:10s}", "  ".join(f"{factor:5.2f}" for factor in cosine_series(values)))


if __name__ == "__main__":
    main()
