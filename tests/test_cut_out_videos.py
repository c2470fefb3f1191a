"""A portrait with transparency becomes a video: transparent, on a colour or on an image; with head and whole image."""

from __future__ import annotations

import io
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from sadtalker_core.api import load
from sadtalker_core.batch.worker import JobPayload, Worker
from sadtalker_core.compose.ffmpeg import ffmpeg_command
from sadtalker_core.options import Options
from tests.decoded import decoded
from tests.face.images import astronaut

pytestmark = pytest.mark.slow

IDLE = {"idle_seconds": 0.12, "quality": "best", "render_size": 256}


@pytest.fixture(scope="module")
def model():
    return load("mini", device="cpu")


@pytest.fixture(scope="module")
def cut_out():
    """The astronaut within an oval, black beyond it."""
    y, x = torch.meshgrid(*[torch.arange(512) + 0.5] * 2, indexing="ij")
    alpha = ((1 - ((x - 224) / 100).hypot((y - 110) / 96)) * 96 + 0.5).clamp(0, 1)[..., None]
    return torch.cat([astronaut() * (alpha > 0), alpha], dim=-1)


def layers_of(file, size):
    """(T, H, W, 4) in 0..1; size: of the frames"""
    command = [*ffmpeg_command(), *(["-c:v", "libvpx-vp9"] if file.suffix == ".webm" else []), "-i", str(file)]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgba", "-"], capture_output=True, check=True).stdout
    pixels = torch.from_numpy(np.frombuffer(raw, np.uint8).astype(np.float32)) / 255
    width, height = size
    return pixels.view(3, height + height % 2, width + width % 2, 4)[:, :height, :width]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kind", ["webm", "mov"])
def test_the_file_has_the_alpha_of_the_frames(model, cut_out, tmp_path, kind, whole):
    video = model.animate(cut_out, None, Options(format=kind, paste_back=whole, **IDLE))
    wanted = torch.cat(list(video.frames(alpha=True))).permute(0, 2, 3, 1)
    found = layers_of(video.save(tmp_path / f"a.{kind}"), video.size)
    assert found.shape == wanted.shape and wanted[..., 3].min() == 0 and wanted[..., 3].max() == 1
    assert (found - wanted)[..., 3].abs().max() < 0.1 and (found - wanted)[..., 3].abs().mean() < 0.002
    opaque = wanted[..., 3] == 1
    assert (found - wanted)[..., :3][opaque].abs().mean() < 0.01


def test_alpha_is_one_for_an_opaque_portrait_and_changes_no_colour(model, cut_out):
    for image in (astronaut(), cut_out):
        video = model.animate(image, None, Options(**IDLE))
        plain, layers = (torch.cat(list(video.frames(alpha=alpha))) for alpha in (False, True))
        assert plain.shape[1] == 3 and torch.equal(layers[:, :3], plain)
        assert bool((layers[:, 3] == 1).all()) == (image.shape[-1] == 3)


def test_a_background_shows_where_the_portrait_is_transparent(model, cut_out, tmp_path):
    Image.new("RGB", (300, 200), (250, 200, 40)).save(tmp_path / "behind.png")
    for background, colour in (("#00c040", (0, 192, 64)), (str(tmp_path / "behind.png"), (250, 200, 40))):
        video = model.animate(cut_out, None, Options(background=background, **IDLE))
        frames = decoded(video.save(tmp_path / "a.mp4", overwrite=True)).frames.astype(int)
        assert np.abs(frames[:, :12, :12] - colour).max() < 8
        own = torch.cat(list(video.frames())).permute(0, 2, 3, 1).numpy()[:, 100:160, 100:160] * 255
        assert np.abs(frames[:, 100:160, 100:160] - own).mean() < 4


def test_a_batch_makes_the_same_videos(model, cut_out, tmp_path):
    portrait, behind = io.BytesIO(), io.BytesIO()
    Image.fromarray((cut_out * 255).byte().numpy()).save(portrait, "PNG")
    Image.new("RGB", (64, 64), (40, 80, 120)).save(behind, "PNG")
    options = Options(background="behind.png", **IDLE)
    content, n_frames = Worker().run_job(JobPayload(portrait.getvalue(), None, options, background=behind.getvalue()))
    (tmp_path / "a.mp4").write_bytes(content)
    frames = decoded(tmp_path / "a.mp4").frames.astype(int)
    assert n_frames == len(frames) == 3 and np.abs(frames[:, :12, :12] - (40, 80, 120)).max() < 8
