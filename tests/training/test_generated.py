"""Clips that are thought of for voices."""

from __future__ import annotations

import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.motion.visemes import SPEECH_BLENDSHAPES
from sadtalker_core.training.clips import read_clips
from sadtalker_core.training.generated import write_generated
from tests.training.toy_voices import voices, write_voices


def test_the_same_seed_makes_the_same_clips_and_another_makes_others(tmp_path):
    one, same, other = (write_generated(tmp_path / name, voices(40), int(name[-1])) for name in ("a1", "b1", "c2"))
    rows = [[clip.coefficients().full_rows() for clip in clips] for clips in (one, same, other)]
    assert all(torch.equal(a, b) for a, b in zip(rows[0], rows[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(rows[0], rows[2], strict=True))


def test_mouths_follow_the_voice_eyes_blink_and_heads_start_from_a_pose(tmp_path):
    write_voices(tmp_path, n_frames=40)
    for clip, utterance in zip(read_clips(tmp_path, family="mini"), voices(40), strict=True):
        rows = clip.coefficients()
        jaw = torch.from_numpy(utterance.units[:, SPEECH_BLENDSHAPES.index(BLENDSHAPE_INDEX["jawOpen"])]).float()
        beyond = rows.expression[:, BLENDSHAPE_INDEX["jawOpen"]] - jaw
        assert beyond.min() > -1e-3 and beyond[jaw < 0.04].max() < 1e-3  # from the rest on, and shut when it says so
        torch.testing.assert_close(beyond[jaw > 0.16], beyond.max().expand(int((jaw > 0.16).sum())), atol=1e-3, rtol=0)
        assert clip.speaker.startswith("style ") and not clip.has_images()
        moved = rows.pose - rows.pose[:1]
        assert 0.005 < moved[:, :3].std() < 0.2
        assert moved.diff(dim=0).abs().max() < 0.1
