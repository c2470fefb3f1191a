"""Draws what the registry shows of the pack: docs/icon.png and docs/banner.png, from circles and bars.

python -m tests.tools.images.make_registry_images

A head whose mouth is a waveform; on the banner the waveform comes in from the left and leaves as faces.
"""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

DOCS = Path(__file__).resolve().parents[3] / "docs"
ICON_SIDE = 400
BANNER_SIZE = (1260, 540)
#: drawn this many times as large and then reduced, so that edges are smooth
FINER = 4
NIGHT, DUSK = (23, 26, 38), (44, 49, 84)
SKIN, SHADE = (255, 214, 170), (226, 160, 116)
HAIR = (104, 78, 110)
EYE = (38, 34, 52)
VOICE, VOICE_DARK = (94, 222, 205), (20, 132, 132)
#: heights of the bars of the mouth, a fraction of the tallest
MOUTH = (0.25, 0.55, 0.9, 0.6, 1.0, 0.7, 0.95, 0.5, 0.25)


def backdrop(width: int, height: int) -> Image.Image:
    """From dusk at the upper left to night at the lower right."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    return Image.composite(
        Image.new("RGB", (width, height), NIGHT),
        Image.new("RGB", (width, height), DUSK),
        Image.blend(across, down, 0.5),
    )


def draw_head(image: Image.Image, centre: tuple[float, float], radius: float, mouth: float, blink: float = 0.0) -> None:
    """mouth: how tall the bars are, 0..1;  blink: how far the lids are closed"""
    x, y = centre
    pen = ImageDraw.Draw(image)

    def ellipse(dx: float, dy: float, rx: float, ry: float, colour: tuple[int, int, int]) -> None:
        box = (x + radius * (dx - rx), y + radius * (dy - ry), x + radius * (dx + rx), y + radius * (dy + ry))
        pen.ellipse(box, fill=colour)

    ellipse(0, -0.2, 0.82, 0.86, HAIR)
    for side in (-1, 1):
        ellipse(0.7 * side, 0.02, 0.13, 0.19, SHADE)
    ellipse(0, 0.06, 0.7, 0.86, SKIN)
    pen.pieslice((x - 0.72 * radius, y - 0.86 * radius, x + 0.72 * radius, y + 0.2 * radius), 180, 360, fill=HAIR)
    ellipse(0, -0.2, 0.62, 0.24, SKIN)
    for side in (-1, 1):
        ellipse(0.28 * side, -0.08, 0.085, max(0.105 * (1 - blink), 0.018), EYE)
        if blink < 0.5:
            ellipse(0.28 * side + 0.025, -0.115, 0.026, 0.03, (255, 255, 255))
    ellipse(0, 0.17, 0.055, 0.04, SHADE)
    step, thick = 0.098 * radius, 0.054 * radius
    for k, height in enumerate(MOUTH):
        half = max(0.21 * radius * height * mouth, thick / 2)
        at = x + (k - (len(MOUTH) - 1) / 2) * step
        middle = y + 0.47 * radius
        pen.rounded_rectangle(
            (at - thick / 2, middle - half, at + thick / 2, middle + half), thick / 2, fill=VOICE_DARK
        )


def draw_wave(image: Image.Image, start: float, stop: float, middle: float, tallest: float, bar: float) -> None:
    """Bars of a voice: syllables of two widths, as a formula."""
    pen = ImageDraw.Draw(image)
    n = int((stop - start) / (2 * bar))
    for k in range(n):
        t = k / n
        syllable = abs(math.sin(9.0 * t + 0.4)) * (0.45 + 0.55 * abs(math.sin(23.0 * t)))
        half = max(tallest * syllable * math.sin(math.pi * min(1.0, 0.12 + t)) ** 0.5, bar / 2)
        at = start + 2 * bar * k
        pen.rounded_rectangle((at, middle - half, at + bar, middle + half), bar / 2, fill=VOICE)


def icon() -> Image.Image:
    side = ICON_SIDE * FINER
    image = backdrop(side, side)
    glow = Image.new("RGB", (side, side))
    ImageDraw.Draw(glow).ellipse((0.14 * side, 0.12 * side, 0.86 * side, 0.88 * side), fill=(60, 92, 120))
    image = Image.blend(
        image, Image.composite(glow, image, glow.convert("L").filter(ImageFilter.GaussianBlur(side / 14))), 0.6
    )
    draw_head(image, (side / 2, 0.52 * side), 0.42 * side, 1.0)
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), 0.18 * side, fill=255)
    image.putalpha(mask)
    return image.resize((ICON_SIDE, ICON_SIDE), Image.Resampling.LANCZOS)


def banner() -> Image.Image:
    width, height = (length * FINER for length in BANNER_SIZE)
    image = backdrop(width, height)
    draw_wave(image, 0.05 * width, 0.43 * width, 0.4 * height, 0.2 * height, 0.0055 * width)
    for k, (mouth, blink) in enumerate(((0.45, 0.0), (1.0, 0.0), (0.65, 1.0))):
        centre = ((0.535 + 0.165 * k) * width, 0.41 * height)
        draw_head(image, centre, 0.155 * width * 0.55, mouth, blink)
    pen = ImageDraw.Draw(image)
    pen.text(
        (0.05 * width, 0.72 * height), "SadTalker Nodes", font=ImageFont.load_default(0.125 * height), fill="white"
    )
    pen.text(
        (0.05 * width, 0.88 * height),
        "one picture + one voice = a talking portrait, stage by stage, also on a CPU",
        font=ImageFont.load_default(0.055 * height),
        fill=VOICE,
    )
    return image.resize(BANNER_SIZE, Image.Resampling.LANCZOS)


def main() -> None:
    icon().save(DOCS / "icon.png", optimize=True)
    banner().quantize(192, dither=Image.Dither.NONE).save(DOCS / "banner.png", optimize=True)
    for name in ("icon.png", "banner.png"):
        print(f"{name}: {(DOCS / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
