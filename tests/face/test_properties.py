"""The doorway for images, whatever comes: pixels or a sentence, and nothing else."""

import io
import logging
import warnings

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sadtalker_core.errors import ImageError
from sadtalker_core.face.image import check_image
from sadtalker_core.face.image_file import read_image

KINDS = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
         "GIF": ("L", "P", "RGB"), "TIFF": ("1", "F", "I;16", "LAB", "PA", "CMYK", "RGBA"), "WEBP": ("RGB", "RGBA"),
         "BMP": ("1", "P", "RGB"), "TGA": ("LA", "RGBA"), "ICO": ("RGBA",), "PPM": ("L", "I")}  # fmt: skip
BOUNDED = settings(
    max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def image_files(sides: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    """Whole files of every kind and mode."""

    def save(kind_and_mode: tuple[str, str], width: int, height: int, seed: int) -> bytes:
        kind, mode = kind_and_mode
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        image, stream = Image.fromarray(noise), io.BytesIO()
        (image.convert("L") if mode == "I;16" else image).convert(mode).save(stream, kind)
        return stream.getvalue()

    kinds = st.sampled_from([(kind, mode) for kind, modes in KINDS.items() for mode in modes])
    return st.builds(save, kinds, sides, sides, st.integers(0, 3))


@st.composite
def damaged(draw) -> bytes:
    """A file that ends early, has flipped bits, or both."""
    content = bytearray(draw(image_files(st.sampled_from([1, 17, 65]))))
    for place, bit in draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 7)), max_size=12)):
        content[place % len(content)] ^= 1 << bit
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def pixels_or_a_sentence(call) -> None:
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():  # Pillow warns of odd tags
            warnings.simplefilter("ignore")
            image = call()
    except ImageError as error:
        assert 20 < len(str(error)) <= 600 and str(error).endswith((".", "made it."))
    else:
        assert image.ndim == 3 and image.shape[2] in (3, 4) and image.dtype == torch.float32
        assert 0 <= image.min() and image.max() <= 1
    finally:
        logging.disable(logging.NOTSET)


@BOUNDED
@given(st.binary(max_size=300))
def test_any_bytes_are_pixels_or_a_sentence(content):
    pixels_or_a_sentence(lambda: read_image(content, "the portrait"))


@BOUNDED
@given(damaged())
def test_a_damaged_image_is_pixels_or_a_sentence(content):
    pixels_or_a_sentence(lambda: read_image(content, "the portrait"))


@BOUNDED
@given(image_files(st.integers(1, 90)))
def test_a_whole_image_of_any_mode_and_size_passes_both_checks_or_is_refused(content):
    pixels_or_a_sentence(lambda: check_image(read_image(content), "the portrait")[0])


@BOUNDED
@given(
    st.lists(st.integers(0, 70), max_size=5),
    st.sampled_from([torch.float16, torch.float32, torch.float64, torch.uint8, torch.int32, torch.bool]),
    st.floats(),
)
def test_any_tensor_is_an_image_or_a_sentence(shape, dtype, value):
    if torch.tensor(shape or [1]).prod() > 100_000:
        shape = shape[:3]
    number = torch.tensor(value if dtype.is_floating_point else 1, dtype=torch.float64).to(dtype)
    pixels_or_a_sentence(lambda: check_image(number.expand(shape), "the portrait")[0])
