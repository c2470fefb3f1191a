"""Images at 25 a second and the sound in step with them, out of files of many kinds."""

import numpy as np
import pytest
import torch

from sadtalker_core.errors import AudioError, VideoError
from sadtalker_core.training import video_reader
from sadtalker_core.training.video_reader import Sound, announced_seconds, frames_at_25
from tests.decoded import decoded
from tests.training.recorded import ffmpeg, grey_steps, hello, moving_face, recorded_video


def steps_of(images):
    """Which frame of grey_steps each image is."""
    return [round((float(image.mean()) * 255 - 20) / 5) for image in images]


@pytest.mark.parametrize("fps", [25, 30, 24, 50, 29.97, 15])
def test_image_k_is_the_one_that_a_player_shows_after_k_25ths_of_a_second(tmp_path, fps):
    n_frames = 40
    file = recorded_video(tmp_path / "grey.mp4", grey_steps(n_frames), fps, hello())
    n_shown = int(n_frames / fps * 25 + 1e-6)
    expected = [min(int(k / 25 * fps + 0.05), n_frames - 1) for k in range(n_shown)]
    assert steps_of(frames_at_25(file)) == expected


def test_a_changing_frame_rate_is_followed(tmp_path):
    slow, fast = (recorded_video(tmp_path / f"{fps}.mp4", grey_steps(10), fps, hello()) for fps in (12.5, 50))
    (tmp_path / "both.txt").write_text(f"file '{slow}'\nfile '{fast}'\n")
    ffmpeg("-f", "concat", "-safe", 0, "-i", tmp_path / "both.txt", "-c", "copy", tmp_path / "both.mkv")
    seen = steps_of(frames_at_25(tmp_path / "both.mkv"))
    assert seen[:20] == [k // 2 for k in range(20)]
    assert seen[20:] == [0, 2, 4, 6, 8]


def test_a_file_filmed_lying_down_comes_upright(tmp_path):
    recorded_video(tmp_path / "lying.mp4", moving_face(3).rot90(-1, dims=(1, 2)), sound=hello())
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "lying.mp4", "-c", "copy", tmp_path / "phone.mp4")
    image = next(frames_at_25(tmp_path / "phone.mp4"))
    assert (image - moving_face(1)[0]).abs().mean() < 0.02
    by_ffmpeg = decoded(tmp_path / "phone.mp4").frames[0]  # ffmpeg itself turns it
    assert np.abs(image.numpy() * 255 - by_ffmpeg).mean() < 1


def test_images_are_decoded_when_they_are_asked_for(tmp_path, monkeypatch):
    file = recorded_video(tmp_path / "grey.mp4", grey_steps(40), sound=hello())
    decoded = []
    monkeypatch.setattr(video_reader, "upright", lambda frame: decoded.append(frame) or torch.zeros(64, 64, 3))
    images = frames_at_25(file)
    for _ in range(3):
        next(images)
    assert len(decoded) == 3


def with_pcm(tmp_path, *options):
    """25 fps, sound of 44.1 kHz in two channels stored as it is."""
    recorded_video(tmp_path / "silent.mp4", grey_steps(30))
    ffmpeg(
        "-i",
        tmp_path / "silent.mp4",
        *options,
        "-f",
        "lavfi",
        "-i",
        "aevalsrc=sin(2*PI*100*t*t)|0.1:s=44100:d=1.2",
        "-c:v",
        "copy",
        "-c:a",
        "pcm_s16le",
        tmp_path / "pcm.mkv",
    )
    seconds = np.arange(int(1.2 * 44_100)) / 44_100
    return tmp_path / "pcm.mkv", np.stack([np.sin(2 * np.pi * 100 * seconds**2), np.full(len(seconds), 0.1)])


def test_the_sound_of_some_frames_is_exactly_theirs(tmp_path):
    file, wave = with_pcm(tmp_path)
    with Sound(file) as sound:
        parts = {span: sound.cut(*span) for span in [(0, 2), (1, 11), (20, 25), (24, 40)]}
    assert sound.rate_hz == 44_100
    for (start, stop), part in parts.items():
        np.testing.assert_allclose(part, wave[:, start * 1764 : stop * 1764], atol=1e-4)


def test_sound_that_starts_late_is_silent_until_then(tmp_path):
    file, wave = with_pcm(tmp_path, "-itsoffset", "0.2")
    with Sound(file) as sound:
        part = sound.cut(0, 10).numpy()
    assert not part[:, : 5 * 1764].any()
    np.testing.assert_allclose(part[:, 5 * 1764 :], wave[:, : 5 * 1764], atol=1e-4)


def test_a_sound_of_eight_channels_is_read_as_it_is(tmp_path):
    recorded_video(tmp_path / "talk.mp4", grey_steps(3), sound=hello())
    ffmpeg("-i", tmp_path / "talk.mp4", "-c:v", "copy", "-c:a", "pcm_s16le", tmp_path / "one.mkv")
    ffmpeg(
        "-i",
        tmp_path / "one.mkv",
        "-c:v",
        "copy",
        "-c:a",
        "pcm_s16le",
        "-af",
        f"pan=7.1|{'|'.join(f'c{k}=c0' for k in range(8))}",
        tmp_path / "eight.mkv",
    )
    with Sound(tmp_path / "one.mkv") as one, Sound(tmp_path / "eight.mkv") as eight:
        assert torch.equal(eight.cut(0, 3), one.cut(0, 3).expand(8, -1))


def test_titles_in_any_encoding_do_no_harm(tmp_path):
    """Of the file, which is read when it is opened, and of its tracks, which are read later."""
    recorded_video(tmp_path / "talk.mp4", grey_steps(3), sound=hello())
    ffmpeg(
        "-i",
        tmp_path / "talk.mp4",
        "-c",
        "copy",
        "-metadata",
        "title=the title",
        "-metadata:s:a",
        "title=the title",
        tmp_path / "talk.mkv",
    )
    content = (tmp_path / "talk.mkv").read_bytes()
    assert content.count(b"the title") == 2
    (tmp_path / "odd.mkv").write_bytes(content.replace(b"the title", "Zo\u00eb title".encode("latin-1")))
    assert announced_seconds(tmp_path / "odd.mkv") == announced_seconds(tmp_path / "talk.mkv")
    assert len(list(frames_at_25(tmp_path / "odd.mkv"))) == 3
    with Sound(tmp_path / "odd.mkv") as odd, Sound(tmp_path / "talk.mkv") as plain:
        assert torch.equal(odd.cut(0, 3), plain.cut(0, 3))


def test_what_is_no_talking_video_is_refused_with_a_reason(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all " * 99)
    recorded_video(tmp_path / "mute.mp4", grey_steps(3))
    with pytest.raises(VideoError, match="it is empty"):
        announced_seconds(tmp_path / "empty.mp4")
    with pytest.raises(VideoError, match="it is no video, or damaged"):
        announced_seconds(tmp_path / "text.mp4")
    with pytest.raises(AudioError, match="it has no audio"):
        announced_seconds(tmp_path / "mute.mp4")
    ffmpeg("-i", recorded_video(tmp_path / "talk.mp4", grey_steps(3), sound=hello()), "-vn", tmp_path / "sound.mp4")
    with pytest.raises(VideoError, match="no video track"):
        announced_seconds(tmp_path / "sound.mp4")


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_file_that_lost_its_end_is_refused(tmp_path, ending):
    noise = torch.rand(50, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    recorded_video(tmp_path / "whole.mp4", noise, sound=hello())
    ffmpeg("-i", tmp_path / "whole.mp4", "-c", "copy", "-movflags", "+faststart", tmp_path / f"w.{ending}")
    content = (tmp_path / f"w.{ending}").read_bytes()
    (tmp_path / f"cut.{ending}").write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError, match=r"it breaks off after \d.\d of 2.\d s|damaged"):
        list(frames_at_25(tmp_path / f"cut.{ending}"))
    assert len(list(frames_at_25(tmp_path / f"w.{ending}"))) == 50
