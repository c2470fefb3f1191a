"""From videos to rows: made-up videos and a judge that reads what it is told; portraits, packages and mouths by
rule.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from sadtalker_core.canonical_face import load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.motion.visemes import Phone
from sadtalker_core.training.voices.synthesis import Utterance
from tests.render.heads import SIDE, head_points
from tests.tools.mini_evaluator import eyes, heads, measures, mouths, portraits, reading, rows, sources, table
from tests.tools.mini_evaluator.evaluators import EVALUATORS, Reading
from tests.tools.mini_evaluator.trial import FULL, QUICK, TARGETS, Target
from tests.tools.mini_evaluator.voices import Spoken

N_FRAMES = 50
NAMES = ("neutral", "blink", "yaw -12", "yaw +0", "yaw +12", "pitch -12", "pitch +0", "pitch +12")


class Commanded:
    """Judges that read what a good (or bad) model's frames would show."""

    def __init__(self, gap: np.ndarray, shut: float = 0.1, turned: float = 12.0):
        n = len(NAMES)
        eyes, yaw, pitch = np.full(n, 0.3), np.full(n, 4.0), np.full(n, -2.0)
        eyes[1] = shut
        yaw[[2, 4]] += (-turned, turned)
        pitch[[5, 7]] += (-turned, turned)
        self.spoken = Reading(gap, *np.zeros((3, len(gap))), 0.6 + 0.2 * gap)
        self.commanded = Reading(np.zeros(n), eyes, pitch, yaw, np.full(n, 0.6))

    def read(self, frames, landmarks):
        return dict.fromkeys(EVALUATORS, self.spoken if len(frames) == N_FRAMES else self.commanded)


@pytest.fixture
def take() -> rows.Take:
    offsets = np.zeros((N_FRAMES, 64), np.float32)
    offsets[:, BLENDSHAPE_INDEX["jawOpen"]] = 0.3 + 0.3 * np.sin(np.arange(N_FRAMES))
    offsets[10:12, BLENDSHAPE_INDEX["jawOpen"]] = 0
    draw = np.random.default_rng(0)
    image = draw.integers(0, 150, (64, 64, 3), dtype=np.uint8)
    arrays = {
        "source": image, "landmarks": head_points()[:, :2].numpy() * 64 / SIDE, "offsets": offsets,
        "moved": np.stack([head_points()[:, :2].numpy() * 64 / SIDE] * N_FRAMES), "between": np.stack([image] * 4),
        "pasted": image[None], "whole": image, "spoken": np.stack([image] * N_FRAMES), "still": np.stack([image] * 3),
        "names": np.array(NAMES), "commanded": np.stack([image] * len(NAMES)),
        "mesh": head_points().numpy(), "side": np.array(SIDE), "own": np.zeros((1, 64), np.float32),
    }  # fmt: skip
    phones = (Phone(0.0, 0.4, "a"), Phone(0.4, 0.48, "m"), Phone(0.48, 2.0, "a"))
    return rows.Take(arrays, Spoken("made up", Utterance(np.zeros(32000, np.float32), phones)))


def gap_of(take: rows.Take) -> np.ndarray:
    """What the coefficients ask for, 0 when the lips are closed."""
    asked = measures.commanded_gap(take.video["offsets"])
    return asked - asked.min()


def found(take: rows.Take, evaluators: Commanded) -> dict[tuple[str, str], table.Row]:
    return {(row.what, row.evaluator): row for row in rows.of_portraits({"one": take}, evaluators)}


def test_a_model_that_follows_its_input_meets_every_bar_of_a_portrait(take):
    result = found(take, Commanded(gap_of(take)))
    barred = {what: row for (what, _), row in result.items() if row.target}
    assert len(barred) == 16
    assert {what: row.verdict() for what, row in barred.items()} == dict.fromkeys(barred, "met")


#: what cannot be but missed together
ALONG = {
    "lips follow the coefficients, r": {"lips closed on p, b, m, share of frames"},
    "yaw, off by degrees": {"pitch, off by degrees"},
}


@pytest.mark.parametrize(("what", "evaluators"), [
    ("lips follow the coefficients, r", lambda asked: Commanded(np.roll(asked, 3))),
    ("opening, spread by spread of the target", lambda asked: Commanded(0.5 * asked)),
    ("lips closed on p, b, m, share of frames", lambda asked: Commanded(asked + 0.05)),
    ("blink, eye aspect ratio falls by", lambda asked: Commanded(asked, shut=0.2)),
    ("yaw, off by degrees", lambda asked: Commanded(asked, turned=8.0)),
])  # fmt: skip
def test_a_model_with_one_fault_misses_that_bar_and_no_other(take, what, evaluators):
    result = found(take, evaluators(gap_of(take)))
    missed = {name for (name, _), row in result.items() if row.verdict().startswith("missed")}
    assert missed == {what} | ALONG.get(what, set())


def test_a_frame_that_is_not_the_portrait_is_noticed(take):
    take.video["commanded"][0, 28:36, 28:36] += 40
    take.video["commanded"][0, :4, :4] += 60
    take.video["still"][1, :16, :16] += 60
    result = found(take, Commanded(gap_of(take)))
    assert result["neutral and still, face box, dB", "pixels"].verdict().startswith("missed")
    assert result["neutral and still, away from the head, dB", "pixels"].verdict().startswith("missed")
    assert result["idle and still, away from the face, dB", "pixels"].values["one"] < 45
    assert result["neutral and still, flicker, of 255", "pixels"].verdict().startswith("missed")


def test_the_frames_of_a_closure_are_those_whose_middle_lies_in_it():
    spoken = Spoken("x", Utterance(np.zeros(16000, np.float32), (Phone(0.10, 0.20, "b"), Phone(0.305, 0.315, "p"))))
    assert [frames.tolist() for frames in spoken.closures(25)] == [[2, 3, 4], [7]]


# ---- the table -------------------------------------------------------------------------------------------------------


def test_the_worst_of_a_row_is_the_one_furthest_on_the_wrong_side():
    row = table.Row("opening, spread by spread of the target", "mesh", {"a": 0.9, "b": 1.5, "c": 0.7})
    assert row.worst() == ("b", 1.5)
    assert row.verdict() == "missed (2 of 3)"


def test_what_was_not_measured_is_not_met():
    assert table.Row("yaw, off by degrees", "mesh", {"a": float("nan")}).verdict() == "not measured"


def test_the_written_table_has_a_line_for_each_row_and_names_the_bar():
    text = table.as_text([table.Row(what, "mesh", {"a": 1.0}) for what in TARGETS])
    assert len(text.splitlines()) == len(TARGETS) + 2
    assert "0.8 .. 1.2" in text and "<= 0.45" in text


def test_a_bar_with_two_sides_holds_on_both():
    bar = Target(at_least=-1, at_most=1)
    assert bar.met(0) and not bar.met(-2) and not bar.met(2)


# ---- what is tried ---------------------------------------------------------------------------------------------------


def test_the_full_trial_shows_twelve_portraits_or_more_and_redraws_only_what_it_has():
    names = [p.name for p in (*FULL.photographs, *FULL.heads, *FULL.stylised)]
    assert len(names) >= 12 and len(set(names)) == len(names)
    assert all(one.of in names and one.style in portraits.STYLES for one in FULL.stylised)
    assert set(FULL.spoken) <= set(FULL.readings) and set(QUICK.spoken) <= set(QUICK.readings)


@pytest.mark.parametrize("style", portraits.STYLES)
def test_a_filter_keeps_the_size_and_changes_the_image(style):
    image = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    redrawn = portraits.STYLES[style](image)
    assert redrawn.shape == image.shape and redrawn.dtype == np.uint8
    assert np.abs(redrawn.astype(int) - image).mean() > 5


def mouth(rendered: np.ndarray | None = None, gap: float = 8.0) -> mouths.RenderedMouth:
    """Four parts teeth, two tongue, four dark; rendered as they are where nothing else is told."""
    draw, teeth = np.random.default_rng(0), np.arange(100) < 40
    truth = np.full((100, 3), 0.05)
    truth[40:60], truth[teeth] = (0.5, 0.2, 0.2), 0.9
    truth = truth + draw.normal(0, 0.01, (100, 3))
    return mouths.RenderedMouth(truth if rendered is None else rendered, truth, teeth, gap)


def test_a_mouth_painted_right_scores_as_the_truth_and_a_grey_one_does_not():
    grey = mouth(np.full((100, 3), 0.5))
    assert heads._mouth_colour([mouth()]) == 0 and heads._mouth_colour([grey]) > 0.8
    right, wrong = (mouths.shares([one]) for one in (mouth(), grey))
    assert right == {("teeth", "open"): (0.4, 0.4), ("red", "open"): (0.2, 0.2), ("dark", "open"): (0.4, 0.4)}
    assert wrong["teeth", "open"] == (1.0, 0.4) and wrong["dark", "open"] == (0.0, 0.4)


def test_mouths_are_distinguished_by_how_far_they_are_open():
    assert {opening for _, opening in mouths.shares([mouth(gap=3.0), mouth(gap=20.0)])} == {"hardly open", "wide open"}


def test_teeth_that_hang_where_dentures_did_miss_their_row(monkeypatch):
    points = head_points()
    assert verdicts_of_edges(points) == ("met", "met")
    low = replace(load_canonical_face(), teeth=load_canonical_face().teeth - torch.tensor([0.0, 0.05, 0.0]))
    monkeypatch.setattr("sadtalker_core.render.meshwarp.placement.load_canonical_face", lambda: low)
    assert verdicts_of_edges(points) == ("missed (1 of 1)", "missed (1 of 1)")


def verdicts_of_edges(points: torch.Tensor) -> tuple[str, str]:
    upper, lower = mouths.tooth_edges(points, SIDE, torch.zeros(52))
    return (
        table.Row("upper tooth edge below the lip at rest, mm", "anchors", {"one": upper}).verdict(),
        table.Row("lower tooth edge above the lip at jaw .3, mm", "anchors", {"one": lower}).verdict(),
    )


# ---- packages --------------------------------------------------------------------------------------------------------


def packed(folder, **members: bytes) -> sources.Archive:
    file = folder / "thing-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"thing-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sources.Archive("thing", file.name, hashlib.sha256(file.read_bytes()).hexdigest(), ("thing-1.0/wanted",))


def test_only_what_is_wanted_leaves_the_archive(tmp_path):
    place = sources._unpacked(packed(tmp_path, wanted=b"yes", other=b"no"), tmp_path)
    assert [file.name for file in place.rglob("*") if file.is_file()] == ["wanted"]


def test_another_archive_than_the_one_of_the_trial_is_refused(tmp_path):
    archive = packed(tmp_path, wanted=b"yes")
    (tmp_path / archive.file).write_bytes(b"something else")
    with pytest.raises(sources.Unavailable, match="SHA-256"):
        sources._unpacked(archive, tmp_path)


def test_readings_are_compared_frame_by_frame_at_the_rate_of_the_video(take):
    assert take.voice.units(N_FRAMES).shape == (N_FRAMES, 52)
    assert torch.from_numpy(take.voice.units(N_FRAMES)).isfinite().all()


# ---- eyes ------------------------------------------------------------------------------------------------------------


def test_brow_heights_are_those_of_the_face_however_it_is_held():
    """browInnerUp lifts what is looked at by .029 of .62 decimetres between the eyes."""
    canonical = load_canonical_face()
    lifted = canonical.mean + canonical.blendshapes[BLENDSHAPE_INDEX["browInnerUp"]]
    meshes = torch.stack([canonical.mean, lifted]) * torch.tensor([80.0, -80.0, -80.0])
    heights = eyes.brow_heights(meshes)
    assert heights[1] - heights[0] == pytest.approx(0.029 / 0.62, rel=0.15)
    turned = torch.stack([meshes[..., 1], -meshes[..., 0], meshes[..., 2]], dim=-1)
    torch.testing.assert_close(eyes.brow_heights(turned), heights)


def test_a_gaze_that_does_not_move_is_off_by_what_was_commanded(monkeypatch):
    arrays = {"names": np.array(["neutral", "look -12", "look +12"]), "landmarks": np.zeros((468, 2)),
            "commanded": np.zeros((3, 8, 8, 3), np.uint8)}  # fmt: skip
    monkeypatch.setattr(eyes, "find_irises", lambda image, points: torch.zeros(2, 3))
    monkeypatch.setattr(eyes, "gaze_across", lambda irises, points: 0.1)
    assert eyes.gaze_off(arrays) == pytest.approx(12)
    monkeypatch.setattr(eyes, "find_irises", lambda image, points: None)
    assert np.isnan(eyes.gaze_off(arrays))


def test_blinks_differ():
    found = eyes.blinks()
    assert found["a minute"] == pytest.approx(18, rel=0.2) and found["spread of these frames"] > 0.5


def test_each_person_is_measured_from_their_own_usual_face():
    person, where = np.array([0, 0, 0, 1, 1]), np.array([True, True, True, True, False])
    found = reading._apart(np.array([3.0, 5.0, 4.0, 9.0, 7.0]), person, where)
    assert found[:4].tolist() == [-1, 1, 0, 0] and np.isnan(found[4])
