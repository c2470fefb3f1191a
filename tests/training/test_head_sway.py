"""The heads that PoseVAE mini learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sadtalker_core.motion.course import BLOCK, connected
from sadtalker_core.training import head_measures, head_sway

N_FRAMES = 2000


def spoken(n_frames: int = N_FRAMES) -> np.ndarray:
    """(n_mel, 80) syllables of a quarter of a second in phrases of three seconds, with pauses of one."""
    t = np.arange(n_frames * 16 // 5) / 80
    loud = np.where(t % 4 < 3, 0.7 + 0.3 * np.sin(2 * np.pi * 4 * t) * np.sin(2 * np.pi * 0.31 * t), 0.0)
    return np.repeat(-4 + 3.5 * loud[:, None], 80, axis=1)


def numbers(seed: int, n_blocks: int = N_FRAMES // 16) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return connected(torch.randn(n_blocks, head_sway.NUMBERS, generator=draw))


def head(style: int, seed: int = 0, mel: np.ndarray | None = None) -> torch.Tensor:
    """(T, 6)"""
    return head_sway.course(numbers(seed), style, head_sway.cues(spoken() if mel is None else mel, N_FRAMES))


def test_a_head_begins_where_the_portrait_held_it_and_does_not_return_at_seams():
    away = [head_measures.at_seams(torch.rad2deg(head(0, seed)[:, :3]).numpy()) for seed in range(4)]
    assert head(0)[0].abs().max() == 0
    assert np.mean(away) == pytest.approx(1.0, abs=0.1)


def test_a_step_at_a_seam_is_as_large_as_any_other():
    steps = torch.stack([head(0, seed)[:, :3].diff(dim=0).norm(dim=1) for seed in range(8)]).mean(dim=0)
    for offset in range(0, BLOCK, 4):  # blocks begin in the frames 1, 17, 33 ..
        at = steps[torch.arange(len(steps)) % BLOCK == offset]
        assert at.mean().item() == pytest.approx(steps.mean().item(), rel=0.3), offset


def test_style_0_moves_as_much_as_a_video_and_the_liveliest_about_twice_as_much():
    def ranges(style: int) -> np.ndarray:
        return np.mean([head_measures.head_range(torch.rad2deg(head(style, s)[:, :3]).numpy()) for s in range(4)], 0)

    calm, lively = ranges(0), ranges(37)  # even and slow
    assert (calm > 5).all() and (calm < 20).all()
    np.testing.assert_allclose(lively / calm, 1.8, atol=0.2)
    assert all(
        head_sway.scale_of(i)[:3].prod() < head_sway.scale_of(i + 9)[:3].prod() for i in range(1, head_sway.STYLES - 9)
    )


def test_there_is_no_47th_style():
    with pytest.raises(ValueError, match="0..45"):
        head_sway.style(46)


def test_a_silent_voice_asks_for_nothing_and_a_phrase_that_begins_for_a_movement():
    silent = head_sway.cues(np.full((81, 80), -4.0), 25)
    np.testing.assert_allclose(silent.numpy(), 0.0, atol=1e-9)
    mel = np.full((320, 80), -4.0)
    mel[160:] = -0.5
    rise, _, awake = head_sway.cues(mel, 100).T
    assert 45 <= int(rise.argmax()) <= 55 and rise[:30].max() < 1e-3 and rise[70:].max() < 1e-3
    assert awake[20] < 0.01 and awake[80] == 1


def test_a_stressed_syllable_goes_down_and_comes_back():
    voice = torch.zeros(1, BLOCK, 3)
    voice[0, 10:14, head_sway.STRESS], voice[0, 14:18, head_sway.STRESS] = 0.05, -0.05
    none = torch.zeros(1, head_sway.NUMBERS)
    pitch = head_sway.changes(none, torch.tensor([0]), voice)[0, :, 0].cumsum(0)
    assert pitch[13] == pytest.approx(np.radians(0.2 * head_sway.NOD_DEGREES), rel=1e-4)
    assert pitch[:10].abs().max() == 0 and pitch[18:].abs().max() < 1e-6


def test_in_a_pause_the_head_settles():
    mel = np.full((N_FRAMES * 16 // 5, 80), -4.0)
    quiet, speaking = (torch.rad2deg(head(0, 1, one)[:, :3]).numpy() for one in (mel, spoken()))
    assert head_measures.rests(quiet) > 2 * head_measures.rests(speaking)


def test_another_draw_is_another_movement_and_a_longer_clip_begins_like_a_shorter_one():
    voice = head_sway.cues(spoken(), N_FRAMES)
    assert not torch.equal(head(0, 1), head(0, 2))
    short = head_sway.course(numbers(0)[:10], 0, voice[:161])
    torch.testing.assert_close(short[:144], head(0)[:144])
