"""Stage 1 of the renderer's training: what a step descends, its networks, its pairs, its command line and sentences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sadtalker_core.datatypes import MINI, RELEASED
from sadtalker_core.errors import CheckpointMismatch, CheckpointMissing, InputError, OptionError
from sadtalker_core.model import load_model
from sadtalker_core.render.facevid2vid.blocks import ConvBlock, spectral
from sadtalker_core.render.facevid2vid.transform import rotation_matrix
from sadtalker_core.training import renderer
from sadtalker_core.training.engine import saved_nets, step_generator, synchronise_norms
from sadtalker_core.training.pairs import Images, Pair, draw_pairs, jittered, read_images, read_pair_clips
from sadtalker_core.training.perceptual import substitute_vgg
from sadtalker_core.training.renderer import (
    PUBLISHED,
    RENDERER_NETS,
    RendererTrainer,
    head_degrees,
    new_nets,
    read_estimator,
    read_renderer_clips,
    redraw,
)
from sadtalker_core.training.states import read_state
from sadtalker_core.training.trainer import StepContext
from tests.training import narrow_model, toy_clips


def new_trainer(data, steps=10, training=narrow_model.RENDERER):
    nets, vgg = new_nets(training, seed=0), substitute_vgg(training.vgg)
    return RendererTrainer(read_renderer_clips(data, nets, vgg), nets, vgg, steps, training)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy_clips.write(tmp_path_factory.mktemp("clips"), n_frames=8)


def one_step(data, training=narrow_model.RENDERER):
    """The trainer after a backward pass of each optimizer, its numbers untouched, and the losses."""
    trainer = new_trainer(data, training=training)
    backward = []

    def backward_and_step(name, loss):
        trainer.optimizers[name].zero_grad()
        loss.backward()
        backward.append((name, {id(p): p.grad for g in trainer.optimizers[name].param_groups for p in g["params"]}))

    for net in trainer.nets.values():
        net.train()
    losses = trainer.step(StepContext(0, 3, step_generator(0, 0), torch.device("cpu"), backward_and_step))
    return trainer, losses, dict(backward)


def test_gradients_reach_every_parameter(data):
    """A bias whose layer is normalised right after has none but what rounding leaves, and sometimes that is 0."""
    trainer, _, gradients = one_step(data)
    idle = [
        f"{net}.{name}"
        for net, module in trainer.nets.items()
        for name, parameter in module.named_parameters()
        for gradient in [gradients["discriminators" if net == "discriminators" else "renderer"].get(id(parameter))]
        if gradient is None or not (gradient.abs().sum() > 0 or name.endswith(".bias"))
    ]
    assert idle == []


def test_the_losses_of_a_step_are_the_published_weights_times_those_of_the_module(data):
    ones = {name: 1.0 for name in vars(narrow_model.RENDERER.weights)}
    bare = replace(narrow_model.RENDERER, weights=renderer.LossWeights(**ones))
    _, weighted, _ = one_step(data)
    _, plain, _ = one_step(data, bare)
    published = {
        "perceptual": 10,
        "feature matching": 10,
        "adversarial": 1,
        "equivariance": 10,
        "keypoint prior": 10,
        "head pose": 20,
        "deformation": 5,
    }
    assert {name: (weighted[name] / plain[name]).item() for name in published} == pytest.approx(published, rel=1e-4)
    assert weighted["discriminators"].item() == pytest.approx(plain["discriminators"].item())


def test_the_published_configuration():
    bins = PUBLISHED.keypoints, PUBLISHED.generator.motion
    assert [part.n_keypoints for part in bins] == [15, 15] and PUBLISHED.motion.offsets == 45
    assert PUBLISHED.vgg.scales == (1, 2, 4, 8) and len(PUBLISHED.vgg.widths) == 5
    assert (PUBLISHED.bend.affine, PUBLISHED.bend.plate, PUBLISHED.bend.nodes) == (0.05, 0.005, 5)
    assert (PUBLISHED.rate, PUBLISHED.betas) == (2e-4, (0.5, 0.999))


def test_the_rate_falls_to_a_tenth_after_three_fifths(data):
    trainer = new_trainer(data, steps=10)
    learning_rates = [trainer.learning_rates(step)["renderer"] for step in range(10)]
    assert learning_rates == pytest.approx([1.5e-3] * 6 + [1.5e-4] * 4)


# ---- the networks under training ------------------------------------------------------------------------------------


def test_a_norm_in_training_is_that_of_its_batch_and_remembers_a_tenth_of_it():
    x = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    block = ConvBlock(2, 3, 2, nn).train()
    conved = block.conv(x).detach().double().numpy()
    mean, spread = conved.mean(axis=(0, 2, 3)), conved.var(axis=(0, 2, 3))
    plain = (conved - mean[:, None, None]) / np.sqrt(spread + 1e-5)[:, None, None]
    assert np.allclose(block(x).detach(), np.maximum(plain, 0), atol=1e-5)
    n = conved[:, 0].size
    assert np.allclose(block.norm.running_mean, 0.1 * mean, atol=1e-6)
    assert np.allclose(block.norm.running_var, 0.9 + 0.1 * spread * n / (n - 1), atol=1e-6)


def test_synchronised_norms_are_the_same_norms_in_one_process():
    plain, synced = (new_nets(narrow_model.RENDERER, seed=0) for _ in range(2))
    given = {name: dict(net.named_parameters()) for name, net in synced.items()}
    synchronise_norms(synced)
    source = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert any(isinstance(module, nn.SyncBatchNorm) for module in synced["generator"].modules())
    assert torch.equal(redraw(plain, source, source.flip(0)), redraw(synced, source, source.flip(0)))
    for name, net in synced.items():
        assert list(net.state_dict()) == list(plain[name].state_dict())
        assert all(parameter is given[name][path] for path, parameter in net.named_parameters())


def test_a_spectral_convolution_in_training_takes_one_step_of_power_iteration():
    from torch.nn import Conv2d

    conv = spectral(Conv2d)(2, 3, 3, padding=1).train()
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    matrix = conv.weight.detach().flatten(1).double().numpy()
    right = matrix.T @ conv.left.double().numpy()
    right /= np.linalg.norm(right)
    left = matrix @ right
    left /= np.linalg.norm(left)
    plain = torch.nn.functional.conv2d(x, conv.weight / float(left @ matrix @ right), conv.bias, padding=1)
    assert torch.allclose(conv(x), plain, atol=1e-5)
    assert np.allclose(conv.left, left, atol=1e-5)


# ---- pairs and angles -------------------------------------------------------------------------------------------


def test_released_angles_turn_key_points_as_the_face_model_turns_its_vertices():
    # The face model: x right, y up, z to the viewer; a vertex v goes to Rz Ry Rx v.
    rows = toy_clips.coefficients(4, RELEASED)
    pitch, yaw, roll = torch.deg2rad(head_degrees(rows)).unbind(dim=-1)
    for t, (p, y, r) in enumerate(rows.rotation.double().tolist()):
        about_x = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
        about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
        about_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
        to_image = np.diag([1, -1, -1])
        wanted = to_image @ about_z @ about_y @ about_x @ to_image
        degrees = (math.degrees(float(angle[t])) for angle in (yaw, pitch, roll))
        got = rotation_matrix(*(torch.tensor(degree) for degree in degrees))
        assert np.allclose(got, wanted, atol=1e-3)  # 3.14 for pi


def test_mini_angles_already_fit_key_points_already():
    rows = toy_clips.coefficients(4, MINI)
    assert torch.equal(head_degrees(rows), torch.rad2deg(rows.rotation))


def test_a_mirrored_pair_turns_to_the_other_side(data):
    trainer = new_trainer(data)
    always = new_trainer(data, training=replace(narrow_model.RENDERER, mirrored=1.0))
    context = [StepContext(0, 3, step_generator(0, 0), torch.device("cpu"), None) for _ in range(2)]
    (plain, degrees), (mirrored, turned) = trainer._draw(context[0]), always._draw(context[1])
    assert torch.equal(mirrored.source, plain.source.flip(-1)) and torch.equal(mirrored.driving, plain.driving.flip(-1))
    assert torch.equal(turned, degrees * torch.tensor([1.0, -1, -1]))


def test_pairs_are_two_frames_of_one_clip_with_a_face(tmp_path, generator):
    data = toy_clips.write(tmp_path, n_clips=2, n_frames=6, lost=(1, 4))
    pairs = draw_pairs(read_pair_clips(data, 2, 16), 60, generator)
    assert {pair.clip.name for pair in pairs} == {"toy_0", "toy_1"}
    assert {frame for pair in pairs for frame in (pair.source, pair.driving)} == {0, 2, 3, 5}
    assert all(pair.source != pair.driving for pair in pairs)


def test_colours_are_changed_alike_in_both_images_and_no_further_than_requested(generator):
    image = torch.rand(20, 3, 8, 8, generator=generator) * 0.6 + 0.2
    changed = jittered(Images(image, image.clone()), 0.1, generator)
    assert torch.equal(changed.source, changed.driving)
    assert 0.01 < (changed.source - image).abs().mean() < 0.1
    grey = torch.full((20, 3, 4, 4), 0.5)
    shades = jittered(Images(grey, grey), 0.1, generator).source
    assert shades.min() >= 0.45 - 1e-6 and shades.max() <= 0.55 + 1e-6
    assert torch.allclose(shades, shades[:, :1], atol=1e-6)  # a grey has no hue


def test_no_jitter_changes_nothing(generator):
    image = torch.rand(2, 3, 8, 8, generator=generator)
    assert torch.allclose(jittered(Images(image, image), 0.0, generator).source, image, atol=1e-6)


# ---- the command line and its sentences --------------------------------------------------------------------------


def command(data, out, *more):
    return ["--data", str(data), "--out", str(out), "--accelerator", "cpu", "--devices", "1", *more]


@pytest.fixture
def narrow_command(monkeypatch):
    """The command line with the networks of the tests."""
    monkeypatch.setitem(renderer.TRAININGS, "narrow", narrow_model.RENDERER)

    def call(data, out, *more):
        renderer.main(command(data, out, "--config", "narrow", "--steps", "1", "--batch", "2", *more))

    return call


@pytest.mark.slow
def test_an_exported_renderer_is_a_model_and_its_estimator_goes_with_it(data, tmp_path, narrow_command):
    base = narrow_model.write(tmp_path / "base.safetensors")
    narrow_command(data, tmp_path / "run", "--base", str(base), "--export", str(tmp_path / "new.safetensors"))
    model = load_model("file/new.safetensors", [tmp_path])
    learnt = read_state(tmp_path / "run")["averages"]
    nets = {**model.nets, "motion_estimator": read_estimator(str(tmp_path / "new.safetensors"), [])}
    for name in RENDERER_NETS:
        state = nets[name].state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in learnt[name].items())
    assert "motion_estimator" not in model.nets


@pytest.mark.slow
def test_a_training_goes_on_from_a_renderer_that_was_exported(data, tmp_path, narrow_command):
    base = narrow_model.write(tmp_path / "base.safetensors")
    first = tmp_path / "first.safetensors"
    narrow_command(data, tmp_path / "one", "--base", str(base), "--export", str(first))
    narrow_command(data, tmp_path / "two", "--base", str(first), "--init-from", "base")
    before, after = (saved_nets(tmp_path / name)["generator"] for name in ("one", "two"))
    change = max((before[key] - after[key]).abs().max().item() for key in before if key.endswith("weight"))
    assert 0 < change < 0.01  # one step of Adam


def test_a_base_without_an_estimator_cannot_be_gone_on_from(data, tmp_path, narrow_command):
    base = narrow_model.write(tmp_path / "base.safetensors")
    with pytest.raises(CheckpointMismatch, match="holds no motion estimator. Give as --base a file that"):
        narrow_command(data, tmp_path / "run", "--base", str(base), "--init-from", "base")


def test_a_released_model_needs_the_old_file_for_its_estimator(tmp_path):
    with pytest.raises(CheckpointMissing, match="facevid2vid_00189-model.pth.tar .*folder of --models: .* has"):
        read_estimator("SadTalker 256", [tmp_path])


def test_a_model_that_moves_a_mesh_has_no_place_for_a_renderer(data, tmp_path, narrow_command):
    with pytest.raises(OptionError, match="expected a --base with a generator, .* got mini, which moves a mesh"):
        narrow_command(data, tmp_path / "run", "--export", str(tmp_path / "new.safetensors"))


def test_eight_bits_are_too_few_for_places(data, tmp_path, narrow_command):
    with pytest.raises(OptionError, match="expected --precision 32-true for the renderer, got bf16-mixed"):
        narrow_command(data, tmp_path / "run", "--precision", "bf16-mixed")


def test_a_wrong_vgg_file_is_named_before_anything_is_trained(data, tmp_path, narrow_command):
    torch.save({"conv1.weight": torch.zeros(2, 2)}, tmp_path / "resnet50.pth")
    with pytest.raises(CheckpointMismatch, match="resnet50.pth is not torchvision's VGG-19"):
        narrow_command(data, tmp_path / "run", "--vgg19", str(tmp_path / "resnet50.pth"))
    assert not (tmp_path / "run").exists()


def test_clips_without_images_cannot_train_a_renderer(tmp_path, narrow_command):
    data = toy_clips.write(tmp_path / "clips", with_images=False)
    with pytest.raises(InputError, match="toy_0 in .* has no images"):
        narrow_command(data, tmp_path / "run")


def test_a_side_that_cannot_be_halved_often_enough_is_named(data, tmp_path):
    with pytest.raises(InputError, match="multiple of 128 and at least 128 pixels, got 32"):
        renderer.main(command(data, tmp_path / "run", "--config", "published"))


def test_clips_of_two_sizes_are_named(tmp_path, narrow_command):
    data = toy_clips.write(tmp_path / "clips")
    toy_clips.write(data, first=1, pic_size=64)
    with pytest.raises(InputError, match="got toy_0 with 32 and toy_1 with 64 pixels"):
        narrow_command(data, tmp_path / "run")


def test_a_clip_in_which_nobody_is_visible_is_named(tmp_path, narrow_command):
    data = toy_clips.write(tmp_path / "clips", n_frames=3, lost=(0, 1))
    with pytest.raises(InputError, match="expected a face in two frames of toy_0 at least, it was found in 1"):
        narrow_command(data, tmp_path / "run")


def test_images_are_read_as_they_were_written(data):
    (clip,) = read_pair_clips(data, 2, 16)
    drawn = torch.from_numpy(toy_clips.images(clip.coefficients())).permute(0, 3, 1, 2).float() / 255
    read = read_images([Pair(clip, 2, 5), Pair(clip, 0, 1)])
    for got, frames in ((read.source, [2, 0]), (read.driving, [5, 1])):
        assert (got - drawn[frames]).abs().mean() < 0.02  # JPEG
