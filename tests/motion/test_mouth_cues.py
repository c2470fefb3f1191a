"""Visemes, mouths and phonemes with times, from five kinds of files, become the same sounds."""

from __future__ import annotations

import numpy as np
import pytest

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.errors import OptionError
from sadtalker_core.motion.mouth_cues import cues_of_json, cues_of_text
from sadtalker_core.motion.visemes import (
    AZURE_VISEMES,
    RHUBARB_MOUTHS,
    Phone,
    blendshape_track,
    long_blendshape_track,
    shapes_of,
)

GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "mob 12"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.5
        intervals: size = 3
        intervals [1]:
            xmin = 0.1
            xmax = 0.2
            text = "M"
        intervals [2]:
            xmin = 0.2
            xmax = 0.4
            text = "AA1"
        intervals [3]:
            xmin = 0.4
            xmax = 0.5
            text = "B"
"""
MOB = {
    "ARPAbet": "0.1 0.2 M\n0.2 0.4 AA1\n0.4 0.5 B\n",
    "IPA": "0.1\tm\n0.2\t\u0251\u02d0\n0.4\tb\n0.5\t\n",
    "HTK": "1000000 2000000 m\n2000000 4000000 aa\n4000000 5000000 b\n",
    "milliseconds": "100 200 m\n200 400 aa\n400 500 b\n",
    "TextGrid": GRID,
    "short TextGrid": (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n0.5\n<exists>\n1\n'
        '"IntervalTier"\n"phones"\n0\n0.5\n3\n0.1\n0.2\n"M"\n0.2\n0.4\n"AA1"\n0.4\n0.5\n"B"\n'
    ),
}
EVENTS = {
    "phones": [{"start": 0.1, "end": 0.2, "phone": "m"}, {"start": 0.2, "end": 0.4, "phone": "\u0251"},
               {"start": 0.4, "end": 0.5, "phone": "b"}],
    "Montreal": [[0.1, 0.2, "M"], [0.2, 0.4, "AA1"], [0.4, 0.5, "B"]],
    "ticks": [{"viseme_id": v, "audio_offset": t * 1_000_000} for v, t in ((21, 1), (2, 2), (21, 4), (0, 5))],
    "Azure in milliseconds": [{"visemeId": v, "audioOffset": t * 100} for v, t in ((21, 1), (2, 2), (21, 4), (0, 5))],
    "Rhubarb": [{"start": s, "end": e, "value": v} for s, e, v in ((0.1, 0.2, "A"), (0.2, 0.4, "D"), (0.4, 0.5, "A"))],
}  # fmt: skip


def times(cues):
    return [(round(p.start, 6), round(p.end, 6), shapes_of(p.ipa)) for p in cues.phones if p.ipa]


MOUTHS = [(0.1, 0.2, ["closed"]), (0.2, 0.4, ["ah"]), (0.4, 0.5, ["closed"])]


@pytest.mark.parametrize("kind", MOB)
def test_lines_and_grids_agree(kind):
    cues = cues_of_text(MOB[kind])
    assert times(cues) == MOUTHS and cues.led


@pytest.mark.parametrize("kind", EVENTS)
def test_json_gives_the_same(kind):
    cues = cues_of_json(EVENTS[kind])
    assert times(cues) == MOUTHS
    assert cues.led == (kind != "Rhubarb"), "Rhubarb's mouths are already when they should be seen"


def test_rhubarbs_lines_are_distinguished_from_phonemes():
    assert cues_of_text("0.00\tX\n0.10\tA\n0.20\tD\n").form == "Rhubarb mouths"
    assert cues_of_text("0.10\tb\n0.20\tf\n").form == "phonemes in IPA"
    assert len(AZURE_VISEMES) == 22 and set(RHUBARB_MOUTHS) == set("ABCDEFGHX")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.1 m\nhello there all\n-1 x", r"line 2: .*line 3: "),
        ("", "no times"),
        (GRID[:400], "truncated"),
        ('"ooTextFile" "TextGrid"', "without intervals"),
    ],
)
def test_text_that_is_none_is_refused(text, words):
    with pytest.raises(OptionError, match=words):
        cues_of_text(text)


def test_a_text_that_is_something_else_is_not_read_to_its_end():
    with pytest.raises(OptionError, match=r" 99\d more cannot be read\.$"):
        cues_of_text("nothing of the kind\n" * 5000)


def test_visemes_that_do_not_exist_are_refused():
    with pytest.raises(OptionError, match="entry 2: expected a viseme id from 0 to 21"):
        cues_of_json([{"visemeId": 1, "audioOffset": 0}, {"visemeId": 22, "audioOffset": 5}])
    assert cues_of_json([{"words": 3}]) is None


def test_p_b_and_m_close_the_lips_whatever_file_they_come_from():
    track = long_blendshape_track(cues_of_json(EVENTS["ticks"]).phones, 15)
    press, jaw = track[:, BLENDSHAPE_INDEX["mouthPressLeft"]], track[:, BLENDSHAPE_INDEX["jawOpen"]]
    assert press[2:5].max() > 0.44 and press[10:12].max() > 0.44 and press[7] < 0.05
    assert jaw[press > 0.44].max() < 0.06 and jaw.max() > 0.25


def test_a_long_clip_in_pieces_is_the_clip():
    spoken = "m \u0251 b \u0259 s t o\u028a".split()
    phones = [Phone(k * 0.13, (k + 1) * 0.13, spoken[k % len(spoken)]) for k in range(700)]
    done = []
    track = long_blendshape_track(phones, 2200, on_progress=lambda n, of: done.append((n, of)))
    np.testing.assert_array_equal(track, blendshape_track(phones, 2200))
    assert done == [(1500, 2200), (2200, 2200)]
