"""Files become the tensors that ComfyUI's own loaders would make of them."""

from __future__ import annotations

import io
import subprocess
import sys
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from sadtalker_core.errors import AudioError, ImageError
from sadtalker_core.face.image_file import read_image
from sadtalker_core.media import audio_seconds, read_audio
from tests.batch.conftest import titled


@pytest.fixture(params=["PyAV", "ffmpeg"])
def reader(request, monkeypatch):
    """Each of the two that read sound."""
    if request.param == "ffmpeg":
        monkeypatch.setitem(sys.modules, "av", None)
    return request.param


def png(image: Image.Image, **how) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **how)
    return stream.getvalue()


def pcm(samples: np.ndarray, rate_hz: int = 8_000) -> bytes:
    """samples (n, C) of 1, 2 or 4 bytes -> a wav."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())
    return stream.getvalue()


def test_an_image_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    torch.testing.assert_close(read_image(png(Image.fromarray(pixels))) * 255, torch.from_numpy(pixels).float())


def test_transparency_is_the_fourth_channel():
    image = read_image(png(Image.new("RGBA", (6, 4), (255, 0, 0, 51))))
    assert image.shape == (4, 6, 4) and image[0, 0].tolist() == pytest.approx([1, 0, 0, 0.2])


def test_an_image_that_lies_on_its_side_is_put_upright():
    lying = Image.new("RGB", (6, 4))
    lying.putpixel((0, 0), (255, 255, 255))
    orientation = Image.Exif()
    orientation[0x0112] = 6  # the camera was turned: a quarter clockwise puts it right
    image = read_image(png(lying, exif=orientation))
    assert image.shape == (6, 4, 3) and image[0, 3].sum() == 3


def test_sixteen_bits_of_grey_are_not_cut_to_eight():
    grey = Image.fromarray(np.full((4, 4), 0x8080, np.uint16))
    assert read_image(png(grey))[0, 0].tolist() == pytest.approx([0x80 / 0xFF] * 3)


@pytest.mark.parametrize(("kind", "lowest"), [(np.uint8, 0), (np.int16, -(2**15)), (np.int32, -(2**31))])
def test_a_voice_keeps_its_rate_its_channels_and_its_samples(kind, lowest, reader):
    middle = 128 if kind is np.uint8 else 0
    samples = np.full((64, 2), middle, kind)
    samples[10, 0], samples[20, 1] = lowest, (middle - lowest) // 2 + middle
    waveform, rate_hz = read_audio(pcm(samples))
    assert rate_hz == 8_000 and waveform.shape == (2, 64) and waveform.dtype == torch.float32
    wanted = torch.zeros(2, 64)
    wanted[0, 10], wanted[1, 20] = -1, 0.5
    torch.testing.assert_close(waveform, wanted)


def test_the_length_is_known_before_the_sound_is_decoded(tmp_path, reader):
    (tmp_path / "voice.wav").write_bytes(pcm(np.zeros((12_000, 1), np.int16)))
    assert audio_seconds(tmp_path / "voice.wav") == 1.5


def test_what_is_neither_gets_a_sentence(reader):
    with pytest.raises(ImageError, match="cannot be read as an image"):
        read_image(b"no picture")
    with pytest.raises(AudioError, match=r"^it cannot be read as audio \([^)]+\)\. .*convert it to WAV\.$") as refused:
        read_audio(b"no sound")
    assert "Errno" not in str(refused.value)
    with pytest.raises(AudioError, match="has no audio"):
        read_audio(png(Image.new("RGB", (64, 64))))


@pytest.mark.parametrize("title", ["Zo\u00eb".encode("latin-1"), "\u4f60\u597d".encode("gbk"), b"\xff\xfe\0"])
def test_a_title_in_any_encoding_does_no_harm(tmp_path, title, reader):
    plain = pcm(np.arange(800, dtype=np.int16)[:, None])
    odd = titled(plain, title)
    (tmp_path / "voice.wav").write_bytes(odd)
    assert audio_seconds(tmp_path / "voice.wav") == 0.1
    torch.testing.assert_close(read_audio(odd)[0], read_audio(plain)[0], rtol=0, atol=0)


@pytest.mark.parametrize("n_channels", [2, 6, 8])
def test_channels_are_neither_mixed_nor_swapped(n_channels, reader):
    samples = np.arange(n_channels, dtype=np.int16)[None].repeat(64, 0) << 10
    waveform, _ = read_audio(pcm(samples))
    torch.testing.assert_close(waveform, torch.arange(n_channels)[:, None].expand(-1, 64) / 32)


def test_a_sound_of_eight_channels_can_be_read(reader):
    """As videos have it. AAC decodes to eight planes, of which PyAV 18 reads a ninth."""
    waveform, rate_hz = read_audio(aac(48_000, "7.1", "matroska"))
    assert rate_hz == 48_000 and len(waveform) == 8 and not waveform.any()


@pytest.mark.parametrize("container", ["adts", "matroska", "mov"])
def test_both_readers_read_the_same_in_any_container(container, tmp_path, monkeypatch):
    """An index at the end of a mov cannot be read from a pipe; adts tells no length."""
    hello = Path(__file__).parent / "demo" / "hello.flac"
    codec = ["-c:a", "aac"] if container == "adts" else ["-c:a", "pcm_s16le"]
    sound = tmp_path / "sound"
    subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-v",
            "error",
            "-i",
            str(hello),
            "-t",
            "1",
            *codec,
            "-f",
            container,
            str(sound),
        ],
        check=True,
    )
    by_av, seconds = read_audio(sound), audio_seconds(sound)
    monkeypatch.setitem(sys.modules, "av", None)
    for source in (sound, sound.read_bytes()):
        waveform, rate_hz = read_audio(source)
        assert rate_hz == by_av[1] == 16_000
        torch.testing.assert_close(waveform, by_av[0][:, : waveform.shape[1]], rtol=0, atol=1e-5)
    assert audio_seconds(sound) == pytest.approx(seconds, abs=0.1)


def test_without_any_ffmpeg_a_sentence_reports_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nowhere/ffmpeg")
    with pytest.raises(AudioError, match="no ffmpeg can be run"):
        read_audio(b"sound")


@pytest.mark.parametrize("second", [{"rate": 44_100, "layout": "stereo"}, {"rate": 16_000, "layout": "mono"}])
def test_a_sound_that_changes_on_the_way_gets_a_sentence(second):
    pieces = [aac(rate=44_100, layout="mono"), aac(**second)]
    with pytest.raises(AudioError, match="its sample rate or number of channels changes"):
        read_audio(b"".join(pieces))
    assert read_audio(pieces[0] * 2)[1] == 44_100


def aac(rate: int, layout: str, container: str = "adts") -> bytes:
    """Silence as AAC, by default in a form that can be put end to end."""
    silence = f"anullsrc=r={rate}:cl={layout}"
    command = ["-v", "error", "-f", "lavfi", "-i", silence, "-t", "0.1", "-c:a", "aac", "-f", container, "-"]
    return subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *command], check=True, capture_output=True).stdout
