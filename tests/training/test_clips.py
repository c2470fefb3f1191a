"""The folder of clips: written, read again, and refused with a sentence."""

from __future__ import annotations

import io
import json

import pytest
import torch

from sadtalker_core.datatypes import MINI, RELEASED, CropMode, FaceCoefficients
from sadtalker_core.errors import CheckpointDamaged, InputError, WrongFamily
from sadtalker_core.training.clips import INDEX_FILE, Spans, read_clips, read_index, write_clip, write_failure
from sadtalker_core.training.engine import step_generator

SIDE = 32


def jpeg(grey):
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (SIDE, SIDE), grey).save(file, "JPEG")
    return file.getvalue()


def write(folder, name="anna_000", n_frames=40, family=MINI, jpegs=None):
    rows = torch.randn(n_frames, 257, generator=torch.Generator().manual_seed(n_frames))
    coefficients = FaceCoefficients.from_full_rows(
        rows, torch.ones(n_frames, 3), family=family, pic_size=SIDE, crop_mode=CropMode.FULL
    )
    mel = torch.arange((1 + n_frames * 16 // 5) * 80.0).reshape(-1, 80)
    return write_clip(folder, name, mel=mel, coefficients=coefficients, speaker="anna", source="a.mp4", jpegs=jpegs)


def test_a_clip_comes_back_as_it_was_written(tmp_path):
    written = write(tmp_path, jpegs=[jpeg(5 * i) for i in range(40)])
    (clip,) = read_clips(tmp_path, family=MINI, shortest=40, images=True)
    assert clip == written and (clip.speaker, clip.source, clip.n_frames) == ("anna", "a.mp4", 40)
    rows = torch.randn(40, 257, generator=torch.Generator().manual_seed(40))
    assert torch.equal(clip.coefficients().full_rows(), rows)
    part = clip.coefficients(7, 9)
    assert torch.equal(part.full_rows(), rows[7:9]) and part.crop_mode is CropMode.FULL and part.pic_size == SIDE
    assert part.found.tolist() == [True, True]
    assert clip.speech().windows(3, 5).shape == (2, 1, 80, 16) and clip.speech().mel[2, 1] == 161
    images = clip.images([30, 2, 2])
    assert images.shape == (3, 3, SIDE, SIDE)
    torch.testing.assert_close(images[:, 0, 0, 0], torch.tensor([150.0, 10.0, 10.0]) / 255, atol=0.01, rtol=0)


def test_the_index_holds_the_rate_and_survives_a_kill_in_the_middle_of_a_line(tmp_path):
    write(tmp_path, "a")
    with (tmp_path / INDEX_FILE).open("a") as index:
        index.write('{"name": "b", "sta')
    assert [record["name"] for record in read_index(tmp_path)] == ["a"]
    write(tmp_path, "b", n_frames=33)
    assert [(record["name"], record["fps"]) for record in read_index(tmp_path)] == [("a", 25), ("b", 25)]
    assert len((tmp_path / INDEX_FILE).read_text().splitlines()) == 2


def test_the_last_line_of_a_name_counts(tmp_path):
    write_failure(tmp_path, "a", source="a.mp4", reason="no face in it")
    write(tmp_path, "a")
    assert [clip.name for clip in read_clips(tmp_path)] == ["a"]


def test_every_span_that_fits_is_drawn_as_often_as_any_other(tmp_path):
    clips = [write(tmp_path, "a", n_frames=10), write(tmp_path, "b", n_frames=12), write(tmp_path, "c", n_frames=9)]
    drawn = Spans(clips, 9).draw(6000, step_generator(0, 0))
    counts = {}
    for clip, start in drawn:
        counts[clip.name, start] = counts.get((clip.name, start), 0) + 1
    assert sorted(counts) == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2), ("b", 3), ("c", 0)]
    # 6000 / 7 = 857, standard deviation 27
    assert all(abs(count - 857) < 110 for count in counts.values())


def test_a_folder_that_is_none_states_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="no clips.jsonl in .* python -m sadtalker_core.training.prepare"):
        read_clips(tmp_path)


def test_an_empty_folder_reports_it_and_one_of_failures_gives_the_reason(tmp_path):
    (tmp_path / INDEX_FILE).touch()
    with pytest.raises(InputError, match="no clip that is ready: it is empty"):
        read_clips(tmp_path)
    write_failure(tmp_path, "a", source="a.mp4", reason="no face in it")
    with pytest.raises(InputError, match="all 1 failed, a because no face in it"):
        read_clips(tmp_path)


def test_clips_of_another_family_are_refused(tmp_path):
    write(tmp_path, "a", family=RELEASED)
    with pytest.raises(WrongFamily, match="expected clips of the mini family in .*, got a of the released family"):
        read_clips(tmp_path, family=MINI)


def test_clips_that_are_too_short_are_left_out_and_a_folder_of_them_is_refused(tmp_path, caplog):
    write(tmp_path, "short", n_frames=31)
    with pytest.raises(InputError, match=r"at least 32 frames \(1.28 s\) in .*, the longest of its 1 has 31"):
        read_clips(tmp_path, shortest=32)
    write(tmp_path, "long", n_frames=32)
    assert [clip.name for clip in read_clips(tmp_path, shortest=32)] == ["long"]
    assert "1 of 2 clips are shorter than 32 frames" in caplog.text


def test_clips_without_images_are_refused_where_images_are_needed(tmp_path):
    clip = write(tmp_path, "voice")
    with pytest.raises(InputError, match="voice in .* has no images"):
        read_clips(tmp_path, images=True)
    with pytest.raises(InputError, match="voice has no images"):
        clip.images([0])


def test_a_line_that_is_no_clip_is_named(tmp_path):
    write(tmp_path, "a")
    for line, message in (
        ("nonsense", "line 2 of .* is no clip: 'nonsense'"),
        (json.dumps({"name": "b", "fps": 30}), "25 fps, b in .* has 30"),
        (json.dumps({"name": "b", "fps": 25}), "the line of b .* lacks family, n_frames"),
    ):
        index = (tmp_path / INDEX_FILE).read_text().splitlines()[:1]
        (tmp_path / INDEX_FILE).write_text("\n".join([*index, line]) + "\n")
        with pytest.raises(InputError, match=message):
            read_clips(tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    clip = write(tmp_path)
    clip.file.write_bytes(clip.file.read_bytes()[:100])
    with pytest.raises(CheckpointDamaged, match="anna_000.safetensors in .* is truncated.*prepare the video again"):
        clip.speech()


def test_a_clip_whose_parts_are_not_equally_long_is_not_written(tmp_path):
    with pytest.raises(InputError, match="expected 40 images of anna_000, got 3"):
        write(tmp_path, jpegs=[jpeg(0)] * 3)
    rows = FaceCoefficients.from_full_rows(
        torch.zeros(5, 257), torch.zeros(5, 3), family=MINI, pic_size=SIDE, crop_mode=CropMode.CROP
    )
    with pytest.raises(InputError, match="expected 17 mel steps for the 5 frames of x, got 16"):
        write_clip(tmp_path, "x", mel=torch.zeros(16, 80), coefficients=rows, speaker="", source="")
    assert not (tmp_path / INDEX_FILE).exists()
