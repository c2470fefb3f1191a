"""For test_stops.py: the stop button pressed in every stage that takes long, and where the run then ended."""

import os
import sys
import time
import wave

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
import torch  # noqa: E402


def main(host) -> dict:
    with wave.open(os.path.join(host.base, "input", "long.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(2 * 48_000 * 60))
    graph = graphs.talking(idle_seconds=8.0)
    graph |= {
        "video_reference": {
            "class_type": "SadTalkerReferenceVideo",
            "inputs": {
                "model": ["model", 0],
                "fps": 25.0,
                "missing_face": "hold",
                "face_index": 0,
                "face_order": "largest",
                "landmarks": "auto",
                "frames": ["portrait", 1],
            },
        },
        "paste": {
            "class_type": "SadTalkerPasteBack",
            "inputs": {"frames": ["repeated", 0], "portrait": ["extract", 0], "feather": 0.1, "colour_match": 1.0},
        },
        "repeated": {"class_type": "RepeatImageBatch", "inputs": {"image": ["extract", 2], "amount": 40}},
        "repeated_portrait": {"class_type": "RepeatImageBatch", "inputs": {"image": ["portrait", 1], "amount": 8}},
        "label": {
            "class_type": "SadTalkerVisibleLabel",
            "inputs": {"frames": ["repeated", 0], "text": "AI", "corner": "top left", "size": 0.1, "opacity": 1.0},
        },
        "dub": {
            "class_type": "SadTalkerDubVideo",
            "inputs": {
                "model": ["model", 0],
                "length": "hold",
                "strength": 1.0,
                "keep_mouth": 0.0,
                "original_volume": 0.0,
                "face_index": 0,
                "face_order": "largest",
                "quality": "draft",
                "fps": 25.0,
                "filename_prefix": "stops/dubbed",
                "keep_partial": False,
                "frames": ["repeated_portrait", 0],
                "expression": ["expnet", 0],
            },
        },
        "preview": graphs.motion_preview(),
    }
    graph["video_reference"]["inputs"]["frames"] = ["repeated_portrait", 0]
    del graph["video"]
    ends = {"class_type": "PreviewAny", "inputs": {}}
    found = {}
    for stage, output in (
        ("speech", 0),
        ("expnet", 0),
        ("posevae", 0),
        ("mapping", 0),
        ("render", 0),
        ("paste", 0),
        ("label", 0),
        ("preview", 0),
        ("video_reference", 0),
        ("dub", 0),
    ):
        prompt = _needed(graph | {"end": {**ends, "inputs": {"source": [stage, output]}}}, "end")
        if stage == "speech":
            prompt["voice"] = {"class_type": "LoadAudio", "inputs": {"audio": "long.wav"}}
            prompt["speech"] = {**prompt["speech"], "inputs": {"idle_seconds": 0.0, "audio": ["voice", 0]}}
        pressed = []

        def press(node, value, maximum, stage=stage, pressed=pressed):
            if node == stage and value and not pressed:
                pressed.append(((value, maximum), time.monotonic()))
                host.interrupt()

        outcome = host.run(prompt, on_progress=press)
        ended_in, ended_at = outcome.error and outcome.error.get("node_id"), time.monotonic()
        found[stage] = [ended_in, *(pressed[0] if pressed else (None, ended_at))]
        found[stage][2] = ended_at - found[stage][2]  # what passed until the prompt had ended
    found["layers"] = _layers(host)
    return found


def _needed(graph: dict, end: str) -> dict:
    """The nodes on the way to `end`."""
    needed, open_ones = {}, [end]
    while open_ones:
        name = open_ones.pop()
        needed[name] = graph[name]
        links = [value[0] for value in graph[name]["inputs"].values() if isinstance(value, list)]
        open_ones += [link for link in links if link not in needed]
    return needed


def _layers(host) -> dict:
    """net -> how many of its layers go on when the button was pressed before them."""
    from comfy.model_management import InterruptProcessingException

    model, deaf = host.value("model"), {}
    for name, patcher in model.patchers.items():
        deaf[name] = 0
        for layer in patcher.model.modules():
            host.interrupt()
            try:
                layer()  # a layer that looks does so before it misses its input
            except InterruptProcessingException:
                continue
            except Exception:  # noqa: BLE001 (whatever a layer says that gets no input: it did not look)
                pass
            deaf[name] += 1
    host.mm.interrupt_current_processing(False)
    assert torch.is_grad_enabled()
    return deaf
