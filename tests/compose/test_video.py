"""Writing the mp4, and reading it again with ffmpeg itself: frames, sound, lengths, words; and what is left after
trouble.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sadtalker_core.claims import claim_next
from sadtalker_core.compose import ffmpeg as ffmpeg_module
from sadtalker_core.compose import sound as sound_module
from sadtalker_core.compose import video as video_module
from sadtalker_core.compose.ffmpeg import ffmpeg_command
from sadtalker_core.compose.frame_input import with_even_sides
from sadtalker_core.compose.metadata import AI_MARK, ffmetadata
from sadtalker_core.compose.sound import Sound, to_stereo
from sadtalker_core.compose.video import QUALITIES, VideoWriter, sweep
from sadtalker_core.datatypes import FrameStream
from sadtalker_core.errors import AudioError, DoesNotFit, OptionError, VideoError


def ffmpeg(*arguments):
    return subprocess.run([*ffmpeg_command(), "-hide_banner", *arguments], capture_output=True, check=False)


def read_frames(path, width, height):
    raw = ffmpeg("-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def read_sound(path, n_channels=1, rate_hz=48000):
    raw = ffmpeg("-i", str(path), "-vn", "-f", "f32le", "-ac", str(n_channels), "-ar", str(rate_hz), "-").stdout
    return np.frombuffer(raw, np.float32).reshape(-1, n_channels)


def facts(path):
    return ffmpeg("-i", str(path)).stderr.decode()


def read_metadata(path):
    """The escaped text that ffmpeg gives back -> {name: text}."""
    text = ffmpeg("-loglevel", "error", "-i", str(path), "-f", "ffmetadata", "-").stdout.decode()
    pairs = re.findall(r"^((?:[^=\\\n;#]|\\.)+)=((?:[^\\\n]|\\.|\\\n)*)$", text, flags=re.MULTILINE)
    return {re.sub(r"\\(.)", r"\1", k): re.sub(r"\\(.)", r"\1", v, flags=re.DOTALL) for k, v in pairs}


def a_tone(seconds, rate_hz, pitch_hz=440.0):
    return 0.3 * torch.sin(2 * torch.pi * pitch_hz * torch.arange(round(seconds * rate_hz)) / rate_hz)


def some_frames(n, height=48, width=64):
    """A grey that gets brighter from frame to frame."""
    return torch.linspace(0.2, 0.8, n)[:, None, None, None].expand(n, height, width, 3)


def write(path, frames, fps=25.0, batch=4, **options):
    with VideoWriter(path, (frames.shape[2], frames.shape[1]), fps, **options) as writer:
        for piece in frames.split(batch):
            writer.write(piece)
    return path


def test_frames_come_back_as_they_were(tmp_path):
    frames = some_frames(10)
    back = read_frames(write(tmp_path / "a.mp4", frames, quality="best"), 64, 48)
    assert back.shape == (10, 48, 64, 3)
    assert np.abs(back - 255 * frames.numpy()).max() <= 3


def test_colours_come_back_as_they_were(tmp_path):
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.1, 0.2, 0.9], [0.8, 0.6, 0.5], [0, 0, 0], [1, 1, 1.0]])
    frames = colours[:, None, None].expand(-1, 32, 32, -1)
    path = write(tmp_path / "a.mp4", frames, quality=4)
    assert np.abs(read_frames(path, 32, 32)[:, 8:24, 8:24] - 255.0 * frames[:, 8:24, 8:24].numpy()).max() <= 4
    assert "yuv420p(tv, bt709" in facts(path) and "h264" in facts(path)


def test_bytes_and_floats_make_the_same_video(tmp_path):
    frames = some_frames(4)
    floats = write(tmp_path / "a.mp4", frames)
    in_bytes = write(tmp_path / "b.mp4", (frames * 255).round().to(torch.uint8))
    assert np.array_equal(read_frames(floats, 64, 48), read_frames(in_bytes, 64, 48))


def test_batches_of_any_size_make_the_same_video(tmp_path):
    one, other = (write(tmp_path / f"{n}.mp4", some_frames(7), batch=n) for n in (1, 7))
    assert np.array_equal(read_frames(one, 64, 48), read_frames(other, 64, 48))


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (33, 31), (1, 1)])
def test_odd_sizes_are_made_even_without_a_black_line(tmp_path, width, height):
    path = write(tmp_path / "a.mp4", some_frames(3, height, width), quality="best")
    back = read_frames(path, width + width % 2, height + height % 2)
    assert len(back) == 3 and back.min() > 40


@pytest.mark.slow
@pytest.mark.parametrize("fps", [1.0, 12.5, 23.976, 25.0, 29.97, 60.0, 240.0])
def test_any_frame_rate(tmp_path, fps):
    path = write(tmp_path / "a.mp4", some_frames(5), fps)
    shown = float(re.search(r"([\d.]+)k? fps", facts(path)).group(1))
    assert shown == pytest.approx(fps, abs=0.01)
    assert len(read_frames(path, 64, 48)) == 5


@pytest.mark.parametrize(
    ("fps", "output_fps", "shown"),
    [
        (25, 30, [0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]),
        (25, 50, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]),
        (25, 12.5, [0, 2, 4, 6, 8]),
        (30, 25, [0, 1, 2, 3, 4, 6, 7, 8, 9]),
        (25, 1, [0]),
        (25, 25, list(range(10))),
    ],
)
def test_another_rate_shows_what_is_on_at_the_time(tmp_path, fps, output_fps, shown):
    """However the frames come in, and in the same time within a frame."""
    frames = some_frames(10)
    for batch in (1, 4, 10):
        path = write(tmp_path / "a.mp4", frames, fps, batch, output_fps=output_fps, quality=4)
        back = read_frames(path, 64, 48)[:, 24, 32, 0] / 255.0
        assert [int(np.abs(frames[:, 0, 0, 0].numpy() - level).argmin()) for level in back] == shown
    assert len(shown) / output_fps == pytest.approx(10 / fps, abs=1 / output_fps)


def test_at_another_rate_the_sound_stays_in_step(tmp_path):
    """Frames get bright and a tone begins after half a second, at 30 fps as at 25."""
    frames = torch.cat([torch.zeros(13, 48, 64, 3), torch.ones(18, 48, 64, 3)])
    wave = torch.cat([torch.zeros(8320), a_tone(1.0, 16000)])
    path = write(tmp_path / "a.mp4", frames, 25.0, output_fps=30.0, audio=(wave, 16000))
    assert re.search(r" 30 fps", facts(path))
    bright = read_frames(path, 64, 48)[:, 24, 32, 0] > 128
    loud = np.abs(read_sound(path)[:, 0]) > 0.1
    assert bright.argmax() / 30 == pytest.approx(loud.argmax() / 48000, abs=1 / 30)
    assert len(bright) / 30 == pytest.approx(len(loud) / 48000, abs=1 / 30)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 1.01, 3.0])
@pytest.mark.parametrize(("n_frames", "fps"), [(25, 25.0), (31, 29.97)])
def test_sound_and_frames_are_equally_long(tmp_path, seconds, n_frames, fps):
    """Within a frame, whether the voice is longer or shorter; all frames are kept."""
    path = write(tmp_path / "a.mp4", some_frames(n_frames), fps, batch=8, audio=(a_tone(seconds, 16000), 16000))
    assert len(read_frames(path, 64, 48)) == n_frames
    assert len(read_sound(path)) / 48000 == pytest.approx(n_frames / fps, abs=1 / fps)
    hours, minutes, rest = re.search(r"Duration: (\d+):(\d+):([\d.]+)", facts(path)).groups()
    assert float(rest) == pytest.approx(n_frames / fps, abs=1 / fps)


def test_the_audio_stays_in_sync(tmp_path):
    """Half a second of silence, then a tone."""
    wave = torch.cat([torch.zeros(8000), a_tone(0.5, 16000)])
    back = read_sound(write(tmp_path / "a.mp4", some_frames(25), batch=25, audio=(wave, 16000)))[:, 0]
    assert np.abs(back[:23000]).max() < 0.02 < 0.2 < np.abs(back[25000:47000]).max()


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [8000, 11025, 15000, 22050.0, 44100, 48000, 96000])
def test_any_sample_rate_keeps_its_pitch(tmp_path, rate_hz):
    path = write(tmp_path / "a.mp4", some_frames(25), batch=25, audio=(a_tone(1.0, rate_hz), rate_hz))
    assert re.search(r"aac.* (44100|48000) Hz", facts(path))
    spectrum = np.abs(np.fft.rfft(read_sound(path)[4800:43200, 0]))
    assert spectrum.argmax() * 48000 / 38400 == pytest.approx(440, abs=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_channels", "word"), [(1, "mono"), (2, "stereo"), (3, "stereo"), (6, "stereo"), (11, "stereo")]
)
def test_any_number_of_channels(tmp_path, n_channels, word):
    waveform = a_tone(1.0, 48000).expand(n_channels, -1)
    for audio in (waveform, waveform.unsqueeze(0)):
        path = write(tmp_path / "a.mp4", some_frames(25), batch=25, audio=(audio, 48000))
        assert re.search(rf"48000 Hz, {word}", facts(path))
        assert 0.1 < np.abs(read_sound(path)[10000:40000]).max() < 0.5


def test_surround_keeps_its_sides_and_does_not_clip():
    front_left = torch.zeros(6, 4)
    front_left[0] = 1.0
    left, right = to_stereo(front_left)
    assert left.min() > 0.4 and right.abs().max() == 0
    assert to_stereo(torch.ones(6, 4)).max() <= 1 + 1e-4


def test_sound_is_given_in_pieces(monkeypatch):
    wave = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0)) / 10
    monkeypatch.setattr(sound_module, "SAMPLES_PER_CHUNK", 64)
    pieces = list(Sound(wave, 8000).chunks(1300))
    assert max(map(len, pieces)) == 64
    whole = np.concatenate(pieces)
    np.testing.assert_array_equal(whole[:1000], wave.T.numpy())
    assert whole.shape == (1300, 2) and not whole[1000:].any()


def test_a_sound_is_never_copied_as_a_whole(monkeypatch):
    """Ten minutes of stereo are 200 MB, and memory shall not grow with the clip."""
    monkeypatch.setattr(sound_module, "SAMPLES_PER_CHUNK", 64)
    wave, sizes = torch.zeros(2, 1000), []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.untyped_storage().data_ptr() != wave.data_ptr():
                sizes.append(out.numel())
            return out

    with Watch():
        list(Sound(wave, 8000).chunks(1300))
    assert max(sizes) == 2 * 64


def test_words_of_any_kind_and_length_come_back(tmp_path):
    words = {
        "prompt": json.dumps({"1": {"class_type": "SadTalkerLoadModel"}}),
        "workflow": json.dumps({"nodes": ["ü \u4e2d\u6587 \U0001f600 = ; # \\ \n \" '"] * 20_000}, ensure_ascii=False),
        "a name; with = signs": "line one\nline two\\\n\\.",
        "backslash": "it ends in a \\",
        "behind": "the backslash",
    }
    found = read_metadata(write(tmp_path / "a.mp4", some_frames(2), metadata=words))
    assert len(words["workflow"]) > 500_000
    assert found.pop("backslash").strip() == words.pop("backslash")
    for name, text in words.items():
        assert found[name] == text


def test_every_file_is_marked_as_generated(tmp_path):
    for audio in (None, (a_tone(0.1, 16000), 16000)):
        found = read_metadata(write(tmp_path / "a.mp4", some_frames(2), audio=audio))
        assert "AI-generated" in found["comment"]
        assert found["digital_source_type"] == AI_MARK["digital_source_type"]
        assert json.loads(found["AIGC"]) == {"Label": "1"}


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title, " {} ".format, "{}\0".format])
def test_nothing_that_comes_along_takes_the_mark_away(tmp_path, case):
    words = {case(name): "a photograph" for name in AI_MARK} | {"workflow": "{}", "half \ud800": "a \0 b"}
    found = read_metadata(write(tmp_path / "a.mp4", some_frames(2), metadata=words))
    assert {name: found[name] for name in AI_MARK} == AI_MARK and found["workflow"] == "{}"
    assert "a photograph" not in found.values()


def test_special_characters_are_escaped():
    assert ffmetadata({"a=b": "c;d#e\\f\ng"}) == b";FFMETADATA1\na\\=b=c\\;d\\#e\\\\f\\\ng\n"


def test_a_page_can_begin_to_play_at_once(tmp_path):
    """The index (moov) lies before the frames (mdat)."""
    data = write(tmp_path / "a.mp4", some_frames(5), audio=(a_tone(0.2, 16000), 16000)).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_lower_quality_makes_smaller_files(tmp_path):
    frames = torch.rand(6, 96, 96, 3, generator=torch.Generator().manual_seed(0))
    sizes = [write(tmp_path / f"{q}.mp4", frames, quality=q).stat().st_size for q in QUALITIES]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 2


@pytest.mark.parametrize(
    "name", ["a b.mp4", "ä\u4e2d\u6587\U0001f600.mp4", "-dash.mp4", "100%d.mp4", 'it\'s "quoted" & $HOME;.mp4']
)
def test_names_and_folders_of_any_alphabet(tmp_path, name):
    folder = tmp_path / "out put ü\u4e2d"
    folder.mkdir()
    path = write(folder / name, some_frames(2), audio=(a_tone(0.1, 16000), 16000))
    assert [p.name for p in folder.iterdir()] == [name] and path.stat().st_size > 0


def test_a_relative_path_and_no_file_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write("../there/a.mp4", some_frames(2), audio=(a_tone(0.1, 16000), 16000))
    assert not list((tmp_path / "here").iterdir())
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["a.mp4"]


def test_an_older_file_is_replaced_only_when_all_is_well(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), VideoWriter(path, (64, 48), 25.0) as writer:
        writer.write(some_frames(2))
        1 / 0  # noqa: B018
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    write(path, some_frames(2))
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize("audio", [None, "a voice"])
@pytest.mark.parametrize("n_frames", [0, 3])
def test_an_interruption_leaves_nothing_behind(tmp_path, audio, n_frames):
    audio = audio and (a_tone(1.0, 16000), 16000)
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", (64, 48), 25.0, audio=audio) as writer:
        if n_frames:
            writer.write(some_frames(n_frames))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_no_frames_are_no_video(tmp_path):
    with pytest.raises(VideoError, match="at least one frame"), VideoWriter(tmp_path / "a.mp4", (64, 48), 25.0):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (torch.zeros(2, 48, 63, 3), r"\(batch, 48, 64, 3\), got the shape \(2, 48, 63, 3\)"),
        (torch.zeros(2, 48, 64, 4), "shape"),
        (torch.zeros(48, 64, 3), "shape"),
        (torch.zeros(2, 48, 64, 3, dtype=torch.int32), "bytes or as floats"),
        (torch.full((2, 48, 64, 3), float("nan")), "NaN"),
    ],
)
def test_frames_that_are_no_frames_get_a_sentence(tmp_path, frames, sentence):
    with pytest.raises(VideoError, match=sentence), VideoWriter(tmp_path / "a.mp4", (64, 48), 25.0) as writer:
        writer.write(frames)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"fps": 0.0}, OptionError, "fps above 0"),
        ({"fps": float("nan")}, OptionError, "fps above 0"),
        ({"fps": 1e6}, OptionError, "fps above 0"),
        ({"output_fps": -1.0}, OptionError, "output_fps above 0"),
        ({"size_wh": (0, 5)}, VideoError, "16384 pixels a side"),
        ({"size_wh": (20000, 5)}, VideoError, "16384 pixels a side"),
        ({"quality": "superb"}, OptionError, "draft, high, best"),
        ({"quality": 52}, OptionError, "crf between 0 and 51"),
        ({"audio": (torch.zeros(2, 1, 9), 16000)}, AudioError, "one waveform"),
        ({"audio": (torch.zeros(1, 0), 16000)}, AudioError, "one waveform"),
        ({"audio": (torch.zeros(9), 0)}, AudioError, "sample rate"),
        ({"audio": (torch.zeros(9, dtype=torch.int16), 16000)}, AudioError, "floats"),
        ({"audio": (torch.full((9,), float("inf")), 16000)}, AudioError, "infinite"),
    ],
)
def test_impossible_options_get_a_sentence(tmp_path, options, error, sentence):
    with pytest.raises(error, match=sentence):
        VideoWriter(**{"path": tmp_path / "a.mp4", "size_wh": (64, 48), "fps": 25.0, **options})
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_disk_takes_gets_a_sentence(tmp_path):
    with pytest.raises(VideoError, match="cannot be written to .*aaa"):
        write(tmp_path / f"{'a' * 300}.mp4", some_frames(1))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_gets_a_sentence(tmp_path):
    with pytest.raises(VideoError, match="existing folder"):
        VideoWriter(tmp_path / "nowhere" / "a.mp4", (64, 48), 25.0)


@pytest.fixture
def broken_ffmpeg(tmp_path, monkeypatch):
    """words -> from now on ffmpeg reads a little, says these words and fails."""

    def make(words):
        script = tmp_path / "ffmpeg.py"
        script.write_text(f"import sys\nsys.stdin.buffer.read(1000)\nsys.stderr.write({words!r})\nsys.exit(1)\n")
        monkeypatch.setattr(ffmpeg_module, "ffmpeg_command", lambda: [sys.executable, str(script)])

    return make


@pytest.mark.parametrize("n_frames", [1, 2000])
def test_ffmpegs_last_words_are_repeated(tmp_path, broken_ffmpeg, n_frames):
    """Whether it dies while it is fed or when it is asked to finish."""
    broken_ffmpeg("first\nUnknown encoder 'libx264'\n")
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(VideoError, match="last output:\nfirst\nUnknown encoder 'libx264'"):
        write(folder / "a.mp4", some_frames(n_frames))
    assert not list(folder.iterdir())


def test_a_full_disk_gets_a_sentence(tmp_path, broken_ffmpeg):
    broken_ffmpeg("[out#0/mp4] Error writing trailer: No space left on device\n")
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DoesNotFit, match=r"disk of .*out is full"):
        write(folder / "a.mp4", some_frames(50))
    assert not list(folder.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
@pytest.mark.parametrize(
    ("end", "error", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", VideoError, r"ended by signal 9, SIGKILL; .* memory runs out"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", VideoError, r"ended by signal 11, SIGSEGV\)"),
        ("os.kill(os.getpid(), signal.SIGXFSZ)", DoesNotFit, r"a file of this size .*out: a FAT32 disk"),
        ("sys.exit('av_interleaved_write_frame(): File too large')", DoesNotFit, r"a file of this size .*out"),
        ("sys.exit(3)", VideoError, r"exit status 3"),
    ],
)
def test_an_encoder_that_is_killed_reports_the_signal(tmp_path, monkeypatch, end, error, words):
    """A kill by the system, a crash, a limit on the size of files, and a disk that takes none so large."""
    begin = "import os, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); sys.stdin.buffer.read(1000)"
    command = [sys.executable, "-c", f"{begin}; {end}"]
    monkeypatch.setattr(ffmpeg_module, "ffmpeg_command", lambda: command)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(error, match=words):
        write(folder / "a.mp4", some_frames(50))
    assert not list(folder.iterdir())


@pytest.fixture
def hanging_ffmpeg(tmp_path, monkeypatch):
    """From now on ffmpeg takes nothing and never ends by itself; -> its processes."""
    script = tmp_path / "hang.py"
    script.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(ffmpeg_module, "ffmpeg_command", lambda: [sys.executable, str(script)])
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    return started


@pytest.mark.parametrize("n_frames", [1, 2000])
@pytest.mark.parametrize("partial", [False, True])
def test_an_encoder_that_hangs_can_be_stopped(tmp_path, hanging_ffmpeg, n_frames, partial):
    """Whether it takes no frames or does not finish. Asked for ten times a second, a stop comes well within two."""
    folder = tmp_path / "out"
    folder.mkdir()
    asked = []

    def check_stop():
        asked.append(time.monotonic())
        if len(asked) == 3:
            raise KeyboardInterrupt

    kept = folder / "a_partial.mp4" if partial else None
    with (
        pytest.raises(KeyboardInterrupt),
        VideoWriter(folder / "a.mp4", (64, 48), 25.0, check_stop=check_stop, partial=kept) as writer,
    ):
        writer.write(some_frames(n_frames))
        if n_frames == 1:
            writer._encoder.finish()
    assert time.monotonic() - asked[2] < 10, "two seconds, on a machine with other work"
    assert asked[2] - asked[0] < 5
    assert len(hanging_ffmpeg) == 1 and hanging_ffmpeg[0].poll() is not None
    sweep(folder)  # with a partial to keep, the next run looks what there is
    assert not list(folder.iterdir())


def test_the_frames_of_a_killed_run_become_the_partial_that_was_asked_for(tmp_path, project):
    """Everything that belongs to the run is killed: nobody is left to end the file well."""
    code = (
        "import sys, time, torch\n"
        "from sadtalker_core.claims import claim_next\n"
        "from sadtalker_core.compose.video import VideoWriter\n"
        "from pathlib import Path\n"
        "claim = claim_next(Path(sys.argv[1]), 'a', '.mp4', partial_ending='partial.mp4')\n"
        "with VideoWriter(claim, (64, 48), 25.0, metadata={'prompt': '{}'}) as writer:\n"
        "    while True:\n"
        "        writer.write(torch.rand(5, 48, 64, 3))\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=project, start_new_session=True)
    part = tmp_path / "a_00001_.mp4.video.part"
    while not (part.exists() and part.stat().st_size > 100_000):
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert {"a_00001_.mp4.claim.part", "a_00001_.mp4.metadata.part"} < {file.name for file in tmp_path.iterdir()}
    write(tmp_path / "b.mp4", some_frames(2))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a_00001_partial.mp4", "b.mp4"]
    found = read_metadata(tmp_path / "a_00001_partial.mp4")
    assert found["prompt"] == "{}" and found["comment"] == AI_MARK["comment"]
    assert len(read_frames(tmp_path / "a_00001_partial.mp4", 64, 48)) > 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_killed_at_any_moment_leaves_videos_that_play_and_no_parts(tmp_path, project, seed):
    code = (
        "import sys, torch\n"
        "from sadtalker_core.claims import claim_next\n"
        "from sadtalker_core.compose.video import VideoWriter\n"
        "from pathlib import Path\n"
        "while True:\n"
        "    claim = claim_next(Path(sys.argv[1]), 'a', '.mp4', partial_ending='partial.mp4')\n"
        "    with VideoWriter(claim, (64, 48), 25.0, audio=(torch.zeros(16000), 16000)) as writer:\n"
        "        for _ in range(5):\n"
        "            writer.write(torch.rand(5, 48, 64, 3))\n"
        "    print(flush=True)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=project, stdout=subprocess.PIPE, start_new_session=True
    )
    assert run.stdout is not None and run.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.5))
    os.killpg(run.pid, signal.SIGKILL)  # its encoder, too
    run.wait()
    run.stdout.close()
    end = time.monotonic() + 60
    while True:  # the killed encoder may hold its part for a moment yet
        sweep(tmp_path)
        files = sorted(tmp_path.iterdir())
        if not any(file.suffix == ".part" for file in files) or time.monotonic() > end:
            break
        time.sleep(0.1)
    assert files and all(re.fullmatch(r"a_\d{5}_(partial)?\.mp4", file.name) for file in files)
    counts = {file.name: len(read_frames(file, 64, 48)) for file in files}
    assert all(n == 25 for name, n in counts.items() if "partial" not in name) and all(counts.values())


def test_where_a_full_disk_leaves_no_room_for_the_partial_the_next_run_makes_it(tmp_path, monkeypatch):
    claim, pack = claim_next(tmp_path, "a", ".mp4", partial_ending="partial.mp4"), video_module._pack

    def full(*_):
        raise DoesNotFit("The disk is full")

    with pytest.raises(KeyboardInterrupt), VideoWriter(claim, (64, 48), 25.0) as writer:
        writer.write(some_frames(5))
        monkeypatch.setattr(video_module, "_pack", full)
        raise KeyboardInterrupt
    assert claim.part("video").exists()
    sweep(tmp_path)  # still no room
    assert claim.part("video").exists()
    monkeypatch.setattr(video_module, "_pack", pack)
    sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["a_00001_partial.mp4"]
    assert len(read_frames(tmp_path / "a_00001_partial.mp4", 64, 48)) == 5


def test_frames_stay_while_no_encoder_can_be_run(tmp_path, monkeypatch):
    claim = claim_next(tmp_path, "a", ".mp4", partial_ending="partial.mp4")
    claim.part("video").write_bytes(b"frames of a run that was killed")
    claim.abandon()
    for wrong in ("/nowhere", sys.executable):
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", wrong)
        sweep(tmp_path)
        assert claim.part("video").exists()


@pytest.mark.parametrize("n_bytes", [0, 1, 100, 330, 1000])
def test_where_not_even_one_frame_is_whole_there_is_no_partial(tmp_path, n_bytes):
    claim = claim_next(tmp_path, "a", ".mp4", partial_ending="partial.mp4")
    with pytest.raises(KeyboardInterrupt), VideoWriter(claim_next(tmp_path, "b", ".mp4"), (64, 48), 25.0) as writer:
        writer.write(torch.rand(2, 48, 64, 3))
        writer._encoder.finish()
        claim.part("video").write_bytes(writer.claim.part("video").read_bytes()[:n_bytes])
        raise KeyboardInterrupt
    assert claim.part("video").stat().st_size == n_bytes
    claim.abandon()
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_claimed_name_is_where_the_video_goes(tmp_path):
    claim = claim_next(tmp_path, "a", ".mp4", partial_ending="partial.mp4")
    with VideoWriter(claim, (64, 48), 25.0) as writer:
        writer.write(some_frames(2))
        claim.path.write_bytes(b"of somebody who makes no claims")
    assert writer.path.name == "a_00002_.mp4" and len(read_frames(writer.path, 64, 48)) == 2
    assert (tmp_path / "a_00001_.mp4").read_bytes() == b"of somebody who makes no claims"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "chosen",
    ["nowhere/ffmpeg", ".", "plain", sys.executable],
    ids=["missing", "folder", "no program", "another program"],
)
def test_a_wrong_choice_of_ffmpeg_is_named(tmp_path, monkeypatch, chosen):
    (tmp_path / "plain").write_text("no program")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / chosen))
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(VideoError, match=f"(?s)IMAGEIO_FFMPEG_EXE names .*{re.escape(str(tmp_path / chosen))}.*"):
        write(folder / "a.mp4", some_frames(1))
    assert not list(folder.iterdir())


def test_a_program_that_is_no_ffmpeg_and_prints_nothing_is_named(tmp_path, monkeypatch):
    script = tmp_path / "silent.py"
    script.write_text("import sys\nsys.stdin.buffer.read()\n")
    monkeypatch.setattr(ffmpeg_module, "ffmpeg_command", lambda: [sys.executable, str(script)])
    with pytest.raises(VideoError, match="ffmpeg exited without output and wrote no video"):
        write(tmp_path / "a.mp4", some_frames(1))
    assert [file.name for file in tmp_path.iterdir()] == ["silent.py"]


@pytest.mark.parametrize("size_hw", [(3, 4), (4, 3), (3, 3), (4, 4)])
def test_even_sides_repeat_the_last_row_and_column(size_hw):
    frames = torch.rand(2, 3, *size_hw, generator=torch.Generator().manual_seed(0))
    stream = with_even_sides(FrameStream(2, *size_hw, lambda: iter([frames])))
    (even,) = stream.batches()
    assert even.shape == (2, 3, stream.height, stream.width) == (2, 3, 4, 4)
    assert torch.equal(even[..., : size_hw[0], : size_hw[1]], frames)
    assert torch.equal(even[..., -1, : size_hw[1]], frames[..., -1, :])
    assert torch.equal(even[..., : size_hw[0], -1], frames[..., -1])


def test_a_missing_ffmpeg_gets_a_sentence(tmp_path, monkeypatch):
    import imageio_ffmpeg

    def fail():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", fail)
    with pytest.raises(VideoError, match="IMAGEIO_FFMPEG_EXE"):
        write(tmp_path / "a.mp4", some_frames(1))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(VideoError, match="install the package imageio-ffmpeg"):
        write(tmp_path / "a.mp4", some_frames(1))
    assert not list(tmp_path.iterdir())


def test_writing_outside_the_block_is_a_mistake_of_ours(tmp_path):
    with pytest.raises(RuntimeError, match="with-block"):
        VideoWriter(tmp_path / "a.mp4", (64, 48), 25.0).write(some_frames(1))
