"""Images, sounds and videos on disk, looked at with ComfyUI's own Python.

In: files. Out: what is in them, or a sentence that says why they cannot be used.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.tools.comfyui.environment import INSIDE, Environment
from tests.tools.comfyui.layout import PROJECT, SetupError

FPS = 25
VOICE = PROJECT / "tests" / "demo" / "hello.flac"


def probe(environment: Environment, *files: Path) -> list[dict[str, Any]]:
    """One record per file, as inside/probe.py describes it; a file that cannot be read has an "error"."""
    done = subprocess.run(
        [str(environment.python), "-W", "ignore", str(INSIDE / "probe.py"), *map(str, files)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise SetupError(f"{environment.python} could not look at {', '.join(map(str, files))}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def default_portrait(environment: Environment) -> Path:
    """scikit-image's image "astronaut" (NASA, public domain), where the installed package has it."""
    done = subprocess.run(
        [
            str(environment.python),
            "-c",
            "import importlib.util as u; print(u.find_spec('skimage').submodule_search_locations[0])",
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    image = Path(done.stdout.strip()) / "data" / "astronaut.png"
    if done.returncode or not image.is_file():
        raise SetupError(
            "the default portrait comes with scikit-image, which ComfyUI's Python does not have; "
            "name an image in PORTRAIT"
        )
    return image


def beginning(environment: Environment, sound: Path, seconds: float, file: Path) -> Path:
    """Writes the first seconds of a sound as a WAV of 16 kHz, mono."""
    code = (
        "import sys, wave, av, numpy\n"
        "resampler = av.AudioResampler('s16', 'mono', 16000)\n"
        "frames = av.open(sys.argv[1]).decode(audio=0)\n"
        "parts = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]\n"
        "with wave.open(sys.argv[3], 'wb') as out:\n"
        "    out.setnchannels(1)\n    out.setsampwidth(2)\n    out.setframerate(16000)\n"
        "    out.writeframes(numpy.concatenate(parts)[:int(float(sys.argv[2]) * 16000)].astype('<i2').tobytes())\n"
    )
    subprocess.run([str(environment.python), "-c", code, str(sound), str(seconds), str(file)], check=True)
    return file


def two_people(environment: Environment, file: Path) -> Path:
    """Writes an image with two faces: the default portrait, and beside it the same in a mirror, in other colours."""
    code = (
        "import sys\nfrom PIL import Image, ImageEnhance, ImageOps\n"
        "one = Image.open(sys.argv[1]).convert('RGB').crop((60, 0, 400, 512))\n"
        "other = ImageEnhance.Color(ImageOps.mirror(one)).enhance(0.4)\n"
        "both = Image.new('RGB', (680, 512))\n"
        "both.paste(one, (0, 0))\nboth.paste(other, (340, 0))\n"
        "both.save(sys.argv[2])"
    )
    subprocess.run([str(environment.python), "-c", code, str(default_portrait(environment)), str(file)], check=True)
    return file


#: around the person of the default portrait, x and y by turns
OUTLINE = (
    157, 82, 156, 68, 166, 53, 183, 34, 199, 20, 218, 14, 239, 13, 260, 20, 276, 33, 287, 49, 294, 66, 297, 82, 296,
    98, 292, 110, 285, 118, 277, 122, 270, 127, 267, 132, 264, 149, 257, 163, 255, 176, 275, 190, 292, 205, 303,
    230, 306, 243, 335, 258, 352, 285, 359, 345, 390, 353, 398, 380, 408, 512, 44, 512, 62, 400, 86, 290, 106, 232,
    117, 196, 134, 165, 152, 151, 185, 145, 181, 132, 178, 124, 174, 118, 168, 112, 162, 102,
)  # fmt: skip


def cut_out(environment: Environment, file: Path) -> Path:
    """Writes the default portrait with all transparent, and black, beyond the outline of the person."""
    code = (
        "import sys\nfrom PIL import Image, ImageDraw, ImageFilter\n"
        "one = Image.open(sys.argv[1]).convert('RGB')\n"
        "alpha = Image.new('L', one.size, 0)\n"
        "ImageDraw.Draw(alpha).polygon([int(place) for place in sys.argv[3:]], fill=255)\n"
        "alpha = alpha.filter(ImageFilter.GaussianBlur(1))\n"
        "cut = Image.composite(one, Image.new('RGB', one.size), alpha.point(lambda level: 255 * (level > 0)))\n"
        "cut.putalpha(alpha)\ncut.save(sys.argv[2])"
    )
    outline = map(str, OUTLINE)
    one = default_portrait(environment)
    subprocess.run([str(environment.python), "-c", code, str(one), str(file), *outline], check=True)
    return file


def backdrop(environment: Environment, file: Path) -> Path:
    """Writes an image to lay cut-outs on: blue at the top, orange below."""
    code = (
        "import sys\nfrom PIL import Image\n"
        "two = Image.new('RGB', (1, 2))\ntwo.putdata([(40, 90, 170), (250, 170, 90)])\n"
        "two.resize((640, 480), Image.Resampling.BILINEAR).save(sys.argv[1])"
    )
    subprocess.run([str(environment.python), "-c", code, str(file)], check=True)
    return file


def need(environment: Environment, variable: str, file: Path, part: str, what: str) -> dict[str, Any]:
    """The record of a file that must hold `part` ("video" for images too, or "audio"), or a sentence."""
    if not file.is_file():
        raise SetupError(f"{variable}={file}: there is no such file")
    record = probe(environment, file)[0]
    if part not in record:
        reason = record.get("error", f"it holds no {part}")
        raise SetupError(f"{variable}={file} cannot be read as {what} ({reason})")
    return record


def complaints(record: dict[str, Any], voice_seconds: float | None) -> list[str]:
    """What a talking portrait's file should be and is not: H.264 + AAC at 25 fps, as long as the voice within a frame.

    voice_seconds: None when there was no voice; then sound and length are free.
    """
    if "error" in record:
        return [f"cannot be read back: {record['error']}"]
    found = []
    video, audio = record.get("video"), record.get("audio")
    if not video:
        return ["has no image"]
    if video["codec"] != "h264":
        found.append(f"is {video['codec']}, not H.264")
    if abs(video["fps"] - FPS) > 1e-3:
        found.append(f"runs at {video['fps']:g} fps, not {FPS}")
    if voice_seconds is None:
        return found
    if not audio:
        return [*found, "has no sound"]
    if audio["codec"] != "aac":
        found.append(f"has {audio['codec']} sound, not AAC")
    if abs(video["seconds"] - voice_seconds) > 1 / FPS:
        found.append(f"shows {video['seconds']:.3f} s for {voice_seconds:.3f} s of voice")
    if abs(audio["seconds"] - voice_seconds) > 1 / FPS + 2 * 1024 / audio["rate"]:  # AAC fills its last blocks
        found.append(f"sounds for {audio['seconds']:.3f} s for {voice_seconds:.3f} s of voice")
    return found
