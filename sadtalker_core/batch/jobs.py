"""A table of jobs comes in, jobs that can be begun go out; or one sentence for every line that is wrong.

The table is a CSV file in UTF-8 whose first line names the columns: portrait, voice, speakers, out, film, and any field
of `Options`. A line has a portrait, or a film to be dubbed. Paths are relative to the table. An empty cell means the
default. A sentence repeats at most 200 letters of a cell.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..audio.turns import read_turns_file
from ..checkpoint.catalog import MINI_MODEL, find_files
from ..compose.cutout import colour_of
from ..compose.formats import FORMATS, MP4
from ..dub.schedule import DubLength, n_frames_of
from ..dub.source_video import VideoFile
from ..errors import CheckpointMissing, InputError, JobListError, OptionError, SadTalkerError, shorten
from ..face.image_file import check_image_file
from ..media import audio_seconds
from ..options import ACTING, OPTIONS, Options
from ..output_name import fault_of_target
from ..timeline import frames_in_seconds

#: of a cell, and of the name of a file, that a sentence repeats
REPEATED = 200
#: faults that are listed one by one
MOST_FAULTS = 100
_PORTRAIT_OR_AUDIO = "portrait or voice"
FILES = ("portrait", "voice", "speakers", "out", "film")
#: of the columns, this one, and one of these
REQUIRED, SOURCES = "out", ("portrait", "film")
#: options that tables could not name before: at their defaults they leave the identity of a job as it was
APPENDED = ("expression", "format", "background", "length", "strength", "keep_mouth", "original_volume", "label")


@dataclass(frozen=True)
class Job:
    """One line of the table.

    line:     its number in the file, from 1
    portrait, voice, out, film: absolute paths; voice is None for an idle clip, and of portrait and film there is one
    speakers: the file that lists who of the image speaks when, or None
    background: the image file that the options name, or None
    n_frames: how long the clip will be, as the voice's file announces it
    id:       a hash of what goes in, of the options and of where it goes: equal jobs make equal files
    """

    line: int
    portrait: Path | None
    voice: Path | None
    out: Path
    options: Options
    n_frames: int
    id: str
    speakers: Path | None = None
    background: Path | None = None
    film: Path | None = None


def read_jobs(table: Path, model_folders: Sequence[Path] = ()) -> list[Job]:
    """The jobs of a table, every file and option of them looked at.

    model_folders: where models other than the built-in one are looked for
    Raises JobListError, a sentence for each fault, each with its line.
    """
    table = table.absolute()
    faults: list[str] = []
    jobs: list[Job] = []
    models: dict[str, str] = {}
    for line, cells in _lines(table):
        row = _Row(line, cells, table.parent, faults)
        options = row.options()
        if options.model not in models:
            models[options.model] = _fault_of_model(options.model, model_folders)
        if models[options.model]:
            row.complain(models[options.model])
        job = row.job(options)
        if job is not None:
            jobs.append(job)
    faults += _collisions(jobs)
    name = _shortened(table.name)
    if faults:
        lines = [f"{name}, {fault}" for fault in faults[:MOST_FAULTS]]
        if len(faults) > MOST_FAULTS:
            lines.append(f"{name} has {len(faults) - MOST_FAULTS} more faults.")
        raise JobListError("\n".join(lines))
    if not jobs:
        raise JobListError(f"{name} names no job: write one line for each video below the names of the columns.")
    return jobs


def _lines(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the line, {column: text}) of every line that is not empty."""
    try:
        text = table.read_text(encoding="utf-8-sig")  # spreadsheets begin theirs with a byte order mark
    except FileNotFoundError as error:
        raise JobListError(f"there is no file {_shortened(table)}.") from error
    except (OSError, ValueError) as error:
        reason = shorten(error, REPEATED)
        raise JobListError(f"{_shortened(table)} cannot be read: {reason}. Save it as CSV in UTF-8.") from error
    reader = csv.reader(text.splitlines(keepends=True))
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_names(table, names)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(names):
                raise JobListError(
                    f"{_shortened(table.name)}, line {reader.line_num}: {len(cells)} cells below {len(names)} columns; "
                    "put quotes around text that contains commas."
                )
            yield reader.line_num, {name: cell.strip() for name, cell in zip_longest(names, cells, fillvalue="")}
    except csv.Error as error:  # for example a cell of more than 131,072 letters: a quote that is never closed
        raise JobListError(
            f"{_shortened(table.name)}, line {reader.line_num}: it cannot be read as CSV ({error}); look for a quote "
            "that is not closed."
        ) from error


def _check_names(table: Path, names: Sequence[str]) -> None:
    known = (*FILES, *OPTIONS)
    head = f"{_shortened(table.name)}, line 1: "
    unknown = [repr(name) for name in names if name not in known]
    if unknown:
        raise JobListError(f"{head}unknown column {shorten(', '.join(unknown), 100)}; known are {', '.join(known)}.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise JobListError(f"{head}the column {', '.join(twice)} appears twice.")
    missing = [REQUIRED] if REQUIRED not in names else []
    if not any(name in names for name in SOURCES):
        missing.insert(0, SOURCES[0])
    if missing:
        raise JobListError(f"{head}the column {' and '.join(missing)} is missing.")


def _shortened(name: object) -> str:
    return shorten(name, REPEATED)


class _Row:
    """One line on its way to a job; what is wrong with it goes to `faults`."""

    def __init__(self, line: int, cells: dict[str, str], folder: Path, faults: list[str]):
        self.line, self.cells, self.folder, self.faults = line, cells, folder, faults
        self.n_faults_before = len(faults)

    def complain(self, sentence: str) -> None:
        self.faults.append(f"line {self.line}: {sentence}")

    def options(self) -> Options:
        """Its options; those that are wrong stay at their defaults."""
        values = {}
        for name, option in OPTIONS.items():
            text = self.cells.get(name, "")
            if not text:
                continue
            try:
                values[name] = option.read(text)
            except OptionError as error:
                if option.unit == ACTING:  # of many parts, this names the wrong one
                    self.complain(_shortened(str(error)))
                    continue
                self.complain(f"{name}: expected {option.expected}, got {_shortened(repr(text))}.")
        return Options(**values)

    def job(self, options: Options) -> Job | None:
        """The job, or None for a line with a fault."""
        portrait, voice = self._file("portrait", check_image_file), self._file("voice", audio_seconds)
        speakers = self._file("speakers", read_turns_file)
        if speakers is not None and not self.cells.get("voice"):
            self.complain("speakers: it has no voice to divide among them; set voice, too.")
        film = self._file("film", VideoFile.of)
        if film is not None and options.format != MP4.name:
            self.complain(f"format: a dubbed film is an {MP4.name}, got {options.format}.")
        out = self._out(options)
        seconds = options.idle_seconds
        if self.cells.get("film"):
            if self.cells.get("portrait"):
                self.complain("it has a portrait and a film; a line has one of them.")
            if not self.cells.get("voice"):
                self.complain("its film has no voice to be dubbed with; set voice.")
        elif not self.cells.get("portrait"):
            self.complain(f"{' and '.join(name for name in SOURCES if name in self.cells)} is empty.")
        if self.cells.get("voice"):
            seconds = 0.0 if voice is None else voice[1]
        elif not frames_in_seconds(seconds) and len(self.faults) == self.n_faults_before:
            self.complain("it has no voice; set voice, or idle_seconds for a silent clip.")
        background = self._background(options)
        if out is None or len(self.faults) > self.n_faults_before:
            return None
        voice_path, portrait_path, film_path = (file and file[0] for file in (voice, portrait, film))
        try:
            speakers_path = speakers and speakers[0]
            identity = self._identity(portrait_path, voice_path, speakers_path, background, film_path, options)
        except OSError as error:
            self.complain(f"its files cannot be read ({error.strerror or error}).")
            return None
        n_frames = frames_in_seconds(seconds)
        if film is not None:
            n_frames = n_frames_of(film[1].n_frames, seconds, film[1].fps, DubLength(options.length))
        return Job(
            self.line,
            portrait_path,
            voice_path,
            out,
            options,
            n_frames,
            identity,
            speakers_path,
            background,
            film_path,
        )

    def _file(self, column: str, look: Callable[[Path], Any], expected: str = "") -> tuple[Path, Any] | None:
        """The file of a column and what a first look at it gave. expected: how the sentence begins that it is not
        there.
        """
        text = self.cells.get(column, "")
        path = self._path(column, text) if text else None
        if path is None:
            return None
        try:
            if path.is_file():
                return path, look(path)
            self.complain(f"{column}: {expected}there is no file {_shortened(path)}.")
        except InputError as error:
            self.complain(f"{column}: {shorten(str(error).removeprefix(f'{column}: '))}")
        except OSError as error:
            self.complain(f"{column}: {_shortened(path)} cannot be read ({error.strerror or error}).")
        return None

    def _background(self, options: Options) -> Path | None:
        """The image file of the column, looked at; None where it holds a colour or nothing."""
        if not options.background or colour_of(options.background) is not None:
            return None
        found = self._file("background", check_image_file, "expected a colour such as #00ff00, or an image file; ")
        return None if found is None else found[0]

    def _out(self, options: Options) -> Path | None:
        text = self.cells.get("out", "")
        path = self._path("out", text)
        if path is None:
            return None
        try:
            ending = FORMATS[options.format].ending
            if path.suffix.lower() != ending or path.is_dir():
                kind = f"{'an' if ending == MP4.ending else 'a'} {ending[1:]}"
                self.complain(f"out: expected the name of {kind} to write, got {_shortened(repr(text))}.")
                return None
            fault = fault_of_target(path)
        except OSError as error:
            fault = str(error.strerror or error)
        if fault:
            self.complain(f"out: {_shortened(path)} cannot be written ({fault}).")
        return None if fault else path

    def _path(self, column: str, text: str) -> Path | None:
        """The absolute path of a cell, or None for what no system takes as one."""
        try:
            path = (self.folder / Path(text).expanduser()).absolute()
            path.resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a NUL; the home of nobody; links in a circle
            self.complain(f"{column}: {_shortened(repr(text))} is not the name of a file ({shorten(error, 100)}).")
            return None
        return path

    def _identity(
        self,
        portrait: Path | None,
        voice: Path | None,
        speakers: Path | None,
        background: Path | None,
        film: Path | None,
        options: Options,
    ) -> str:
        contents = {"portrait": portrait and _hash_of(portrait), "voice": voice and _hash_of(voice)}
        contents["out"] = self.cells["out"]
        if speakers:  # so that jobs without have the names that they had
            contents["speakers"] = _hash_of(speakers)
        if background:
            contents["picture"] = _hash_of(background)
        if film:
            contents["film"] = _hash_of(film)
        values = {
            name: value
            for name, value in asdict(options).items()
            if name not in APPENDED or value != OPTIONS[name].default
        }
        text = json.dumps(contents | values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _fault_of_model(model: str, folders: Sequence[Path]) -> str:
    """Why a model cannot be used, or nothing."""
    if model == MINI_MODEL:
        return ""
    if len(model) > REPEATED:
        return f"model: there is no model {_shortened(model)}."
    try:
        find_files(model, folders)
    except CheckpointMissing as error:
        return f"model: {error} A batch downloads nothing; `sadtalker models --download` does."
    except SadTalkerError as error:
        return f"model: {error}"
    except (OSError, ValueError) as error:
        return f"model: {model!r} is not the name of a file ({shorten(error, 100)})."
    return ""


def _collisions(jobs: Sequence[Job]) -> Iterator[str]:
    """Videos that would overwrite one another, or a file that is still needed."""
    written: dict[str, int] = {}
    read = {
        os.path.normcase(path.resolve()): what
        for job in jobs
        for path, what in (
            (job.background, "background"),
            (job.film, "film"),
            (job.speakers, _PORTRAIT_OR_AUDIO),
            (job.portrait, _PORTRAIT_OR_AUDIO),
            (job.voice, _PORTRAIT_OR_AUDIO),
        )
        if path
    }
    for job in jobs:
        name = os.path.normcase(job.out.resolve())
        if name in written:
            yield f"line {job.line}: out: {_shortened(job.out)} is already written by line {written[name]}."
        if name in read:
            yield f"line {job.line}: out: {_shortened(job.out)} is a {read[name]} of this table."
        written.setdefault(name, job.line)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


__all__ = ["FILES", "Job", "read_jobs"]
