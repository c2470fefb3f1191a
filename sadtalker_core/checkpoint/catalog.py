"""A model's name comes in, the files that make it go out: names, sizes, hashes, where they were released.

Sizes and hashes are those of the public Git-LFS pointers of the files. Nothing here reads or fetches; see reading.py
and fetch.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import CheckpointMissing

MINI_MODEL = "mini"
SADTALKER_256 = "SadTalker 256"
SADTALKER_512 = "SadTalker 512"
#: a file that somebody put into the model folder is chosen as this and its path below the folder
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
    "SadTalker_V0.0.2_256.safetensors", 725_066_984,
    "c211f5d6de003516bf1bbda9f47049a4c9c99133b1ab565c6961e5af16477bff",
    _NEW_RELEASE + "SadTalker_V0.0.2_256.safetensors", {"": ""},
)  # fmt: skip
SAFETENSORS_512 = WeightsFile(
    "SadTalker_V0.0.2_512.safetensors", 725_066_984,
    "0e063f7ff5258240bdb0f7690783a7b1374e6a4a81ce8fa33456f4cd49694340",
    _NEW_RELEASE + "SadTalker_V0.0.2_512.safetensors", {"": ""},
)  # fmt: skip
MAPPING_FULL = WeightsFile(
    "mapping_00109-model.pth.tar", 155_779_231,
    "84a8642468a3fcfdd9ab6be955267043116c2bec2284686a5262f1eaf017f64c",
    _NEW_RELEASE + "mapping_00109-model.pth.tar", {"mapping": "mapping_00109."},
)  # fmt: skip
MAPPING = WeightsFile(
    "mapping_00229-model.pth.tar", 155_521_183,
    "62a1e06006cc963220f6477438518ed86e9788226c62ae382ddc42fbcefb83f1",
    _NEW_RELEASE + "mapping_00229-model.pth.tar", {"mapping": "mapping_00229."},
)  # fmt: skip

#: the old style: one pickle a net. "auido" is how the files are spelled.
OLD_FACE_RECON = WeightsFile(
    "epoch_20.pth", 288_860_037,
    "6d17a6b23457b521801baae583cb6a58f7238fe6721fc3d65d76407460e9149b",
    _OLD_RELEASE + "epoch_20.pth", {"net_recon": "face_3drecon."},
)  # fmt: skip
OLD_EXPNET = WeightsFile(
    "auido2exp_00300-model.pth", 34_278_319,
    "b7608f0e6b477e50e03ca569ac5b04a841b9217f89d502862fc78fda4e46dec4",
    _OLD_RELEASE + "auido2exp_00300-model.pth", {"model": "audio2exp."},
)  # fmt: skip
OLD_POSEVAE = WeightsFile(
    "auido2pose_00140-model.pth", 95_916_155,
    "4fba6701852dc57efbed25b1e4276e4ff752941860d69fc4429f08a02326ebce",
    _OLD_RELEASE + "auido2pose_00140-model.pth", {"model": "audio2pose."},
)  # fmt: skip
OLD_RENDERER = WeightsFile(
    "facevid2vid_00189-model.pth.tar", 2_112_619_148,
    "fbad01d46f0510276dc4521322dde6824a873a4222cd0740c85762e7067ea71d",
    _OLD_RELEASE + "facevid2vid_00189-model.pth.tar",
    {"generator": "generator.", "kp_detector": "kp_extractor.", "he_estimator": "he_estimator."},
)  # fmt: skip

#: for the 68 landmarks of the released family; the face-alignment package knows them by exactly these names
FACE_ALIGNMENT_DETECTOR = WeightsFile(
    "s3fd-619a316812.pth", 89_843_225,
    "619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
    _FACE_ALIGNMENT + "s3fd-619a316812.pth",
)  # fmt: skip
FACE_ALIGNMENT_LANDMARKS = WeightsFile(
    "2DFAN4-11f355bf06.pth.tar", None,
    "11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
    _FACE_ALIGNMENT + "2DFAN4-11f355bf06.pth.tar",
)  # fmt: skip
FACE_ALIGNMENT = (FACE_ALIGNMENT_DETECTOR, FACE_ALIGNMENT_LANDMARKS)

RELEASED_FILES = (
    SAFETENSORS_256, SAFETENSORS_512, MAPPING_FULL, MAPPING, OLD_FACE_RECON, OLD_EXPNET, OLD_POSEVAE, OLD_RENDERER,
    *FACE_ALIGNMENT,
)  # fmt: skip
BY_NAME = {file.name: file for file in RELEASED_FILES}


@dataclass(frozen=True)
class ReleasedModel:
    """image_size: the side of its square, in pixels;  sets: the file sets that make it, the first is preferred and
    is the one that can be fetched."""

    image_size: int
    sets: tuple[tuple[WeightsFile, ...], ...]


MAPPINGS = (MAPPING, MAPPING_FULL)
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


def find(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of exactly that name (or posix path) in the first folder that has it."""
    return next((Path(folder, name) for folder in folders if Path(folder, name).is_file()), None)


def find_files(model: str, folders: Sequence[Path]) -> tuple[FoundFile, ...]:
    """The files that make a model: "SadTalker 256", "SadTalker 512" or "file/" and a path below one of the folders.

    Files are known by their exact names, never by lying in the folder. Raises CheckpointMissing, which names the files
    that lack, their sizes and hashes, the folders that were searched, and the switch that fetches them.
    """
    if model.startswith(FILE_PREFIX):
        return (_find_own_file(model, folders),)
    for files in _released(model).sets:
        found = ((find(file.name, folders), file) for file in files)
        there = tuple(FoundFile(path, file) for path, file in found if path)
        if len(there) == len(files):
            return there
    raise CheckpointMissing(_missing(model, folders))


def missing_files(model: str, folders: Sequence[Path]) -> tuple[WeightsFile, ...]:
    """The files that would have to be fetched before `find_files` finds a released model; none where it does."""
    sets = _released(model).sets
    if any(all(find(file.name, folders) for file in files) for files in sets):
        return ()
    return tuple(file for file in sets[0] if find(file.name, folders) is None)


def searched(folders: Sequence[Path]) -> str:
    """For a sentence: the folders that were searched."""
    return ", ".join(str(folder) for folder in folders) or "no folder at all"


def _released(model: str) -> ReleasedModel:
    if model not in RELEASED_MODELS:
        known = ", ".join((MINI_MODEL, *RELEASED_MODELS))
        raise CheckpointMissing(f"there is no model {model!r}; choose {known}, or {FILE_PREFIX} and a file's path.")
    return RELEASED_MODELS[model]


def _find_own_file(model: str, folders: Sequence[Path]) -> FoundFile:
    inner = PurePosixPath(model[len(FILE_PREFIX) :])
    if inner.is_absolute() or ".." in inner.parts or not inner.parts:
        raise CheckpointMissing(f"{model!r} does not lie below a model folder; choose a file of the list.")
    path = find(str(inner), folders)
    if path is None:
        raise CheckpointMissing(f"{inner} is in none of the folders searched: {searched(folders)}. Choose another file "
                                f"of the list, or put it back there.")  # fmt: skip
    return FoundFile(path, BY_NAME.get(path.name))


def _missing(model: str, folders: Sequence[Path]) -> str:
    lacking = missing_files(model, folders)
    megabytes = sum(file.size or 0 for file in lacking) / 1e6
    names = "; ".join(file.describe() for file in lacking)
    return (
        f"{model} needs files that are in none of the folders searched ({searched(folders)}): {names}. "
        f"{_look_alikes(lacking, folders)}"
        f"Put them there, or switch on allow_download at Load SadTalker Model to fetch these {megabytes:,.0f} MB from "
        f"{lacking[0].url.rpartition('/')[0]}. The model {MINI_MODEL!r} is built in and needs no file."
    )


def _look_alikes(files: Sequence[WeightsFile], folders: Sequence[Path]) -> str:
    """Browsers and shells add to names ("… (1).safetensors", a trailing letter): say so when one lies there."""
    stems = tuple(file.name.partition(".safetensors")[0].partition(".pth")[0].lower() for file in files)
    there = (path for folder in folders if Path(folder).is_dir() for path in sorted(Path(folder).iterdir()))
    alike = [p.name for p in there if p.is_file() and p.name.lower().startswith(stems) and p.suffix != ".part"]
    alike = [name for name in alike if name not in BY_NAME]
    return f"There is {', '.join(alike)}: if that is one of them, give it its exact name. " if alike else ""
