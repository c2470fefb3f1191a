"""PoseVAE's training: its losses against plain loops, its styles, its discriminator, its command line."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sadtalker_core.errors import InputError, OptionError
from sadtalker_core.motion.audio_encoder import AudioEncoder, AudioEncoderConfig
from sadtalker_core.motion.course import WAVE_NUMBERS
from sadtalker_core.motion.posevae import RELEASED_POSEVAE, PoseVAE, PoseVAEConfig
from sadtalker_core.training import posevae
from sadtalker_core.training.clips import Clip, read_clips
from sadtalker_core.training.engine import saved_nets, step_generator, train
from sadtalker_core.training.export import load_base_model
from sadtalker_core.training.posevae import (
    PoseVAETrainer,
    adversarial_loss,
    divergence,
    new_net,
    read_blocks,
    style_numbers,
)
from sadtalker_core.training.run_log import read_log
from sadtalker_core.training.sequence_discriminator import SequenceDiscriminator, SequenceDiscriminatorConfig
from sadtalker_core.training.trainer import Run, StepContext
from tests.training.toy_voices import write_voices

NARROW = replace(
    posevae.PUBLISHED,
    discriminator=SequenceDiscriminatorConfig(width=4),
    net=PoseVAEConfig(audio=AudioEncoderConfig(width=2), unet_widths=(2, 2, 4, 4), latent=5),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_voices(tmp_path_factory.mktemp("clips"), n_frames=40)


def trainer_on(folder, training=NARROW):
    clips = read_blocks(folder, "mini")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        audio_encoder = AudioEncoder(training.net.audio).eval()
    return PoseVAETrainer(clips, new_net(training.net, audio_encoder, posevae.spreads_of(clips, 32), 0), training)


def test_a_network_that_predicts_changes_gets_changes(folder):
    training = replace(
        NARROW, net=replace(NARROW.net, latent=WAVE_NUMBERS, changes=True), in_spreads=True, divergence=1e-3
    )
    trainer = trainer_on(folder, training)
    pose = trainer.clips[0].coefficients(0, 33).pose
    blocks = trainer._blocks([(trainer.clips[0], 0)], torch.device("cpu"))
    torch.testing.assert_close(blocks.motion[0].cumsum(dim=0), pose[1:] - pose[:1], atol=1e-6, rtol=1e-4)
    changes = torch.cat([clip.coefficients().pose.diff(dim=0) for clip in trainer.clips])
    torch.testing.assert_close(trainer.spreads, changes.square().mean(dim=0).sqrt().clamp_min(1e-4))
    context = StepContext(0, 2, step_generator(0, 0), torch.device("cpu"), lambda name, loss: loss.backward())
    assert all(torch.isfinite(loss) for loss in trainer.step(context).values())
    with torch.no_grad():
        assert set(trainer.samples()) == {"target", "rebuilt", "drawn at 0"}


def test_the_published_weights_are_those_of_the_method():
    published = posevae.PUBLISHED
    assert (published.reconstruction, published.divergence, published.adversarial) == (1.0, 1.0, 0.7)
    assert published.net.frames == 32 and published.net.styles == 46 and not published.net.logvar_from_means
    assert (published.rate, published.discriminator_rate, published.betas) == (1e-4, 1e-4, (0.9, 0.99))
    assert published.discriminator_every == 2 and published.batch == 64


def test_the_divergence_is_that_of_a_plain_loop():
    draw = torch.Generator().manual_seed(0)
    mean, logvar = torch.randn(3, 4, generator=draw), torch.randn(3, 4, generator=draw)
    total = 0.0
    for m, v in zip(mean.flatten().tolist(), logvar.flatten().tolist(), strict=True):
        total += -0.5 * (1 + v - m * m - math.exp(v))
    assert divergence(mean, logvar).item() == pytest.approx(total / 3, rel=1e-6)
    assert divergence(torch.zeros(2, 4), torch.zeros(2, 4)) == 0


def test_the_adversarial_loss_is_the_cross_entropy():
    logits = torch.tensor([[-1.5, 0.0], [2.0, 0.7]])
    real = [1 / (1 + math.exp(-x)) for x in logits.flatten().tolist()]
    assert adversarial_loss(logits, real=True).item() == pytest.approx(np.mean([-math.log(p) for p in real]), rel=1e-5)
    fakes = np.mean([-math.log(1 - p) for p in real])
    assert adversarial_loss(logits, real=False).item() == pytest.approx(fakes, rel=1e-5)


def test_a_step_descends_the_weighted_sum_and_every_second_the_discriminator(folder):
    trainer, reports = trainer_on(folder), []
    for index in range(2):
        context = StepContext(
            index,
            2,
            step_generator(0, index),
            torch.device("cpu"),
            lambda name, loss: reports.append((name, float(loss.detach()))),
        )
        losses = {name: loss.item() for name, loss in trainer.step(context).items()}
        weighted = losses["reconstruction"] + losses["divergence"] + 0.7 * losses["adversarial"]
        assert reports[0] == ("posevae", pytest.approx(weighted, rel=1e-5))
        assert reports[1:] == ([("discriminator", pytest.approx(losses["discriminator"]))] if index == 0 else [])
        reports.clear()


@torch.no_grad()
@pytest.mark.parametrize(("matched", "changes"), [(True, False), (True, True), (False, False)])
def test_a_new_network_is_validated_with_its_latents_matched_unless_they_have_meanings(folder, matched, changes):
    clips, latent = read_clips(folder), WAVE_NUMBERS
    net = PoseVAE(replace(NARROW.net, latent=latent, changes=changes)).eval()
    trainer, before = PoseVAETrainer(clips, net, NARROW, matched=matched), net.decoder.style_bias.clone()
    with trainer.in_final_form():
        assert torch.equal(net.decoder.style_bias, before) == (changes or not matched)
    assert torch.equal(net.decoder.style_bias, before)


def test_the_blocks_of_a_batch_are_cut_from_their_clips(folder):
    trainer = trainer_on(folder)
    clip = trainer.clips[1]
    blocks = trainer._blocks([(clip, 3)], torch.device("cpu"))
    pose = clip.coefficients().pose
    assert torch.equal(blocks.reference[0], pose[3])
    assert torch.equal(blocks.motion[0], pose[4:36] - pose[3])
    with torch.no_grad():
        embedded_clips = trainer.net.audio.eval()(clip.speech().windows(4, 36))
    torch.testing.assert_close(blocks.audio[0], embedded_clips, atol=1e-4, rtol=1e-4)
    assert blocks.style.tolist() == [trainer.styles[clip.speaker]]


def test_the_reconstruction_is_the_mean_squared_error_or_that_in_spreads(folder):
    for in_spreads in (False, True):
        trainer = trainer_on(folder, replace(NARROW, in_spreads=in_spreads))
        rebuilt = []
        decode = trainer.net.decode
        trainer.net.decode = lambda *reports, decode=decode, kept=rebuilt: kept.append(decode(*reports)) or kept[-1]
        context = StepContext(0, 2, step_generator(0, 0), torch.device("cpu"), lambda name, loss: None)
        loss = trainer.step(context)["reconstruction"].item()
        blocks = trainer._blocks(trainer.spans.draw(2, step_generator(0, 0)), torch.device("cpu"))
        spreads = posevae.spreads_of(trainer.clips, 32).tolist() if in_spreads else [1.0] * 6
        squares = [
            ((rebuilt[0][b, t, i] - blocks.motion[b, t, i]).item() / spreads[i]) ** 2
            for b in range(2)
            for t in range(32)
            for i in range(6)
        ]
        assert loss == pytest.approx(np.mean(squares), rel=1e-4)


def test_the_audio_encoder_stays_as_it_is_and_the_log_variance_learns(folder, tmp_path):
    trainer = trainer_on(folder)
    before = {name: tensor.clone() for name, tensor in trainer.net.state_dict().items()}
    train(trainer, Run(tmp_path / "run", 3, batch=2, accelerator="cpu", devices=1))
    after = saved_nets(tmp_path / "run")["posevae"]
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert not any(name.startswith("audio.") for name in changed)
    assert {"encoder.logvar.weight", "encoder.mean.weight", "decoder.pose.weight"} <= changed
    assert set(read_log(tmp_path / "run")[-1]) - {"step", "seconds"} == {
        "reconstruction",
        "divergence",
        "adversarial",
        "discriminator",
    }


def test_speakers_get_a_style_each_and_share_them_when_there_are_too_many(caplog):
    clips = [Clip(f"{i}", "mini", 33, 256, "crop", f"speaker {i:02d}", "", None) for i in (3, 1, 2, 1)]
    assert style_numbers(clips, 46) == {"speaker 01": 0, "speaker 02": 1, "speaker 03": 2}
    assert style_numbers(clips, 2) == {"speaker 01": 0, "speaker 02": 1, "speaker 03": 0}
    assert "3 speakers share 2 styles" in caplog.text


def test_the_discriminator_has_the_released_widths(project):
    lines = (project / "tests" / "parity" / "released_keys.txt").read_text().splitlines()
    released = sorted(" ".join(line.split()[1:]) for line in lines if line.startswith("audio2pose.netD_motion."))
    ours = SequenceDiscriminator().state_dict().values()
    assert sorted(" ".join(map(str, tensor.shape)) for tensor in ours) == released
    assert SequenceDiscriminator()(torch.zeros(2, 32, 6)).shape == (2, 8)


def test_a_released_net_is_taken_up_with_the_log_variance_from_its_own_layer():
    released = PoseVAE(RELEASED_POSEVAE)
    taken = posevae.pretrained_net(released)
    assert released.config.logvar_from_means and not taken.config.logvar_from_means
    assert torch.equal(taken.encoder.logvar.weight, released.encoder.logvar.weight)


def test_a_new_net_begins_near_the_reference():
    spreads = torch.tensor([0.05, 0.06, 0.04, 0.01, 0.01, 0.01])
    net = new_net(posevae.MINI_TRAINING.net, AudioEncoder(posevae.MINI_TRAINING.net.audio), spreads, 0).eval()
    assert isinstance(net, PoseVAE)
    with torch.no_grad():
        motion = net.decode(torch.zeros(1, 64), torch.zeros(1, 32, 128), torch.zeros(1, 6), torch.tensor([0]))
    assert (motion.abs() < 3 * spreads).all()


@pytest.mark.slow
def test_the_command_line_trains_and_exports_and_the_styles_are_reported(folder, tmp_path, capsys):
    file = tmp_path / "mine.safetensors"
    posevae.main(
        [
            "--data",
            str(folder),
            "--out",
            str(tmp_path / "run"),
            "--steps",
            "1",
            "--batch",
            "2",
            "--accelerator",
            "cpu",
            "--devices",
            "1",
            "--export",
            str(file),
        ]
    )
    speakers = sorted({clip.speaker for clip in read_clips(folder)})
    assert f'styles {{"{speakers[0]}": 0' in capsys.readouterr().out
    saved, exported = saved_nets(tmp_path / "run")["posevae"], load_base_model(str(file)).nets["posevae"].state_dict()
    latents = {"encoder.mean", "encoder.logvar", "decoder.style_bias", "decoder.hidden"}  # see matched_prior.py
    other = {name for name in saved if not torch.equal(exported[name], saved[name])}
    assert other and all(any(name.startswith(part) for part in latents) for name in other)
    more = tmp_path / "more.safetensors"
    posevae.main(
        [
            "--data",
            str(folder),
            "--out",
            str(tmp_path / "more"),
            "--steps",
            "0",
            "--init-from",
            "base",
            "--base",
            str(file),
            "--accelerator",
            "cpu",
            "--devices",
            "1",
            "--export",
            str(more),
        ]
    )
    same = load_base_model(str(more)).nets["posevae"].state_dict()
    assert all(torch.equal(same[name], exported[name]) for name in exported)


def test_the_published_widths_ask_for_an_audio_encoder_of_their_own(folder, tmp_path):
    with pytest.raises(
        OptionError, match="an audio encoder of width 32 for this network, got one of 8. Give --wav2lip FILE"
    ):
        posevae.main(["--data", str(folder), "--out", str(tmp_path / "run"), "--config", "published"])


def test_clips_shorter_than_a_block_and_its_first_pose_are_refused(tmp_path):
    write_voices(tmp_path, n_frames=30)
    with pytest.raises(InputError, match="expected clips of at least 33 frames .* the longest of its 3 has 30"):
        posevae.main(["--data", str(tmp_path), "--out", str(tmp_path / "run")])
