"""For test_refusals.py: graphs that cannot work, and the sentence that each of them gets."""

import logging
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
import torch  # noqa: E402
from graphs import raised  # noqa: E402
from PIL import Image  # noqa: E402


def _announced(host) -> list:
    """What Face Render says of an idle clip, and whether it has said so before its first frame."""
    messages, at_first = [], []

    class Handler(logging.Handler):
        def emit(self, record):
            if "Face Render makes" in record.getMessage():
                messages.append(record.getMessage())

    def on_progress(node, value, total):
        if node == "render" and value:
            at_first.append(len(messages))

    handler = Handler()
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)  # as the server has it
    host.run(graphs.talking(idle_seconds=0.4), on_progress)
    logging.getLogger().removeHandler(handler)
    return [messages, at_first[0]]


def main(host) -> dict:
    from comfy_execution.utils import CurrentNodeContext

    inputs = os.path.join(host.base, "input")
    Image.new("RGB", (320, 240), (90, 120, 90)).save(os.path.join(inputs, "meadow.png"))
    Image.new("RGB", (16, 16), (90, 120, 90)).save(os.path.join(inputs, "tiny.png"))
    Image.new("1", (20_000, 10_000)).save(os.path.join(inputs, "huge.png"))
    with open(os.path.join(inputs, "pointer.png"), "wb") as file:
        file.write(b"version https://git-lfs.github.com/spec/v1\n")
    astronaut = Image.open(os.path.join(inputs, "astronaut.png")).convert("RGB")
    pair = Image.new("RGB", (astronaut.width * 2, astronaut.height))
    pair.paste(astronaut, (0, 0))
    pair.paste(astronaut, (astronaut.width, 0))
    pair.save(os.path.join(inputs, "pair.png"))

    def sentence(prompt) -> str:
        try:
            outcome = host.run(prompt)
        except ValueError as refused:
            return str(refused)
        return outcome.error["exception_message"] if outcome.error else "it ran"

    found = {
        "no face": sentence(graphs.talking(image="meadow.png")),
        "too small": sentence(graphs.talking(image="tiny.png")),
        "a picture that is none": sentence(graphs.talking(image="pointer.png")),
        "a picture of 200 megapixels": sentence(graphs.talking(image="huge.png")),
        "third of two faces": sentence(graphs.talking(image="pair.png", **{"portrait.face_index": 2})),
        "second of two faces": sentence(graphs.talking(0.2, image="pair.png", **{"portrait.face_index": 1})),
        "no voice and no idle time": sentence(graphs.talking(idle_seconds=0.0)),
        "released weights not there": sentence(graphs.talking(model="SadTalker 256")),
        "degrees that are none": sentence(graphs.talking(**{"mapping.yaw": "left, right"})),
        "portrait without a crop": sentence(graphs.talking(**{"render.portrait": ["portrait", 0]})),
        "wire of another kind": sentence(graphs.talking(**{"render.motion": ["posevae", 0]})),
        "picture that is not there": sentence(graphs.talking(image="nobody.png")),
        "pose style beyond the last": sentence(graphs.talking(**{"posevae.pose_style": 46})),
    }

    pack = host.pack.__name__
    types = sys.modules[f"{pack}.sadtalker_core.datatypes"]
    nodes = host.nodes.NODE_CLASS_MAPPINGS
    found["announced"] = _announced(host)
    model, portrait, motion = host.value("model"), host.value("extract"), host.value("mapping")
    other = [types.KeypointMotion(*vars(rows).values()) for rows in (motion.driving, motion.source)]
    foreign = types.Motion(*other)

    render = nodes["SadTalkerFaceRender"].execute
    found["motion of the other family"] = raised(lambda: render(model, portrait, foreign, 0))
    long = types.BlendshapeMotion(
        *(
            part[:1].expand(9_000_000, *part.shape[1:])
            for part in (
                motion.driving.yaw,
                motion.driving.pitch,
                motion.driving.roll,
                motion.driving.translation,
                motion.driving.weights,
            )
        )
    )
    endless = types.Motion(long, motion.source)
    found["a clip that fits into no memory"] = raised(lambda: render(model, portrait, endless, 0))
    encode = nodes["SadTalkerAudioEncode"].execute
    two = {"waveform": torch.zeros(2, 1, 16000), "sample_rate": 16000}
    found["two voices in a batch"] = raised(lambda: encode(0.0, audio=two))
    broken = {"waveform": torch.full((1, 1, 16000), float("nan")), "sample_rate": 16000}
    found["a voice of no numbers"] = raised(lambda: encode(0.0, audio=broken))
    short = {"waveform": torch.zeros(1, 1, 100), "sample_rate": 16000}
    found["a voice of six milliseconds"] = raised(lambda: encode(0.0, audio=short))
    from_image = nodes["SadTalkerPortraitFromImage"].execute
    image = torch.rand(2, 128, 128, 3)
    found["third of two pictures"] = raised(lambda: from_image(image, 0, "largest", 2, 0, 0, 0, 0))
    found["an empty mask"] = raised(
        lambda: from_image(image, 0, "largest", 0, 0, 0, 0, 0, mask=torch.zeros(1, 128, 128))
    )
    with CurrentNodeContext("a prompt", "a node", 3):
        found["fourth of a list of pictures"] = raised(lambda: from_image(image[:, :9], 0, "largest", 0, 0, 0, 0, 0))
        load = nodes["SadTalkerLoadPortrait"].execute
        found["fourth of a list of files"] = raised(lambda: load("tiny.png", 0, "largest"))
        extract = nodes["SadTalker3DMMExtract"].execute
        green = types.Portrait(torch.full((128, 128, 3), 0.5), name="green.png")
        found["fourth of a list of portraits"] = raised(lambda: extract(model, green, "crop", 1.0, 0.0, 0.0, "auto"))
        found["a head of 100 pixels"] = raised(lambda: extract(model, green, "crop", 1.0, 0.0, 0.0, "auto", 100))
    reference = nodes["SadTalkerReferenceVideo"].execute
    found["neither frames nor video"] = raised(lambda: reference(model, 25.0, "hold", 0, "largest", "auto"))
    flat = torch.zeros(4)
    found["frames without their shape"] = raised(
        lambda: reference(model, 25.0, "hold", 0, "largest", "auto", frames=flat)
    )
    return found
