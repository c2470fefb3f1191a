"""A model's name comes in, the files that make it go out: names, sizes, hashes, where they were released.

Sizes and hashes are those of the public Git-LFS pointers of the files. Nothing here reads or fetches; see reading.py
and fetch.py.

Released files are known by their names. They are looked for in the model folders first, and where one is not there,
below them, in any case of letters: people copy the folder `checkpoints` of the original or of its extension as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import CheckpointMissing, shorten

MINI_MODEL = "mini"
SADTALKER_256 = "SadTalker 256"
SADTALKER_512 = "SadTalker 512"
#: how far below a model folder files are looked for, and at how many names at most in each
DEEPEST, MOST_NAMES = 6, 20_000
#: a user's own file in a model folder is chosen by this and its path below the folder
FILE_PREFIX = "file/"

ASSETS = Path(__file__).resolve().parent.parent / "assets"

_NEW_RELEASE = "https://github.com/OpenTalker/SadTalker/releases/download/v0.0.2-rc/"
_OLD_RELEASE = "https://github.com/Winfredy/SadTalker/releases/download/v0.0.2/"
_FACE_ALIGNMENT = "https://www.adrianbulat.com/downloads/python-fan/"


@dataclass(frozen=True)
class WeightsFile:
    """A released file.

    size: bytes, None where it is not known;  sha256: of the whole file, hexadecimal
    entries: what it holds, {key at its top: prefix that makes its keys canonical}; {"": ""} for a flat file, whose
        keys are canonical already, and {} for a file that is not read here
    """

    name: str
    size: int | None
    sha256: str
    url: str
    entries: Mapping[str, str] = field(default_factory=dict, hash=False)

    def describe(self) -> str:
        """For a sentence: name, size and hash."""
        size = "size not known" if self.size is None else f"{self.size:,} bytes"
        return f"{self.name} ({size}, SHA-256 {self.sha256})"


SAFETENSORS_256 = WeightsFile(
    "SadTalker_V0.0.2_256.safetensors",
    725_066_984,
    "c211f5d6de003516bf1bbda9f47049a4c9c99133b1ab565c6961e5af16477bff",
    _NEW_RELEASE + "SadTalker_V0.0.2_256.safetensors",
    {"": ""},
)
SAFETENSORS_512 = WeightsFile(
    "SadTalker_V0.0.2_512.safetensors",
    725_066_984,
    "0e063f7ff5258240bdb0f7690783a7b1374e6a4a81ce8fa33456f4cd49694340",
    _NEW_RELEASE + "SadTalker_V0.0.2_512.safetensors",
    {"": ""},
)
MAPPING_FULL = WeightsFile(
    "mapping_00109-model.pth.tar",
    155_779_231,
    "84a8642468a3fcfdd9ab6be955267043116c2bec2284686a5262f1eaf017f64c",
    _NEW_RELEASE + "mapping_00109-model.pth.tar",
    {"mapping": "mapping_00109."},
)
MAPPING = WeightsFile(
    "mapping_00229-model.pth.tar",
    155_521_183,
    "62a1e06006cc963220f6477438518ed86e9788226c62ae382ddc42fbcefb83f1",
    _NEW_RELEASE + "mapping_00229-model.pth.tar",
    {"mapping": "mapping_00229."},
)

#: the old style: one pickle a network. "auido" is how the files are spelled.
OLD_FACE_RECON = WeightsFile(
    "epoch_20.pth",
    288_860_037,
    "6d17a6b23457b521801baae583cb6a58f7238fe6721fc3d65d76407460e9149b",
    _OLD_RELEASE + "epoch_20.pth",
    {"net_recon": "face_3drecon."},
)
OLD_EXPNET = WeightsFile(
    "auido2exp_00300-model.pth",
    34_278_319,
    "b7608f0e6b477e50e03ca569ac5b04a841b9217f89d502862fc78fda4e46dec4",
    _OLD_RELEASE + "auido2exp_00300-model.pth",
    {"model": "audio2exp."},
)
OLD_POSEVAE = WeightsFile(
    "auido2pose_00140-model.pth",
    95_916_155,
    "4fba6701852dc57efbed25b1e4276e4ff752941860d69fc4429f08a02326ebce",
    _OLD_RELEASE + "auido2pose_00140-model.pth",
    {"model": "audio2pose."},
)
OLD_RENDERER = WeightsFile(
    "facevid2vid_00189-model.pth.tar",
    2_112_619_148,
    "fbad01d46f0510276dc4521322dde6824a873a4222cd0740c85762e7067ea71d",
    _OLD_RELEASE + "facevid2vid_00189-model.pth.tar",
    {"generator": "generator.", "kp_detector": "kp_extractor.", "he_estimator": "he_estimator."},
)

#: for the 68 landmarks of the released family; the face-alignment package knows them by exactly these names
FACE_ALIGNMENT_DETECTOR = WeightsFile(
    "s3fd-619a316812.pth",
    89_843_225,
    "619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
    _FACE_ALIGNMENT + "s3fd-619a316812.pth",
)
FACE_ALIGNMENT_LANDMARKS = WeightsFile(
    "2DFAN4-11f355bf06.pth.tar",
    None,
    "11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
    _FACE_ALIGNMENT + "2DFAN4-11f355bf06.pth.tar",
)
FACE_ALIGNMENT = (FACE_ALIGNMENT_DETECTOR, FACE_ALIGNMENT_LANDMARKS)

RELEASED_FILES = (
    SAFETENSORS_256, SAFETENSORS_512, MAPPING_FULL, MAPPING, OLD_FACE_RECON, OLD_EXPNET, OLD_POSEVAE, OLD_RENDERER,
    *FACE_ALIGNMENT,
)  # fmt: skip
BY_NAME = {file.name: file for file in RELEASED_FILES}


@dataclass(frozen=True)
class ReleasedModel:
    """image_size: the side of its square, in pixels;  sets: the file sets that make it, the first is preferred and
    is the one that can be fetched.
    """

    image_size: int
    sets: tuple[tuple[WeightsFile, ...], ...]


MAPPINGS = (MAPPING, MAPPING_FULL)
#: for sentences, the crop modes that each of them serves; a model without one of them still serves the others
MODES_OF_MAPPING = {MAPPING.name: "crop, extcrop and resize", MAPPING_FULL.name: "full and extfull"}
RELEASED_MODELS: Mapping[str, ReleasedModel] = {
    SADTALKER_256: ReleasedModel(
        256,
        (
            (SAFETENSORS_256, *MAPPINGS),
            (OLD_FACE_RECON, OLD_EXPNET, OLD_POSEVAE, OLD_RENDERER, *MAPPINGS),
        ),
    ),
    SADTALKER_512: ReleasedModel(512, ((SAFETENSORS_512, *MAPPINGS),)),
}


@dataclass(frozen=True)
class FoundFile:
    """A file on the disk, and the released file it bears the name of, if any."""

    path: Path
    released: WeightsFile | None = None


class _Search:
    """A search of the model folders. What lies below them is read only when something is not in them."""

    def __init__(self, folders: Sequence[Path]):
        self.folders = [Path(folder) for folder in folders]
        self._below: dict[str, Path] | None = None

    def find(self, name: str) -> Path | None:
        """The file of exactly that name in the first folder that has it; else of that name in any case of letters,
        in the first folder below which it lies, the shallowest one there.
        """
        direct = next((folder / name for folder in self.folders if is_file(folder / name)), None)
        return direct or self.below.get(name.lower())

    @property
    def below(self) -> dict[str, Path]:
        """Name in small letters -> the file; read once."""
        if self._below is None:
            self._below = {}
            for path in (path for folder in self.folders for path in files_below(folder)):
                self._below.setdefault(path.name.lower(), path)
        return self._below

    def lacks(self, files: Sequence[WeightsFile]) -> tuple[WeightsFile, ...]:
        """Those of the files that are not there."""
        return tuple(file for file in files if self.find(file.name) is None)


def files_below(folder: Path) -> Iterator[Path]:
    """Files in a folder and below, the shallow ones first, in the order of their names; each folder once, however
    often links lead to it. What cannot be read is passed over.
    """
    level, seen, left = [folder], set(), MOST_NAMES
    for _ in range(DEEPEST + 1):
        deeper = []
        for here in level:
            real = os.path.realpath(here)
            if real in seen:
                continue
            seen.add(real)
            for path, is_folder in _entries(here)[:left]:
                left -= 1
                if not is_folder:
                    yield path
                elif not path.name.startswith("."):
                    deeper.append(path)
        level = deeper


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    try:
        with os.scandir(folder) as entries:
            return [(Path(entry.path), entry.is_dir()) for entry in sorted(entries, key=lambda entry: entry.name)]
    except OSError:
        return []


def is_file(path: Path) -> bool:
    """Whether a file is there; also False for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find(name: str, folders: Sequence[Path]) -> Path | None:
    """The released file of that name in or below the folders."""
    return _Search(folders).find(name)


def find_together(files: Sequence[WeightsFile], folders: Sequence[Path]) -> Path | None:
    """The first folder that holds all these files by their exact names, itself or somewhere below."""
    names = {file.name for file in files}
    for folder in map(Path, folders):
        if all(is_file(folder / name) for name in names):
            return folder
    held: dict[Path, set[str]] = {}
    for path in (path for folder in folders for path in files_below(Path(folder)) if path.name in names):
        held.setdefault(path.parent, set()).add(path.name)
    return next((folder for folder, found in held.items() if found == names), None)


def find_files(model: str, folders: Sequence[Path]) -> tuple[FoundFile, ...]:
    """The files that make a model: "SadTalker 256", "SadTalker 512" or "file/" and a path below one of the folders.

    Of the two mapping files one may be missing: each serves crop modes of its own. Raises CheckpointMissing, which
    names the missing files of the set that is nearest to complete, their sizes and hashes, the folders that were
    searched, and the switch that fetches them.
    """
    if model.startswith(FILE_PREFIX):
        return (_find_own_file(model, folders),)
    search, sets = _Search(folders), _released(model).sets
    for most_missing in (0, 1):
        for files in sets:
            missing = search.lacks(files)
            if len(missing) <= most_missing and all(file in MAPPINGS for file in missing):
                found = ((search.find(file.name), file) for file in files)
                return tuple(FoundFile(path, file) for path, file in found if path)
    raise CheckpointMissing(_missing(model, search))


def missing_files(model: str, folders: Sequence[Path]) -> tuple[WeightsFile, ...]:
    """What would have to be fetched to make a released model whole; none where it is. Of its sets the one that is
    nearest to complete counts, by its number of files.
    """
    search = _Search(folders)
    return search.lacks(_nearest(model, search))


def _nearest(model: str, search: _Search) -> tuple[WeightsFile, ...]:
    return min(_released(model).sets, key=lambda files: len(search.lacks(files)) / len(files))


def searched(folders: Sequence[Path]) -> str:
    """For a sentence: the folders that were searched."""
    return shorten(", ".join(str(folder) for folder in folders)) or "no folder"


def _released(model: str) -> ReleasedModel:
    if model not in RELEASED_MODELS:
        known = ", ".join((MINI_MODEL, *RELEASED_MODELS))
        raise CheckpointMissing(
            f"there is no model {shorten(repr(model))}; choose {known}, or {FILE_PREFIX} and a file's path."
        )
    return RELEASED_MODELS[model]


def _find_own_file(model: str, folders: Sequence[Path]) -> FoundFile:
    inner = PurePosixPath(model[len(FILE_PREFIX) :])
    if inner.is_absolute() or ".." in inner.parts or not inner.parts:
        raise CheckpointMissing(f"{shorten(repr(model))} is not inside a model folder; choose a file from the list.")
    path = next((Path(folder, inner) for folder in folders if is_file(Path(folder, inner))), None)
    if path is None:
        raise CheckpointMissing(
            f"{shorten(inner)} is in none of the folders searched: {searched(folders)}. Choose "
            f"another file from the list, or put it back."
        )
    return FoundFile(path, BY_NAME.get(path.name))


def _missing(model: str, search: _Search) -> str:
    files = _nearest(model, search)
    missing = search.lacks(files)
    names = "; ".join(file.describe() for file in missing)
    homes = " and ".join(sorted({file.url.rpartition("/")[0] for file in missing}))
    whose = "has its old .pth set, which lacks files that are" if OLD_RENDERER in files else "needs files that are"
    return (
        f"{model} {whose} in none of the folders searched ({searched(search.folders)}), nor below them: {names}. "
        f"{_similar_names(missing, search)}"
        f"Put them there, or load the model with allow_download on, which fetches these {_megabytes(missing)} "
        f"from {homes}.{_cheaper(model, missing, search)} The model {MINI_MODEL!r} is built in and needs no file."
    )


def _megabytes(files: Sequence[WeightsFile]) -> str:
    return f"{sum(file.size or 0 for file in files) / 1e6:,.0f} MB"


def _cheaper(model: str, missing: Sequence[WeightsFile], search: _Search) -> str:
    """Another set may be further from complete and yet need fewer bytes."""
    others = [search.lacks(files) for files in _released(model).sets]
    least = min(others, key=lambda files: sum(file.size or 0 for file in files))
    if sum(file.size or 0 for file in least) >= sum(file.size or 0 for file in missing):
        return ""
    names = ", ".join(file.name for file in least)
    return (
        f" A smaller download also completes it: {names} ({_megabytes(least)}), from {least[0].url.rpartition('/')[0]}."
    )


def _similar_names(files: Sequence[WeightsFile], search: _Search) -> str:
    """Browsers and shells add to names ("… (1).safetensors", a trailing letter): the hint when such a file is there."""
    stems = tuple(file.name.partition(".safetensors")[0].partition(".pth")[0].lower() for file in files)
    alike = [path.name for name, path in sorted(search.below.items()) if name.startswith(stems)]
    alike = [name for name in alike if not name.lower().endswith(".part") and name not in BY_NAME]
    several = shorten(", ".join(alike))
    return f"Found {several}: if it is one of these, rename it to the exact name. " if alike else ""
