"""What is held out: whole videos where there are enough, else ends of them, by the seed, and never what is learnt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sadtalker_core.errors import OptionError
from sadtalker_core.training.clips import Clip, read_clips
from sadtalker_core.training.held_out import split_clips
from tests.training.toy_voices import write_voices


def clips(*lengths: int, speakers: int = 1, per_video: int = 1) -> list[Clip]:
    return [
        Clip(f"c{i}", "mini", n, 256, "crop", f"s{i // per_video % speakers}", f"v{i // per_video}", Path(f"c{i}"))
        for i, n in enumerate(lengths)
    ]


def frames(part):
    return {(clip.name, i) for clip in part for i in range(clip.first, clip.first + clip.n_frames)}


def test_of_enough_videos_whole_ones_are_held_out_with_all_their_clips():
    split = split_clips(clips(*[100] * 20, per_video=2), seed=0)
    held = {clip.source for clip in split.held_out}
    assert held and not held & {clip.source for clip in split.learnt}
    assert len(split.held_out) == 2 * len(held) and 0.1 <= len(split.held_out) / 20 <= 0.25
    assert frames(split.learnt) | frames(split.held_out) == frames(clips(*[100] * 20, per_video=2))
    assert "2 whole videos and parts of 0" in split.in_words


def test_another_seed_holds_others_out_and_the_same_the_same():
    one, again, other = (split_clips(clips(*[100] * 20), seed=seed).record for seed in (0, 0, 1))
    assert one == again != other


def test_of_few_videos_an_end_of_each_is_held_out_and_no_frame_is_on_both_sides():
    all_clips = clips(200, 150, 157)
    split = split_clips(all_clips, seed=3, shortest=33)
    assert {clip.name for clip in split.held_out} == {"c0", "c1", "c2"}
    assert not frames(split.learnt) & frames(split.held_out)
    assert all(clip.n_frames >= 33 for clip in (*split.learnt, *split.held_out))
    assert len(frames(all_clips)) - len(frames(split.learnt)) - len(frames(split.held_out)) < 5 * 3


def test_where_each_speaker_has_a_style_each_is_on_both_sides():
    split = split_clips(clips(*[150] * 12, speakers=3), seed=0, shortest=33, by_speaker=True)
    sides = [{clip.speaker for clip in side} for side in (split.learnt, split.held_out)]
    assert sides == [{"s0", "s1", "s2"}] * 2
    assert not {c.source for c in split.held_out} & {c.source for c in split.learnt}


def test_a_long_video_among_short_ones_is_not_given_away():
    split = split_clips(clips(1000, 60, 60, 60), seed=0)
    assert "c0" not in split.record and split.held_out


def test_what_is_too_short_is_only_trained_on_and_it_is_reported():
    split = split_clips(clips(60, 60), seed=0, shortest=33)
    assert split.held_out == [] and len(split.learnt) == 2
    assert "overfitting will not be noticed" in split.in_words
    assert split_clips(clips(*[100] * 20), seed=0, share=0).held_out == []


def test_a_run_keeps_what_it_held_out_when_videos_are_added(tmp_path):
    before = split_clips(clips(*[100] * 8), seed=0)
    (tmp_path / "run.json").write_text(json.dumps({"held_out": before.record}))
    more = split_clips(clips(*[100] * 12), seed=0, folder=tmp_path)
    assert more.held_out == before.held_out and len(more.learnt) == len(before.learnt) + 4
    (tmp_path / "run.json").write_text(json.dumps({"batch": 4}))  # of an earlier version
    assert split_clips(clips(*[100] * 8), seed=0, folder=tmp_path).held_out == []


def test_a_share_that_leaves_too_little_is_refused():
    with pytest.raises(OptionError, match="--hold-out between 0 and 0.5, got 0.9"):
        split_clips(clips(100), seed=0, share=0.9)


def test_a_part_of_a_clip_is_that_part_of_the_clip(tmp_path):
    whole = read_clips(write_voices(tmp_path, n_frames=60))[0]
    part = whole.part(5, 45)
    assert torch.equal(part.coefficients().full_rows(), whole.coefficients(5, 45).full_rows())
    assert torch.equal(part.coefficients(5, 99).full_rows(), whole.coefficients(10, 45).full_rows())
    inner = slice(2, 36)  # windows at the ends see beyond
    assert torch.equal(part.speech().windows()[inner], whole.speech().windows(5, 45)[inner])
    assert part.part(5, 10).first == 10
    with pytest.raises(ValueError, match="multiple of 5"):
        whole.part(3, 20)
