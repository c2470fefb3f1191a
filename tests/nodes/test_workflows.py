"""Every shipped workflow runs in a real server on the built-in model; what it writes is looked at."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sadtalker_core.compose.ffmpeg import ffmpeg_command
from tests.tools.comfyui import media, shipped, workflow

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]

RUNNABLE = ["talking_portrait", "full_body_paste_back", "upscaled_paste_back", "reference_video", "idle_portrait",
            "acting_portrait", "dub_video"]  # fmt: skip
SECONDS = 1.0


@pytest.fixture(scope="module")
def inputs(server, client, comfyui, tmp_path_factory) -> dict[str, str]:
    return shipped.provide(comfyui, server, client, SECONDS, tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_shipped_workflow_makes_a_video(client, comfyui, inputs, tmp_path, name):
    run = shipped.run(client, name, inputs, seconds=SECONDS)
    file = tmp_path / "video.mp4"
    file.write_bytes(client.download(run.files(".mp4")[0]))
    record = media.probe(comfyui, file)[0]
    voice_seconds = None if name == "idle_portrait" else SECONDS
    assert media.complaints(record, voice_seconds) == []
    assert record["video"]["frames"] == 25
    assert "AI-generated" in record["metadata"]["comment"]
    assert '"nodes"' in record["metadata"]["workflow"], "dropping the file on the page restores the graph"
    if name.endswith("paste_back"):
        assert (record["video"]["width"], record["video"]["height"]) == (512, 512), "the whole image"


def test_a_cut_out_is_laid_on_its_background_or_stays_transparent(client, inputs, tmp_path):
    """Face Render's alpha in Video Combine: an mp4 on an image, a webm, and a mov with a copy that the page plays."""
    graph = workflow.load(shipped.FILES["cutout_on_background"])
    prompt = workflow.to_prompt(graph, client.object_info())
    for node in prompt.values():
        node["inputs"] |= {name: inputs[value] for name, value in node["inputs"].items() if str(value) in inputs}
    videos = {}
    for kind, behind in (("mp4", True), ("webm", False), ("mov", False)):
        (combine,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "SadTalkerVideoCombine")
        combine["format"] = kind
        if not behind:
            combine.pop("background", None)
        run = client.run(prompt, workflow=graph)
        (shown,) = run.files(".mp4" if kind == "mov" else f".{kind}")
        videos[kind] = tmp_path / f"a.{kind}"
        videos[kind].write_bytes(client.download(shown))
        assert shown["type"] == ("temp" if kind == "mov" else "output")
    laid, opaque = (_frames(videos[kind]) for kind in ("mp4", "mov"))
    layers = _layers(videos["webm"])
    assert laid.shape == opaque.shape == layers[..., :3].shape
    corner, face = (slice(None), slice(4, 20), slice(4, 20)), (slice(None), slice(100, 160), slice(100, 160))
    assert layers[corner][..., 3].max() < 4 and layers[face][..., 3].min() > 251
    assert abs(laid[corner].mean(axis=(0, 1, 2)) - (40, 90, 170)).max() < 12, "the sky of the background"
    assert abs(opaque[corner] - 128).max() < 6, "grey, which the page is shown for transparent"
    assert abs(laid[face] - layers[face][..., :3]).mean() < 4


def _layers(file: Path):
    """(T, H, W, 4) floats in 0..255; the other decoder of VP9 leaves alpha out."""
    import numpy as np

    done = subprocess.run(
        [*ffmpeg_command(), "-c:v", "libvpx-vp9", "-i", str(file), "-f", "rawvideo", "-pix_fmt", "rgba", "-"],
        capture_output=True,
        check=True,
    )
    side = 256
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, side, side, 4).astype(float)


def test_of_two_people_each_speaks_with_a_voice_of_their_own(client, comfyui, inputs, tmp_path):
    """The one on the left in the first second, the other in the second; who listens keeps the mouth still."""
    run = shipped.run(client, "two_speakers", inputs)
    file = tmp_path / "video.mp4"
    file.write_bytes(client.download(run.files(".mp4")[0]))
    assert media.complaints(media.probe(comfyui, file)[0], 2 * SECONDS) == []
    frames = _frames(file)
    assert frames.shape == (50, 512, 680, 3)
    moves = [
        [frames[start : start + 25, 100:145, left : left + 60].std(axis=0).mean() for start in (0, 25)]
        for left in (135, 485)
    ]
    assert moves[0][0] > 2 * moves[0][1] and moves[1][1] > 2 * moves[1][0], moves


def _frames(file: Path):
    """(T, H, W, 3) floats in 0..255."""
    import av
    import numpy as np

    with av.open(str(file)) as clip:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]).astype(float)


def test_every_shipped_workflow_has_a_thumbnail():
    assert len(shipped.FILES) >= 7
    assert [name for name, file in shipped.FILES.items() if not file.with_suffix(".jpg").is_file()] == []


def test_the_stable_diffusion_workflow_ends_in_the_same_stages(client):
    """Its half after the image is that of talking_portrait; with a stand-in for its checkpoint the page runs it."""
    info = client.object_info()
    whole = workflow.to_prompt(workflow.load(shipped.FILES["stable_diffusion_to_talking"]), info)
    talking = workflow.to_prompt(workflow.load(shipped.FILES["talking_portrait"]), info)
    ours = sorted(n["class_type"] for n in whole.values() if n["class_type"].startswith("SadTalker"))
    theirs = sorted(n["class_type"] for n in talking.values() if n["class_type"].startswith("SadTalker"))
    assert ours == sorted([*(kind for kind in theirs if kind != "SadTalkerLoadPortrait"), "SadTalkerPortraitFromImage"])
    decoded = next(node_id for node_id, n in whole.items() if n["class_type"] == "VAEDecode")
    portrait = next(n for n in whole.values() if n["class_type"] == "SadTalkerPortraitFromImage")
    assert portrait["inputs"]["image"] == [decoded, 0]
