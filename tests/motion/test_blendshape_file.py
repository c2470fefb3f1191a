"""Tracks go out to files that other programs read, and come back; others' files come in."""

from __future__ import annotations

import csv
import json
import logging

import pytest
import torch

from sadtalker_core.canonical_face import rotation_of_angles
from sadtalker_core.coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, RELEASED, Expression, HeadPose
from sadtalker_core.errors import Cancelled, OptionError, WrongFamily
from sadtalker_core.motion.blendshape_export import ENDINGS, export_blendshapes, timecode
from sadtalker_core.motion.blendshape_import import import_blendshapes
from sadtalker_core.motion.blendshape_layout import APPLE_ORDER, EXPORT_FORMS, JSON_ARKIT, JSON_VRM, LIVE_LINK
from sadtalker_core.motion.visemes import SPEECH_BLENDSHAPES, Phone, blendshape_track

T = 60
#: the first line of a file of the app, https://github.com/alexdjulin/LiveLinkFace-CSV-Retarget-For-Motionbuilder
HEADER = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,"
    "EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,"
    "EyeWideRight,JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,"
    "MouthSmileLeft,MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,"
    "MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,"
    "MouthLowerDownLeft,MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,"
    "BrowOuterUpLeft,BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,"
    "TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)


@pytest.fixture
def tracks():
    draw = torch.Generator().manual_seed(0)
    rows = torch.rand(T, 64, generator=draw)
    rows[:, len(ARKIT_BLENDSHAPES) :] = 0
    pose = torch.cat([0.2 * torch.randn(T, 3, generator=draw), torch.zeros(T, 3)], dim=1)
    return Expression(rows, MINI), HeadPose(pose, MINI)


def table(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(("form", "digits"), [(LIVE_LINK, 10), (JSON_ARKIT, 6)])
@pytest.mark.parametrize("fps", [25.0, 50.0])
def test_what_went_out_comes_back_to_the_digits_of_the_format(tmp_path, tracks, form, digits, fps):
    expression, pose = tracks
    file = tmp_path / f"face{ENDINGS[form]}"
    read = import_blendshapes(export_blendshapes(file, expression, pose, form=form, fps=fps))
    half = 0.5 * 10.0**-digits + 2**-25  # half a digit, and what a float32 near 1 rounds
    assert (read.expression.coefficients - expression.coefficients).abs().max() <= half
    assert (read.pose.coefficients - pose.coefficients).abs().max() <= half


def test_a_csv_that_was_read_and_written_again_is_the_same_file(tmp_path, tracks):
    file, again = tmp_path / "face.csv", tmp_path / "again.csv"
    read = import_blendshapes(export_blendshapes(file, *tracks))
    export_blendshapes(again, read.expression, read.pose)
    assert again.read_bytes() == file.read_bytes()


def test_the_csv_has_the_columns_of_the_app_in_its_order(tmp_path, tracks):
    file = export_blendshapes(tmp_path / "face.csv", *tracks)
    lines = file.read_text().splitlines()
    assert lines[0] == HEADER and lines[1].startswith("00:00:00:00.000,61,") and len(lines) == T + 1
    assert [row["Timecode"] for row in table(file)][24:26] == ["00:00:00:24.000", "00:00:01:00.000"]
    row, units, angles = table(file)[7], tracks[0].coefficients[7], tracks[1].rotation[7]
    assert float(row["MouthRight"]) == pytest.approx(float(units[BLENDSHAPE_INDEX["mouthRight"]]), abs=1e-9)
    assert float(row["JawLeft"]) == pytest.approx(float(units[BLENDSHAPE_INDEX["jawLeft"]]), abs=1e-9)
    assert [float(row[name]) for name in ("HeadPitch", "HeadYaw", "HeadRoll")] == pytest.approx((-angles).tolist())


def test_a_take_that_looks_up_turns_left_and_tilts_right_does_so_here(tmp_path):
    """In the app each of these is above 0; HeadPose has down, to the left of the image and clockwise above 0."""
    file = tmp_path / "take.csv"
    file.write_text("JawOpen,HeadYaw,HeadPitch,HeadRoll\n0,0.2,0.3,0.1\n0,0.2,0.3,0.1\n")
    torch.testing.assert_close(import_blendshapes(file).pose.rotation[0], torch.tensor([-0.3, -0.2, -0.1]))


def test_eyes_turn_in_the_csv_as_in_the_apps_recordings(tmp_path):
    """There, a look to the person's left (and up) is yaw (and pitch) below 0, and roll is their product."""
    rows = torch.zeros(1, 64)
    for name in ("eyeLookOutLeft", "eyeLookInRight", "eyeLookUpLeft", "eyeLookUpRight"):
        rows[:, BLENDSHAPE_INDEX[name]] = 0.3
    (row,) = table(export_blendshapes(tmp_path / "face.csv", Expression(rows, MINI)))
    for side in ("Left", "Right"):
        yaw, pitch, roll = (float(row[f"{side}Eye{angle}"]) for angle in ("Yaw", "Pitch", "Roll"))
        assert -0.2 < yaw < -0.08 and -0.2 < pitch < -0.04 and roll == pytest.approx(yaw * pitch, abs=1e-6)


def test_a_file_of_the_app_is_read_by_its_names_and_timecodes(tmp_path, caplog):
    """It counts 60 fps and has every other one; its head is switched off."""
    caplog.set_level(logging.INFO)
    file = tmp_path / "take.csv"
    names = HEADER.split(",")
    lines = [HEADER]
    for k in range(0, 150, 2):
        cells = dict.fromkeys(names, "0.0000000000") | {"BlendShapeCount": "61", "JawOpen": f"{k / 300:.10f}"}
        cells["Timecode"] = f"12:24:{24 + (k + 19) // 60}:{(k + 19) % 60:02d}.960"
        lines.append(",".join(cells.values()))
    file.write_text("\n".join(lines))
    read = import_blendshapes(file)
    jaw = read.expression.coefficients[:, BLENDSHAPE_INDEX["jawOpen"]]
    assert len(jaw) == 62 and read.pose is None
    torch.testing.assert_close(jaw, torch.arange(62) * 60 / 25 / 300, rtol=0, atol=1e-6)
    file.write_text("jawopen,MOUTHCLOSE\n0.5,0.25\n0.6,0.25\n")
    read = import_blendshapes(file, fps=25)
    assert read.expression.coefficients[1, BLENDSHAPE_INDEX["jawOpen"]] == pytest.approx(0.6)
    assert "lacks" in caplog.text


@pytest.mark.parametrize("fps", [12, 24, 25, 29.97, 60, 120])
def test_other_rates_are_found_again(tmp_path, fps):
    ramp = torch.zeros(100, 64)
    ramp[:, 0] = torch.arange(100) / 100
    file = export_blendshapes(tmp_path / "a.csv", Expression(ramp, MINI), fps=fps)
    back = import_blendshapes(file).expression.coefficients
    assert abs(len(back) - 100) <= 2
    torch.testing.assert_close(back[:95, 0], ramp[:95, 0], rtol=0, atol=2e-3)


def test_timecodes_count_hours_minutes_seconds_and_frames():
    assert timecode(25 * 3661 + 7, 25) == "01:01:01:07.000"
    assert timecode(30, 29.97) == "00:00:01:00.030"


def test_the_json_for_gltf_has_quaternions_in_its_axes(tmp_path, tracks):
    file = export_blendshapes(tmp_path / "face.json", *tracks, form=JSON_ARKIT)
    content = json.loads(file.read_text())
    assert content["morph_targets"] == list(APPLE_ORDER) and len(content["frames"]) == T
    time, weights, angles, (x, y, z, w) = content["frames"][5]
    assert time == 0.2 and len(weights) == 52
    flip = torch.tensor([1.0, -1.0, -1.0])
    gaze = (flip[:, None] * rotation_of_angles(torch.tensor(angles)) * flip)[:, 2]
    turned = torch.tensor([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
    torch.testing.assert_close(turned, gaze, rtol=0, atol=1e-5)


def test_vrms_mouths_are_those_that_speech_is_made_of(tmp_path):
    vowels = ["\u0251", "\u026a", "u", "i", "o"]
    phones = [Phone(k * 0.4, (k + 1) * 0.4, vowel) for k, vowel in enumerate(vowels)]
    rows = torch.zeros(50, 64)
    rows[:, :52] = torch.from_numpy(blendshape_track(phones, 50, led=False))
    rows[:, BLENDSHAPE_INDEX["eyeBlinkLeft"]] = 0.5
    content = json.loads(export_blendshapes(tmp_path / "a.json", Expression(rows, MINI), form=JSON_VRM).read_text())
    assert content["morph_targets"][:6] == ["aa", "ih", "ou", "ee", "oh", "blinkLeft"]
    for k in range(5):
        weights = content["frames"][10 * k + 5][1]
        assert weights[k] == max(weights[:5]) > 0.7 and weights[5] == 0.5
    with pytest.raises(OptionError, match=r"a\.json: it has VRM 1\.0 names"):
        import_blendshapes(tmp_path / "a.json")


def test_azures_frames_come_in_pieces_at_60_a_second(tmp_path):
    frames = [[0.0] * 55 for _ in range(120)]
    for k, row in enumerate(frames):
        row[APPLE_ORDER.index("jawOpen")] = k / 240
    chunks = [{"FrameIndex": k, "BlendShapes": frames[k : k + 60]} for k in (60, 0)]
    plain, inside = tmp_path / "a.jsonl", tmp_path / "b.json"
    plain.write_text("\n".join(json.dumps(chunk) for chunk in chunks))
    inside.write_text(json.dumps([{"visemeId": 0, "audioOffset": 0, "animation": json.dumps(c)} for c in chunks]))
    for file in (plain, inside):
        jaw = import_blendshapes(file).expression.coefficients[:, BLENDSHAPE_INDEX["jawOpen"]]
        torch.testing.assert_close(jaw, torch.arange(50) * 2.4 / 240, rtol=0, atol=1e-5)


def test_sounds_move_the_mouth_alone_from_where_the_portrait_rests(tmp_path, make_mini_face, make_speech):
    file = tmp_path / "a.tsv"
    file.write_text("0.0\tX\n0.2\tA\n0.4\tD\n0.8\tX\n")
    face, base = make_mini_face(), Expression(torch.full((10, 64), 0.3), MINI)
    read = import_blendshapes(file, speech=make_speech(40), base=base, source=face)
    rows, others = read.expression.coefficients, [k for k in range(64) if k not in SPEECH_BLENDSHAPES]
    assert len(rows) == 40 and read.pose is None and (rows[:, others] == 0.3).all()
    smile, jaw = BLENDSHAPE_INDEX["mouthSmileLeft"], BLENDSHAPE_INDEX["jawOpen"]
    assert rows[35, smile] == pytest.approx(0.6 * float(face.expression[0, smile]), abs=1e-5), "as ExpNet is taught"
    assert rows[14, jaw] > 0.4 and abs(rows[35, jaw]) < 0.01


def test_with_a_portrait_the_head_begins_where_it_holds_it(tmp_path, tracks, make_mini_face):
    file = export_blendshapes(tmp_path / "a.csv", *tracks)
    face, (_, pose) = make_mini_face(), tracks
    moved = import_blendshapes(file, source=face).pose
    torch.testing.assert_close(moved.coefficients[0], face.pose[0])
    torch.testing.assert_close(moved.rotation[9] - moved.rotation[0], pose.rotation[9] - pose.rotation[0])


def test_released_tracks_are_refused_both_ways(tmp_path, tracks, make_face):
    released = Expression(tracks[0].coefficients, RELEASED)
    with pytest.raises(WrongFamily, match="cannot be exported as blendshapes"):
        export_blendshapes(tmp_path / "a.csv", released)
    file = export_blendshapes(tmp_path / "a.csv", *tracks)
    for wrong in ({"base": released}, {"source": make_face()}):
        with pytest.raises(WrongFamily, match="cannot be imported as blendshapes"):
            import_blendshapes(file, **wrong)


BAD = {
    "a.csv": ("a,b\n1,2\n", "names no ARKit blendshape"),
    "b.csv": ("JawOpen\n0.1\nx\n", "line 3: expected 1 numbers"),
    "c.csv": ("JawOpen\n", "no frames"),
    "d.csv": ("JawOpen\n50\n", "divide percentages by 100"),
    "e.csv": ("JawOpen\nnan\n", "frame 0"),
    "f.csv": ("JawOpen,HeadYaw,HeadPitch,HeadRoll\n0,0,30,0\n", "in radians, at most 6.28, got 30; divide degrees"),
    "a.json": ('{"a": 1', "line 1: it cannot be read as JSON"),
    "b.json": ("[]", "that are known"),
    "c.json": ('{"sadtalker_blendshapes": 2}', "version 2, expected 1"),
    "d.json": ('{"sadtalker_blendshapes": 1, "names": "ARKit", "frames": [[0]]}', "modified export"),
    "e.json": ('{"FrameIndex": 0, "BlendShapes": [[1, 2]]}', "expected 55 blendshapes, got 2"),
    "f.json": ("[" * 100_000, "cannot be read as JSON"),
    "b.txt": ("0 1e308 m\n1 1e309 a\n", "it lasts"),
    "c.txt": ('"ooTextFile" "TextGrid" "IntervalTier" "phones" 0 1 1e999', "truncated"),
    "g.json": ('{"FrameIndex": 0, "BlendShapes": [[1' + "0" * 400 + ", 0" * 54 + "]]}", "no weights"),
    "h.json": ('{"tiers": {"phones": [], "words": null}}', "that are known"),
    "a.txt": ("hello world and all\n", "line 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_none_are_refused_by_their_names(tmp_path, name):
    text, words = BAD[name]
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(OptionError, match=f"^{name}: ") as refused:
        import_blendshapes(file)
    assert words in str(refused.value)


@pytest.mark.parametrize("form", EXPORT_FORMS)
def test_who_stops_leaves_no_file(tmp_path, tracks, form):
    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        export_blendshapes(tmp_path / "a.out", *tracks, form=form, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_tracks_of_two_lengths_and_odd_rates_are_refused(tmp_path, tracks):
    short = HeadPose(tracks[1].coefficients[:5], MINI)
    with pytest.raises(OptionError, match="expected a pose of 60 frames"):
        export_blendshapes(tmp_path / "a.csv", tracks[0], short)
    with pytest.raises(OptionError, match="fps: expected a number from 1 to 240, got 0"):
        export_blendshapes(tmp_path / "a.csv", tracks[0], fps=0)


def test_arguments_of_another_kind_are_refused_by_their_names(tmp_path, tracks):
    file, expression = tmp_path / "a.csv", tracks[0]
    for wrong in ({"fps": "x"}, {"fps": None}, {"fps": [25]}, {"pose": "x"}, {"form": 5}):
        with pytest.raises(OptionError, match=f"^{'format' if 'form' in wrong else next(iter(wrong))}: expected"):
            export_blendshapes(file, expression, **wrong)
    for place, track in ((None, expression), (5, expression), (file, "x"), (file, expression.coefficients)):
        with pytest.raises(OptionError, match="^(path|expression): expected"):
            export_blendshapes(place, track)
    export_blendshapes(file, expression)
    for wrong in ({"fps": "x"}, {"speech": "x"}, {"base": "x"}, {"source": expression}):
        with pytest.raises(OptionError, match=f"^{next(iter(wrong))}: expected"):
            import_blendshapes(file, **wrong)
    with pytest.raises(OptionError, match="^path: expected"):
        import_blendshapes(None)


def test_places_that_cannot_be_written_to_and_empty_tracks_are_refused(tmp_path, tracks):
    for place in (tmp_path, tmp_path / "none" / "a.csv", tmp_path / "a\0.csv"):
        with pytest.raises(OptionError, match="cannot be written .*choose another path"):
            export_blendshapes(place, tracks[0])
    with pytest.raises(OptionError, match="at least one frame"):
        export_blendshapes(tmp_path / "a.csv", Expression(torch.zeros(0, 64), MINI))
    assert not list(tmp_path.iterdir())
    with pytest.raises(OptionError, match="cannot be read"):
        import_blendshapes(tmp_path / "a\0.csv")


def test_a_timecode_that_is_no_time_is_none(tmp_path):
    (tmp_path / "a.csv").write_text(f"Timecode,JawOpen\n1{'0' * 400}:00:00:00.000,0.5\n")
    assert import_blendshapes(tmp_path / "a.csv").expression.coefficients[0, BLENDSHAPE_INDEX["jawOpen"]] == 0.5
