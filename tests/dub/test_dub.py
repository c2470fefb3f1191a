"""A video is dubbed: the mouth is that of the voice, every other byte that of the video; who is not there passes by."""

from __future__ import annotations

import contextlib
import logging
import sys

import numpy as np
import pytest
import torch

from sadtalker_core.coefficients import EXPRESSION
from sadtalker_core.datatypes import MINI, RELEASED, Expression
from sadtalker_core.dub.dub import DubOptions, audio_of, dub_video, dubbed_frames, speech_track
from sadtalker_core.dub.follow import FrameCounts
from sadtalker_core.dub.schedule import SpeechTrack
from sadtalker_core.dub.source_video import FrameSequence
from sadtalker_core.errors import AudioError, DoesNotFit, FaceNotFound, WrongFamily
from sadtalker_core.face.embedded import embedded_face_nets
from sadtalker_core.face.mesh import track_meshes
from sadtalker_core.face.points import FaceSelector
from sadtalker_core.families import FAMILIES
from sadtalker_core.media import read_audio
from sadtalker_core.model import SadTalkerModel, load_model
from tests.decoded import decoded
from tests.dub.videos import FPS, gliding, track_of, video_of
from tests.face.images import astronaut, resized
from tests.render import tiny

N = 6


@pytest.fixture(scope="module")
def model():
    return load_model("mini", [])


@pytest.fixture(scope="module")
def videos(model):
    """bytes (T, H, W, 3): as filmed, and with a mouth that is open"""
    images = gliding(N)
    made = list(dubbed_frames(model, video_of(images), track_of(N, jawOpen=0.6), DubOptions()))
    return (images * 255).round().byte(), torch.stack(made)


def lips(model, frames) -> tuple[torch.Tensor, torch.Tensor]:
    """How far lips are apart by the distance of the eyes (T,), and the meshes (T, 468, 3)."""
    nets = model.nets["face_detector"], model.nets["face_mesh"]
    points = torch.stack([seen.points for seen in track_meshes(*nets, frames.float() / 255)])
    eyes = (points[:, 263, :2] - points[:, 33, :2]).norm(dim=-1)
    return (points[:, 14, 1] - points[:, 13, 1]) / eyes, points


def test_the_mouth_opens_as_the_voice_has_it_and_the_rest_of_the_face_stays(model, videos):
    (was, before), (now, after) = (lips(model, frames) for frames in videos)
    eyes = [33, 133, 362, 263, 159, 386, 65, 295]
    assert (now - was).min() > 0.02, "the mesh sees half of it in a mouth that smiles"
    assert (after[:, eyes, :2] - before[:, eyes, :2]).norm(dim=-1).mean() < 1.5, "pixels of a face of 100"


def test_beyond_mouth_and_chin_every_byte_is_the_videos_own(videos):
    filmed, made = videos
    changed = (filmed != made).any(-1)
    for k in range(N):
        rows, columns = torch.nonzero(changed[k], as_tuple=True)
        assert rows.min() > 112 and rows.max() < 215, "nose and collar"
        assert columns.min() > 70 - 2 * k and columns.max() < 180 - 2 * k
    assert changed.float().mean() > 0.02


def test_without_strength_or_where_the_video_keeps_its_mouth_in_silence_nothing_changes(model, videos):
    images = gliding(2)
    for track, options in (
        (track_of(2, jawOpen=0.6), DubOptions(strength=0.0)),
        (track_of(2, speaks=0.0, jawOpen=0.6), DubOptions(keep_mouth=1.0)),
    ):
        made = torch.stack(list(dubbed_frames(model, video_of(images), track, options)))
        assert torch.equal(made, videos[0][:2])


@pytest.mark.slow
def test_frames_without_the_face_pass_and_a_face_that_comes_back_is_dubbed_again(model, videos):
    images = gliding(N)
    images[2:4] = 0.2
    count = FrameCounts()
    made = torch.stack(
        list(dubbed_frames(model, video_of(images), track_of(N, jawOpen=0.6), DubOptions(), count=count))
    )
    changed = (made != (images * 255).round().byte()).flatten(1).any(1).tolist()
    assert changed == [True, True, False, False, True, True]
    assert (count.n_frames, count.n_without, count.n_cuts) == (N, 2, 2)


@pytest.mark.slow
def test_after_a_cut_somebody_else_is_not_dubbed_and_the_same_person_elsewhere_is(model):
    images = gliding(6)
    images[2:4] = resized(images[2], 224, 300)[:, 38:262]  # a face that is a third wider
    images[4:] = torch.full_like(images[4:], 0.3)
    images[4:, :160, :160] = gliding(1)[:, 30:190, 40:200]
    made = torch.stack(list(dubbed_frames(model, video_of(images), track_of(6, jawOpen=0.6), DubOptions())))
    changed = (made != (images * 255).round().byte()).flatten(1).any(1).tolist()
    assert changed == [True, True, False, False, True, True]


@pytest.mark.slow
def test_of_two_people_the_one_that_is_selected_is_dubbed(model):
    both = torch.cat([astronaut()[:240, 100:340], astronaut()[:240, 100:340].flip(1)], dim=1)[None].repeat(2, 1, 1, 1)
    for index, side in ((0, slice(0, 240)), (1, slice(240, 480))):
        options = DubOptions(selector=FaceSelector(index, "left to right"))
        made = torch.stack(list(dubbed_frames(model, video_of(both), track_of(2, jawOpen=0.6), options)))
        columns = torch.nonzero((made != (both * 255).round().byte()).any(-1).any(0).any(0))[:, 0]
        assert side.start <= columns.min() and columns.max() < side.stop


def test_the_file_has_the_videos_rate_and_length_and_both_sounds(model, tmp_path):
    images = gliding(N, 193)
    source = FrameSequence(images, 12.5, (torch.full((1, 4000), 0.25), 8000))
    voice = torch.full((1, 16_000), 0.25), 16_000
    reports = []
    path = dub_video(
        tmp_path / "out.mp4", model, source, track_of(4, jawOpen=0.5), DubOptions(original_volume=0.5), audio=voice,
        on_progress=lambda done, total: reports.append((done, total)),
    )  # fmt: skip
    video = decoded(path)
    assert video.frames.shape == (N, 194, 194, 3) and video.fps == 12.5
    assert reports[-1] == (N, N)
    assert read_audio(path)[0].shape == (2, pytest.approx(48_000 * N / 12.5, abs=2500))


def test_the_videos_sound_lies_under_the_voice_as_loud_as_is_requested():
    source = FrameSequence(torch.zeros(1, 64, 64, 3), FPS, (torch.full((1, 8000), 0.5), 16_000))
    voice = torch.full((1, 16_000), 0.25), 16_000
    mixed = np.concatenate(list(audio_of(source, voice, 0.5).chunks(16_000)))
    assert mixed.shape == (16_000, 2)
    assert mixed[1000] == pytest.approx([0.5, 0.5]) and mixed[12_000] == pytest.approx([0.25, 0.25])
    assert audio_of(source, None, 0.0) is None


def test_a_stop_leaves_no_file(model, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done, total):
        raise Stopped

    with pytest.raises(Stopped):
        dub_video(tmp_path / "out.mp4", model, video_of(gliding(4)), track_of(4, jawOpen=0.5), on_progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_dubbed_file_is_marked_as_generated_and_bears_the_label_in_a_corner_alone(model, tmp_path):
    av = pytest.importorskip("av")
    files = []
    for label in ("", "AI-generated"):
        options = DubOptions(strength=0.0, label=label)
        files.append(
            dub_video(tmp_path / f"{label}.mp4", model, video_of(gliding(2)), track_of(2), options, quality="best")
        )
    with av.open(str(files[0])) as container:
        assert "AI-generated" in container.metadata["comment"]
    plain, labelled = (decoded(file).frames.astype(int) for file in files)
    rows, columns = np.nonzero((np.abs(plain - labelled).max(-1) > 40).all(0))
    assert len(rows) > 50
    assert np.ptp(rows) < 40 and (rows.min() > 160 or rows.max() < 64), "one line at the top or the bottom"


def test_a_stop_is_audible_while_the_audio_is_read_and_while_its_speech_is_predicted(model):
    class Stopped(Exception):
        pass

    def stopping_at(wanted: int) -> int:
        calls = []

        def check() -> None:
            calls.append(1)
            if len(calls) == wanted:
                raise Stopped

        with contextlib.suppress(Stopped):
            speech_track(model, (torch.zeros(2, 2 * 44_100), 44_100), check_stop=check)
        return len(calls)

    n_calls = stopping_at(0)
    assert n_calls >= 4, "several of two seconds of audio, one of the network"
    assert [stopping_at(k) for k in (1, n_calls)] == [1, n_calls]


def test_a_full_disk_gets_a_sentence_and_leaves_no_file(model, tmp_path, monkeypatch):
    words = "import sys; sys.stdin.buffer.read(99); sys.exit('Error writing trailer: No space left on device')"
    monkeypatch.setattr("sadtalker_core.compose.ffmpeg.ffmpeg_command", lambda: [sys.executable, "-c", words])
    with pytest.raises(DoesNotFit, match="disk of .* is full"):
        dub_video(tmp_path / "out.mp4", model, video_of(gliding(4)), track_of(4, jawOpen=0.5))
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_anybody_is_refused_before_a_file_is_named(model, tmp_path):
    with pytest.raises(FaceNotFound, match="shows no face that can be dubbed"):
        dub_video(tmp_path / "out.mp4", model, video_of(torch.zeros(2, 96, 96, 3)), track_of(2))
    assert list(tmp_path.iterdir()) == []


def test_a_voice_moves_the_mouth_alone(model):
    rows = torch.ones(3, EXPRESSION)
    track, sound = speech_track(model, None, None, Expression(rows, MINI))
    moved = track.weights[0] > 0
    assert 20 < moved.sum() < 40 and not moved[8] and sound is None, "8 is a lid"
    with pytest.raises(AudioError, match="expected audio"):
        speech_track(model, None, None, None)
    with pytest.raises(WrongFamily):
        speech_track(model, None, None, Expression(rows, RELEASED))


@pytest.mark.slow
def test_weights_that_redraw_heads_dub_four_frames(caplog):
    from sadtalker_core.face.recon import FaceReconConfig, FaceReconNet

    detector, mesh = embedded_face_nets()
    nets = {
        "face_detector": detector, "face_mesh": mesh, "mapping": tiny.mapping(),
        "face_recon": FaceReconNet(FaceReconConfig(stem=4, blocks=(1,), widths=(4,), expansion=2)).eval(),
        "keypoint_detector": tiny.keypoint_detector(), "generator": tiny.generator(),
    }  # fmt: skip
    released = SadTalkerModel("tiny", FAMILIES[RELEASED], tiny.SIDE, nets)
    images = gliding(4)
    track = SpeechTrack(torch.zeros(4, EXPRESSION), torch.ones(4))
    with caplog.at_level(logging.INFO):
        made = torch.stack(list(dubbed_frames(released, video_of(images), track, DubOptions())))
    filmed = (images * 255).round().byte()
    changed = (made != filmed).any(-1)
    assert changed.flatten(1).any(1).all() and not changed[:, :112].any()
