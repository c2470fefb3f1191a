"""For test_tracks.py: one graph in which every node that shows or edits motion has its place, and what goes wrong."""

import os
import sys
import wave

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
import torch  # noqa: E402


def _graph(**changes) -> dict:
    """The pipeline up to the frames of an idle clip of 0.4 s, with the tracks edited on their way."""
    prompt = graphs.talking(idle_seconds=0.4)
    more = {
        "edit_expression": ("SadTalkerEditExpression", {
            "expression": ["expnet", 0], "overall": 1.0, "mouth": 0.5, "eyes": 1.0, "brows": 1.0, "smoothing": 5}),
        "set": ("SadTalkerSetExpression", {
            "expression": ["edit_expression", 0], "speech": ["speech", 0], "preset": "happy", "brows": "0:0, 0.2:0.5"}),
        "edit_pose": ("SadTalkerEditPose", {
            "pose": ["posevae", 0], "pitch_scale": 1.0, "yaw_scale": 0.0, "roll_scale": 1.0, "translation_scale": 1.0,
            "pitch_offset": 0.0, "yaw_offset": 5.0, "roll_offset": 0.0, "smoothing": 0}),
        "gate": ("SadTalkerSilenceGate", {
            "expression": ["edit_expression", 0], "speech": ["speech", 0], "coefficients": ["extract", 1],
            "threshold": -30.0, "attack": 0.08, "release": 0.2, "strength": 1.0}),
        "blend": ("SadTalkerBlendTracks", {
            "mode": "one after the other", "weight": 0.5, "crossfade": 4, "expression": ["expnet", 0],
            "other_expression": ["gate", 0], "pose": ["posevae", 0], "other_pose": ["edit_pose", 0]}),
        "resize": ("SadTalkerResizeTrack", {
            "frames": 6, "method": "stretch", "crossfade": 0, "expression": ["blend", 0], "pose": ["blend", 1]}),
        "save": ("SadTalkerSaveTrack", {
            "filename_prefix": "tracks/test", "expression": ["resize", 0], "pose": ["resize", 1]}),
        "plot": ("SadTalkerMotionPlot", {
            "width": 320, "height": 240, "speech": ["speech", 0], "expression": ["resize", 0], "pose": ["resize", 1]}),
        "preview": ("SadTalkerMotionPreview", {
            "model": ["model", 0], "portrait": ["extract", 0], "motion": ["mapping", 0], "size": 96,
            "over_portrait": False}),
        "label": ("SadTalkerVisibleLabel", {
            "frames": ["preview", 0], "text": "AI", "corner": "top left", "size": 0.1, "opacity": 1.0}),
        "show": ("PreviewImage", {"images": ["label", 0]}),
        "show_plot": ("PreviewImage", {"images": ["plot", 0]}),
    }  # fmt: skip
    for place, value in changes.items():
        node, name = place.split(".")
        more[node][1][name] = value
    prompt.update({node: {"class_type": kind, "inputs": inputs} for node, (kind, inputs) in more.items()})
    prompt["mapping"]["inputs"].update(expression=["resize", 0], pose=["resize", 1])
    del prompt["render"], prompt["video"]
    return prompt


def _load(track: str, taker: str, wire: list) -> dict:
    return {
        "load": {"class_type": "SadTalkerLoadTrack", "inputs": {"track": track}},
        "save": {"class_type": "SadTalkerSaveTrack", "inputs": {"filename_prefix": "tracks/again", taker: wire}},
    }


LINES = "0:00-0:00.4 anna\n0:00.4-0:01 ben"


def _conversation(**changes) -> dict:
    """One recording, two voices; the second one looks at the first. Both tracks go out as blendshapes and come back."""
    prompt = graphs.talking(voice="voice.wav")
    extract = prompt["extract"]["inputs"]
    more = {
        "split": ("SadTalkerSplitSpeakers", {"audio": ["voice", 0], "lines": LINES, "speakers": "ben, anna"}),
        "first_speech": ("SadTalkerAudioEncode", {"idle_seconds": 0.0, "audio": ["split", 1]}),
        "other": ("SadTalker3DMMExtract", {**extract, "crop_offset_x": 0.5}),
        "look": ("SadTalkerLookAtSpeaker", {
            "portrait": ["extract", 0], "speech": ["speech", 0], "other_portrait": ["other", 0],
            "other_speech": ["first_speech", 0], "amount": 1.0, "expression": ["expnet", 0], "pose": ["posevae", 0]}),
        "export": ("SadTalkerExportBlendshapes", {
            "expression": ["look", 0], "pose": ["look", 1], "format": "Live Link Face CSV", "fps": 25.0,
            "filename_prefix": "faces/test"}),
        "who": ("PreviewAny", {"source": ["split", 4]}),
    }  # fmt: skip
    for place, value in changes.items():
        node, name = place.split(".")
        more[node][1][name] = value
    prompt.update({node: {"class_type": kind, "inputs": inputs} for node, (kind, inputs) in more.items()})
    prompt["speech"]["inputs"]["audio"] = ["split", 0]
    for name in ("mapping", "render", "video"):
        del prompt[name]
    return prompt


def _import(file: str, **inputs) -> dict:
    return {
        "import": {"class_type": "SadTalkerImportBlendshapes", "inputs": {"file": file, "fps": 0.0, **inputs}},
        "save": {"class_type": "SadTalkerSaveTrack", "inputs": {
            "filename_prefix": "tracks/imported", "expression": ["import", 0], "pose": ["import", 1]}},
    }  # fmt: skip


def _talk(host, found: dict, sentence) -> None:
    with wave.open(os.path.join(host.base, "input", "voice.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((torch.sin(torch.arange(16_000) / 12) * 6000).short().numpy().tobytes())
    outcome = host.run(_conversation())
    found["error of a conversation"] = outcome.error
    if outcome.error:
        return
    found["who"] = host.value("split", 4)
    waves = [host.value("split", k)["waveform"] for k in (0, 1)]
    found["shapes"] = [list(each.shape) for each in waves]
    found["parts"] = [[float(half.abs().mean()) for half in each.split(8000, dim=2)] for each in waves]
    looking, plain = host.value("look"), host.value("expnet")
    left = looking.blendshapes["eyeLookOutLeft"]
    found["looks"] = (looking.coefficients - plain.coefficients)[:, left].tolist()
    found["written"] = host.value("export")
    looked, turned = looking.coefficients, host.value("look", 1).rotation
    again = host.run(_import(host.value("export")))
    found["error of importing"] = again.error
    read, head = host.value("import").coefficients, host.value("import", 1).rotation
    found["apart"] = float((read - looked)[:, :52].abs().max()), float((head - turned).abs().max())
    found["a fourth speaker"] = sentence(
        _conversation() | {"fourth": {"class_type": "PreviewAudio", "inputs": {"audio": ["split", 3]}}}
    )
    found["a bad line"] = sentence(_conversation(**{"split.lines": "0:00-0:01 anna\nhello"}))
    with open(os.path.join(host.base, "input", "mouths.tsv"), "w") as file:
        file.write("0.00\tX\n0.20\tD\n0.40\tX\n")
    found["a pose that a file has not"] = sentence(_import("mouths.tsv"))
    found["a file outside the folders"] = sentence(_import("../secret.csv"))


def main(host) -> dict:
    outcome = host.run(_graph())
    found = {"error": outcome.error}
    if outcome.error:
        return found
    expression, pose, preview = host.value("resize"), host.value("resize", 1), host.value("preview")
    found["frames"] = [len(host.value(node)) for node in ("expnet", "edit_expression", "gate", "blend", "resize")]
    found["yaw_held_and_turned"] = host.value("edit_pose").rotation[:, 1].tolist()
    found["yaw_at_first"] = float(host.value("posevae").rotation[0, 1])
    found["preview"] = list(preview.shape)
    found["preview_fps"] = host.value("preview", 1)
    found["preview_shows"] = float(preview.amax())
    brow = host.value("set").coefficients[:, host.value("set").blendshapes["browInnerUp"]]
    found["set"] = [float(brow[0]), float(brow[5])]
    found["set_plot"] = list(host.value("set", 1).shape)
    found["plot"] = list(host.value("plot").shape)
    found["label_changed"] = not torch.equal(host.value("label"), preview)
    file = host.value("save")
    found["file"] = file

    again = host.run(_load(file, "expression", ["load", 0]))
    found["error_of_loading"] = again.error
    found["came_back"] = torch.equal(host.value("load").coefficients, expression.coefficients) and torch.equal(
        host.value("load", 1).coefficients, pose.coefficients
    )
    half = host.run(_load(host.value("save"), "pose", ["load", 1]))
    found["a pose that was not saved"] = half.error and half.error["exception_message"]

    def sentence(prompt) -> str:
        try:
            refused = host.run(prompt)
        except ValueError as error:
            return str(error)
        return refused.error["exception_message"] if refused.error else "it ran"

    outside = os.path.join(host.base, "secret.track.safetensors")
    open(outside, "wb").close()
    foreign = os.path.join(host.base, "input", "foreign.track.safetensors")
    with open(foreign, "wb") as file:
        file.write(b"version https://git-lfs.github.com/spec/v1\n")
    found["a track that is not there"] = sentence(_load("nothing.track.safetensors", "pose", ["load", 1]))
    found["a track outside the folders"] = sentence(_load("../secret.track.safetensors", "pose", ["load", 1]))
    found["a file that is no track"] = sentence(_load("foreign.track.safetensors", "pose", ["load", 1]))
    lone = _graph()
    del lone["blend"]["inputs"]["other_pose"]
    found["a blend with half a pair"] = sentence(lone)
    open(os.path.join(host.base, "secret.csv"), "wb").close()
    _talk(host, found, sentence)
    found["a wrong keyframe"] = sentence(_graph(**{"set.smile": "0:0, 0.2:3"}))
    return found
