"""A folder with a portrait, voices and tables, under a name that shells and encodings stumble over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.waves import write_wave

FOLDER = "b\u00e4tch \u4f60\u597d"
PORTRAIT, NOBODY = "f\u00e4ce \u4f60.png", "nobody.png"


def write_voice(path: Path, seconds: float, rate_hz: int = 16_000) -> Path:
    """Noise in syllables, mono, 16 bits."""
    n = round(seconds * rate_hz)
    syllables = (torch.arange(n) * (2 * torch.pi * 4 / rate_hz)).sin().clamp(min=0)
    noise = torch.randn(n, generator=torch.Generator().manual_seed(7)).clamp(-4, 4) * syllables * 0.2
    return write_wave(path, noise, rate_hz)


def titled(wav: bytes, title: bytes) -> bytes:
    """The wav with that title, in whatever encoding it is, as old editors write it."""
    text = title + b"\0" * (2 - len(title) % 2)
    info = b"INFO" + b"INAM" + len(text).to_bytes(4, "little") + text
    data = bytearray(wav[:12] + b"LIST" + len(info).to_bytes(4, "little") + info + wav[12:])
    data[4:8] = (len(data) - 8).to_bytes(4, "little")
    return bytes(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The portrait of somebody, an image of nobody, and voices of 16 and 32 frames."""
    from PIL import Image

    from tests.face.images import astronaut

    folder = tmp_path_factory.mktemp("batch") / FOLDER
    folder.mkdir()
    Image.fromarray((astronaut() * 255).byte().numpy()).save(folder / PORTRAIT)
    Image.new("RGB", (128, 128), "grey").save(folder / NOBODY)
    write_voice(folder / "short.wav", 16 / 25)
    write_voice(folder / "long voice.wav", 32 / 25)
    return folder


@pytest.fixture
def table(folder):
    """Writes a table into the folder: table("name.csv", "portrait,out", "a.png,a.mp4") -> its path."""

    def write(name: str, *lines: str) -> Path:
        path = folder / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write
