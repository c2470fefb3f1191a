"""Whatever comes into a node by the API or by another node's wire: it runs, or it gets a sentence."""

from __future__ import annotations

import shutil

import pytest

pytestmark = pytest.mark.comfyui

#: the case -> words of what Audio Encode says
SOUNDS = {
    "a silent video": ("the audio is empty (does the video have an audio track?)",),
    "None": ("AudioError", "the audio is empty (does the video have an audio track?)"),
    "no samples": ("AudioError", "the audio is empty (does the video have an audio track?)"),
    "nothing connected": ("it ran",),
    "a voice": ("it ran",),
    "a rate as text": ("AudioError", "'16000'", "1000 to 1e+06 Hz"),
    "a rate of 10 Hz": ("AudioError", "got 10"),
    "a rate of 1 GHz": ("AudioError", "got 1e+09"),
    "no rate": ("AudioError", "sample_rate"),
    "no AUDIO": ("AudioError", "Tensor"),
}


@pytest.fixture(scope="module")
def found(comfyui, astronaut, inside, tmp_path_factory):
    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("inputs") / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    return run_inside(comfyui, inside / "inputs.py", base)


@pytest.mark.parametrize(
    ("kind", "n_inputs", "begins"),
    [("words", 20, "OptionError"), ("numbers", 50, "OptionError"), ("wires", 20, "InputError")],
)
def test_every_input_of_every_node_refuses_what_it_did_not_ask_for(kind, n_inputs, begins, found):
    wrong = [case for case in found[kind] if not case[2].startswith(f"{begins}: {case[1]}: expected")]
    assert not wrong
    assert max(len(sentence) for _, _, sentence in found[kind]) < 500
    assert len({(node, name) for node, name, _ in found[kind]}) >= n_inputs


def test_an_unknown_word_is_repeated_beside_those_that_are_known(found):
    sentences = [message for node, name, message in found["words"] if (node, name) == ("SadTalkerExpNet", "blink")]
    assert "OptionError: blink: expected one of auto, off, original, got 'sometimes'." in sentences


def test_every_audio_input_refuses_what_is_no_sound(found):
    assert {node for node, _, _ in found["sounds"]} == {
        "SadTalkerAudioEncode",
        "SadTalkerVideoCombine",
        "SadTalkerRenderVideo",
        "SadTalkerSplitSpeakers",
        "SadTalkerDubVideo",
    }
    assert [case for case in found["sounds"] if not case[2].startswith("AudioError: ")] == []


def test_any_values_run_or_get_a_sentence(found):
    assert [case for case in found["any values"] if case[1].startswith("raw")] == []
    ran = {node for node, message in found["any values"] if message == "it ran"}
    assert len(ran) >= 8, ran


@pytest.mark.parametrize("case", sorted(SOUNDS))
def test_only_where_nothing_is_connected_it_idles(case, found):
    missing = [words for words in SOUNDS[case] if words not in found["Audio Encode"][case]]
    assert not missing, found["Audio Encode"][case]
