"""ExpNet's training: its losses against plain loops, its blink tracks, its command line."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, RELEASED, CropMode, FaceCoefficients
from sadtalker_core.errors import OptionError, WrongFamily
from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
from sadtalker_core.motion.expnet import ExpNetConfig
from sadtalker_core.training import expnet
from sadtalker_core.training.clips import read_clips, write_clip
from sadtalker_core.training.engine import saved_nets, step_generator, train
from sadtalker_core.training.expnet import ExpNetTrainer, Speech, drawn_blinks, measured_blinks, new_net
from sadtalker_core.training.export import load_base_model
from sadtalker_core.training.faces import MiniFace
from sadtalker_core.training.run_log import read_log
from sadtalker_core.training.trainer import Run, StepContext
from tests.training.toy_voices import write_voices

NARROW = replace(expnet.MINI_TRAINING, net=ExpNetConfig(AudioEncoderConfig(width=2)), frames=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_voices(tmp_path_factory.mktemp("clips"), n_frames=40)


def trainer_on(clips, **how):
    return ExpNetTrainer(clips, new_net(NARROW.net, None, 0), NARROW, **{"face": MiniFace(), **how})


def test_the_published_weights_are_those_of_the_method():
    published = expnet.PUBLISHED
    assert (published.distillation, published.landmarks, published.lip_reading) == (2.0, 0.01, 0.01)
    assert published.eyes == 200 * published.landmarks
    assert published.rate == 2e-5 and published.frames == 32 and published.batch == 32


def test_the_losses_are_those_of_plain_loops(folder):
    draw = torch.Generator().manual_seed(3)
    rows = FaceCoefficients.from_full_rows(
        0.2 * torch.randn(6, 257, generator=draw), torch.zeros(6, 3), family=MINI, crop_mode=CropMode.CROP, pic_size=256
    )
    rest, predicted = torch.rand(6, 64, generator=draw), torch.rand(6, 64, generator=draw)
    blink = torch.tensor([0.0, 0.5, 0.9, 1.0, 0.9, 0.5])
    losses = trainer_on(read_clips(folder)).losses(predicted, Speech(torch.zeros(6, 1, 80, 16), rest, blink, rows))

    face = MiniFace()
    points = {
        name: face.points(rows, e).double().numpy()
        for name, e in (("predicted", predicted), ("wanted", rows.expression))
    }

    def openness(expression):
        return 0.26 * (1 - (expression[8].item() + expression[9].item()) / 2)

    squares = [(predicted[b, i].item() - rows.expression[b, i].item()) ** 2 for b in range(6) for i in range(64)]
    away = [math.dist(points["predicted"][b, i], points["wanted"][b, i]) for b in range(6) for i in range(68)]
    eyes = [abs(openness(predicted[b]) - (1 - blink[b].item()) * openness(rest[b])) for b in range(6)]
    assert losses["distillation"].item() == pytest.approx(np.mean(squares), rel=1e-5)
    assert losses["landmarks"].item() == pytest.approx(np.mean(away), rel=1e-5)
    assert losses["eyes"].item() == pytest.approx(np.mean(eyes), rel=1e-4)


def test_a_step_descends_the_weighted_sum(folder):
    trainer, inputs = trainer_on(read_clips(folder)), {}
    context = StepContext(
        0, 2, step_generator(0, 0), torch.device("cpu"), lambda name, loss: inputs.update({name: loss.item()})
    )
    losses = {name: loss.item() for name, loss in trainer.step(context).items()}
    weighted = 2 * losses["distillation"] + 0.01 * (losses["landmarks"] + 200 * losses["eyes"])
    assert inputs == {"expnet": pytest.approx(weighted, rel=1e-5)}


def test_half_of_the_runs_are_asked_for_a_blink_and_it_may_begin_or_end_outside():
    tracks = drawn_blinks(2000, 12, 0.5, step_generator(0, 0))
    assert tracks.shape == (2000, 12)
    blinking = tracks.amax(dim=1) > 0
    assert abs(blinking.float().mean() - 0.5) < 0.05  # 4 standard deviations
    whole = tracks[(tracks > 0).sum(dim=1) == 5]
    assert len(whole) > 100
    first = whole[0][whole[0] > 0].tolist()
    assert first == pytest.approx([0.5, 0.9, 1.0, 0.9, 0.5])
    assert (tracks[:, 0] == 1.0).any() and (tracks[:, -1] == 1.0).any()


def test_the_lids_of_a_clip_are_measured_from_how_open_the_eyes_are_at_rest():
    rows = torch.zeros(5, 257)
    lids = torch.tensor([0.1, 0.2, 0.4, 0.6, 1.0])
    rows[:, 80 + BLENDSHAPE_INDEX["eyeBlinkLeft"]] = rows[:, 80 + BLENDSHAPE_INDEX["eyeBlinkRight"]] = lids
    clip = FaceCoefficients.from_full_rows(rows, torch.zeros(5, 3), family=MINI, crop_mode=CropMode.CROP, pic_size=256)
    blink = measured_blinks(MiniFace(), clip, clip.expression[1:2].expand(5, -1))
    assert blink.tolist() == pytest.approx([0.0, 0.0, 0.25, 0.5, 1.0], abs=1e-6)


def test_a_new_net_begins_with_the_expression_at_rest():
    net = new_net(expnet.MINI_TRAINING.net, None, 0).eval()
    rest = torch.rand(1, 64)
    with torch.no_grad():
        net.head.weight[:, : net.config.audio.embedding] = 0  # what the randomly initialised audio encoder gives
        torch.testing.assert_close(net(torch.zeros(1, 1, 80, 16), rest, torch.ones(1)), rest)
    assert torch.equal(
        new_net(expnet.MINI_TRAINING.net, None, 5).head.weight, new_net(expnet.MINI_TRAINING.net, None, 5).head.weight
    )


def test_coefficients_alone_are_trained_on_without_landmarks_and_blinks(folder, tmp_path):
    trainer = trainer_on(read_clips(folder), face=None)
    train(trainer, Run(tmp_path / "run", 2, batch=2, accelerator="cpu", devices=1))
    assert set(read_log(tmp_path / "run")[-1]) == {"step", "seconds", "distillation"}


def test_a_frozen_audio_encoder_stays_as_it_is_to_its_running_means(folder, tmp_path):
    clips, net = read_clips(folder), new_net(NARROW.net, None, 0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    trainer = ExpNetTrainer(clips, net, NARROW, face=None, frozen_audio=True)
    train(trainer, Run(tmp_path / "run", 2, batch=2, accelerator="cpu", devices=1))
    after = saved_nets(tmp_path / "run")["expnet"]
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith("audio.") for name in changed)
    assert trainer.settings["frozen_audio"] is True


def test_a_lip_reader_needs_a_face(folder):
    with pytest.raises(OptionError, match="leave --coefficients-only out, or --lip-reader"):
        trainer_on(read_clips(folder), face=None, lip_reader=torch.nn.Identity())


def test_a_lip_reader_reads_and_is_not_trained(folder, tmp_path):
    class Reader(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(2))

        def forward(self, mouths):
            return torch.stack([mouths.mean(dim=(1, 2, 3, 4)), -mouths.mean(dim=(1, 2, 3, 4))], dim=1) + self.bias

    training = replace(NARROW, frames=12)
    trainer = ExpNetTrainer(
        read_clips(folder), new_net(training.net, None, 0), training, face=MiniFace(), lip_reader=Reader()
    )
    train(trainer, Run(tmp_path / "run", 1, batch=1, accelerator="cpu", devices=1))
    assert read_log(tmp_path / "run")[-1]["lip_reading"] > 0
    assert set(saved_nets(tmp_path / "run")) == {"expnet"}
    assert trainer.frozen["lip_reader"].bias.grad is None


@pytest.mark.slow
def test_the_command_line_trains_goes_on_from_a_base_and_exports(folder, tmp_path):
    common = ["--data", str(folder), "--batch", "2", "--accelerator", "cpu", "--devices", "1"]
    new, more = tmp_path / "new.safetensors", tmp_path / "more.safetensors"
    expnet.main([*common, "--out", str(tmp_path / "new"), "--steps", "2", "--export", str(new)])
    learnt = load_base_model(str(new)).nets["expnet"].state_dict()
    saved = saved_nets(tmp_path / "new")["expnet"]
    assert all(torch.equal(learnt[name], saved[name]) for name in saved)
    expnet.main(
        [
            *common,
            "--out",
            str(tmp_path / "more"),
            "--steps",
            "0",
            "--init-from",
            "base",
            "--base",
            str(new),
            "--export",
            str(more),
        ]
    )
    same = load_base_model(str(more)).nets["expnet"].state_dict()
    assert all(torch.equal(same[name], learnt[name]) for name in learnt)


def test_released_clips_do_not_fit_the_mini_base(folder, tmp_path):
    clip = read_clips(folder)[0]
    rows = replace(clip.coefficients(), family=RELEASED)
    write_clip(tmp_path, "a", mel=clip.speech().mel, coefficients=rows, speaker="a", source="a")
    with pytest.raises(WrongFamily, match="expected clips of the mini family"):
        expnet.main(["--data", str(tmp_path), "--out", str(tmp_path / "run")])
