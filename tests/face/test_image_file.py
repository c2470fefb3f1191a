"""Files of every kind become pixels in 0..1, or a sentence."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from sadtalker_core.errors import ImageError
from sadtalker_core.face.image_file import check_image_file, read_image

RAMP = np.linspace(0, 1, 256).reshape(16, 16)


def saved(image: Image.Image, kind: str = "PNG", **how) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


def tiff_of_floats(values: np.ndarray) -> bytes:
    return saved(Image.fromarray(values.astype(np.float32)), "TIFF")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(kind):
    grey = Image.fromarray(np.round(RAMP * 65_535).astype(np.uint16))
    torch.testing.assert_close(
        read_image(saved(grey, kind)), torch.from_numpy(RAMP).float()[..., None].expand(-1, -1, 3), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("most", [1, 255, 65_535])
def test_floats_are_scaled_by_what_holds_them(most):
    pixels = read_image(tiff_of_floats(RAMP * most))
    torch.testing.assert_close(pixels[..., 0], torch.from_numpy(RAMP).float(), atol=1e-5, rtol=0)


def test_whole_numbers_of_32_bits_are_scaled_by_what_holds_them():
    grey = Image.fromarray(np.round(RAMP * (2**31 - 1)).astype(np.int32))
    torch.testing.assert_close(
        read_image(saved(grey, "TIFF"))[..., 1], torch.from_numpy(RAMP).float(), atol=1e-5, rtol=0
    )


def test_floats_that_are_no_numbers_are_refused():
    values = RAMP.copy()
    values[3, 3] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        read_image(tiff_of_floats(values))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_of_colour_keeps_its_grey(mode):
    grey = Image.fromarray((np.arange(16)[None] // 8 * 255).repeat(16, 0).astype(np.uint8))
    stream = saved(grey.convert(mode), {"YCbCr": "JPEG", "PA": "TIFF"}.get(mode, "TIFF" if mode == "CMYK" else "PNG"))
    pixels = read_image(stream)
    assert pixels.shape == (16, 16, 4 if mode in ("LA", "PA", "RGBA") else 3)
    assert pixels[:, :6, :3].max() < 0.1 and pixels[:, 10:, :3].min() > 0.9


def test_a_palette_with_a_transparent_colour_has_a_fourth_channel():
    image = Image.new("P", (6, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((2, 1), 0)
    pixels = read_image(saved(image, transparency=0))
    assert pixels[1, 2].tolist() == [1, 0, 0, 0] and pixels[0, 0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_comes_as_the_camera_was_held(orientation):
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :8] = 255  # upper left, as it is seen
    undo = [
        None,
        None,
        np.fliplr,
        lambda a: np.rot90(a, 2),
        np.flipud,
        lambda a: a.swapaxes(0, 1),
        np.rot90,
        lambda a: np.rot90(a, 2).swapaxes(0, 1),
        lambda a: np.rot90(a, 3),
    ][orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    as_filmed = np.ascontiguousarray(undo(pixels)) if undo else pixels
    pixels = read_image(saved(Image.fromarray(as_filmed), exif=exif))
    assert pixels.shape == (16, 24, 3) and pixels[:8, :8].min() == 1 and pixels.sum() == 8 * 8 * 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's word on the damage
def test_a_damaged_note_of_the_camera_does_not_cost_the_image():
    pixels = read_image(saved(Image.new("RGB", (16, 24), "white"), exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"))
    assert pixels.shape == (24, 16, 3) and pixels.min() == 1


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_image_is_used_and_the_log_reports_it(kind, caplog):
    caplog.set_level(logging.INFO)
    frames = [Image.new("RGB", (20, 16), colour) for colour in ("white", "black", "red")]
    pixels = read_image(saved(frames[0], kind, save_all=True, append_images=frames[1:]), "the portrait 'a.gif'")
    assert pixels.shape[:2] == (16, 20) and pixels[..., :3].min() > 0.98
    assert "the portrait 'a.gif' is animated" in caplog.text


def test_a_file_that_ends_early_is_read_as_far_as_it_goes_and_the_log_reports_it(caplog):
    content = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), "JPEG")
    pixels = read_image(content[: len(content) * 3 // 4], "the portrait")
    whole = read_image(content)
    assert torch.equal(pixels[:8], whole[:8]) and not torch.equal(pixels[-8:], whole[-8:])
    assert "the portrait is damaged or truncated" in caplog.text


def png_of(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that claims to be so large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_an_image_of_200_megapixels_is_refused_with_its_size_and_the_limit(tmp_path):
    (tmp_path / "huge.png").write_bytes(png_of(20_000, 10_000))
    for read in (check_image_file, read_image):
        with pytest.raises(ImageError, match="the portrait has 200 megapixels, at most 179 are supported"):
            read(tmp_path / "huge.png", "the portrait")


def test_a_file_that_claims_more_than_it_holds_is_not_filled_up():
    with pytest.raises(ImageError, match="cannot be read as an image"):
        read_image(png_of(9_000, 9_000))


def test_an_image_of_one_pixel_is_an_image():
    assert read_image(saved(Image.new("RGB", (1, 1), "white"))).tolist() == [[[1, 1, 1]]]


@pytest.mark.parametrize("content", [b"", b"no picture", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(60)])
def test_what_is_no_image_gets_a_sentence(content, tmp_path):
    (tmp_path / "x.png").write_bytes(content)
    for source in (content, tmp_path / "x.png"):
        with pytest.raises(ImageError, match=r"^the portrait 'x.png' cannot be read as an image \(.+\)\. Open it"):
            read_image(source, "the portrait 'x.png'")


def test_what_is_no_file_gets_a_sentence(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.png"):
        with pytest.raises(ImageError, match="cannot be read as an image"):
            read_image(path)
        with pytest.raises(ImageError, match="cannot be read as an image"):
            check_image_file(path)
