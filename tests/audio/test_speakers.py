"""One recording becomes a track for each speaker: whole, silent elsewhere, with soft edges."""

from __future__ import annotations

import logging

import pytest
import torch

from sadtalker_core.audio.speakers import describe_tracks, split_speakers
from sadtalker_core.audio.turns import Turn, read_turns
from sadtalker_core.errors import AudioError, Cancelled, OptionError

RATE = 8000
TALK = read_turns("0-0.5 anna\n0.5-1.0 ben\n0.9-1.2 Anna")


@pytest.fixture
def sound():
    return torch.rand(1, 2, 2 * RATE, generator=torch.Generator().manual_seed(0)) - 0.5


def names(tracks):
    return [track.name for track in tracks]


def test_tracks_are_as_long_as_the_recording_and_silent_where_others_speak(sound):
    anna, ben = split_speakers(sound, RATE, TALK)
    assert (anna.name, ben.name) == ("anna", "ben") and anna.waveform.shape == ben.waveform.shape == (2, 2 * RATE)
    at = {name: slice(round(a * RATE), round(b * RATE)) for name, (a, b) in {
        "anna": (0, 0.49), "ben": (0.511, 0.889), "both": (0.911, 0.989), "nobody": (1.211, 2)}.items()}  # fmt: skip
    whole = sound[0]
    assert torch.equal(anna.waveform[:, at["anna"]], whole[:, at["anna"]]) and not ben.waveform[:, at["anna"]].any()
    assert torch.equal(ben.waveform[:, at["ben"]], whole[:, at["ben"]]) and not anna.waveform[:, at["ben"]].any()
    for track in (anna, ben):
        assert torch.equal(track.waveform[:, at["both"]], whole[:, at["both"]])
        assert not track.waveform[:, at["nobody"]].any()


def test_two_turns_in_a_row_fade_over_20_ms_and_add_up_to_the_recording():
    one, other = split_speakers(torch.ones(1, RATE), RATE, read_turns("0-0.5 a\n0.5-1 b"))
    torch.testing.assert_close(one.waveform + other.waveform, torch.ones(1, RATE), rtol=0, atol=1e-6)
    fading = torch.nonzero((one.waveform[0] > 0) & (one.waveform[0] < 1))[:, 0]
    assert len(fading) == pytest.approx(0.02 * RATE, abs=2) and fading.float().mean() == pytest.approx(
        0.5 * RATE, abs=1
    )
    assert (one.waveform[0].diff().abs() < 0.02).all(), "nothing clicks"
    assert one.waveform[0, 0] == 1 and other.waveform[0, -1] == 1, "the recording's own ends do not fade"


def test_the_order_is_that_of_the_list_whatever_its_letters_and_others_are_left_out(sound, caplog):
    caplog.set_level(logging.INFO)
    assert names(split_speakers(sound, RATE, TALK, "Ben, ANNA")) == ["ben", "anna"]
    assert names(split_speakers(sound, RATE, TALK, "ben")) == ["ben"] and "leaves out anna" in caplog.text


def test_what_lies_behind_the_end_is_cut_off_and_reported(sound, caplog):
    caplog.set_level(logging.INFO)
    (late, never) = split_speakers(sound, RATE, read_turns("1-9 anna\n5-6 ben"))
    assert late.seconds == pytest.approx(1) and torch.equal(late.waveform[:, -10:], sound[0, :, -10:])
    assert never.seconds == 0 and not never.waveform.any()
    assert "2 of 2 turns go on after the end of the audio (2.00 s)" in caplog.text
    assert describe_tracks([late, never]) == "1: anna, speaks 1.0 s\n2: ben, speaks 0.0 s"


@pytest.mark.parametrize(
    ("lines", "speakers", "words"),
    [
        ("9-10 anna", "", "all of them begin after the end of the audio"),
        ("0-1 anna", "ben", "nobody in the lines is called ben; they name anna"),
        ("0-1 anna", "anna, Anna", "each name once"),
        ("0-1 a\n0-1 b\n0-1 c\n0-1 d\n0-1 e", "", "at most 4, got 5"),
    ],
)
def test_speakers_that_do_not_fit_are_refused(sound, lines, speakers, words):
    with pytest.raises(OptionError, match=words):
        split_speakers(sound, RATE, read_turns(lines), speakers)


def test_nobody_is_refused_and_wide_commas_are_commas(sound):
    with pytest.raises(OptionError, match="at least one turn"):
        split_speakers(sound, RATE, [])
    with pytest.raises(OptionError, match="what read_turns makes of a text"):
        split_speakers(sound, RATE, "0-1 anna")
    tracks = split_speakers(sound, RATE, read_turns("0-1 anna\n1-2 ben"), "ben\uff0canna")
    assert [track.name for track in tracks] == ["ben", "anna"]


@pytest.mark.parametrize("wave", [torch.zeros(0), torch.zeros(2, 1, 9), torch.zeros(9, dtype=torch.int16), None])
def test_sounds_that_are_none_are_refused(wave):
    with pytest.raises(AudioError):
        split_speakers(wave, RATE, [Turn(0, 1, "a")])


def test_a_caller_may_stop_it(sound):
    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        split_speakers(sound, RATE, TALK, on_progress=stop)


@pytest.mark.parametrize(
    "turns",
    [
        None,
        5,
        "0:00-1:00 anna",
        [Turn("0", "1", "a")],
        [Turn(float("nan"), 1, "a")],
        [Turn(1, 0.5, "a")],
        [Turn(0, 1, None)],
    ],
)
def test_turns_that_nobody_has_read_are_refused(turns):
    with pytest.raises(OptionError, match="^turns: expected"):
        split_speakers(torch.zeros(1, 32_000), 16_000, turns)


@pytest.mark.parametrize("speakers", [None, 5, ["anna"]])
def test_names_that_are_no_text_are_refused(speakers):
    with pytest.raises(OptionError, match="^speakers: expected names"):
        split_speakers(torch.zeros(1, 32_000), 16_000, [Turn(0, 1, "anna")], speakers)
