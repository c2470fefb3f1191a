"""Films of every kind come in as frames in their own rate, upright, in the colours that they are meant to have."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.dub import source_video as video_module
from sadtalker_core.dub.source_video import FrameSequence, VideoFile, backwards
from sadtalker_core.errors import VideoError
from tests.dub.videos import write

av = pytest.importorskip("av")


def lavfi(what: str) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", what)


def video_of(file) -> VideoFile:
    return VideoFile(lambda: str(file))


@pytest.mark.parametrize(("name", "arguments"), [
    ("bt601.mp4", ("-c:v", "libx264", "-crf", "5", "-pix_fmt", "yuv420p")),
    ("bt709.mp4", ("-vf", "scale=out_color_matrix=bt709:out_range=limited,format=yuv420p,setparams=colorspace=bt709",
                   "-c:v", "libx264", "-crf", "5")),
    ("full.mp4", ("-vf", "scale=out_range=full:out_color_matrix=bt709,format=yuvj420p", "-colorspace", "bt709",
                  "-color_range", "pc", "-c:v", "libx264", "-crf", "5")),
    ("ten_bits.mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv444p10le")),
    ("alpha.mov", ("-c:v", "qtrle", "-pix_fmt", "argb")),
])  # fmt: skip
def test_colours_are_those_that_were_filmed_whatever_the_coding(tmp_path, name, arguments):
    file = write(tmp_path / name, *lavfi("color=c=0xC04020:s=64x64:r=25:d=0.2"), *arguments)
    frames = list(video_of(file).frames())
    assert len(frames) == 5
    assert (frames[2][32, 32].int() - torch.tensor([0xC0, 0x40, 0x20])).abs().max() <= 4


def test_a_video_without_a_word_on_its_colours_counts_as_hd_when_it_is_large(tmp_path):
    file = write(tmp_path / "hd.mp4", *lavfi("color=c=0xC04020:s=1280x720:r=25:d=0.08"),
                 "-vf", "scale=out_color_matrix=bt709,format=yuv420p", "-c:v", "libx264", "-crf", "5")  # fmt: skip
    frame = next(video_of(file).frames())
    assert (frame[9, 9].int() - torch.tensor([0xC0, 0x40, 0x20])).abs().max() <= 4


@pytest.mark.parametrize(("rate", "n_frames"), [("240", 240), ("30000/1001", 30), ("12", 12), ("1", 1)])
def test_a_video_of_one_rate_gives_every_image_once(tmp_path, rate, n_frames):
    file = write(tmp_path / "film.mkv", *lavfi(f"testsrc=s=66x65:r={rate}:d=1"), "-c:v", "ffv1")
    video = video_of(file)
    frames = list(video.frames())
    assert video.size_wh == (66, 65)
    assert len(frames) == video.n_frames == n_frames
    assert n_frames == 1 or not torch.equal(frames[0], frames[-1])
    above, below = (int(part) for part in (rate.split("/") + ["1"])[:2])
    assert video.fps == pytest.approx(above / below, rel=1e-3)


def test_a_changing_rate_is_resampled_to_the_usual_one_and_lasts_as_long(tmp_path):
    file = write(tmp_path / "vfr.mp4", *lavfi("testsrc=s=64x64:r=30:d=2"),
                 "-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr", "-c:v", "libx264")  # fmt: skip
    video = video_of(file)
    assert video.fps == 30
    assert abs(len(list(video.frames())) - 60) <= 1


def test_phones_that_lie_give_upright_frames(tmp_path):
    lying = write(tmp_path / "lying.mp4", *lavfi("testsrc=s=96x64:r=25:d=0.2"), "-c:v", "libx264")
    file = tmp_path / "turned.mp4"
    write(file, "-display_rotation", "90", "-i", str(lying), "-c", "copy")
    video = video_of(file)
    assert video.size_wh == (64, 96)
    expected = torch.rot90(next(video_of(lying).frames()))
    assert torch.equal(next(video.frames()), expected)


def test_halves_of_frames_become_whole_frames_at_the_same_rate(tmp_path):
    moving = "nullsrc=s=128x64:r=50:d=0.4,geq=lum='255*lt(mod(X+N*8,64),20)':cb=128:cr=128"
    file = write(tmp_path / "halves.mp4", *lavfi(moving), "-vf", "tinterlace=interleave_top,fieldorder=tff",
                 "-c:v", "libx264", "-flags", "+ilme+ildct", "-x264opts", "tff=1")  # fmt: skip
    video = video_of(file)
    frames = torch.stack(list(video.frames())).float().mean(-1)
    combed = (frames[:, 1:-1:2] - (frames[:, :-2:2] + frames[:, 2::2]) / 2).abs().mean()
    assert (len(frames), video.fps) == (10, 25)
    assert combed < 4, "a comb of fields that are 8 pixels apart is 30"


def test_sound_comes_at_the_rate_that_is_asked_for_and_a_silent_video_has_none(tmp_path):
    video = write(tmp_path / "sound.mp4", *lavfi("color=black:s=64x64:r=25:d=1"), *lavfi("sine=440:d=1"), "-shortest")
    silent = write(tmp_path / "silent.mp4", *lavfi("color=black:s=64x64:r=25:d=1"))
    blocks = list(video_of(video).audio(16_000))
    assert all(block.shape[0] == 2 for block in blocks)
    assert sum(block.shape[1] for block in blocks) == pytest.approx(16_000, abs=1200)
    assert list(video_of(silent).audio(16_000)) == []


def test_frames_run_backwards_from_blocks(monkeypatch):
    images = torch.arange(7.0)[:, None, None, None].expand(-1, 64, 64, 3) / 255
    monkeypatch.setattr("sadtalker_core.dub.source_video._HELD_BYTES", 3 * 64 * 64 * 3)
    assert [int(frame[0, 0, 0]) for frame in backwards(FrameSequence(images, 25.0), 6)] == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(("name", "arguments"), [
    ("steady.mp4", ("-c:v", "libx264", "-g", "20", "-pix_fmt", "yuv420p")),
    ("changing.mp4", ("-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr", "-c:v", "libx264", "-g", "20")),
    ("halves.mp4", ("-vf", "tinterlace=interleave_top,fieldorder=tff", "-c:v", "libx264", "-g", "20",
                    "-flags", "+ilme+ildct", "-x264opts", "tff=1")),
])  # fmt: skip
def test_frames_in_the_middle_are_sought_and_are_those_of_a_whole_reading(tmp_path, monkeypatch, name, arguments):
    source = VideoFile.of(write(tmp_path / name, *lavfi("testsrc=s=64x64:r=25:d=6"), *arguments))
    whole, n_decoded = list(source.frames()), []
    timed = video_module._timed
    monkeypatch.setattr(
        video_module, "_timed", lambda container: (n_decoded.append(1) or image for image in timed(container))
    )
    for start in (len(whole) - 9, len(whole) - 3):
        n_decoded.clear()
        assert all(map(torch.equal, source.frames(start, start + 3), whole[start : start + 3]))
        assert len(n_decoded) < 0.6 * len(whole), "from a key frame a second before, not from the beginning"


def test_what_is_no_video_is_reported(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    sound = write(tmp_path / "sound.m4a", *lavfi("sine=440:d=0.2"))
    with pytest.raises(VideoError, match="cannot be read.*Is the file complete"):
        video_of(text)
    with pytest.raises(VideoError, match="has no video track"):
        video_of(sound)
    with pytest.raises(VideoError, match="holds no frames"):
        FrameSequence(torch.zeros(0, 64, 64, 3), 25.0)
    with pytest.raises(VideoError, match="frame rate above 0"):
        FrameSequence(torch.zeros(1, 64, 64, 3), 0.0)
