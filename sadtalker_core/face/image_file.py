"""Reads image files: a file, or its bytes, comes in; pixels as floats, or an ImageError, come out.

Load Portrait and the batch read by this one function. Letters: `H W` an image in pixels.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError, shorten

#: Pillow's decoders meet a broken file at whatever line it is that fails, and raise any of these
PILLOW_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip

#: pixels to a byte; a damaged file that claims to hold more is not filled up with black
EMPTIEST = 2000
#: Pillow's switch for files that end early is one for the whole process
_forgiving_lock = Lock()


def read_image(source: bytes | Path | str, what: str = "it") -> Tensor:
    """A file or its bytes -> (H, W, 3), or (H, W, 4) when it has transparency, float32 in 0..1, upright.

    what: how the user knows the image; the sentences begin with it.

    Grey becomes RGB. Sixteen bits, whole numbers of 32 and floats are scaled to 0..1; of an animation it is the first
    image. A file that ends early is read as far as it goes, with a line in the log. The orientation that a camera wrote
    is followed where it can be read. Raises ImageError for everything that is no image, or too large a one.
    """
    with _in_sentences(what):
        try:
            return _read(source, what)
        except ImageError:
            raise
        except PILLOW_ERRORS as error:
            reason = error
        try:
            with _forgiving(), _opened(source) as image:
                if image.width * image.height > EMPTIEST * _n_bytes(source):
                    raise reason
                pixels = _read(source, what)
        except PILLOW_ERRORS:
            raise reason from None
    logging.warning("SadTalker: %s is damaged or truncated; it is used as far as it can be read.", what)
    return pixels


def image_from_pil(image: Any, what: str = "it") -> Tensor:
    """A PIL image -> the same as `read_image`. Raises ImageError."""
    with _in_sentences(what):
        return _pixels(image, what)


def check_image_file(path: Path | str, what: str = "it") -> None:
    """Raises ImageError for what is no image; its pixels are not read yet."""
    with _in_sentences(what), _opened(path):
        pass


def _read(source: bytes | Path | str, what: str) -> Tensor:
    with _opened(source) as image:
        return _pixels(image, what)


def _pixels(image: Any, what: str) -> Tensor:
    from PIL import ImageOps

    if _is_animated(image):
        logging.info("SadTalker: %s is animated; its first frame is used.", what)
    image.load()
    try:
        upright = ImageOps.exif_transpose(image)
    except PILLOW_ERRORS:  # what the camera wrote is damaged, the image is not
        upright = image
    if upright.mode.startswith(("I", "F")):
        return _scaled(np.asarray(upright), what)
    if upright.mode == "La":
        upright = upright.convert("LA")
    pixels = np.array(upright.convert("RGBA" if upright.has_transparency_data else "RGB"))
    return torch.from_numpy(pixels).float() / 255


def _scaled(grey: np.ndarray, what: str) -> Tensor:
    """Grey of more than eight bits (H, W) -> (H, W, 3): by the smallest scale of 1, 8, 16 or 32 bits that holds it."""
    grey = grey.astype(np.float32 if grey.itemsize == 2 else np.float64)
    if not np.isfinite(grey).all():
        raise ImageError(f"{what} contains NaN or infinite values; save it as an 8-bit PNG.")
    brightest = grey.max(initial=0)
    scale = next((limit for limit in (1, 255, 65_535, 2**31 - 1, 2**32 - 1) if brightest <= limit), brightest)
    scaled = torch.from_numpy((grey / scale).clip(0, 1).astype(np.float32))
    return scaled[..., None].repeat(1, 1, 3)


def _is_animated(image: Any) -> bool:
    try:
        animated = bool(getattr(image, "is_animated", False))
        image.seek(0)
    except PILLOW_ERRORS:  # its second image is damaged
        return False
    return animated and image.format != "MPO"  # a photograph with a preview or a depth map behind it


@contextmanager
def _opened(source: bytes | Path | str) -> Iterator[Any]:
    from PIL import Image

    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        yield image


def _n_bytes(source: bytes | Path | str) -> int:
    return len(source) if isinstance(source, bytes) else Path(source).stat().st_size


@contextmanager
def _forgiving() -> Iterator[None]:
    """What is missing of a file counts as grey or black."""
    from PIL import ImageFile

    with _forgiving_lock:
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextmanager
def _in_sentences(what: str) -> Iterator[None]:
    """Whatever Pillow objects to is a ImageError."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        size, limit = (int(number) for number in [*re.findall(r"\d+", str(error)), "0", "0"][:2])
        raise ImageError(
            f"{what} has {size / 1e6:.0f} megapixels, at most {limit / 1e6:.0f} are supported; make it smaller, for "
            "example 2048 pixels on its longer side."
        ) from error
    except PILLOW_ERRORS as error:
        kind = "unknown format" if isinstance(error, UnidentifiedImageError) else _short(error)
        raise ImageError(
            f"{what} cannot be read as an image ({kind}). Open it in an image viewer: if that fails, get the file "
            "again; otherwise save it as PNG and use that."
        ) from error


def _short(error: BaseException) -> str:
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shorten(message or type(error).__name__, 100)
