"""Phonemes -> faces, texts, recordings: everything of the speech set that needs no synthesiser."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from sadtalker_core.canonical_face import load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.face.metrics import inner_lip_gap, mouth_width
from sadtalker_core.motion.visemes import (
    ARPABET,
    SHAPES,
    SPEECH_BLENDSHAPES,
    Phone,
    blendshape_track,
    shapes_of,
)
from sadtalker_core.training.voices import augment, texts
from sadtalker_core.training.voices.held_chords import Register, chord, drawn_register, held_chords
from sadtalker_core.training.voices.speech_set import clip_of, load, save, stretched, training_clips, with_pauses
from sadtalker_core.training.voices.synthesis import Utterance, VoiceMissing, flite

JAW, PRESS, PUCKER, BITE = (BLENDSHAPE_INDEX[n] for n in ("jawOpen", "mouthPressLeft", "mouthPucker", "mouthRollLower"))


def utterance(*sounds: tuple[str, float], start: float = 0.2) -> list[Phone]:
    """("a", 0.1), ("m", 0.08) ... -> phones one after the other."""
    phones = []
    for ipa, seconds in sounds:
        phones.append(Phone(start, start + seconds, ipa))
        start += seconds
    return phones


@pytest.mark.parametrize("lips", ["p", "b", "m"])
@pytest.mark.parametrize("start", np.arange(0.2, 0.24, 0.007))
def test_a_short_closure_is_noticed_wherever_it_falls_between_frames(lips, start):
    units = blendshape_track(utterance(("a", 0.12), (lips, 0.05), ("a", 0.12), start=start), 25)
    closed = units[:, PRESS].argmax()
    assert units[closed, PRESS] > 0.4
    assert units[closed, JAW] < 0.08
    assert units[:, JAW].max() > 0.3


def test_f_and_v_bite_the_lower_lip_and_do_not_press():
    units = blendshape_track(utterance(("a", 0.1), ("v", 0.09), ("a", 0.1)), 25)
    assert units[:, BITE].max() > 0.5
    assert units[:, PRESS].max() < 0.01


def test_lips_round_before_the_round_vowel_sounds():
    units = blendshape_track(utterance(("s", 0.15), ("u", 0.2)), 25)
    last_frame_of_s = int(0.35 * 25) - 1
    assert units[last_frame_of_s, PUCKER] > 0.2 > units[2, PUCKER]


@pytest.mark.parametrize("vowel", ["a", "e", "o", "u"])
def test_lips_are_one_to_two_frames_ahead_of_a_vowel(vowel):
    phones = utterance(*(("t", 0.15), (vowel, 0.2)) * 6)
    led, unled = (blendshape_track(phones, 60, led=ahead) for ahead in (True, False))
    for unit in (JAW, BLENDSHAPE_INDEX["mouthLowerDownLeft"], PUCKER):
        if unled[:, unit].std() > 0.02:
            r = [np.corrcoef(led[: 60 - k, unit], unled[k:, unit])[0, 1] for k in range(4)]
            assert 1 <= int(np.argmax(r)) <= 2


def test_lips_close_before_the_sound_and_stay_closed_to_its_end():
    phones = utterance(("a", 0.2), ("m", 0.1), ("a", 0.2), start=0.2)
    shut = np.flatnonzero(blendshape_track(phones, 25)[:, PRESS] > 0.4)
    inside = np.flatnonzero(((np.arange(25) + 0.5) / 25 >= 0.4) & ((np.arange(25) + 0.5) / 25 < 0.5))
    assert set(inside) < set(shut) and shut[0] == inside[0] - 1 and shut[-1] <= inside[-1] + 1


def test_open_vowels_widen_the_mouth_and_round_ones_narrow_it():
    widths = {}
    for vowel in "a\u00e6eiou":
        units = blendshape_track(utterance(("t", 0.1), (vowel, 0.3), ("t", 0.1)), 25)
        widths[vowel] = float(mouth_width(_face(units))[int(0.42 * 25)])
    rest = float(mouth_width(_face(np.zeros((1, 52)))))
    assert min(widths["a"], widths["\u00e6"]) > rest + 0.03
    assert widths["u"] < widths["o"] < rest - 0.03


def test_width_goes_along_with_opening_in_speech():
    """Papa may be a bit late, but mama will be home by noon, and the answer is that many apples are red."""
    sounds = "p\u0251p\u0259me\u026abi\u0259b\u026atle\u026atb\u028ctm\u0251m\u0259w\u026albiho\u028amba\u026anun"
    sounds += "\u00e6n\u00f0\u0259\u00e6ns\u0259\u026az\u00f0\u00e6tm\u025bni\u00e6p\u0259lz\u0251\u0279\u0279\u025bd"
    face = _face(blendshape_track(utterance(*((ipa, 0.09) for ipa in sounds)), 175))
    assert np.corrcoef(inner_lip_gap(face), mouth_width(face))[0, 1] > 0.2


def _face(units: np.ndarray) -> torch.Tensor:
    canonical = load_canonical_face()
    return canonical.mean + canonical.displacements(torch.from_numpy(units.astype(np.float32)))


def test_a_consonant_of_the_tongue_leaves_the_lips_to_round_neighbours():
    between = blendshape_track(utterance(("u", 0.12), ("t", 0.07), ("u", 0.12)), 20)
    alone = blendshape_track(utterance(("a", 0.12), ("t", 0.07), ("a", 0.12)), 20)
    middle = int(0.355 * 25)
    assert between[middle, PUCKER] > 0.5
    assert alone[middle, PUCKER] < 0.05


def test_a_diphthong_glides_from_one_vowel_to_the_other():
    units = blendshape_track(utterance(("a\u028a", 0.4)), 25)
    early, late = int(0.24 * 25), int(0.5 * 25)
    assert units[early, JAW] > units[late, JAW] + 0.15
    assert units[late, PUCKER] > units[early, PUCKER] + 0.3


def test_silence_is_a_face_at_rest():
    assert not blendshape_track([], 10).any()
    assert not blendshape_track([Phone(0.0, 0.4, "")], 10).any()
    assert shapes_of("\u02c8") == shapes_of("") == ["rest"]


def test_a_hole_shorter_than_a_pause_does_not_close_the_mouth():
    held = blendshape_track(utterance(("a", 0.15), ("", 0.03), ("a", 0.15)), 25)
    paused = blendshape_track(utterance(("a", 0.15), ("", 0.3), ("a", 0.15)), 25)
    frames = slice(int(0.3 * 25), int(0.42 * 25))
    assert held[frames, JAW].min() > 0.45
    assert paused[int(0.5 * 25), JAW] < 0.1


def test_left_does_as_right_and_units_stay_in_range():
    units = blendshape_track(utterance(*((p, 0.08) for p in "mafesouwi\u0283\u0259vpa")), 50)
    assert units.min() >= 0.0 and units.max() <= 1.0
    for name, left in BLENDSHAPE_INDEX.items():
        if name.endswith("Left") and left in SPEECH_BLENDSHAPES:
            np.testing.assert_array_equal(units[:, left], units[:, BLENDSHAPE_INDEX[name.replace("Left", "Right")]])
    assert set(np.flatnonzero(units.any(axis=0))) <= set(SPEECH_BLENDSHAPES)


def test_the_mouth_opens_wider_where_the_voice_is_louder():
    phones = utterance(("a", 0.4), ("a", 0.4))
    loud_then_soft = np.concatenate([np.full(9600, 0.5), np.full(6400, 0.05)]) * np.sin(np.arange(16000) * 0.2)
    units = blendshape_track(phones, 25, loud_then_soft.astype(np.float32))
    assert units[9, JAW] > 1.3 * units[20, JAW]


def test_every_arpabet_sound_has_a_shape():
    silent = {"pau", "sil", "ssil", "sp"}
    for symbol, ipa in ARPABET.items():
        assert (shapes_of(ipa) == ["rest"]) == (symbol in silent), symbol
        assert all(shape in SHAPES for shape in shapes_of(ipa))


def test_texts_are_many_and_repeat_with_the_seed():
    sentences = {texts.english_sentence(random.Random(i)) for i in range(300)}
    assert len(sentences) > 200
    assert texts.babble(random.Random(3)) == texts.babble(random.Random(3))
    assert len(texts.OTHER_LANGUAGES) >= 25 and all(texts.OTHER_LANGUAGES.values())


def test_a_foreign_sentence_is_of_words_of_its_language():
    draw = random.Random(0)
    spoken_in = {texts.foreign_sentence("de", draw) for _ in range(40)}
    words = {word for sentence in texts.OTHER_LANGUAGES["de"] for word in sentence.split()}
    assert len(spoken_in) > 15 and all(set(sentence.split()) <= words for sentence in spoken_in)


def test_another_throat_returns_how_much_time_it_stretched():
    wave = np.sin(np.arange(16000) * 0.1)
    factors = set()
    for seed in range(8):
        changed, factor = augment.other_throat(wave, np.random.default_rng(seed))
        assert len(changed) == pytest.approx(16000 * factor, abs=1)
        factors.add(round(factor, 2))
    assert min(factors) < 0.95 and max(factors) > 1.05


def test_a_recording_keeps_its_moments_and_repeats_with_the_seed():
    wave = np.zeros(16000)
    wave[8000:9600] = np.sin(np.arange(1600) * 0.3)
    for seed in range(6):
        one, again = (augment.recorded(wave, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, again)
        assert len(one) == 16000 and np.abs(one).max() <= 1.0 and np.isfinite(one).all()
        power = np.square(one).reshape(-1, 800).mean(axis=1)
        assert power[10:12].mean() > 2 * power[:9].mean()


@pytest.mark.parametrize("kind", augment.NOT_SPEECH)
def test_noise_is_as_loud_as_requested(kind):
    sound = augment.noise(16000, kind, np.random.default_rng(0))
    assert np.sqrt(np.mean(np.square(sound))) == pytest.approx(0.0 if kind == "silence" else 1.0, abs=1e-6)


def test_an_unknown_noise_is_refused_by_name():
    with pytest.raises(ValueError, match="thunder"):
        augment.noise(10, "thunder", np.random.default_rng(0))


ORGAN = Register(np.array([1.0, 2.0]), np.array([1.0, 0.5]), (), np.ones(1), 0.2, 0.1, 5.0, 0.0, 0.0)


def partials(sound: np.ndarray) -> np.ndarray:
    """(8000,) amplitudes of one second of sound, by Hz."""
    return np.abs(np.fft.rfft(sound[8000:24000]))[:8000] / 8000


def test_a_chord_swells_and_is_held_until_its_end():
    sound = chord(np.array([200.0, 300.0]), 32000, ORGAN, np.random.default_rng(0))
    audible = partials(sound)
    assert np.flatnonzero(audible > 0.1).tolist() == [200, 300, 400, 600]
    np.testing.assert_allclose(audible[[200, 300, 400, 600]], [1, 1, 0.5, 0.5], atol=1e-6)
    level = np.sqrt(np.square(sound).reshape(-1, 1600).mean(axis=1))
    assert level[0] < 0.4 * level[10] and level[-1] < 0.7 * level[10]
    np.testing.assert_allclose(level[2:-1], level[10], rtol=0.02)


def test_a_choir_lets_the_partials_of_its_vowel_through():
    vowel = ORGAN._replace(multiples=np.arange(1.0, 16.0), shares=np.ones(15), centres_hz=(800.0,))
    audible = partials(chord(np.array([200.0]), 32000, vowel, np.random.default_rng(0)))
    assert np.argmax(audible) == 800
    assert audible[800] > 5 * audible[2400]


def test_held_chords_repeat_with_the_seed_and_differ_in_how_they_sound():
    one, again = (held_chords(24000, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    drawn = [drawn_register(np.random.default_rng(seed)) for seed in range(60)]
    assert {len(register.centres_hz) for register in drawn} == {0, 3, 4}
    assert {len(register.detuned) for register in drawn} == {1, 2, 3}
    assert min(r.attack_s for r in drawn) < 0.05 and max(r.attack_s for r in drawn) > 0.5


def test_what_a_codec_makes_of_a_quiet_room_flutters_and_noise_does_not():
    def flutter(kind: str) -> float:
        frames = augment.noise(32000, kind, np.random.default_rng(1)).reshape(-1, 640)
        bands = np.square(np.abs(np.fft.rfft(frames))[:, :160]).reshape(len(frames), 8, 20).mean(axis=2)
        return float(np.log(bands + 1e-9).std(axis=0).mean())

    assert flutter("vocoder") > 1.4 * flutter("pink")


def test_to_sounds_without_a_voice_the_mouth_stays_closed():
    clips = list(training_clips(0, 12 / 3600, no_voice=1))
    assert {clip.voice for clip in clips} <= set(augment.NOT_SPEECH)
    assert not any(clip.units.any() for clip in clips)
    assert max(float(clip.mel.max()) for clip in clips) > -2


def test_pauses_and_stretching_move_the_phones_with_the_wave():
    spoken = Utterance(np.ones(8000, np.float32), (Phone(0.1, 0.2, "m"),))
    later = with_pauses(spoken, 0.5, 0.25)
    assert later.seconds == pytest.approx(1.25)
    assert later.phones[0].start == pytest.approx(0.6)
    slower = stretched(spoken, np.ones(16000, np.float32), 2.0)
    assert slower.phones[0][:2] == pytest.approx((0.2, 0.4))


def test_clips_come_back_from_the_file_as_they_went_in(tmp_path):
    wave = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    clips = [
        clip_of(Utterance(wave[:n], tuple(utterance(("a", 0.2)))), voice, held_out=n > 9000)
        for n, voice in ((8000, "one"), (16000, "two"))
    ]
    save(clips, tmp_path / "speech.npz")
    back = load(tmp_path / "speech.npz")
    assert [c.voice for c in back] == ["one", "two"] and [c.held_out for c in back] == [False, True]
    for clip, same in zip(clips, back, strict=True):
        np.testing.assert_array_equal(clip.mel, same.mel)
        np.testing.assert_array_equal(clip.units, same.units)
    assert back[1].windows().shape == (25, 1, 80, 16)
    assert back[1].windows(3, 5).shape == (2, 1, 80, 16)


def test_without_flite_the_sentence_explains_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VoiceMissing, match="apt-get install flite"):
        flite("hello", "slt")
