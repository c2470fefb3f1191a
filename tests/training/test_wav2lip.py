"""The audio encoder of a Wav2Lip checkpoint, written here in its layout."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, OptionError
from sadtalker_core.motion.audio_encoder import AudioEncoder
from sadtalker_core.training import expnet, posevae
from sadtalker_core.training.wav2lip import read_wav2lip_audio_encoder


@pytest.fixture(scope="module")
def audio_encoder():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return AudioEncoder().eval()


def write(audio_encoder, file, prefix="module.", leave_out=()):
    """As Wav2Lip saves: every network of it, trained on several GPUs, with the optimizer beside."""
    state = {f"{prefix}face_encoder_blocks.0.0.conv_block.0.weight": torch.zeros(16, 6, 7, 7)}
    for name, tensor in audio_encoder.state_dict().items():
        _, layer, part, rest = name.split(".")
        key = f"{prefix}audio_encoder.{layer}.conv_block.{('conv', 'norm').index(part)}.{rest}"
        if key.removeprefix(prefix) not in leave_out:
            state[key] = tensor
    torch.save({"state_dict": state, "optimizer": None, "global_step": 1, "global_epoch": 1}, file)
    return file


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_the_audio_encoder_embeds_as_the_one_that_was_saved(audio_encoder, tmp_path, prefix):
    read = read_wav2lip_audio_encoder(write(audio_encoder, tmp_path / "wav2lip.pth", prefix))
    windows = torch.randn(2, 1, 80, 16, generator=torch.Generator().manual_seed(2))
    assert torch.equal(read(windows), audio_encoder(windows))


def test_new_nets_begin_with_that_audio_encoder_and_narrow_ones_refuse_it(audio_encoder):
    net = expnet.new_net(expnet.PUBLISHED.net, audio_encoder, 0)
    assert torch.equal(net.audio.layers[3].conv.weight, audio_encoder.layers[3].conv.weight)
    pose = posevae.new_net(posevae.PUBLISHED.net, audio_encoder, torch.ones(6), 0)
    assert torch.equal(pose.audio.layers[3].conv.weight, audio_encoder.layers[3].conv.weight)
    with pytest.raises(OptionError, match="an audio encoder of width 8 for this network, got one of 32"):
        expnet.new_net(expnet.MINI_TRAINING.net, audio_encoder, 0)
    with pytest.raises(OptionError, match="an audio encoder of width 8 for this network, got one of 32"):
        posevae.new_net(posevae.MINI_TRAINING.net, audio_encoder, torch.ones(6), 0)


def test_files_that_are_no_wav2lip_checkpoints_are_refused_with_a_sentence(audio_encoder, tmp_path):
    with pytest.raises(CheckpointMissing, match="there is no file gone.pth in"):
        read_wav2lip_audio_encoder(tmp_path / "gone.pth")
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(CheckpointDamaged, match="page.pth in .* is a web page"):
        read_wav2lip_audio_encoder(tmp_path / "page.pth")
    (tmp_path / "cut.pth").write_bytes(write(audio_encoder, tmp_path / "whole.pth").read_bytes()[:1000])
    with pytest.raises(CheckpointDamaged, match="cut.pth in .* is truncated"):
        read_wav2lip_audio_encoder(tmp_path / "cut.pth")
    torch.save({"state_dict": {"other.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointMismatch, match="other.pth in .* holds no audio_encoder"):
        read_wav2lip_audio_encoder(tmp_path / "other.pth")
    file = write(audio_encoder, tmp_path / "part.pth", leave_out={"audio_encoder.4.conv_block.0.bias"})
    with pytest.raises(CheckpointMismatch, match="part.pth in .* does not fit AudioEncoder: it lacks layers.4.conv.bi"):
        read_wav2lip_audio_encoder(file)
    write(AudioEncoder(posevae.MINI_TRAINING.net.audio), tmp_path / "narrow.pth")
    with pytest.raises(CheckpointMismatch, match="does not fit AudioEncoder: it has layers.0.conv.weight 8x1x3x3"):
        read_wav2lip_audio_encoder(tmp_path / "narrow.pth")
