"""Who speaks when, as people and programs write it: five forms, and sentences for what is none of them."""

from __future__ import annotations

import time

import pytest

from sadtalker_core.audio.turns import Turn, form_of, read_turns, read_turns_file, seconds_of
from sadtalker_core.errors import OptionError

ANNA_AND_BEN = [Turn(0.0, 1.5, "anna"), Turn(1.5, 62.25, "ben")]
FORMS = {
    "lines": "\ufeff# a talk\n\n0:00-0:01.5 anna\n[1.5 \u2013 0:01:02,25] ben  # to the end\n",
    "SRT": (
        "1\n00:00:00,000 --> 00:00:01,500\nanna: Hello there.\nHow are you?\n\n"
        "2\n00:00:01,500 --> 00:01:02,250\n<i>ben: Fine.</i>\n"
    ),
    "WebVTT": (
        "WEBVTT - a talk\n\nNOTE\n00 is nobody\n\nSTYLE\n::cue { color: red }\n\nfirst\n"
        "00:00.000 --> 00:01.500 align:start\n<v.loud anna>Hello</v>\n\n00:00:01.500 --> 00:01:02.250\n<v ben>Fine.\n"
    ),
    "RTTM": (
        "SPKR-INFO talk 1 <NA> <NA> <NA> unknown anna <NA> <NA>\n"
        "SPEAKER talk 1 0.00 1.50 <NA> <NA> anna <NA> <NA>\nSPEAKER talk 1 1.50 60.75 <NA> <NA> ben <NA> <NA>\n"
    ),
    "Audacity": "0.000000\t1.500000\tanna\n\\\t100.0\t4000.0\n1.500000\t62.250000\tben\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_recognised_by_its_look_and_means_the_same(form):
    assert form_of(FORMS[form]) == form
    assert read_turns(FORMS[form]) == ANNA_AND_BEN


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [("1:02:03.5", 3723.5), ("1:50", 110.0), ("110,5", 110.5), ("0:60", None), ("-1", None), ("1:2:3:4", None)],
)
def test_times_are_read_as_people_write_them(clock, seconds):
    assert seconds_of(clock) == seconds


def test_a_subtitle_without_a_name_belongs_to_whoever_spoke_before_and_two_may_speak_in_one():
    text = (
        "1\n00:00:00,000 --> 00:00:01,000\n[Anna] Hello.\n\n"
        "2\n00:00:01,000 --> 00:00:02,000\nAnd it was 5:30 already.\n\n"
        "3\n00:00:02,000 --> 00:00:03,000\n- Anna: Yes.\n- BEN O'HARA: No.\n"
    )
    assert [turn.speaker for turn in read_turns(text)] == ["Anna", "Anna", "Anna", "BEN O'HARA"]


def test_a_name_may_have_a_number_sign():
    turns = read_turns("0-1 Speaker #1 # who asks\n1-2 Speaker #2\n#3-4 Speaker #3")
    assert [turn.speaker for turn in turns] == ["Speaker #1", "Speaker #2"]


@pytest.mark.parametrize(
    "text",
    [
        "0\uff1a00\uff0d1\uff1a50 \u5b89\u5a1c",
        "1\n00:00:00,000 --> 00:01:50,000\n\u5b89\u5a1c\uff1a\u4f60\u597d\n",
    ],
)
def test_wide_colons_are_colons(text):
    assert read_turns(text) == [Turn(0.0, 110.0, "\u5b89\u5a1c")]


def test_a_tag_that_never_ends_takes_no_time():
    text = "WEBVTT\n\n00:00.000 --> 00:01.000\n<v Anna>Hi\n<v" + " " * 200_000 + "<" * 200_000
    begun = time.perf_counter()
    assert [turn.speaker for turn in read_turns(text)] == ["Anna"]
    assert time.perf_counter() - begun < 10  # it was ten minutes


def test_turns_come_in_the_order_of_their_beginnings_and_may_overlap():
    assert [turn.start for turn in read_turns("5-9 ben\n0-6 anna")] == [0, 5]


SENTENCES = {
    "": "nobody speaks",
    "0:00-0:03 anna\nhello": "line 2: expected a start, an end and a name",
    "0:05-0:03 anna": "line 1: it ends at 3 s, which is not after its start at 5 s",
    "0:00-1:50": "line 1: expected a start, an end and a name",  # not somebody called 50
    "0:05-0:99 anna": "line 1: expected a time such as 1:50",
    "0-999999 anna": "line 1: expected times of at most 360000 s",
    "1\n00:00:00,000 --> 00:00:01,000\nHello.": "line 2: nobody is named below it",
    "1\n00:00:00,000 --> 00:00:01,000\nAnna: a\n\n--> 5\nBen: b": "line 5: expected 'start --> end'",
    "SPEAKER a 1 0 1 <NA> <NA> anna\nSPEAKER a 1 x": "line 2: expected 'SPEAKER file 1 start duration",
    "0.0\t1.0\tanna\n1.0\t2.0": "line 2: expected start, end and name",
}


@pytest.mark.parametrize("text", SENTENCES)
def test_what_cannot_be_read_is_named_by_its_line(text):
    with pytest.raises(OptionError, match="^lines: ") as refused:
        read_turns(text)
    assert SENTENCES[text] in str(refused.value)


def test_of_many_bad_lines_the_first_are_reported():
    with pytest.raises(OptionError, match=r"line 1: .* line 2: .* \d+ more cannot be read\.$") as refused:
        read_turns("nothing here\n" * 40)
    assert len(str(refused.value)) < 600
    with pytest.raises(OptionError, match=r" 99\d more cannot be read\.$"):
        read_turns("nothing here\n" * 5000)  # something else, which is not read to its end


def test_a_file_is_recognised_by_its_name(tmp_path):
    file = tmp_path / "talk.txt"
    file.write_bytes(b"0-1 ann\xe9")
    with pytest.raises(OptionError, match=r"talk\.txt cannot be read as text"):
        read_turns_file(file)
    file.write_text("0-1", encoding="utf-8")
    with pytest.raises(OptionError, match=r"^speakers: .*talk\.txt: line 1: "):
        read_turns_file(file)
    file.write_text(FORMS["lines"], encoding="utf-8")
    assert read_turns_file(file) == ANNA_AND_BEN
