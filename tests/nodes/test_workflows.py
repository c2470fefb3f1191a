"""Every shipped workflow runs in a real server on the built-in model; what it writes is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.comfyui import media, workflow
from tests.comfyui.layout import PROJECT

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]

WORKFLOWS = PROJECT / "workflows"
RUNNABLE = ["talking_portrait", "full_body_paste_back", "upscaled_paste_back", "reference_video", "idle_portrait"]
SECONDS = 1.0


@pytest.fixture(scope="module")
def inputs(server, client, comfyui, voice, tmp_path_factory) -> dict[str, str]:
    """The names that the workflows ask for -> short things that lie in the server's input folder."""
    folder = tmp_path_factory.mktemp("inputs")
    client.upload(media.beginning(comfyui, voice, SECONDS, folder / "short.wav"))
    made = _run(client, "idle_portrait", {"portrait.png": "astronaut.png"}, seconds=0.6)
    clip = folder / "reference.mp4"
    clip.write_bytes(client.download(made.files(".mp4")[0]))
    client.upload(clip, "reference.mp4")
    client.upload(media.two_people(comfyui, folder / "two_people.png"))
    put_upscale_model(server)
    pictures = {"portrait.png": "astronaut.png", "two_people.png": "two_people.png"}
    return {**pictures, **dict.fromkeys(("speech.wav", "voice_1.wav", "voice_2.wav"), "short.wav")}


def put_upscale_model(server) -> None:
    """A net of the kind of Real-ESRGAN's small models, with weights of zero: every pixel becomes 4 x 4 of them."""
    import torch
    from safetensors.torch import save_file

    shapes = {"body.0.weight": (8, 3, 3, 3), "body.0.bias": (8,), "body.1.weight": (8,), "body.2.weight": (48, 8, 3, 3),
              "body.2.bias": (48,)}  # fmt: skip
    folder = server.base / "models" / "upscale_models"
    folder.mkdir(exist_ok=True)
    net = {name: torch.zeros(shape) for name, shape in shapes.items()}
    save_file(net, str(folder / "RealESRGAN_x4plus.safetensors"))


def _run(client, name: str, replaced: dict[str, str], seconds: float | None = None):
    prompt = workflow.to_prompt(workflow.load(WORKFLOWS / f"{name}.json"), client.object_info())
    for node in prompt.values():
        for key, value in node["inputs"].items():
            if isinstance(value, str) and value in replaced:
                node["inputs"][key] = replaced[value]
        if seconds is not None and "idle_seconds" in node["inputs"]:
            node["inputs"]["idle_seconds"] = seconds
    return client.run(prompt, workflow=workflow.load(WORKFLOWS / f"{name}.json"))


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_shipped_workflow_makes_a_video(client, comfyui, inputs, tmp_path, name):
    run = _run(client, name, inputs, seconds=SECONDS)
    file = tmp_path / "video.mp4"
    file.write_bytes(client.download(run.files(".mp4")[0]))
    record = media.probe(comfyui, file)[0]
    voice_seconds = None if name == "idle_portrait" else SECONDS
    assert media.complaints(record, voice_seconds) == []
    assert record["video"]["frames"] == 25
    assert "AI-generated" in record["metadata"]["comment"]
    assert '"nodes"' in record["metadata"]["workflow"], "dropping the file on the page restores the graph"
    if name.endswith("paste_back"):
        assert (record["video"]["width"], record["video"]["height"]) == (512, 512), "the whole picture"


def test_of_two_people_each_speaks_with_a_voice_of_their_own(client, comfyui, inputs, tmp_path):
    """The one on the left in the first second, the other in the second; who listens keeps the mouth still."""
    run = _run(client, "two_speakers", inputs)
    file = tmp_path / "video.mp4"
    file.write_bytes(client.download(run.files(".mp4")[0]))
    assert media.complaints(media.probe(comfyui, file)[0], 2 * SECONDS) == []
    frames = _frames(file)
    assert frames.shape == (50, 512, 680, 3)
    moves = [[frames[start : start + 25, 100:145, left : left + 60].std(axis=0).mean() for start in (0, 25)]
             for left in (135, 485)]  # fmt: skip
    assert moves[0][0] > 2 * moves[0][1] and moves[1][1] > 2 * moves[1][0], moves


def _frames(file: Path):
    """(T, H, W, 3) floats in 0..255."""
    import av
    import numpy as np

    with av.open(str(file)) as clip:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]).astype(float)


def test_every_shipped_workflow_has_a_thumbnail():
    files = sorted(WORKFLOWS.glob("*.json"))
    assert len(files) >= 7
    assert [file.stem for file in files if not file.with_suffix(".jpg").is_file()] == []


def test_the_stable_diffusion_workflow_ends_in_the_same_stages(client):
    """It needs weights that are not here; its half after the picture is that of talking_portrait."""
    info = client.object_info()
    whole = workflow.to_prompt(workflow.load(WORKFLOWS / "stable_diffusion_to_talking.json"), info)
    talking = workflow.to_prompt(workflow.load(WORKFLOWS / "talking_portrait.json"), info)
    ours = sorted(n["class_type"] for n in whole.values() if n["class_type"].startswith("SadTalker"))
    theirs = sorted(n["class_type"] for n in talking.values() if n["class_type"].startswith("SadTalker"))
    assert ours == sorted([*(kind for kind in theirs if kind != "SadTalkerLoadPortrait"), "SadTalkerPortraitFromImage"])
    decoded = next(node_id for node_id, n in whole.items() if n["class_type"] == "VAEDecode")
    portrait = next(n for n in whole.values() if n["class_type"] == "SadTalkerPortraitFromImage")
    assert portrait["inputs"]["image"] == [decoded, 0]
