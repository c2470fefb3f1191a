"""Formats beside mp4: what is transparent comes back transparent, with its sound, its words and its mark."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from sadtalker_core.claims import claim_next
from sadtalker_core.compose.ffmpeg import ffmpeg_command
from sadtalker_core.compose.formats import FORMATS, format_of
from sadtalker_core.compose.signature import Signature
from sadtalker_core.compose.video import VideoWriter, sweep
from sadtalker_core.compose.video_file import write_playable_copy
from sadtalker_core.errors import SigningError, VideoError

SIDE = 64
TRANSPARENT = ("webm", "mov")


def ffmpeg(*arguments):
    return subprocess.run([*ffmpeg_command(), "-hide_banner", *arguments], capture_output=True, check=False)


def read_layers(path):
    """(T, SIDE, SIDE, 4) bytes; ffmpeg's own VP9 decoder would leave the alpha out"""
    decoder = ["-c:v", "libvpx-vp9"] if path.suffix == ".webm" else []
    raw = ffmpeg(*decoder, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgba", "-").stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 4).astype(int)


def a_disc(n=6):
    """(n, SIDE, SIDE, 4): a disc with a soft edge that moves to the right, its colour a ramp."""
    y, x = torch.meshgrid(*[torch.arange(SIDE) + 0.5] * 2, indexing="ij")
    colours = torch.stack([x / SIDE, y / SIDE, torch.full_like(x, 0.4)], dim=-1)
    return torch.stack(
        [
            torch.cat([colours, ((20 - (x - 26 - 2 * k).hypot(y - 32)) / 4).clamp(0, 1)[..., None]], dim=-1)
            for k in range(n)
        ]
    )


def write(path, layers, **options):
    with VideoWriter(path, (SIDE, SIDE), 25, alpha=layers.shape[-1] == 4, **options) as writer:
        for piece in layers.split(4):
            writer.write(piece)
    return path


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_alpha_and_colours_come_back_as_they_were(tmp_path, kind):
    layers = a_disc()
    path = write(tmp_path / f"a.{kind}", layers, quality="best")
    wanted, back = (layers * 255).round().numpy().astype(int), read_layers(path)
    assert back.shape == wanted.shape
    assert np.abs(back - wanted)[..., 3].max() <= 4
    assert np.abs(back - wanted)[..., :3][wanted[..., 3] == 255].max() <= 8


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_keeps_sound_words_and_the_mark(tmp_path, kind):
    tone = 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(44_100) / 44_100)
    path = write(
        tmp_path / f"a.{kind}", a_disc(25)[..., :3], audio=(tone, 44_100), metadata={"prompt": '{"a": "\u00e9=;#"}'}
    )
    report = ffmpeg("-i", str(path)).stderr.decode()
    assert "AI-generated: this person was animated by SadTalker Nodes." in report and '{"a": "\u00e9=;#"}' in report
    assert re.search(r"aigc\s*: {\"Label\": \"1\"}", report, re.IGNORECASE)
    wave = np.frombuffer(
        ffmpeg("-i", str(path), "-vn", "-f", "f32le", "-ac", "1", "-ar", "44100", "-").stdout, np.float32
    )
    assert len(wave) / 44_100 == pytest.approx(1, abs=0.05)
    assert np.sqrt((wave[8820:35280] ** 2).mean()) == pytest.approx(0.3 / 2**0.5, rel=0.05)
    assert re.search(r"Video: (\w+)", report)[1] == {"mp4": "h264", "webm": "vp9", "mov": "prores"}[kind]


def test_an_mp4_reports_that_it_cannot_be_transparent(tmp_path):
    with pytest.raises(VideoError, match=r"^a\.mp4 is to be transparent, which only \.webm and \.mov can be\.$"):
        VideoWriter(tmp_path / "a.mp4", (SIDE, SIDE), 25, alpha=True)


def test_the_extension_selects_the_format_and_an_unknown_one_is_an_mp4():
    names = ("a.WebM", "b.mov", "c.mp4", "d", "e.txt")
    assert [format_of(Path(name)).name for name in names] == ["webm", "mov", "mp4", "mp4", "mp4"]


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_what_a_stopped_run_wrote_is_kept_with_its_alpha(tmp_path, kind):
    claim = claim_next(tmp_path, "film", f".{kind}", partial_ending=f"partial.{kind}")
    with pytest.raises(KeyboardInterrupt):
        with VideoWriter(claim, (SIDE, SIDE), 25, alpha=True) as writer:
            writer.write(a_disc(6))
            raise KeyboardInterrupt
    (kept,) = tmp_path.iterdir()
    assert kept.name == f"film_00001_partial.{kind}"
    back = read_layers(kept)
    assert len(back) == 6 and back[0, 32, 26, 3] > 250 and back[0, 2, 2, 3] < 5


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_what_a_killed_run_wrote_is_made_whole_by_the_next(tmp_path, kind):
    claim = claim_next(tmp_path, "film", f".{kind}", partial_ending=f"partial.{kind}")
    writer = VideoWriter(claim, (SIDE, SIDE), 25, alpha=True)
    writer.__enter__()
    writer.write(a_disc(6))
    writer._encoder.stop(after_seconds=20)  # the encoder has written all of it, and nobody is left to pack it
    claim.abandon()
    sweep(tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.name == f"film_00001_partial.{kind}" and len(read_layers(kept)) == 6


def test_a_webm_refuses_to_be_signed_before_anything_is_written(tmp_path):
    for name in ("certificates", "key"):
        (tmp_path / name).write_text("x")
    signature = Signature(tmp_path / "certificates", tmp_path / "key")
    with pytest.raises(SigningError, match="a webm file cannot be signed: .* Choose mp4 or mov"):
        VideoWriter(tmp_path / "a.webm", (SIDE, SIDE), 25, signature=signature)


def test_the_page_gets_a_copy_of_a_mov_on_grey(tmp_path):
    path = write(tmp_path / "a.mov", a_disc())
    write_playable_copy(path, tmp_path / "copy.mp4")
    raw = ffmpeg("-i", str(tmp_path / "copy.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout
    back = np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3).astype(int)
    assert len(back) == 6 and np.abs(back[:, 2:8, 2:8] - 128).max() <= 4
    wanted = (a_disc()[0, 32, 26, :3] * 255).round().numpy()
    assert np.abs(back[0, 32, 26] - wanted).max() <= 12
