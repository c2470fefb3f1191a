"""Stage 2 of the renderer's training: coefficients learn to move the key points as the images did."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.coefficients import CROP_ROW, MOTION_ROW
from sadtalker_core.datatypes import MINI
from sadtalker_core.errors import OptionError, WrongFamily
from sadtalker_core.render.facevid2vid.transform import transform_keypoints
from sadtalker_core.render.semantics import semantic_windows
from sadtalker_core.training import mapping, renderer
from sadtalker_core.training.clips import read_clips
from sadtalker_core.training.engine import step_generator
from sadtalker_core.training.export import export, load_base_model
from sadtalker_core.training.losses import head_pose, keypoint_distance
from sadtalker_core.training.mapping import MappingTrainer, new_net, window
from sadtalker_core.training.perceptual import perceptual_loss, substitute_vgg
from sadtalker_core.training.trainer import StepContext
from tests.training import narrow_model, toy_clips

TRAINING = narrow_model.MAPPING
N_FRAMES = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy_clips.write(tmp_path_factory.mktemp("clips"), n_frames=N_FRAMES)


def a_trainer(data, steps=10, training=TRAINING, net=None):
    frozen = {name: made.eval() for name, made in renderer.new_nets(narrow_model.RENDERER, seed=1).items()}
    net = net or new_net(training.hidden, MOTION_ROW, 3 * narrow_model.N_KEYPOINTS, seed=0)
    return MappingTrainer(read_clips(data), net, frozen, substitute_vgg(training.vgg), steps, training)


def one_step(trainer, index):
    steps = []

    def backward_and_step(name, loss):
        loss.backward()
        steps.append(name)

    losses = trainer.step(StepContext(index, 3, step_generator(0, 0), torch.device("cpu"), backward_and_step))
    assert steps == ["mapping"]
    return losses


# ---- windows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [MOTION_ROW, CROP_ROW])
@pytest.mark.parametrize("frame", [0, 5, 23])
def test_a_window_is_the_one_that_driving_shows(data, frame, width):
    (clip,) = read_clips(data)
    coefficients = clip.coefficients()
    rows = coefficients.crop_rows() if width == CROP_ROW else coefficients.motion_rows()
    assert torch.equal(window(clip, frame, width), semantic_windows(rows, frame, frame + 1))
    assert torch.equal(window(clip, frame, width, radius=0), semantic_windows(rows[frame : frame + 1]))


# ---- a step -----------------------------------------------------------------------------------------------------


def test_the_losses_of_a_step_written_out(data):
    trainer = a_trainer(data)
    losses = one_step(trainer, index=5)
    pairs = mapping.draw_pairs(trainer.clips, 3, step_generator(0, 0))
    detector, estimator, generator = trainer.detector, trainer.estimator, trainer.generator
    keypoints = angles = 0.0
    drawn, real = [], []
    with torch.no_grad():
        for clip, source, driving in pairs:
            portrait, frame = clip.images([source, driving])[:, None]
            canonical, rows = detector(portrait), clip.coefficients().motion_rows()
            predicted = [
                trainer.net(semantic_windows(rows[source : source + 1])).motion(),
                trainer.net(semantic_windows(rows, driving, driving + 1)).motion(),
            ]
            seen = [estimator(portrait).motion(), estimator(frame).motion()]
            points = [transform_keypoints(canonical, motion) for motion in predicted]
            for mine, theirs, place in zip(predicted, seen, points, strict=True):
                keypoints += 10 * keypoint_distance(place, transform_keypoints(canonical, theirs)) / 3
                degrees = torch.stack([theirs.pitch, theirs.yaw, theirs.roll], dim=-1)
                angles += 0.1 * head_pose(mine, degrees) / 3
            drawn.append(generator(portrait, *points).image)
            real.append(frame)
        looks = perceptual_loss(trainer.vgg, torch.cat(drawn), torch.cat(real))
    wanted = {"key points": keypoints.item(), "angles": angles.item(), "perceptual": looks.item()}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(wanted, rel=1e-4)


def test_frames_are_drawn_in_the_second_half_alone(data):
    trainer = a_trainer(data)
    assert set(one_step(trainer, index=4)) == {"key points", "angles"}
    assert set(one_step(trainer, index=5)) == {"key points", "angles", "perceptual"}


def test_every_parameter_learns_and_no_frozen_one_does(data):
    trainer = a_trainer(data)
    for teacher in trainer.frozen.values():
        teacher.requires_grad_(False)
    one_step(trainer, index=5)
    assert [name for name, p in trainer.net.named_parameters() if not p.grad.abs().sum() > 0] == []
    assert all(p.grad is None for teacher in trainer.frozen.values() for p in teacher.parameters())


# ---- sentences --------------------------------------------------------------------------------------------------


def test_clips_of_the_other_family_are_refused(tmp_path):
    data = toy_clips.write(tmp_path / "clips", family=MINI)
    base = exported_renderer(tmp_path)
    with pytest.raises(WrongFamily, match="expected clips of the released family"):
        mapping.main(["--data", str(data), "--config", "narrow", "--out", str(tmp_path / "run"), "--base", str(base)])


def test_a_net_that_reads_crop_parameters_wants_clips_of_a_full_mode(data):
    with pytest.raises(OptionError, match="expected clips of a full crop mode for --net mapping_full, toy_0 is of"):
        mapping.require_crop_mode(read_clips(data), "mapping_full")
    mapping.require_crop_mode(read_clips(data), "mapping")


def test_the_mini_model_has_nothing_to_be_mapped_to(data, tmp_path):
    with pytest.raises(OptionError, match="expected a --base with a generator"):
        mapping.main(["--data", str(data), "--out", str(tmp_path / "run")])


def exported_renderer(folder):
    """A file as stage 1 exports it, randomly initialised."""
    base = load_base_model(str(narrow_model.write(folder / "base.safetensors")))
    nets = renderer.new_nets(narrow_model.RENDERER, seed=0)
    return export(folder / "renderer.safetensors", base, nets)
