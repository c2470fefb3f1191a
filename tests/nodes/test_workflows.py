"""Every shipped workflow runs in a real server on the built-in model; what it writes is looked at."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from tests.comfyui import media, workflow
from tests.comfyui.layout import PROJECT

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]

WORKFLOWS = PROJECT / "workflows"
RUNNABLE = ["talking_portrait", "full_body_paste_back", "reference_video", "idle_portrait"]
SECONDS = 1.0


@pytest.fixture(scope="module")
def inputs(client, comfyui, voice, tmp_path_factory) -> dict[str, str]:
    """The names that the workflows ask for -> short things that lie in the server's input folder."""
    folder = tmp_path_factory.mktemp("inputs")
    sound = folder / "short.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(_samples(comfyui, voice, int(SECONDS * 16_000)))
    client.upload(sound, "short.wav")

    made = _run(client, "idle_portrait", {"portrait.png": "astronaut.png"}, seconds=0.6)
    clip = folder / "reference.mp4"
    clip.write_bytes(client.download(made.files(".mp4")[0]))
    client.upload(clip, "reference.mp4")
    return {"portrait.png": "astronaut.png", "speech.wav": "short.wav", "reference.mp4": "reference.mp4"}


def _samples(comfyui, voice: Path, n: int) -> bytes:
    """The first n samples of the demo's speech as 16-bit PCM, decoded by ComfyUI's own Python."""
    import subprocess

    code = (
        "import av, sys, numpy as np\n"
        "r = av.AudioResampler('s16', 'mono', 16000)\n"
        "a = [f.to_ndarray() for p in av.open(sys.argv[1]).decode(audio=0) for f in r.resample(p)]\n"
        "sys.stdout.buffer.write(np.concatenate(a, 1)[0].astype('<i2').tobytes())\n"
    )
    done = subprocess.run([str(comfyui.python), "-c", code, str(voice)], capture_output=True, check=True)
    return done.stdout[: 2 * n]


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
    if name == "full_body_paste_back":
        assert (record["video"]["width"], record["video"]["height"]) == (512, 512), "the whole picture"


def test_every_shipped_workflow_has_a_thumbnail():
    files = sorted(WORKFLOWS.glob("*.json"))
    assert len(files) >= 5
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
