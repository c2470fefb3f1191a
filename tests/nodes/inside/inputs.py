"""For test_inputs.py: what every node says to words, numbers, text and wires that it did not ask for."""

import os
import random
import sys

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
import torch  # noqa: E402

WORDS = ["sometimes", "", None, 7, float("nan"), ["a"], {"b": 1}, "x" * 5000]
NUMBERS = ["8", None, float("nan"), float("inf"), -float("inf"), 1e300, -(10**30), [1], "", "NaN"]
SOUNDS = [7, "voice.wav", {}, {"waveform": torch.zeros(1, 1, 9000)}, torch.zeros(1, 1, 9000),
          {"waveform": [0.0] * 9000, "sample_rate": 16000}, *({"waveform": torch.zeros(1, 1, 9000), "sample_rate": rate}
           for rate in ("16000", None, 0, 10, 1e9, float("nan")))]  # fmt: skip
#: nodes that read no file and need little time, so that any values may be tried on them
QUICK = [
    "AudioEncode",
    "ExpNet",
    "PoseVAE",
    "MappingNet",
    "EditExpression",
    "EditPose",
    "BlendTracks",
    "ResizeTrack",
    "SilenceGate",
    "MotionPlot",
]
TEXTS = ["", "0", "-20, 0, 20", "nan", "1e999", "\u2212" * 400, "\0", "²", "9" * 5000, ";;,,", "\ud800"]


def main(host) -> dict:
    io = sys.modules["comfy_api.latest"].io
    nodes = {name: node for name, node in host.nodes.NODE_CLASS_MAPPINGS.items() if name.startswith("SadTalker")}
    refused = host.core("errors").SadTalkerError

    def outcome_of(node, values) -> str:
        try:
            node.execute(**values)
        except refused as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 (whatever it is, the test reads it)
            return f"raw {type(error).__name__}: {error}"
        return "it ran"

    outcome = host.run(graphs.talking(idle_seconds=0.2))
    assert outcome.error is None, outcome.error
    wires = {
        "SADTALKER_MODEL": host.value("model"), "SADTALKER_PORTRAIT": host.value("extract"),
        "SADTALKER_COEFFICIENTS": host.value("extract", 1), "SADTALKER_SPEECH": host.value("speech"),
        "SADTALKER_EXPRESSION": host.value("expnet"), "SADTALKER_POSE": host.value("posevae"),
        "SADTALKER_MOTION": host.value("mapping"),
    }  # fmt: skip
    found = {"words": [], "numbers": [], "wires": [], "sounds": []}
    for name, node in sorted(nodes.items()):
        given = node.define_schema().inputs
        good = {g.id: _good(io, g, wires) for g in given if not g.optional}
        for g in given:
            if isinstance(g, io.Combo.Input):
                files = g.id in ("image", "model", "track", "file")
                kind, tried = "words", [word for word in WORDS if not (files and isinstance(word, str))]
            elif isinstance(g, (io.Int.Input, io.Float.Input)):
                kind, tried = "numbers", NUMBERS
            elif isinstance(g, io.Audio.Input):
                kind, tried = "sounds", SOUNDS
            elif str(g.io_type) in (*wires, "IMAGE", "MASK"):
                kind, tried = "wires", ["a", 7, {"a": 1}]
            else:
                continue
            found[kind] += [[name, g.id, outcome_of(node, good | {g.id: value})] for value in tried]
    found["any values"] = _any_values(io, nodes, wires, outcome_of)
    found["Audio Encode"] = _sounds(host, nodes["SadTalkerAudioEncode"], outcome_of)
    return found


def _good(io, given, wires):
    """A value that passes the check."""
    if isinstance(given, io.Combo.Input):
        return given.default or (given.options or ["nothing"])[0]
    if str(given.io_type) == "IMAGE":
        return torch.zeros(1, 64, 64, 3)
    return wires.get(str(given.io_type), getattr(given, "default", None))


def _any_values(io, nodes, wires, outcome_of) -> list:
    """Whatever the page's own limits let through, drawn with a seed: [node, what it said]."""
    generator, outcomes = random.Random(9), []

    def draw(given):
        if isinstance(given, io.Combo.Input):
            return generator.choice(given.options)
        if isinstance(given, io.String.Input):
            return generator.choice(TEXTS)
        if isinstance(given, io.Boolean.Input):
            return generator.random() < 0.5
        if isinstance(given, (io.Int.Input, io.Float.Input)):
            high = min(given.max, 2000) if given.id not in ("seed",) else given.max
            value = generator.choice([given.min, high, given.default, generator.uniform(given.min, high), float("nan")])
            return int(value) if isinstance(given, io.Int.Input) and value == value else value
        return wires.get(str(given.io_type))

    for _ in range(12):
        for name in QUICK:
            node = nodes[f"SadTalker{name}"]
            given = [g for g in node.define_schema().inputs if not g.optional or generator.random() < 0.7]
            given = [g for g in given if str(g.io_type) != "AUDIO"]
            outcomes.append([name, outcome_of(node, {g.id: draw(g) for g in given})])
    return outcomes


def _sounds(host, encode, outcome_of) -> dict:
    """What Audio Encode says to silent videos and to AUDIO of every kind."""
    silent = graphs.talking(idle_seconds=2.0, **{"speech.audio": ["parts", 1]})
    silent["frames"] = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 2, "color": 0}}
    silent["film"] = {"class_type": "CreateVideo", "inputs": {"images": ["frames", 0], "fps": 25.0}}
    silent["parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["film", 0]}}
    outcome = host.run(silent)

    def audio(waveform, rate=16000):
        return outcome_of(encode, {"idle_seconds": 2.0, "audio": {"waveform": waveform, "sample_rate": rate}})

    voice = torch.rand(1, 2, 16000) - 0.5
    return {
        "a silent video": outcome.error["exception_message"] if outcome.error else "it ran",
        "None": outcome_of(encode, {"idle_seconds": 2.0, "audio": None}),
        "no samples": audio(torch.zeros(1, 2, 0)),
        "nothing connected": outcome_of(encode, {"idle_seconds": 2.0}),
        "a voice": audio(voice),
        "a rate as text": audio(voice, "16000"),
        "a rate of 10 Hz": audio(voice, 10),
        "a rate of 1 GHz": audio(voice, 1e9),
        "no rate": outcome_of(encode, {"idle_seconds": 2.0, "audio": {"waveform": voice}}),
        "no AUDIO": outcome_of(encode, {"idle_seconds": 2.0, "audio": voice}),
    }
