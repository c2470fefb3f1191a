"""A folder of talking videos becomes clips that say what inference would read, whatever happens on the way."""

import io
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image

from sadtalker_core import pipeline
from sadtalker_core.claims import claim_path
from sadtalker_core.datatypes import CropMode
from sadtalker_core.errors import InputError, OptionError
from sadtalker_core.face.crop import crop_square
from sadtalker_core.training import prepare, segmenting
from sadtalker_core.training.clips import read_clips, read_index
from sadtalker_core.training.prepare import find_videos, report
from sadtalker_core.training.segmenting import Reader
from sadtalker_core.training.summary import VIDEOS_FILE
from tests.face.images import resized
from tests.training.recorded import ffmpeg, grey_steps, hello, moving_face, recorded_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reader():
    return Reader.open("mini")


@pytest.fixture(autouse=True)
def opened_once(monkeypatch, reader):
    """The networks are the same for all tests that prepare a folder."""
    monkeypatch.setattr(prepare, "Reader", SimpleNamespace(open=lambda *how: reader))


def decoded(path: Path):
    """All images and the sound of a video, as ComfyUI decodes them."""
    with av.open(str(path)) as container:
        images = [torch.from_numpy(f.to_ndarray(format="rgb24")).float() / 255 for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        wave = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    return images, torch.from_numpy(wave), rate


def contents(folder: Path):
    """{name: bytes} of what prepare leaves, the lines of the lists in order."""
    read = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name: sorted(got.splitlines()) if name.endswith(".jsonl") else got for name, got in read.items()}


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """Of 36 frames at 25 a second; its sound is stored at 44.1 kHz in two channels."""
    folder = tmp_path_factory.mktemp("talk")
    recorded_video(folder / "mono.mp4", moving_face(), sound=hello())
    (folder / "videos").mkdir()
    ffmpeg("-i", folder / "mono.mp4", "-c:v", "copy", "-ar", 44_100, "-ac", 2, folder / "videos" / "talk.mp4")
    return folder / "videos" / "talk.mp4"


@pytest.fixture(scope="module")
def cut(talk, reader, tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "Reader", SimpleNamespace(open=lambda *how: reader))
        prepare.prepare(talk.parent, out)
    (clip,) = read_clips(out)
    return clip


def test_the_voice_is_what_audio_encode_gives(talk, cut):
    _, wave, rate = decoded(talk)
    embedded_clips = pipeline.encode_audio(wave[:, : rate * 36 // 25], rate)
    assert cut.speech().n_frames == embedded_clips.n_frames == 36
    torch.testing.assert_close(cut.speech().mel, embedded_clips.mel, atol=0, rtol=0)


def test_the_coefficients_are_what_3dmm_from_video_reads(talk, cut, reader):
    images, _, _ = decoded(talk)
    read, kept = pipeline.extract_video(reader.model, images, 25), cut.coefficients()
    assert torch.equal(kept.full_rows(), read.full_rows()) and torch.equal(kept.crop, read.crop)
    assert kept.found.all() and (kept.family, kept.pic_size, kept.crop_mode) == ("mini", 256, read.crop_mode)


def test_another_crop_mode_and_size_cut_and_read_as_the_node_does_with_them(talk, reader):
    other = replace(reader, mode=CropMode.EXTENDED_FULL, model=replace(reader.model, image_size=64))
    written = {}
    video = segmenting.Video(talk, "talk.mp4", "talk", "talk")
    segmenting.extract_clips(other, video, lambda *name, **clip: written.update(clip), lambda: None)
    read = pipeline.extract_video(other.model, decoded(talk)[0], 25, mode=CropMode.EXTENDED_FULL)
    kept = written["coefficients"]
    assert torch.equal(kept.crop, read.crop) and (kept.crop_mode, kept.pic_size) == (CropMode.EXTENDED_FULL, 64)
    assert Image.open(io.BytesIO(written["jpegs"][0])).size == (64, 64)


def test_the_images_are_the_squares_that_the_coefficients_speak_of(talk, cut, reader):
    images, _, _ = decoded(talk)
    points = next(reader.finder().follow(iter(images)))[1]
    box = reader.box(points, (200, 200))
    for i in (0, 20, 35):
        square = crop_square(images[i], box, 256)
        assert (cut.images([i])[0] - square).abs().mean() < 0.01  # what JPEG loses


def test_another_frame_rate_and_a_phone_held_sideways_give_nearly_the_same(talk, cut, reader, tmp_path):
    recorded_video(tmp_path / "lying.mp4", moving_face(43, 30).rot90(-1, dims=(1, 2)), 30, hello())
    (tmp_path / "videos").mkdir()
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "lying.mp4", "-c", "copy", tmp_path / "videos" / "phone.mp4")
    prepare.prepare(tmp_path / "videos", tmp_path / "data")
    (clip,) = read_clips(tmp_path / "data")
    assert clip.n_frames == 35
    kept, same = clip.coefficients(), cut.coefficients()
    assert (kept.translation - same.translation[:35]).abs().max() < 0.05
    assert (kept.rotation - same.rotation[:35]).abs().max() < 0.06
    upright = moving_face(43, 30)
    resampled = pipeline.extract_video(reader.model, upright, 30)  # what the node does: lines between frames
    assert (kept.translation - resampled.translation).abs().max() < 0.05


def some_videos(folder: Path) -> Path:
    recorded_video(folder / "anna" / "one.mp4", moving_face(33), sound=hello())
    recorded_video(folder / "anna" / "two.mp4", moving_face(34), sound=hello())
    recorded_video(folder / "mute.mp4", grey_steps(2))
    return folder


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    videos = some_videos(tmp_path / "videos")
    prepare.prepare(videos, tmp_path / "whole")
    write, cut = prepare.write_clip, []

    def stop(folder, name, **clip):
        write(folder, name, **clip)
        if name == "anna__two_000":
            raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "write_clip", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(videos, tmp_path / "stopped")
    assert [*prepare.read_outcomes(tmp_path / "stopped")] == ["anna/one.mp4"]
    half = claim_path(tmp_path / "stopped" / "anna__two_001.safetensors")
    half.part("whole").write_bytes(b"half")
    half.abandon()  # as a kill does
    with (tmp_path / "stopped" / VIDEOS_FILE).open("a") as file:
        file.write('{"source": "anna/tw')  # a line that a kill cut short

    monkeypatch.setattr(prepare, "write_clip", write)
    again = prepare.extract_clips
    monkeypatch.setattr(prepare, "extract_clips", lambda *all: cut.append(all[1].source) or again(*all))
    outcomes = prepare.prepare(videos, tmp_path / "stopped")
    assert cut == ["anna/two.mp4", "mute.mp4"]
    assert [outcome.source for outcome in outcomes] == ["anna/one.mp4", "anna/two.mp4", "mute.mp4"]
    whole, resumed = contents(tmp_path / "whole"), contents(tmp_path / "stopped")
    assert {*whole} == {*resumed}
    assert all(whole[name] == resumed[name] for name in whole if name.endswith(".safetensors"))
    assert read_index(tmp_path / "whole") == read_index(tmp_path / "stopped")
    assert prepare.read_outcomes(tmp_path / "whole") == prepare.read_outcomes(tmp_path / "stopped")
    assert [clip.speaker for clip in read_clips(tmp_path / "stopped")] == ["anna", "anna"]

    def never(*_):
        raise AssertionError("all is done")

    monkeypatch.setattr(prepare, "extract_clips", never)
    assert prepare.prepare(videos, tmp_path / "stopped") == outcomes


def test_each_video_that_cannot_be_used_is_left_out_with_its_reason(tmp_path, capsys):
    videos, face = tmp_path / "videos", moving_face(36)
    recorded_video(videos / "good.mp4", face, sound=hello())
    recorded_video(videos / "mute.mp4", face)
    recorded_video(videos / "silent.mp4", face, sound=torch.zeros(1, 32_000))
    recorded_video(videos / "short.mp4", face[:31], sound=hello())
    recorded_video(videos / "nobody.mp4", grey_steps(10), sound=hello())
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("no video " * 99)
    (videos / "notes.txt").write_text("not even by its name")
    content = (videos / "good.mp4").read_bytes()
    (videos / "half.mp4").write_bytes(content[: len(content) // 2])

    prepare.main([str(videos), "--out", str(tmp_path / "data")])
    output = capsys.readouterr().out
    reasons = {entry["name"]: entry["reason"] for entry in read_index(tmp_path / "data") if "reason" in entry}
    assert reasons == {
        "mute": "it has no audio",
        "silent": "none of its pieces can be used: 1 silent",
        "short": "none of its pieces can be used: 1 shorter than 32 frames (1.28 s)",
        "nobody": "no face is found in it",
        "empty": "it is empty",
        "text": reasons["text"],
        "half": reasons["half"],
    }
    assert "no video, or damaged" in reasons["text"] and (
        "damaged" in reasons["half"] or "breaks off" in reasons["half"]
    )
    assert "Videos: 1 of 8 can be used. Clips: 1, 1.4 seconds in all." in output
    assert all(f"left out   {name}.mp4: {reason}" in output for name, reason in reasons.items())
    assert "1 other files: notes.txt" in output
    assert [clip.name for clip in read_clips(tmp_path / "data")] == ["good_000"]


def test_an_odd_name_or_title_costs_that_video_alone(tmp_path, capsys):
    videos, face = tmp_path / "videos", moving_face(36)
    recorded_video(videos / "good.mp4", face, sound=hello())
    (videos / f"{'n' * 245}.mp4").write_bytes((videos / "good.mp4").read_bytes() + b" ")
    (videos / "folder").mkdir()
    odd = videos / "folder" / os.fsdecode("Zo\u00eb.mkv".encode("latin-1" if sys.platform == "linux" else "utf-8"))
    ffmpeg("-i", videos / "good.mp4", "-c", "copy", "-metadata", "title=the title", tmp_path / "talk.mkv")
    content = (tmp_path / "talk.mkv").read_bytes()
    odd.write_bytes(content.replace(b"the title", "Zo\u00eb title".encode("latin-1")))

    prepare.main([str(videos), "--out", str(tmp_path / "data")])
    output = capsys.readouterr().out
    assert "Videos: 2 of 3 can be used. Clips: 2" in output
    assert f"{'n' * 245}.mp4: its name, with those of its folders, has 245 bytes" in output
    assert [clip.source for clip in read_clips(tmp_path / "data")] == [f"folder/{odd.name}", "good.mp4"]


def test_a_link_and_a_copy_of_a_video_are_reported_and_left_out(tmp_path):
    videos = tmp_path / "videos"
    recorded_video(videos / "b.mp4", moving_face(33), sound=hello())
    (videos / "c.mp4").symlink_to(videos / "b.mp4")
    (videos / "d").mkdir()
    (videos / "d" / "e.mp4").write_bytes((videos / "b.mp4").read_bytes())
    outcomes = prepare.prepare(videos, tmp_path / "data")
    assert [bool(outcome.clips) for outcome in outcomes] == [True, False, False]
    assert all("it is the same file as b.mp4" in outcome.reason for outcome in outcomes[1:])
    (videos / "a.mp4").write_bytes((videos / "b.mp4").read_bytes())  # what was cut already stays
    assert [o.source for o in prepare.prepare(videos, tmp_path / "data") if o.clips] == ["b.mp4"]
    assert [clip.name for clip in read_clips(tmp_path / "data")] == ["b_000"]


def test_a_still_photo_and_a_small_face_are_warned_of_at_the_end(tmp_path, capsys):
    videos, face = tmp_path / "videos", moving_face(36)
    recorded_video(videos / "photo.mp4", face[:1].expand(36, -1, -1, -1), sound=hello())
    recorded_video(videos / "small.mp4", torch.stack([resized(image, 120, 120) for image in face]), sound=hello())
    prepare.main([str(videos), "--out", str(tmp_path / "data")])
    printed = capsys.readouterr().out
    assert "Warning: photo: neither head nor mouth moves, as in a photo" in printed and "small: neither" not in printed
    assert re.search(r"Warning: small: a face of \d\d pixels", printed)
    assert "2.9 seconds in all are enough to try the training" in printed
    assert re.search(r"^photo +0\.02 +1 +1?\d\d +0\.\d", printed, flags=re.MULTILINE)


def test_a_folder_without_anything_of_use_ends_with_a_sentence_and_not_as_if_all_were_well(tmp_path, capsys):
    recorded_video(tmp_path / "videos" / "mute.mp4", grey_steps(2))
    with pytest.raises(InputError, match="none of the 1 videos can be used"):
        prepare.main([str(tmp_path / "videos"), "--out", str(tmp_path / "data")])
    assert "left out   mute.mp4: it has no audio" in capsys.readouterr().out


def test_a_device_that_is_not_there_is_a_sentence_before_the_work_begins(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(OptionError, match="--device xpu:9 is not available on this machine"):
        prepare.prepare(tmp_path, tmp_path / "data", device="xpu:9")
    assert not (tmp_path / "data").exists()


#: tells the numbers of its workers as soon as they are there
STARTED = """
import multiprocessing, sys, threading, time
from sadtalker_core.training import prepare
def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.02)
    print(*[worker.pid for worker in multiprocessing.active_children()], flush=True)
if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    prepare.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_workers_end_with_their_parent_whatever_ends_it(tmp_path, project):
    for times in (5, 6):
        recorded_video(tmp_path / "videos" / f"{times}.mp4", moving_face(25).repeat(times, 1, 1, 1), sound=hello())
    (tmp_path / "start.py").write_text(STARTED)
    command = [sys.executable, "start.py", "videos", "--out", "data", "--workers", "2"]
    parent = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(project)}, stdout=subprocess.PIPE, text=True
    )
    workers = [int(number) for number in parent.stdout.readline().split()]
    assert len(workers) == 2 and all(map(at_work, workers))
    time.sleep(1)
    parent.kill()
    parent.communicate()
    ends = time.monotonic() + 60  # those that were just being started end when they have read what to do
    while any(map(at_work, workers)) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not any(map(at_work, workers))


def at_work(process: int) -> bool:
    """Whether it is there, and not only waits for somebody to hear that it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_of_two_faces_the_largest_is_taken_and_the_report_notes_it(tmp_path, cut):
    face = moving_face(36)
    both = torch.full((36, 200, 340, 3), 0.5)
    both[:, :, 140:] = face
    both[:, 60:180, :120] = resized(face[0], 120, 120)
    recorded_video(tmp_path / "videos" / "two.mp4", both, sound=hello())
    (outcome,) = prepare.prepare(tmp_path / "videos", tmp_path / "data")
    assert "2 faces are visible; the largest" in report([outcome])
    (clip,) = read_clips(tmp_path / "data")
    assert (clip.images([0]) - cut.images([0])).abs().mean() < 0.05


def test_a_video_is_split_where_no_face_is_visible_and_the_voice_with_it(tmp_path, reader):
    face = moving_face(76)
    face[34:36] = 0.5
    recorded_video(tmp_path / "videos" / "gap.mp4", face, sound=hello())
    (outcome,) = prepare.prepare(tmp_path / "videos", tmp_path / "data")
    first, second = read_clips(tmp_path / "data")
    assert outcome.clips == ("gap_000", "gap_001") and first.n_frames == 34
    start = 76 - second.n_frames
    assert 36 <= start <= 36 + 5
    images, wave, rate = decoded(tmp_path / "videos" / "gap.mp4")
    read = pipeline.extract_video(reader.model, images[start:], 25)
    assert torch.equal(second.coefficients().full_rows(), read.full_rows())
    voice = pipeline.encode_audio(wave[:, start * rate // 25 : 76 * rate // 25], rate)
    assert torch.equal(second.speech().mel, voice.mel)


def test_a_clip_is_as_long_as_its_sound(tmp_path):
    recorded_video(tmp_path / "long.mp4", moving_face(40), sound=hello())
    (tmp_path / "videos").mkdir()
    ffmpeg(
        "-i",
        tmp_path / "long.mp4",
        "-c:v",
        "copy",
        "-c:a",
        "pcm_s16le",
        "-af",
        "atrim=end=1.37",
        tmp_path / "videos" / "talk.mkv",
    )
    prepare.prepare(tmp_path / "videos", tmp_path / "data")
    assert [clip.n_frames for clip in read_clips(tmp_path / "data")] == [34]


def test_a_video_that_was_exchanged_is_cut_anew_and_its_old_clips_are_gone(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "data"
    recorded_video(videos / "talk.mp4", moving_face(34), sound=hello())
    prepare.prepare(videos, out)
    recorded_video(videos / "talk.mp4", grey_steps(12), sound=hello())
    (outcome,) = prepare.prepare(videos, out)
    assert outcome.reason == "no face is found in it"
    with pytest.raises(InputError, match="no clip that is ready"):
        read_clips(out)


def test_clips_that_were_read_in_two_ways_do_not_mix(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "empty.mp4").touch()
    prepare.prepare(tmp_path / "videos", tmp_path / "data")
    with pytest.raises(OptionError, match="clips with base = 'mini', and this is 'SadTalker 256'"):
        prepare.prepare(tmp_path / "videos", tmp_path / "data", base="SadTalker 256")
    with pytest.raises(OptionError, match="clips with crop_mode = 'crop', and this is 'full'"):
        prepare.prepare(tmp_path / "videos", tmp_path / "data", mode=CropMode.FULL)


def test_images_too_small_for_any_net_are_refused():
    with pytest.raises(OptionError, match="32 pixels or more, got 8"):
        Reader.open("mini", size=8)


def test_a_folder_that_holds_no_videos_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a folder of videos"):
        find_videos(tmp_path / "nowhere", tmp_path)
    with pytest.raises(InputError, match="there is no video in"):
        find_videos(tmp_path, tmp_path / "data")


def test_two_videos_of_one_name_are_refused(tmp_path):
    for name in ("a.mp4", "a.mov"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"a\.mov and a\.mp4 would both be called a"):
        find_videos(tmp_path, tmp_path / "data")


def test_hidden_files_and_the_clips_themselves_are_no_videos(tmp_path):
    for name in (".hidden.mp4", "data/x.mp4", "a.MP4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    videos, others = find_videos(tmp_path, tmp_path / "data")
    assert [video.source for video in videos] == ["a.MP4"] and others == []


@pytest.mark.slow
def test_two_processes_make_the_same_clips(tmp_path):
    videos = some_videos(tmp_path / "videos")
    one, two = (prepare.prepare(videos, tmp_path / str(n), workers=n) for n in (1, 2))
    assert one == two
    assert read_index(tmp_path / "1") == read_index(tmp_path / "2")
    kept = {name: content for name, content in contents(tmp_path / "1").items() if name.endswith(".safetensors")}
    assert len(kept) == 2 and all(contents(tmp_path / "2")[name] == content for name, content in kept.items())
    assert json.loads((tmp_path / "2" / prepare.SETTINGS_FILE).read_text()) == {
        "base": "mini",
        "crop_mode": "crop",
        "size": 0,
    }
