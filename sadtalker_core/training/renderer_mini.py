"""Train the mini family's renderer on generated heads.

    python -m sadtalker_core.training.heads.dataset  --work FOLDER --shards 40
    python -m sadtalker_core.training.renderer_mini  --work FOLDER --steps 4000

The first command makes pairs of images; this one lets the embedded face network find the mesh in every source, moves
it with the same mesh flow as inference, and trains the network to correct what that gets wrong. It can be stopped and
started again with the same line: prepared shards and the state of the training are kept in the folder.

Recipe: Adam 1e-3, falling over the last half of the steps; batches of 32 parts, 64 pixels wide, of the window, half of
them around the mouth, some around the eyes, the others anywhere; bfloat16 convolutions; L1 on frame and colour
(mouth x 8, lids x 4, hidden spots x 4), L1 of gradients at two scales, L1 on the flow and on its gradients where the
source shows the spot or the background, and a small price on painting what the warp could have brought. The weights are
an average over the last steps.

The shipped weights: shards 0..13, 100 and 101 (3,200 people, 9,600 pairs; 102 was kept for inspection), seed 0, 4900
steps in 1.1 hours of one shared core of a Xeon with AVX512-BF16. They began from an earlier network, 4450 steps on an
older mesh flow, which did not know how the head moves: the layers that read and use that began at zero. On the way
settings changed: the flow weighed x 2 for 750 steps; its gradients count since 1750; a quarter of the parts around the
mouth until 3250; the network's parts of the flow are averaged since 4100. The heads had their teeth 3 to 8 mm lower
than now; what the network draws into a mouth is not used any more (render/mouth draws it). So a new run will not give
the same numbers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, autocast
from torch.nn import functional as F

from ..checkpoint.reading import METADATA_KEY, Metadata
from ..render.meshwarp.compositor import regions
from ..render.meshwarp.flow_maps import MAPS, mesh_flow, rigid_flow
from ..render.meshwarp.network import FINE_MAPS, MINI_FLOW_RENDERER, FlowRenderer
from ..render.meshwarp.placement import MARGIN, STAGE, WINDOW
from ..render.meshwarp.rig import FaceRig
from ..render.meshwarp.warp import warp_window
from ..saving import atomic_write, save_arrays, save_tensors
from .engine import seeded
from .heads import mesh as layers

OUT = Path(__file__).resolve().parent.parent / "assets" / "mini_renderer.safetensors"
BATCH = 32
PART = 64  #: side of the part of the window that is trained on; the network is convolutional and sees no further
_EDGE = 3  #: pixels at the border of a part that do not count: the network sees only half of what is around them
_PLACES = {"mouth": 0.5, "eyes": 0.1, "anywhere": 0.4}  #: where parts are taken
LEARNING_RATE = 1e-3
FALL = 0.5  #: the share of the steps over which the learning rate falls
AVERAGE = 0.998
SEED = 0

_FINE = FINE_MAPS  #: kept at full size in prepared shards, the others at half
_COARSE = [name for name in MAPS if name not in _FINE]
_DISPLACEMENT_STEPS = 256
_FAR_OFF = 4.0  #: pixels between found and true points beyond which the face network is not believed
_TRUE_POINTS = 0.25  #: share of sources that get the true points with noise instead of found ones


# ---- preparing -------------------------------------------------------------------------------------------------


def prepare(shard: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """A shard of pairs -> what the training reads: the images, and mesh flow and maps as inference makes them."""
    generator = torch.Generator().manual_seed(seed)
    find = _face_net()
    rows: dict[str, list[Any]] = {"displacement": [], "ride": [], "fine": [], "coarse": []}
    fine, coarse = [MAPS.index(name) for name in _FINE], [MAPS.index(name) for name in _COARSE]
    middle = slice(MARGIN, MARGIN + WINDOW)
    errors = []
    for k in range(len(shard["source"])):
        true = torch.from_numpy(shard["source_points"][k])
        points = find(torch.from_numpy(shard["source"][k]).float() / 255, true)
        error = (points - true)[:, :2].norm(dim=1).mean()
        if error > _FAR_OFF or torch.rand((), generator=generator) < _TRUE_POINTS:
            points = _disturbed(true, generator)
        else:
            errors.append(float(error))
        rig = FaceRig.from_points(points, torch.from_numpy(shard["source_weights"][k]).float())
        turn, shift = torch.from_numpy(shard["turn"][k]), torch.from_numpy(shard["shift"][k])
        flow = mesh_flow(rig, torch.from_numpy(shard["driving_weights"][k]).float(), turn, shift)
        rows["ride"].append(rigid_flow(rig, turn, shift).numpy())
        steps = (flow.displacement[:, :, middle, middle] * _DISPLACEMENT_STEPS).round().clamp(-32767, 32767)
        rows["displacement"].append(steps.short().numpy())
        rows["fine"].append((flow.maps[:, fine] * 127).round().to(torch.int8).numpy())
        rows["coarse"].append((F.avg_pool2d(flow.maps[:, coarse], 2).clamp(-1, 1) * 127).round().to(torch.int8).numpy())
    print(
        f"points found in {len(errors)} of {len(shard['source'])}, off by {np.mean(errors):.2f} pixels on average",
        flush=True,
    )
    kept = {name: shard[name] for name in ("source", "driving", "layer", "flow", "visible")}
    return kept | {name: np.stack(values) for name, values in rows.items()}


def _face_net() -> Callable[[Tensor, Tensor], Tensor]:
    """-> a function from a stage (160, 160, 3) and roughly known points to found points (468, 3) in its pixels."""
    from ..face.embedded import embedded_face_nets
    from ..face.sampling import Square, sample_squares

    _, net = embedded_face_nets()

    @torch.no_grad()
    def find(stage: Tensor, roughly: Tensor) -> Tensor:
        points = roughly
        for _ in range(2):
            low, high = points[:, :2].amin(0), points[:, :2].amax(0)
            centre, eyes = (low + high) / 2, points[263] - points[33]
            angle = float(torch.atan2(eyes[1], eyes[0]))
            square = Square(float(centre[0]), float(centre[1]), float((high - low).max()) * 1.5, angle)
            points = square.to_image(net(sample_squares(stage, [square], net.config.side))[0][0], net.config.side)
        return points

    return find


def _disturbed(points: Tensor, generator: torch.Generator) -> Tensor:
    """True points with the kind of error that a detector makes: smooth over the face, and a little of its own per
    point.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    flat = (points[:, :2] - points[:, :2].mean(0)) / 40
    smooth = torch.sin(flat @ normal(2, 6) * 1.5 + normal(6)) @ normal(6, 3) * 0.3
    return points + smooth + normal(len(points), 3) * 0.15


# ---- batches ---------------------------------------------------------------------------------------------------


class Pairs:
    """All prepared shards, in memory. `batch` draws pairs, mirrors half of them and changes colours of both
    images.
    """

    def __init__(self, files: list[Path]):
        parts = []
        for path in files:
            with np.load(path) as stored:
                parts.append({name: torch.from_numpy(stored[name]) for name in stored.files})
        self.parts = parts
        self.n_people = [len(part["source"]) for part in parts]

    def __len__(self) -> int:
        return sum(self.n_people) * self.parts[0]["driving"].shape[1]

    def pick(
        self, part: int, person: int, which: int, place: Callable[[Tensor, Tensor], tuple[int, int]]
    ) -> dict[str, Tensor]:
        """One pair, float, channels first, without a batch axis. place: x and y of the head at half size -> left and
        top of the part of the window to take, even numbers.
        """
        shard = self.parts[part]
        coarse = shard["coarse"][person, which].float() / 127
        left, top = place(coarse[_COARSE.index("x")], coarse[_COARSE.index("y")])
        rows, columns = slice(top, top + PART), slice(left, left + PART)
        half = (slice(top // 2, (top + PART) // 2), slice(left // 2, (left + PART) // 2))
        maps = torch.empty(len(MAPS), PART, PART)
        maps[[MAPS.index(name) for name in _FINE]] = shard["fine"][person, which][:, rows, columns].float() / 127
        maps[[MAPS.index(name) for name in _COARSE]] = F.interpolate(
            coarse[None, :, half[0], half[1]], scale_factor=2.0
        )[0]
        return {
            "source": shard["source"][person].permute(2, 0, 1).float() / 255,
            "driving": shard["driving"][person, which][rows, columns].permute(2, 0, 1).float() / 255,
            "maps": maps,
            "displacement": shard["displacement"][person, which][:, rows, columns].float() / _DISPLACEMENT_STEPS,
            "ride": shard["ride"][person, which],
            "flow": shard["flow"][person, which][half].permute(2, 0, 1).float(),
            "visible": shard["visible"][person, which][half][None].float(),
            "layer": shard["layer"][person, which][rows, columns][None],
            "left_top": torch.tensor([left + MARGIN, top + MARGIN], dtype=torch.float32),
        }

    def batch(self, size: int, generator: torch.Generator) -> dict[str, Tensor]:
        def below(n: int) -> int:
            return int(torch.randint(n, (), generator=generator))

        def place(x: Tensor, y: Tensor) -> tuple[int, int]:
            draw = float(torch.rand((), generator=generator))
            if draw > _PLACES["mouth"] + _PLACES["eyes"]:
                return 2 * below((WINDOW - PART) // 2 + 1), 2 * below((WINDOW - PART) // 2 + 1)
            goal = (0.0, -0.45) if draw < _PLACES["mouth"] else (0.31 if below(2) else -0.31, 0.2)
            at = int(((x - goal[0]) ** 2 + (y - goal[1]) ** 2).argmin())
            centre = (at % x.shape[1], at // x.shape[1])
            left, top = (2 * min(max(c - PART // 4 + below(13) - 6, 0), (WINDOW - PART) // 2) for c in centre)
            return left, top

        rows = []
        for _ in range(size):
            part = below(len(self.parts))
            row = self.pick(part, below(self.n_people[part]), below(self.parts[part]["driving"].shape[1]), place)
            rows.append(mirrored(row) if below(2) else row)
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        gamma = torch.exp(torch.randn(size, 1, 1, 1, generator=generator) * 0.22)
        gain = torch.exp(torch.randn(size, 3, 1, 1, generator=generator) * 0.12)
        for name in ("source", "driving"):
            batch[name] = (batch[name].clamp_min(1e-3) ** gamma * gain).clamp(0, 1)
        return batch


def mirrored(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same pair mirrored."""
    left, top = row["left_top"]
    rigid = row["ride"] * torch.tensor([[1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]])
    rigid[2] -= STAGE * rigid[0]
    row = {name: tensor.flip(-1) for name, tensor in row.items() if name not in ("left_top", "ride")}
    for name, channel in (("displacement", 0), ("flow", 0), ("maps", MAPS.index("x"))):
        row[name][channel] *= -1
    return row | {"left_top": torch.stack([STAGE - PART - left, top]), "ride": rigid}


# ---- losses ----------------------------------------------------------------------------------------------------


def losses(net: FlowRenderer, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses of a batch by name, weighed; their sum is minimised."""
    with autocast("cpu", torch.bfloat16):
        features = net.encode(batch["source"].contiguous(memory_format=torch.channels_last))
        repair = net(batch["source"], features, batch["displacement"], batch["maps"], batch["ride"], batch["left_top"])
    driving, layer = batch["driving"], batch["layer"]
    warped = warp_window(batch["source"], repair.flow, batch["left_top"])
    frame = repair.keep * warped + (1 - repair.keep) * repair.colour
    mouth, eyes = regions(batch["maps"])
    weight = (1 + 7 * mouth + 3 * eyes) * _middle()
    unseen = F.interpolate(1 - batch["visible"], scale_factor=2.0)
    head = (layer < layers.CLOTHES).float()
    opening = sum(
        (layer == k).float() for k in (layers.UPPER_TEETH, layers.LOWER_TEETH, layers.TONGUE, layers.MOUTH_INSIDE)
    )
    hidden = (unseen * head + opening).clamp(0, 1)
    sharp = weight * (1 + 5 * hidden)
    colour_error = (repair.colour - driving).abs()
    near = F.avg_pool2d((1 + mouth + eyes) * _middle(), 2)
    flow = F.avg_pool2d(repair.flow, 2)
    flow_error = (flow - batch["flow"]).abs().clamp_max(6)
    well_visible = near * -F.max_pool2d(-batch["visible"], 3, 1, 1)
    return {
        "frame": ((frame - driving).abs() * weight).mean() * 10,
        "paint": (colour_error * weight).mean() * 2
        + (colour_error * hidden * weight).sum() / (hidden.sum() * 3 + 1) * 3,
        "edges": sum(_edges(frame, driving, sharp, scale) for scale in (1, 2)) * 5,
        "flow": (flow_error * batch["visible"] * near).mean() * 6,
        "bends": _edges(flow, batch["flow"], well_visible, 1) * 3,
        "change": ((1 - repair.keep) * (1 - hidden)).mean() * 0.3,
    }


def _middle() -> Tensor:
    """(64, 64) 0 at the border of a part, 1 elsewhere."""
    return F.pad(torch.ones(PART - 2 * _EDGE, PART - 2 * _EDGE), (_EDGE,) * 4)


def _edges(one: Tensor, other: Tensor, weight: Tensor, scale: int) -> Tensor:
    """L1 between the differences of neighbours, after averaging blocks of `scale` pixels."""
    error, weight = F.avg_pool2d(one - other, scale), F.avg_pool2d(weight, scale)
    across = ((error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]).mean()
    down = ((error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]).mean()
    return across + down


# ---- the loop --------------------------------------------------------------------------------------------------


def train(work: Path, steps: int, out: Path, minutes: float) -> None:
    """Train until `steps`, or for so many minutes; then write the averaged weights to `out`."""
    with seeded(SEED):
        net = FlowRenderer(MINI_FLOW_RENDERER)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimiser = torch.optim.Adam(net.parameters(), LEARNING_RATE, betas=(0.9, 0.99))
    state_file, step, hours = work / "renderer_state.pt", 0, 0.0
    if state_file.exists():
        state = torch.serialization.load(state_file, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        averaged, step, hours = state["averaged"], state["step"], state["hours"]
    files = sorted(work.glob("prepared_*.npz"))
    pairs = Pairs(files)
    print(f"{len(pairs)} pairs, {sum(p.numel() for p in net.parameters())} parameters, from step {step}", flush=True)
    totals: dict[str, float] = {}
    begin, n_totals, n_files = time.time(), 0, len(files)
    first_step = step

    def save() -> None:
        spent = hours + (time.time() - begin) / 3600
        state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "averaged": averaged}
        with atomic_write(state_file) as unfinished:
            torch.save(state | {"step": step, "hours": spent}, unfinished)
        export(averaged, out, step, spent, len(pairs))

    while step < steps and time.time() - begin < minutes * 60:
        rate = LEARNING_RATE * min(1.0, max(0.02, (steps - step) / (steps * FALL)), (step + 1) / 100)
        batch = pairs.batch(BATCH, torch.Generator().manual_seed(SEED + 1000 + step))
        parts = _descend(net, optimiser, rate, batch)
        step += 1
        _average(averaged, net, min(AVERAGE, 1 - 1 / (step + 1)))
        for name, value in parts.items():
            totals[name] = totals.get(name, 0.0) + float(value.detach())
        n_totals += 1
        if step % 50 == 0:
            speed = (step - first_step) * BATCH / (time.time() - begin)
            print(
                f"{step} " + " ".join(f"{k} {v / n_totals:.3f}" for k, v in totals.items()) + f"  {speed:.1f}/s",
                flush=True,
            )
            totals, n_totals = {}, 0
        if step % 250 == 0:
            save()
            files = sorted(work.glob("prepared_*.npz"))
            if len(files) > n_files:
                pairs, n_files = Pairs(files), len(files)
                print(f"{len(pairs)} pairs", flush=True)
    save()


def _descend(
    net: FlowRenderer, optimiser: torch.optim.Optimizer, rate: float, batch: dict[str, Tensor]
) -> dict[str, Tensor]:
    """One step down the losses of a batch, which are returned by name."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    parts = losses(net, batch)
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(parts.values())).sum().backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    return parts


@torch.no_grad()
def _average(averaged: dict[str, Tensor], net: FlowRenderer, kept: float) -> None:
    """Update the running average of the weights, in place.  kept: the share of the old average, 0..1"""
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            averaged[name].lerp_(tensor, 1 - kept)
        else:
            averaged[name].copy_(tensor)


def export(weights: dict[str, Tensor], out: Path, step: int, hours: float, n_pairs: int) -> None:
    """Half precision, in the layout of the pack's own files, with the recipe beside the metadata."""
    metadata = Metadata(
        family="mini", name="mini", image_size=256, configs={"flow_renderer": asdict(MINI_FLOW_RENDERER)}
    )
    about = {
        "format": "pt",
        METADATA_KEY: metadata.to_json(),
        "made_by": "training/renderer_mini.py, on heads generated from CC0 data",
        "recipe": f"{step} steps of {BATCH}, {n_pairs} pairs, seed {SEED}, {hours:.2f} hours of a shared CPU core",
    }
    half = {k: t.half() if t.is_floating_point() else t for k, t in weights.items()}
    save_tensors(out, {f"flow_renderer.{k}": t.contiguous() for k, t in half.items()}, about)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="the folder with the shards of pairs")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop earlier; the same line goes on later")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--prepare-only", action="store_true", help="prepare the shards that are there, and stop")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    for path in sorted(options.work.glob("pairs_????.npz")):
        prepared = path.with_name(path.name.replace("pairs", "prepared"))
        if not prepared.exists():
            with np.load(path) as stored:
                shard = {name: stored[name] for name in stored.files}
            save_arrays(prepared, prepare(shard, seed=int(path.stem.split("_")[1])))
    if not options.prepare_only:
        train(options.work, options.steps, options.out, options.minutes)


if __name__ == "__main__":
    main()
