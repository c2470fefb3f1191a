"""The trainings of the built-in motion networks, on the engine."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from sadtalker_core.checkpoint.reading import read_tensors
from sadtalker_core.training import expnet_mini, mapping_mini, pack_motion_mini, posevae_mini, temporal_mini
from sadtalker_core.training.engine import steps_done, train
from sadtalker_core.training.mini_trainer import WARMUP_STEPS, MiniTrainer, learning_rate, train_mini
from sadtalker_core.training.run_log import read_log
from sadtalker_core.training.trainer import Run
from sadtalker_core.training.voices.speech_set import load

FILE = Path(__file__).parent / "data" / "held_out_voices.npz"


def test_the_rate_rises_and_then_falls_to_two_percent():
    learning_rates = [learning_rate(1.0, step, 1000) for step in range(1000)]
    assert learning_rates[0] == pytest.approx(1 / WARMUP_STEPS) and max(learning_rates) == pytest.approx(1.0)
    assert learning_rates[-1] == pytest.approx(0.02, abs=1e-3)
    assert all(a >= b for a, b in pairwise(learning_rates[WARMUP_STEPS:]))


def test_the_sum_of_the_losses_is_descended(tmp_path):
    net = torch.nn.ParameterDict({"x": torch.nn.Parameter(torch.tensor([3.0]))})
    losses = {"square": lambda: net["x"].square().sum(), "shift": lambda: -4 * net["x"].sum()}
    trainer = MiniTrainer(
        "x", net, lambda context: {name: loss() for name, loss in losses.items()}, steps=400, rate=0.1
    )
    train_mini(trainer, tmp_path / "run", seed=0)
    assert net["x"].item() == pytest.approx(2.0, abs=0.02)
    assert set(read_log(tmp_path / "run")[-1]) == {"step", "seconds", "square", "shift"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["expnet", "temporal", "posevae", "mapping"])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(name, tmp_path):
    clips = load(FILE)

    def go(folder, until):
        module = {
            "expnet": expnet_mini,
            "temporal": temporal_mini,
            "posevae": posevae_mini,
            "mapping": mapping_mini,
        }[name]
        net = module.new_net(1, *([expnet_mini.new_net(0).audio] if name == "posevae" else []))
        trainer = MiniTrainer(name, net, module.losses_of(net, clips), steps=3)
        train(trainer, Run(folder, until, batch=1, report_every=1, accelerator="cpu", devices=1))
        return trainer.nets[name].state_dict()

    whole = go(tmp_path / "whole", 3)
    go(tmp_path / "parts", 2)
    parts = go(tmp_path / "parts", 3)
    assert all(torch.equal(parts[path], tensor) for path, tensor in whole.items())
    losses = [[{**line, "seconds": 0} for line in read_log(tmp_path / run)] for run in ("whole", "parts")]
    assert losses[0] == losses[1] and len(losses[0]) == 3


@pytest.mark.slow
def test_the_motion_nets_are_trained_and_packed(tmp_path):
    """A step or two of each, as the command lines run them; what they learn in hours is in test_mini_motion."""
    clips = load(FILE)
    expnet = expnet_mini.new_net(0)
    temporal = temporal_mini.new_net(0)
    posevae = posevae_mini.new_net(0, expnet.audio)
    mapping = mapping_mini.new_net(0)
    for name, net, module in (
        ("expnet", expnet, expnet_mini),
        ("temporal", temporal, temporal_mini),
        ("posevae", posevae, posevae_mini),
        ("mapping", mapping, mapping_mini),
    ):
        before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
        train_mini(MiniTrainer(name, net, module.losses_of(net, clips), steps=2), tmp_path / name, seed=0)
        assert steps_done(tmp_path / name) == 2
        assert any(not torch.equal(before[path], tensor) for path, tensor in net.state_dict().items()), name
    file = tmp_path / "motion.safetensors"
    pack_motion_mini.main(
        [
            "--expnet",
            str(tmp_path / "expnet"),
            "--temporal",
            str(tmp_path / "temporal"),
            "--posevae",
            str(tmp_path / "posevae"),
            "--mapping",
            str(tmp_path / "mapping"),
            "--out",
            str(file),
        ]
    )
    read = read_tensors(file)
    assert set(read.nets()) == {"expnet", "posevae", "mapping"}
    packed = read.nets()["expnet"]
    torch.testing.assert_close(packed["head.bias"].float(), expnet.head.bias, atol=1e-3, rtol=1e-3)
    first = packed["temporal.blocks.0.conv.weight"].float()
    torch.testing.assert_close(first, temporal.blocks[0].conv.weight, atol=1e-3, rtol=1e-3)


def test_an_expnet_is_packed_as_the_mean_with_another(tmp_path):
    files = {}
    for seed in (1, 2):
        nets, recipe = pack_motion_mini.packed(pack_motion_mini.ASSET)
        nets["expnet"] = expnet_mini.new_net(seed)
        nets["expnet"].audio.layers[0].norm.running_var.fill_(float(seed))
        files[seed] = pack_motion_mini.pack(nets, recipe, tmp_path / f"{seed}.safetensors")
    out = tmp_path / "mean.safetensors"
    pack_motion_mini.main(["--expnet", str(files[1]), "--mean-with", str(files[2]), "--out", str(out)])
    one, other, mean = (read_tensors(file).nets() for file in (files[1], files[2], out))
    for name in ("head.weight", "audio.layers.0.norm.running_var"):
        expected = (one["expnet"][name].float() + other["expnet"][name].float()) / 2
        assert not torch.equal(one["expnet"][name], other["expnet"][name])
        torch.testing.assert_close(mean["expnet"][name].float(), expected, atol=1e-3, rtol=1e-3)
    assert all(torch.equal(tensor, one["posevae"][path]) for path, tensor in mean["posevae"].items())


def test_the_mean_of_two_second_networks_is_half_way_between_them():
    one, other = temporal_mini.new_net(1), temporal_mini.new_net(2)
    mean = pack_motion_mini.mean_of(one, other)
    expected = (one.blocks[2].conv.weight + other.blocks[2].conv.weight) / 2
    torch.testing.assert_close(mean.blocks[2].conv.weight, expected)
    assert not torch.equal(one.blocks[2].conv.weight, other.blocks[2].conv.weight) and not mean.training


def test_a_network_that_is_not_named_stays_beside_a_new_one(tmp_path):
    nets, recipe = pack_motion_mini.packed(pack_motion_mini.ASSET)
    with_second = pack_motion_mini.joined(expnet_mini.new_net(1), temporal_mini.new_net(1))
    file = pack_motion_mini.pack({**nets, "expnet": with_second}, recipe, tmp_path / "earlier.safetensors")
    alone = pack_motion_mini.pack({**nets, "expnet": expnet_mini.new_net(2)}, recipe, tmp_path / "alone.safetensors")
    before = read_tensors(file).nets()["expnet"]
    pack_motion_mini.main(["--expnet", str(alone), "--out", str(file)])
    after, windows = read_tensors(file).nets()["expnet"], read_tensors(alone).nets()["expnet"]
    assert set(after) == set(before) > set(windows)
    assert all(torch.equal(after[path], tensor) for path, tensor in windows.items())
    second = [path for path in before if path.startswith("temporal.")]
    assert second and all(torch.equal(after[path], before[path]) for path in second)
