"""A look of one's own on a track: what each control moves, what it leaves alone, and that p, b and m still close."""

from pathlib import Path

import pytest
import torch

from sadtalker_core import pipeline
from sadtalker_core.canonical_face import load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, RELEASED, CropMode, Expression, FaceCoefficients
from sadtalker_core.errors import OptionError, WrongFamily
from sadtalker_core.face.metrics import inner_lip_gap
from sadtalker_core.media import read_audio
from sadtalker_core.model import assemble_mini
from sadtalker_core.motion.set_expression import CONTROLS, PRESETS, Acting, read_acting, set_expression
from sadtalker_core.render.meshwarp.rig import FaceRig

VOICE = Path(__file__).resolve().parents[1] / "demo" / "hello.flac"
JAW, PRESS = BLENDSHAPE_INDEX["jawOpen"], BLENDSHAPE_INDEX["mouthPressLeft"]


def at_rest(n_frames=30):
    return Expression(torch.zeros(n_frames, 64), MINI)


def moved(command, expression=None):
    """name -> the largest weight that came to it"""
    before = expression or at_rest()
    change = set_expression(before, read_acting(command)).coefficients - before.coefficients
    return {name: float(change[:, k].max()) for name, k in BLENDSHAPE_INDEX.items() if change[:, k].abs().max() > 1e-6}


@pytest.mark.parametrize(("command", "units"), [
    ("smile=1", {"mouthSmileLeft", "mouthSmileRight", "cheekSquintLeft", "cheekSquintRight"}),
    ("brows=1", {"browInnerUp", "browOuterUpLeft", "browOuterUpRight"}),
    ("brows=-1", {"browDownLeft", "browDownRight"}),
    ("frown=1", {"mouthFrownLeft", "mouthFrownRight"}),
    ("squint=1", {"eyeSquintLeft", "eyeSquintRight"}),
    ("wide_eyes=1", {"eyeWideLeft", "eyeWideRight"}),
    ("gaze_x=1", {"eyeLookOutLeft", "eyeLookInRight"}),
    ("gaze_x=-1", {"eyeLookInLeft", "eyeLookOutRight"}),
    ("gaze_y=1", {"eyeLookUpLeft", "eyeLookUpRight"}),
    ("gaze_y=-1", {"eyeLookDownLeft", "eyeLookDownRight"}),
    ("wink_left=1", {"eyeBlinkLeft"}),
    ("wink_right=1", {"eyeBlinkRight"}),
    ("jaw=1", {"jawOpen"}),
    ("lip_corner_left=1", {"mouthSmileLeft"}),
    ("lip_corner_right=-1", {"mouthFrownRight"}),
    ("pucker=1", {"mouthPucker"}),
])  # fmt: skip
def test_a_control_moves_what_it_is_named_after(command, units):
    change = moved(command)
    assert units <= set(change) and min(change[unit] for unit in units) > 0.3
    half = moved(command.replace("1", "0.5"))
    for unit in units:
        assert half[unit] == pytest.approx(change[unit] / 2, rel=0.08)


def test_all_controls_are_tried_above():
    (mark,) = (m for m in test_a_control_moves_what_it_is_named_after.pytestmark if m.name == "parametrize")
    assert {command.partition("=")[0] for command, _ in mark.args[1]} == set(CONTROLS)


def test_no_options_change_nothing():
    track = at_rest()
    nothing = ("", "smile=0; brows=0:0,1:0", "preset=happy; strength=0")
    assert all(set_expression(track, read_acting(command)) is track for command in nothing)
    assert track.coefficients.abs().sum() == 0


def test_keyframes_come_in_their_seconds():
    change = set_expression(at_rest(60), read_acting("brows=0:0, 1:0.5, 2:0")).coefficients
    brow = change[:, BLENDSHAPE_INDEX["browInnerUp"]]
    assert brow[[0, 25, 50]].tolist() == pytest.approx([0.0, 0.5, 0.0], abs=1e-6) and brow.argmax() == 25


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "none"])
def test_a_preset_has_a_strength(preset):
    whole, half = (moved(f"preset={preset}; strength={strength}") for strength in (1, 0.5))
    assert set(half) == set(whole) and sum(half.values()) == pytest.approx(sum(whole.values()) / 2, rel=0.1)


def test_a_blink_is_not_lost_in_a_wink_and_no_weight_passes_full():
    track = at_rest()
    track.coefficients[10, BLENDSHAPE_INDEX["eyeBlinkLeft"]] = 1.2
    track.coefficients[:, BLENDSHAPE_INDEX["mouthSmileLeft"]] = 0.8
    after = set_expression(track, read_acting("wink_left=0.5; smile=1")).coefficients
    lid = after[:, BLENDSHAPE_INDEX["eyeBlinkLeft"]]
    assert lid[10] == pytest.approx(1.2) and lid[9] == pytest.approx(0.5)
    assert after[:, BLENDSHAPE_INDEX["mouthSmileLeft"]].max() <= 1


def test_a_gaze_is_added_to_where_the_eyes_look():
    track = set_expression(at_rest(), read_acting("gaze_x=0.5"))
    assert set_expression(track, read_acting("gaze_x=-0.5")).coefficients.abs().max() < 1e-6


def test_who_smiles_stops_when_a_frown_is_requested():
    track = at_rest()
    track.coefficients[:, [BLENDSHAPE_INDEX["mouthSmileLeft"], BLENDSHAPE_INDEX["mouthSmileRight"]]] = 0.6
    after = set_expression(track, read_acting("frown=1")).coefficients
    assert after[:, BLENDSHAPE_INDEX["mouthSmileLeft"]].max() < 1e-6


def test_a_seed_draws_the_same_and_a_longer_track_begins_alike():
    def drawn(seed, n_frames=200):
        command = Acting({}, wandering_gaze=1.0, micro_expressions=1.0, seed=seed)
        return set_expression(at_rest(n_frames), command).coefficients

    assert torch.equal(drawn(3), drawn(3)) and torch.equal(drawn(3), drawn(3, 300)[:200])
    assert not torch.equal(drawn(3), drawn(4))
    assert 0.05 < drawn(3)[:, ~_columns("eyeLook")].max() < 0.7


def test_it_does_not_matter_how_many_frames_are_worked_on_together(monkeypatch, generator):
    track = Expression(torch.rand(90, 64, generator=generator), MINI)
    command = read_acting("preset=sad; jaw=0:0,2:1; gaze_x=0.5; wandering_gaze=1; micro_expressions=1")
    whole = set_expression(track, command).coefficients
    monkeypatch.setattr("sadtalker_core.motion.set_expression._AT_ONCE", 7)
    reports = []
    parts = set_expression(track, command, on_progress=lambda *done: reports.append(done)).coefficients
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)
    assert reports[0] == (7, 90) and reports[-1] == (90, 90)


def _columns(start):
    chosen = torch.zeros(64, dtype=torch.bool)
    chosen[[k for name, k in BLENDSHAPE_INDEX.items() if name.startswith(start)]] = True
    return chosen


# ------------------------------------------------------------------------------------------------ around the voice


@pytest.fixture(scope="module")
def model():
    return assemble_mini()


@pytest.fixture(scope="module")
def spoken(model):
    source = FaceCoefficients.from_crop_rows(torch.zeros(1, 73), family=MINI, crop_mode=CropMode.CROP, pic_size=256)
    with torch.inference_mode():
        return pipeline.predict_expression(model, pipeline.encode_audio(*read_audio(VOICE)), source, blink="off")


def drawn_gap(expression):
    """(T,) how far the lips of the mean face are drawn apart, by the distance of its eyes."""
    mean = load_canonical_face().mean * torch.tensor([60.0, -60.0, -60.0]) + torch.tensor([80.0, 500.0, 0.0])
    rig = FaceRig.from_points(mean, torch.zeros(64))
    n_frames = len(expression)
    still = torch.eye(3).expand(n_frames, 3, 3), torch.zeros(n_frames, 2)
    places, _ = rig.driven(expression.coefficients.clamp(0, 1), *still)
    return inner_lip_gap(torch.nn.functional.pad(places[:, :468], (0, 1)))


@pytest.mark.parametrize("command", [
    *(f"{name}={end:g}" for name, control in CONTROLS.items() for end in {control.low, control.high} - {0}),
    *(f"preset={name}" for name in PRESETS if name != "none"),
    "micro_expressions=1",
])  # fmt: skip
def test_p_b_and_m_stay_closed_and_vowels_open(spoken, command):
    before = drawn_gap(spoken)
    after = drawn_gap(set_expression(spoken, read_acting(command)))
    rest = float(before[:3].mean())
    pressed = spoken.coefficients[:, PRESS] > 0.18
    assert pressed.sum() >= 5
    assert (after - before)[pressed].max() < 0.03 * (before.max() - rest), "closed as before, within 3 % of the range"
    wide = before > before.quantile(0.9)
    assert after[wide].mean() > 0.9 * before[wide].mean()


# ------------------------------------------------------------------------------------------------- released models


def test_a_released_track_can_shut_both_eyes_and_squint():
    closing = torch.randn(64, generator=torch.Generator().manual_seed(0))
    track = Expression(torch.zeros(3, 64), RELEASED)
    shut = set_expression(track, read_acting("wink_left=1; wink_right=1"), closing=closing).coefficients
    torch.testing.assert_close(shut, closing.expand(3, 64))
    squint = set_expression(track, read_acting("squint=1"), closing=closing).coefficients
    torch.testing.assert_close(squint, 0.4 * closing.expand(3, 64))


@pytest.mark.parametrize("command", ["smile=0.3", "wink_left=1", "wink_left=1; wink_right=0.5", "preset=sad",
                                  "wandering_gaze=1", "micro_expressions=0.1", "gaze_x=1; squint=1"])  # fmt: skip
def test_a_released_track_refuses_the_rest_by_name(command):
    with pytest.raises(OptionError, match=rf"{command.partition('=')[0]}.*: a released expression cannot do this"):
        set_expression(Expression(torch.zeros(3, 64), RELEASED), read_acting(command), closing=torch.ones(64))


def test_a_released_track_needs_the_model_for_its_lids(model):
    track = Expression(torch.zeros(3, 64), RELEASED)
    with pytest.raises(OptionError, match="squint: connect the model"):
        pipeline.set_expression(track, read_acting("squint=1"))
    with pytest.raises(WrongFamily):
        pipeline.set_expression(track, read_acting("squint=1"), model)


# --------------------------------------------------------------------------------------------------------- as text


def test_the_text_of_a_command_describes_all_of_it():
    command = read_acting("smile=0.3; brows=0:0,1:0.4; preset=happy; strength=0.5; wandering_gaze=1;", seed=7)
    assert command == Acting({"smile": "0.3", "brows": "0:0,1:0.4"}, "happy", "0.5", 1.0, 0.0, 7)
    assert read_acting("smile\uff1d0.3\uff1bjaw=1") == Acting({"smile": "0.3", "jaw": "1"})


@pytest.mark.parametrize(("text", "words"), [
    ("smile", "expected name=value, such as smile=0.3, got 'smile'"),
    ("smil=1", "there is no control 'smil'; known are smile, brows"),
    ("smile=1; smile=0", "smile is set twice"),
    ("smile=0:0, 1:2", r"smile, keyframe 2 of 2 \('1:2'\)"),
    ("preset=joy", "preset: expected one of none, happy"),
    ("micro_expressions=0:0,1:1", "micro_expressions: expected one number from 0 to 1"),
    ("preset=sad; strength=2", "strength: expected a number from 0 to 1"),
])  # fmt: skip
def test_a_wrong_text_is_reported_with_its_place(text, words):
    with pytest.raises(OptionError, match=words):
        read_acting(text)


@pytest.mark.parametrize("wrong", [{"controls": "x"}, {"wandering_gaze": "x"}, {"micro_expressions": None}])
def test_options_of_another_kind_are_refused_by_their_names(wrong):
    with pytest.raises(OptionError, match=f"^{next(iter(wrong))}: expected"):
        Acting(**wrong)
    with pytest.raises(OptionError, match="^expression: expected"):
        read_acting(None)


@pytest.mark.parametrize("arguments", [(None, Acting()), (Expression(torch.zeros(3, 64), MINI), {"smile": 1})])
def test_what_is_no_expression_or_no_acting_is_refused(arguments):
    with pytest.raises(OptionError, match="expected (Expression|Acting), got"):
        set_expression(*arguments)


def test_a_seed_that_is_no_whole_number_is_refused():
    with pytest.raises(OptionError, match="seed: expected int"):
        Acting(seed="7")
