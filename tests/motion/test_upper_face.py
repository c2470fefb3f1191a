"""What moves above the mouth: brows on stresses, blinks where phrases end, nothing where nothing was asked for."""

import pytest
import torch

from sadtalker_core.audio.speech import encode_speech, idle_speech
from sadtalker_core.canonical_face import gaze_weights, load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, Expression
from sadtalker_core.motion.blink import Blinks, chosen_blinks
from sadtalker_core.motion.upper_face import UpperFace, upper_face, with_upper_face

BROWS = [285, 295, 282, 334, 296, 336, 55, 65, 52, 105, 66, 107]  #: of the mesh, both sides
LOUD_EVERY, FRAMES_OF_A_PHRASE, FRAMES_OF_A_PAUSE = 20, 60, 15


def voice(seconds=24.0, loud_every=LOUD_EVERY):
    """Noise in syllables of 5 frames, every fourth of them loud, in phrases with pauses."""
    n_frames = round(seconds * 25)
    frame = torch.arange(n_frames)
    level = 0.02 + 0.04 * (frame % 5 < 3) + 0.3 * (frame % loud_every < 3)
    level = level * (frame % (FRAMES_OF_A_PHRASE + FRAMES_OF_A_PAUSE) < FRAMES_OF_A_PHRASE)
    noise = torch.randn(n_frames * 640, generator=torch.Generator().manual_seed(1)).clamp(-3, 3) / 3
    return encode_speech(noise * level.repeat_interleave(640), 16_000)


@pytest.fixture(scope="module")
def spoken():
    return voice()


def brow_height(face):
    """(T,) how far the brows have gone up, in distances of the eyes."""
    canonical = load_canonical_face()
    eyes = canonical.mean[[33, 133]].mean(0), canonical.mean[[362, 263]].mean(0)
    return canonical.displacements(face.weights)[:, BROWS, 1].mean(1) / (eyes[0] - eyes[1]).norm()


def test_brows_move_as_much_as_they_should(spoken):
    """The aim is .015 of the distance of the eyes (videos of real speakers .03); single seeds go from calm to
    lively.
    """
    spreads = torch.stack([brow_height(upper_face(spoken, Blinks(seed=seed))).std() for seed in range(20)])
    assert 0.012 < spreads.mean() < 0.02
    assert 0.005 < spreads.min() and spreads.max() < 0.035


def test_brows_rise_where_it_is_loud_and_not_between(spoken):
    """Mean height around the loud syllables, by where in their period of 20 frames it is: highest at or around them."""
    heights = torch.stack([brow_height(upper_face(spoken, Blinks("off", seed=s))) for s in range(40)]).mean(0)
    by_phase = heights[: len(heights) // LOUD_EVERY * LOUD_EVERY].view(-1, LOUD_EVERY).mean(0)
    assert int(by_phase.argmax()) in (18, 19, 0, 1, 2, 3, 4)
    assert by_phase.max() > 1.3 * by_phase.min()


def test_a_voice_without_stresses_has_no_accents():
    """Silence behind a click, then noise of one loudness."""
    flat = encode_speech(0.1 * torch.randn(16_000 * 8, generator=torch.Generator().manual_seed(2)).clamp(-3, 3), 16_000)
    calm = torch.stack([brow_height(upper_face(flat, Blinks("off", seed=s))).std() for s in range(10)]).mean()
    lively = torch.stack([brow_height(upper_face(voice(8.0), Blinks("off", seed=s))).std() for s in range(10)]).mean()
    assert calm < 0.7 * lively


def test_the_same_seed_does_the_same_and_another_one_does_not(spoken):
    one, again, other = (upper_face(spoken, Blinks(seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(one.weights, again.weights) and torch.equal(one.lids, again.lids)
    assert not torch.equal(one.weights, other.weights) and not torch.equal(one.lids, other.lids)


def test_the_global_generator_is_not_drawn_from(spoken):
    state = torch.get_rng_state()
    upper_face(spoken, Blinks())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seed", range(5))
def test_the_face_begins_as_the_portrait_has_it(seed):
    face = upper_face(idle_speech(8.0), Blinks(seed=seed))
    assert face.weights[:5].abs().max() < 0.01 and face.lids[:5].max() == 0
    assert face.weights.abs().max() > 0.02


def test_off_leaves_the_eyes_as_they_are_and_an_idle_face_alone(spoken):
    eyes = [k for name, k in BLENDSHAPE_INDEX.items() if name.startswith("eye")]
    face = upper_face(spoken, Blinks("off"))
    assert not face.lids.any() and not face.weights[:, eyes].any() and face.weights.any()
    idle = upper_face(idle_speech(6.0), Blinks("off"))
    assert not idle.lids.any() and not idle.weights.any()


def test_blinks_of_the_original_are_the_originals(spoken):
    face = upper_face(spoken, Blinks("original", strength=0.5, seed=9))
    both = chosen_blinks("original", spoken.n_frames, strength=0.5, seed=9)
    assert torch.equal(face.lids, torch.stack([both, both], dim=1))


def test_lids_of_a_reference_stand_in_for_blinks(spoken):
    lids = torch.rand(spoken.n_frames, generator=torch.Generator().manual_seed(0))
    assert torch.equal(upper_face(spoken, Blinks(lids=lids)).lids, torch.stack([lids, lids], dim=1))


def test_more_blinks_begin_where_a_phrase_ends(spoken):
    """From 2 frames before its end to 15 behind it, which is 17 of the 75 frames of a phrase and its pause."""
    period = FRAMES_OF_A_PHRASE + FRAMES_OF_A_PAUSE
    at_an_end = []
    for seed in range(60):
        shut = upper_face(spoken, Blinks(per_minute=10, seed=seed)).lids.amax(1) > 0
        begins = torch.nonzero(shut[1:] & ~shut[:-1])[:, 0] + 1
        at_an_end += ((begins - FRAMES_OF_A_PHRASE + 2) % period < 17).tolist()
    share = sum(at_an_end) / len(at_an_end)
    assert 1.6 < share / (17 / period) < 4


def test_nothing_is_asked_for_that_a_face_cannot_do(spoken):
    for seed in range(20):
        units = upper_face(spoken, Blinks(seed=seed)).weights
        assert units.min() >= 0 and units.max() <= 1
        assert not units[:, [k for name, k in BLENDSHAPE_INDEX.items() if name.startswith(("mouth", "jaw"))]].any()
        assert units.diff(dim=0)[:, [k for name, k in BLENDSHAPE_INDEX.items() if name[0] in "bc"]].abs().max() < 0.45


def test_each_lid_gets_its_own_depth_and_cheeks_go_along_with_a_smile(make_mini_face):
    source = make_mini_face()
    rows = source.expression.expand(20, -1).clone()
    smiles = [BLENDSHAPE_INDEX[f"mouthSmile{side}"] for side in ("Left", "Right")]
    rows[:, smiles] += 0.5
    lids = torch.tensor([0.8, 0.6]).expand(20, 2)
    added = with_upper_face(Expression(rows, MINI), UpperFace(lids, torch.zeros(20, 64)), source).coefficients - rows
    left, right = BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]
    torch.testing.assert_close(added[:, [left, right]], torch.tensor([0.1, -0.1]).expand(20, 2))
    assert (added[:, BLENDSHAPE_INDEX["cheekSquintLeft"]] > 0.1).all()


@pytest.mark.parametrize("n_frames", [1, 2, 7, 40])
def test_any_length_will_do(n_frames, make_speech):
    for choice in ("auto", "off", "original"):
        face = upper_face(make_speech(n_frames), Blinks(choice))
        assert face.lids.shape == (n_frames, 2) and face.weights.shape == (n_frames, 64)


# ---- gaze ------------------------------------------------------------------------------------------------------------


def across(units):
    """(T,) degrees to the left of the person, by the left eye and by the right."""
    return [
        sign * (units[:, BLENDSHAPE_INDEX[f"{a}{side}"]] * 21 - units[:, BLENDSHAPE_INDEX[f"{b}{side}"]] * 22)
        for side, a, b, sign in (
            ("Left", "eyeLookOut", "eyeLookIn", 1),
            ("Right", "eyeLookOut", "eyeLookIn", -1),
        )
    ]


def test_both_eyes_look_at_the_same_place():
    left, right = across(gaze_weights(torch.tensor([-10.0, 0.0, 7.0]), torch.zeros(3)))
    torch.testing.assert_close(left, torch.tensor([-10.0, 0.0, 7.0]))
    torch.testing.assert_close(right, left)


def test_eyes_rest_leap_a_little_and_sometimes_go_away(spoken):
    """Away is more than 4 degrees; a look away is over within 1.6 s."""
    away = changes = 0
    for seed in range(20):
        look, _ = across(upper_face(spoken, Blinks(seed=seed)).weights)
        far = look.abs() > 4
        away += far.float().mean().item() / 20
        changes += (look.diff().abs() > 1e-6).sum().item() / (24 * 20)
        assert look.abs().max() < 13
        edges = torch.nn.functional.pad(far.int(), (1, 1)).diff()
        lasts = torch.nonzero(edges == -1)[:, 0] - torch.nonzero(edges == 1)[:, 0]
        assert not len(lasts) or lasts.max() <= 42
    assert 0.03 < away < 0.25
    assert 0.5 < changes < 2.0


def test_a_leap_is_over_in_two_frames(spoken):
    for seed in range(20):
        look, _ = across(upper_face(spoken, Blinks(seed=seed)).weights)
        moving = look.diff().abs() > 1e-6
        assert not (moving[2:] & moving[1:-1] & moving[:-2]).any()


def test_eyes_look_about_without_a_voice_and_not_where_a_reference_has_the_lids(spoken):
    looks = [k for name, k in BLENDSHAPE_INDEX.items() if name.startswith("eyeLook")]
    assert upper_face(idle_speech(20.0), Blinks()).weights[:, looks].any()
    assert not upper_face(spoken, Blinks(lids=torch.zeros(spoken.n_frames))).weights[:, looks].any()
