"""The built-in motion weights, assets/mini_motion.safetensors: do voice, blink and pose reach the mesh?

data/held_out_voices.npz: three utterances of voices that training never heard (flite kal16, espeak-ng en-us+f5 and
de+m8), made with voices.speech_set.clip_of and save.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sadtalker_core.checkpoint.catalog import ASSETS
from sadtalker_core.checkpoint.reading import read_tensors
from sadtalker_core.coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX, EXPRESSION, MOTION_ROW, POSE
from sadtalker_core.datatypes import BlendshapeMotion, SpeechWindows
from sadtalker_core.model import NETWORKS, load_weights
from sadtalker_core.motion.expnet import ExpNet
from sadtalker_core.motion.pose import run_posevae
from sadtalker_core.motion.visemes import SPEECH_BLENDSHAPES, blendshape_indices
from sadtalker_core.render.mapping import run_mappingnet
from sadtalker_core.training.expnet import pretrained_net
from sadtalker_core.training.expnet_mini import agreement, predict_clip
from sadtalker_core.training.head_measures import at_seams, head_range, nods_with_loudness
from sadtalker_core.training.head_sway import scale_of
from sadtalker_core.training.posevae_mini import portrait_at
from sadtalker_core.training.voices.speech_set import load

FILE = ASSETS / "mini_motion.safetensors"
JAW, PRESS = BLENDSHAPE_INDEX["jawOpen"], BLENDSHAPE_INDEX["mouthPressLeft"]
LIDS = blendshape_indices("eyeBlink")


@pytest.fixture(scope="module")
def nets():
    read = read_tensors(FILE)
    built = {}
    for name, tensors in read.nets().items():
        plan = NETWORKS[name]
        built[name] = load_weights(plan.build(plan.read_config(read.metadata.configs[name], name)), tensors, name)
    return built


@pytest.fixture(scope="module")
def voices():
    return load(Path(__file__).parent / "data" / "held_out_voices.npz")


@pytest.fixture(scope="module")
def spoken(nets, voices):
    """(T, 64) and (T, len(SPEECH_BLENDSHAPES)): what the network says and what it should."""
    predicted = torch.cat([predict_clip(nets["expnet"], clip) for clip in voices])
    return predicted, torch.from_numpy(np.concatenate([clip.units for clip in voices]).astype(np.float32))


def express(net, mel_value: float, reference: dict[str, float] | None = None, blink: float = 0.0):
    row = torch.zeros(1, EXPRESSION)
    for name, value in (reference or {}).items():
        row[0, blendshape_indices(name)] = value
    with torch.no_grad():
        return net(torch.full((1, 1, 80, 16), mel_value), row, torch.tensor([blink]))[0]


def test_the_file_is_small_and_holds_the_three_nets(nets):
    assert FILE.stat().st_size < 4e6
    assert set(nets) == {"expnet", "posevae", "mapping"}


def test_the_jaw_of_an_unknown_voice_opens_when_and_as_far_as_it_should(spoken):
    r, spread = agreement(spoken[0].numpy(), spoken[1].numpy())["jawOpen"]
    assert r >= 0.7
    assert 0.8 <= spread <= 1.2


def of_windows(net, voices, **changes):
    """What the network of windows predicts alone, its config changed."""
    alone = pretrained_net(net)
    changed = ExpNet(replace(alone.config, **changes)).eval()
    changed.load_state_dict(alone.state_dict())
    return torch.cat([predict_clip(changed, clip) for clip in voices]).numpy()


def gained(track, other, wanted):
    """By how much r of jaw, width and closure is higher in the track than in the other."""
    of_track, of_other = agreement(track, wanted), agreement(other, wanted)
    return [of_track[name][0] - of_other[name][0] for name in ("jawOpen", "mouthStretchLeft", "mouthPressLeft")]


def test_half_frames_predict_an_unknown_voice_better_than_one_window(nets, voices, spoken):
    """On the voices here r of the jaw is .887, with one window of each frame .876; lips, rounding and width alike."""
    net = nets["expnet"]
    assert net.config.half_frames
    gains = gained(of_windows(net, voices), of_windows(net, voices, half_frames=False), spoken[1].numpy())
    assert gains[0] > 0.005 and min(gains) > 0


def test_two_networks_predict_an_unknown_voice_better_than_that_of_windows_alone(nets, voices, spoken):
    net = nets["expnet"]
    assert net.config.temporal.blocks
    gains = gained(spoken[0].numpy(), of_windows(net, voices), spoken[1].numpy())
    assert gains[0] > 0.01 and min(gains) > 0


def test_lips_meet_on_p_b_m(spoken):
    predicted, wanted = spoken
    closed = wanted[:, SPEECH_BLENDSHAPES.index(PRESS)] > 0.4
    open_ = wanted[:, SPEECH_BLENDSHAPES.index(JAW)] > 0.25
    assert predicted[closed, PRESS].mean() > 4 * predicted[open_, PRESS].mean()
    assert predicted[closed, JAW].mean() < 0.3 * predicted[open_, JAW].mean()


@pytest.mark.parametrize("mel", [-4.0, 0.0], ids=["silence", "idle"])
def test_nobody_speaks_and_the_mouth_rests(nets, mel):
    assert express(nets["expnet"], mel).abs().max() < 0.1
    assert abs(express(nets["expnet"], mel)[JAW]) < 0.05


def test_a_blink_shuts_both_eyes_and_leaves_the_rest_alone(nets):
    open_, shut = (express(nets["expnet"], -4.0, blink=b) for b in (0.0, 1.0))
    change = shut - open_
    torch.testing.assert_close(change[LIDS], torch.ones(2), atol=0.05, rtol=0)
    change[LIDS] = 0
    assert change.abs().max() < 0.05


def test_brows_follow_the_portrait_a_smile_half_stays_an_open_mouth_closes(nets):
    rest = express(nets["expnet"], -4.0)
    raised = express(nets["expnet"], -4.0, {"browInnerUp": 0.8, "mouthSmile": 0.8, "jawOpen": 0.8}) - rest
    assert raised[BLENDSHAPE_INDEX["browInnerUp"]] == pytest.approx(0.8, abs=0.06)
    assert raised[BLENDSHAPE_INDEX["mouthSmileLeft"]] == pytest.approx(0.48, abs=0.08)
    assert abs(raised[JAW]) < 0.06


def test_the_mapping_hands_over_the_mouth(nets, voices):
    rows = torch.zeros(sum(len(clip.units) for clip in voices), MOTION_ROW)
    rows[:, list(SPEECH_BLENDSHAPES)] = torch.from_numpy(np.concatenate([c.units for c in voices]).astype(np.float32))
    handed = run_mappingnet(nets["mapping"], rows, BlendshapeMotion).weights
    for name in ("jawOpen", "mouthPressLeft", "mouthPucker", "mouthRollLower", "mouthStretchRight"):
        unit = BLENDSHAPE_INDEX[name]
        assert np.corrcoef(handed[:, unit], rows[:, unit])[0, 1] >= 0.97, name
        assert 0.9 < handed[:, unit].std() / rows[:, unit].std() < 1.1, name
    closed = rows[:, PRESS] > 0.4
    assert handed[closed, PRESS].mean() > 0.9 * rows[closed, PRESS].mean()


def test_a_blink_of_five_frames_passes_the_mapping_and_shut_is_shut(nets):
    rows = torch.zeros(60, MOTION_ROW)
    rows[28:33, LIDS] = torch.tensor([0.5, 0.9, 1.0, 0.9, 0.5])[:, None] * 1.3
    lids = run_mappingnet(nets["mapping"], rows, BlendshapeMotion).weights[:, LIDS]
    assert lids[30].min() > 0.85
    assert lids.max() < 1.15
    assert lids[:22].abs().max() < 0.1 and lids[39:].abs().max() < 0.1


@pytest.mark.parametrize("degrees", [-30, -15, -4, 0, 4, 15, 30])
def test_angles_and_place_pass_the_mapping(nets, degrees):
    for axis in range(3):
        row = torch.zeros(1, MOTION_ROW)
        row[0, EXPRESSION + axis] = math.radians(degrees)
        row[0, EXPRESSION + 3 :] = torch.tensor([0.1, -0.1, 0.2])
        motion = run_mappingnet(nets["mapping"], row, BlendshapeMotion)
        got = torch.stack([motion.pitch, motion.yaw, motion.roll], dim=1)[0]
        wanted = torch.zeros(3)
        wanted[axis] = degrees
        torch.testing.assert_close(got, wanted, atol=0.7, rtol=0)
        torch.testing.assert_close(motion.translation, row[:, -3:], atol=0.02, rtol=0)


@pytest.fixture(scope="module")
def speech(voices):
    mel = torch.from_numpy(np.concatenate([clip.mel[:-1] for clip in voices]).astype(np.float32))
    return SpeechWindows(mel, len(mel) * 5 // 16)


@pytest.fixture(scope="module")
def heads(nets, speech):
    """(T, 3) degrees of a voice in a style with a seed."""

    def head(style, seed, start=(0.0,) * POSE):
        draw = torch.Generator().manual_seed(seed)
        pose = run_posevae(nets["posevae"], speech, portrait_at(torch.tensor(start)), style, generator=draw)
        return torch.rad2deg(pose.coefficients[:, :3])

    return head


def test_heads_move_as_in_videos_and_smoothly(heads):
    for style in (0, 19, 37):
        degrees = heads(style, seed=1)
        scale = float(scale_of(style)[0])
        assert (2.5 * scale < head_range(degrees.numpy())).all() and (head_range(degrees.numpy()) < 22 * scale).all()
        assert degrees.diff(dim=0).abs().max() < 2.5 * scale


def test_the_head_does_not_return_at_the_seams_of_blocks(heads):
    assert np.mean([at_seams(heads(0, seed).numpy()) for seed in range(4)]) == pytest.approx(1, abs=0.2)


def test_a_head_nods_with_the_voice(heads, speech):
    loudness = 10 * speech.mel.mean(dim=1)[((torch.arange(speech.n_frames) + 0.5) * 3.2).long()].numpy()
    assert np.mean([nods_with_loudness(heads(0, seed).numpy(), loudness) for seed in range(4)]) > 0.05


def test_the_calm_style_is_calmer_and_another_seed_is_another_motion(heads):
    calm, lively, other = heads(0, seed=1), heads(41, seed=1), heads(41, seed=2)
    assert calm.std(dim=0).mean() < 0.6 * lively.std(dim=0).mean()
    assert (lively - other).std(dim=0).mean() > 0.5 * lively.std(dim=0).mean()


def test_a_head_starts_from_the_portrait_s_pose(heads):
    start = (0.1, -0.2, 0.05, 0.1, 0.0, 0.0)
    begin, turned = torch.rad2deg(torch.tensor(start[:3])), heads(0, seed=3, start=start)
    torch.testing.assert_close(turned[0], begin, atol=0.4, rtol=0)  # what smoothing takes from the next half second
    torch.testing.assert_close(turned.mean(dim=0), begin, atol=5.0, rtol=0)


def test_units_the_voice_does_not_move_stay_at_rest(spoken):
    still = [i for i in range(len(ARKIT_BLENDSHAPES)) if i not in SPEECH_BLENDSHAPES]
    assert spoken[0][:, still].abs().max() < 0.15
