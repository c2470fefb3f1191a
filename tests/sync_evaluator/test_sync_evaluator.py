"""The network and its MFCC against published numbers; shifts, crops and shapes against what must come out.

The weights are not part of the project. Where they are not found, the tests that need them claim that the row is left
out with its sentence.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sadtalker_core.motion.visemes import Phone
from tests.tools.mini_evaluator.rows import Take
from tests.tools.sync_evaluator import evaluator, mini
from tests.tools.sync_evaluator.__main__ import as_table, main
from tests.tools.sync_evaluator.earlier import earlier_videos
from tests.tools.sync_evaluator.evaluator import (
    SyncScores,
    best_shift,
    crop_squares,
    find_weights,
    margin,
    mfcc_of_frames,
    missing_sentence,
    mouth_crops,
    score_at,
)
from tests.tools.sync_evaluator.mfcc import mfcc
from tests.tools.sync_evaluator.network import LRASD, in_pieces, load_network, stored_name
from tests.tools.sync_evaluator.shapes import Shapes, beyond, loudness, shapes
from tests.tools.sync_evaluator.videos import read_video

#: frames (37 t + 3 x + 5 y) mod 256 and MFCC 10 sin(.1 n (k + 1)) through the authors' code with their AVA weights
LOGITS = (
    -3.266, -3.208, -3.237, -3.227, -3.012, -3.046, -3.226, -3.372, -3.494, -3.566, -3.636, -3.720, -3.717, -3.672,
    -3.581, -3.505, -3.385, -3.066, -2.928, -2.873, -2.892, -2.992, -2.938, -2.713, -2.322,
)  # fmt: skip
#: row 50 of a chirp through python_speech_features 0.6
CEPSTRA = (19.709, 20.997, -2.229, -22.252, -30.899, -24.391, -5.694, 12.746, 22.042, 17.373, 4.161, -10.113, -17.061)


@pytest.fixture
def weights(capsys):
    """The file, or the claim that everything says why there are no rows."""
    found = find_weights()
    if found is None:
        assert mini.sync_rows({"one": None}) == []
        assert capsys.readouterr().err.strip() == missing_sentence()
    return found


# ------------------------------------------------------------------------------------------------------------ network


def test_mfcc_are_those_of_python_speech_features():
    seconds = np.arange(16000) / 16000
    found = mfcc((8000 * np.sin(2 * np.pi * (200 * seconds + 400 * seconds**2))).astype(np.int16))
    assert found.shape == (99, 13)
    np.testing.assert_allclose(found[50], CEPSTRA, atol=1e-3)


def test_logits_are_those_of_the_authors_code(weights):
    if weights is None:
        return
    t, y, x = np.ogrid[:25, :112, :112]
    n, k = np.ogrid[:100, :13]
    crops = torch.from_numpy(((37 * t + 3 * x + 5 * y) % 256).astype(np.float32))[None, None]
    steps = torch.from_numpy(10 * np.sin(0.1 * n * (k + 1))).float().T[None, None]
    np.testing.assert_allclose(load_network(weights)(crops, steps)[0], LOGITS, atol=1e-3)


def test_weights_with_a_key_too_few_are_refused(tmp_path):
    from safetensors.torch import save_file

    stored = {stored_name(k): v for k, v in LRASD().state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(stored, tmp_path / "whole.safetensors")
    load_network(tmp_path / "whole.safetensors")
    del stored["lossAV.FC.bias"]
    save_file(stored, tmp_path / "short.safetensors")
    with pytest.raises(ValueError, match=r"missing keys \['lossAV.FC.bias'\]"):
        load_network(tmp_path / "short.safetensors")


def test_pieces_are_encoded_as_the_whole_video_is():
    net, seeded = LRASD().eval(), torch.Generator().manual_seed(0)
    crops, steps = torch.rand(1, 1, 24, 8, 8, generator=seeded), torch.randn(1, 1, 13, 96, generator=seeded)
    with torch.no_grad():
        for encode, whole, per_frame in ((net.encode_video, crops, 1), (net.encode_audio, steps, 4)):
            torch.testing.assert_close(in_pieces(encode, whole, per_frame, piece=7), encode(whole))


def test_four_cepstra_a_frame_also_where_the_sound_ends_early():
    assert mfcc_of_frames(np.zeros(100), 30).shape == (120, 13)
    assert mfcc_of_frames(np.zeros(90000), 30).shape == (120, 13)


# ------------------------------------------------------------------------------------------------------------- shifts


def test_lips_that_come_three_frames_late_are_best_at_shift_3():
    embeddings = torch.randn(1, 120, 128, generator=torch.Generator().manual_seed(0))
    late = torch.cat([torch.zeros(1, 3, 128), embeddings[:, :-3]], 1)
    net = SimpleNamespace(compare=lambda video, audio: (video * audio).mean(-1))
    curve = {shift: score_at(net, late, embeddings, shift) for shift in range(-25, 26)}
    assert best_shift(curve) == 3
    assert margin(curve) > 0.8


def test_the_margin_counts_only_what_is_near():
    curve = dict.fromkeys(range(-25, 26), -1.0) | {4: 1.0, -2: 5.0, 10: 3.0}
    assert margin(curve) == pytest.approx(2.0 - 4 / 32)
    assert best_shift(curve) == -2


# -------------------------------------------------------------------------------------------------------------- crops


def mesh_at(x: float, y: float, half: float) -> torch.Tensor:
    points = torch.zeros(468, 3)
    points[0], points[1] = torch.tensor([x - half / 2, y - half, 0]), torch.tensor([x + half / 2, y + half, 0])
    points[2:] = torch.tensor([x, y, 0])
    return points


def test_the_crop_reaches_from_above_the_centre_to_below_the_chin():
    left, top, side = crop_squares(mesh_at(200, 100, 50)[None])[0]
    assert (left, top, side) == pytest.approx((200 - 35, 100 - 15, 70))


def test_crops_move_smoothly():
    squares = crop_squares(torch.stack([mesh_at(200 + (t == 20), 100, 50) for t in range(40)]))
    assert squares[:, 0].max() - squares[:, 0].min() == pytest.approx(1 / 13)


def test_a_face_at_the_border_is_continued():
    frame = np.full((60, 80, 3), 90, np.uint8)
    crops = mouth_crops([frame], mesh_at(2, 55, 40)[None])
    assert crops.shape == (1, 112, 112)
    assert (crops == 90).all()


# ------------------------------------------------------------------------------------------------------------- shapes

PHONES = tuple(
    Phone(0.2 * k, 0.2 * k + 0.2, ipa) for k, ipa in enumerate(["m", "a", "w", "i", "b", "u", "s", "a", "p", "i"] * 2)
)
VOICE = np.random.default_rng(0).normal(0, 0.1, 64000) * np.repeat(np.random.default_rng(1).uniform(0.05, 1, 100), 640)


def moved(blendshapes: np.ndarray) -> torch.Tensor:
    from sadtalker_core.canonical_face import load_canonical_face

    face = load_canonical_face()
    return face.mean + face.displacements(torch.from_numpy(blendshapes.astype(np.float32)))


def test_a_jaw_that_is_loudness_alone_makes_no_shapes():
    from sadtalker_core.coefficients import BLENDSHAPE_INDEX
    from sadtalker_core.motion.visemes import blendshape_track

    spoken = shapes(moved(blendshape_track(PHONES, 100, VOICE)), PHONES, VOICE)
    loud = np.zeros((100, 52))
    loud[:, BLENDSHAPE_INDEX["jawOpen"]] = 0.5 * loudness(VOICE, 100)
    fooled = shapes(moved(loud), PHONES, VOICE)
    assert spoken.opening > 0.9 and spoken.width > 0.9
    assert abs(fooled.mean) < 0.3


def test_what_loudness_explains_does_not_count():
    seeded = np.random.default_rng(2)
    known, own = seeded.random(200), seeded.random(200)
    assert beyond(known, known + own, known) == 0
    assert abs(beyond(known + 0.1 * seeded.random(200), known + own, known)) < 0.2
    assert beyond(known + own, own, known) == pytest.approx(1)


def test_loudness_goes_from_silence_to_the_loud_frames():
    wave = np.concatenate([np.zeros(6400), np.random.default_rng(0).normal(0, 0.2, 6400)])
    track = loudness(wave, 20)
    assert track[:10].max() == 0
    assert track[10:].min() > 0.9


# --------------------------------------------------------------------------------------------------- rows and tables


def take(n_frames: int = 50):
    from tests.face.images import astronaut, resized

    image = (resized(astronaut(), 256, 256) * 255).byte().numpy()
    wave = np.random.default_rng(0).normal(0, 0.1, n_frames * 640)
    voice = SimpleNamespace(utterance=SimpleNamespace(wave=wave))
    return Take({"spoken": np.repeat(image[None], n_frames, 0)}, voice)


def test_a_still_face_and_noise_are_rejected_and_a_short_video_is_named(weights, capsys):
    if weights is None:
        return
    rows = {row.what: row for row in mini.sync_rows({"still": take(), "short": take(20)})}
    assert set(rows) == {mini.LEVEL, mini.MARGIN, mini.SHIFT}
    assert list(rows[mini.LEVEL].values) == ["still"]
    assert rows[mini.LEVEL].values["still"] < -2
    assert rows[mini.LEVEL].note == "controls hold"
    assert capsys.readouterr().err == "short: no sync: expected at least 50 frames with sound, got 20\n"


def test_without_weights_the_row_is_left_out_with_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(evaluator.JUDGE, str(tmp_path))
    assert mini.sync_rows({"one": take(1)}) == []
    assert f"no sync rows: lr_asd_ava.safetensors is not in {tmp_path}" in capsys.readouterr().err
    assert main(["video.mp4"]) == 0
    assert capsys.readouterr().out.startswith("no sync rows")
    monkeypatch.delenv(evaluator.JUDGE)
    assert evaluator.find_weights() is None
    assert evaluator.missing_sentence().startswith("no sync rows: no folder with lr_asd_ava.safetensors is named")


def test_a_video_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(OSError, match="video.mp4 does not exist"):
        read_video(tmp_path / "video.mp4")


def test_a_table_reports_when_controls_fail():
    good, bad = SyncScores(1.0, 1, 0.5, 2.0, -3.0, -2.5), SyncScores(1.0, -1, 0.5, float("nan"), -3.0, -1.0)
    lines = as_table({"good.mp4": good, "bad.mp4": bad}).splitlines()
    assert lines[2] == "| good.mp4 | 1.00 | +1 | 0.50 | 2.00 | -3.00 | -2.50 | hold |"
    assert lines[3].endswith("| FAIL |")


def cell(portrait: str, level: float, margin: float, earlier: float | None = None) -> mini.Cell:
    other = SyncScores(0.0, 0, 0.5, 1.0, -3.0, -3.0), Shapes(0.0, 0.0)
    then = (SyncScores(earlier, 0, 0.5, 1.0, -3.0, -3.0), Shapes(0.4, 0.2)) if earlier is not None else None
    return mini.Cell(portrait, "a", SyncScores(level, 1, margin, 1.0, -3.0, -3.0), Shapes(0.6, 0.4), *other, then)


def test_an_earlier_model_stands_below_and_its_distance_counts():
    cells = [cell("one", 2.0, 1.5, earlier=1.0), cell("two", 1.0, 0.3, earlier=1.2)]
    lines = mini.as_table(cells).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| one", "| two", "| all", "| jaw = loudness", "| earlier: one", "| earlier: two", "| earlier: all",
    ]  # fmt: skip
    assert lines[-1] == "| earlier: all | 1.10 | 0.00 | 0.50 | 1.00 | -3.00 | -3.00 | 0.40 | 0.20 |"
    level, margin, *_ = mini.verdicts(cells)
    assert level == "level: +0.40 to the earlier model's, target +0.50: MISSED"
    assert margin.startswith("margin: 0.90, target 0.95: MISSED; the lowest of a portrait 0.30, target 0.50: MISSED")


def test_without_an_earlier_model_margins_count_alone():
    cells = [cell("one", 2.0, 1.5), cell("two", 1.0, 0.7)]
    assert "earlier" not in mini.as_table(cells)
    assert mini.verdicts(cells)[0].endswith("met; the lowest of a portrait 0.70, target 0.50: met")


def test_a_folder_that_is_no_checkout_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"(?s){tmp_path}: no videos: .*No module named 'sadtalker_core'"):
        earlier_videos(tmp_path, np.zeros((8, 8, 3), np.uint8), [np.zeros(16000)])
