"""The rehearsal goes through all four trainings without weights, and its speakers have something to teach."""

from __future__ import annotations

import av
import numpy as np
import pytest

from sadtalker_core.errors import OptionError
from sadtalker_core.training import rehearsal
from sadtalker_core.training.clips import read_clips
from sadtalker_core.training.engine import steps_done
from sadtalker_core.training.renderer import head_degrees


def test_a_drawn_speaker_s_voice_opens_the_mouth_and_the_manners_differ(tmp_path):
    clips = read_clips(rehearsal.write_speakers(tmp_path, n_frames=60))
    spread = {}
    for clip in clips:
        wave, mouth = clip.speech().wave, clip.coefficients().expression[:, 0]
        loud = wave.unflatten(0, (60, -1)).square().mean(dim=1).sqrt()
        assert np.corrcoef(loud, mouth)[0, 1] > 0.9
        spread[clip.speaker] = head_degrees(clip.coefficients()).std(dim=0)
    assert spread["drawn 0"].argmax() == 0 and spread["drawn 1"].argmax() == 1  # one nods, one shakes the head
    image = clips[0].images([0])[0]
    assert image.shape == (3, rehearsal.SIDE, rehearsal.SIDE) and image.std() > 0.1


@pytest.mark.slow
def test_all_four_trainings_are_rehearsed_and_a_video_is_made_by_what_they_made(tmp_path):
    reports = []
    rehearsal.rehearse(tmp_path, scale=0.003, report=reports.append)
    lines = reports[0].splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["posevae", "expnet", "renderer", "mapping"]
    assert all("held-out error" in line for line in lines[:4])
    assert [steps_done(tmp_path / name) for name in rehearsal.STEPS] == [2, 2, 4, 2]
    assert all((tmp_path / name / "report.html").exists() for name in rehearsal.STEPS)
    (video_file,) = (tmp_path / "videos").iterdir()
    with av.open(str(video_file)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        assert frames == rehearsal.N_FRAMES and container.streams.audio


def test_a_training_that_does_not_get_better_is_the_exit_status(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "rehearse", lambda *_: False)
    with pytest.raises(SystemExit) as ended:
        rehearsal.main(["--work", str(tmp_path)])
    assert ended.value.code == 1


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(OptionError, match="is not available"):
        rehearsal.rehearse(tmp_path / "work", device="xpu:9")
    assert not (tmp_path / "work").exists()
