"""Batches of frames, masks and backgrounds become a file; what cannot be one is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from sadtalker_core.compose.video_file import render_video, write_playable_copy, write_video
from sadtalker_core.datatypes import FrameStream
from sadtalker_core.errors import VideoError
from tests.decoded import decoded

H, W = 48, 64
GREEN = torch.tensor([0.0, 1.0, 0.0])


def grey(n, value=0.5, channels=3):
    return torch.full((n, H, W, channels), value)


def left_half():
    """(1, H, W): opaque on the left, transparent on the right."""
    return (torch.arange(W) < W // 2).float().expand(1, H, W)


def middle_of_each_side(frame):
    return frame[H // 2, W // 4], frame[H // 2, 3 * W // 4]


def test_a_batch_is_written_in_pieces_and_each_is_reported(tmp_path):
    frames = torch.linspace(0, 1, 20)[:, None, None, None].expand(20, H, W, 3)
    reported = []
    path = write_video(tmp_path / "a.mp4", frames, on_progress=lambda done, total: reported.append((done, total)))
    assert reported == [(16, 20), (20, 20)]
    back = decoded(path).frames
    assert len(back) == 20 and np.abs(back[:, H // 2, W // 2, 0] / 255 - frames[:, 0, 0, 0].numpy()).max() < 0.02


@pytest.mark.parametrize("mask", [left_half(), left_half()[0], left_half()[:, ::2, ::2]])
def test_a_colour_lies_under_what_the_mask_leaves_out(tmp_path, mask):
    path = write_video(tmp_path / "a.mp4", grey(2), mask=mask, background=GREEN, quality="best")
    shown, under = middle_of_each_side(decoded(path).frames[1])
    assert np.abs(shown.astype(int) - 128).max() < 6
    assert np.abs(under.astype(int) - [0, 255, 0]).max() < 6


def test_a_shorter_background_holds_its_last_image(tmp_path):
    behind = torch.stack([torch.zeros(H, W, 3), torch.ones(H, W, 3)])
    path = write_video(tmp_path / "a.mp4", grey(4), mask=torch.zeros(1, H, W), background=behind, quality="best")
    levels = decoded(path).frames[:, H // 2, W // 2, 0]
    assert levels[0] < 6 and (levels[1:] > 249).all()


def test_without_a_background_an_mp4_shows_the_frames_as_they_are_and_says_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        path = write_video(tmp_path / "a.mp4", grey(2), mask=left_half(), quality="best")
    assert "the mask has no effect in an mp4" in caplog.text
    assert np.abs(decoded(path).frames.astype(int) - 128).max() < 6


def test_a_background_under_opaque_frames_has_no_effect_and_says_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        path = write_video(tmp_path / "a.mp4", grey(2), background=GREEN, quality="best")
    assert "the background has no effect" in caplog.text
    assert np.abs(decoded(path).frames.astype(int) - 128).max() < 6


def test_the_fourth_channel_of_frames_is_their_mask(tmp_path):
    frames = torch.cat([grey(2), left_half()[..., None].expand(2, H, W, 1)], dim=3)
    path = write_video(tmp_path / "a.mp4", frames, background=GREEN, quality="best")
    shown, under = middle_of_each_side(decoded(path).frames[0])
    assert np.abs(shown.astype(int) - 128).max() < 6 and under[1] > 249


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": torch.zeros(1, 1, H, W)}, "expected mask as (batch, height, width), got the shape (1, 1, 48, 64)"),
        ({"mask": torch.zeros(0, H, W)}, "expected mask as (batch, height, width)"),
        ({"mask": torch.full((1, H, W), float("nan"))}, "mask contains NaN or infinite values"),
        ({"frames": torch.zeros(H, W, 3)}, "expected frames as (batch, height, width, 3 channels), got the shape"),
        ({"frames": torch.zeros(0, H, W, 3)}, "expected at least one frame in frames, got none"),
    ],
)
def test_what_is_no_batch_of_frames_or_masks_is_refused_before_anything_is_written(tmp_path, options, message):
    frames = options.pop("frames", grey(2))
    with pytest.raises(VideoError) as raised:
        write_video(tmp_path / "a.mp4", frames, **options)
    assert str(raised.value).startswith(message) and not any(tmp_path.iterdir())


def test_heads_with_alpha_are_laid_on_the_background_and_their_alpha_is_handed_out(tmp_path):
    head = torch.cat([grey(1).permute(0, 3, 1, 2), left_half()[None]], dim=1)
    heads = FrameStream(3, H, W, lambda: iter([head.expand(2, -1, -1, -1), head]), has_alpha=True)
    alphas, shown_heads = [], []
    path = render_video(
        tmp_path / "a.mp4",
        heads,
        background=GREEN,
        quality="best",
        on_alpha=alphas.append,
        on_head=shown_heads.append,
    )
    shown, under = middle_of_each_side(decoded(path).frames[2])
    assert np.abs(shown.astype(int) - 128).max() < 6 and under[1] > 249
    assert torch.equal(torch.cat(alphas), left_half()[None].expand(3, 1, H, W))
    assert [tuple(one.shape) for one in shown_heads] == [(3, H, W)] * 2


def test_of_a_video_that_cannot_be_copied_no_part_stays(tmp_path):
    (tmp_path / "a.webm").write_bytes(b"no video")
    with pytest.raises(VideoError, match="could not write the video"):
        write_playable_copy(tmp_path / "a.webm", tmp_path / "copy.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["a.webm"]
