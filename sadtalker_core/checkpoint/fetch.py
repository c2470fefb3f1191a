"""Downloads the file of a catalog entry into a folder. Nothing is fetched unless asked.

What has arrived is kept beside the target as `<name>.part`, even after a kill, and the next call resumes there; only a
file of the right size and SHA-256 gets its name.

A thread reads from the connection, so that a server that sends nothing, or a name that does not resolve, never keeps
the caller from stopping: at most `_POLL_S` pass between two calls of `on_progress`. The thread hands blocks over and
touches no file; when it is abandoned it ends with its connection, at most `_TIMEOUT_S` later.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import re
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from ..errors import DoesNotFit, DownloadError, shorten
from ..locking import held
from .catalog import WeightsFile, missing_files

if TYPE_CHECKING:
    from ..datatypes import OnProgress

#: where to fetch from instead, a mirror's folder; an argument takes precedence
BASE_URL_VARIABLE = "SADTALKER_DOWNLOAD_URL"


_BLOCK = 1 << 18  # at most: what has come is taken at once, however little it is
_SPARE_BYTES = 64 << 20  # the disk is not filled to the last byte
_MOST_BYTES = 4 << 30  # of a file whose length is not known
_TRIES = 5
_TIMEOUT_S = 30.0
_POLL_S = 0.2
_NUMBER = "[0-9]{1,15}"


def fetch_model(
    model: str, folders: Sequence[Path], *, base_url: str | None = None, on_progress: OnProgress | None = None
) -> list[Path]:
    """Fetch the missing files of a released model into the first folder; progress counts the bytes of all its files.

    Raises as `fetch` does.
    """
    files = missing_files(model, folders)
    if not files:
        return []
    if not folders:
        raise DownloadError(f"{model} cannot be downloaded: there is no model folder.")
    folder = Path(folders[0])
    total = sum(file.size or 0 for file in files)
    with _folder_problems(folder):
        _require_space(folder, total - sum(_size(_part(folder, file)) for file in files))
    paths, before = [], 0
    for file in files:
        report = _shifted(on_progress, before, total)
        paths.append(fetch(file, folder, base_url=base_url, on_progress=report))
        before += file.size or 0
    return paths


def fetch(
    file: WeightsFile,
    folder: Path | str,
    *,
    base_url: str | None = None,
    on_progress: OnProgress | None = None,
    pause_s: float = 1.0,
) -> Path:
    """Fetch one file into a folder (made where it is missing) and return its path.

    base_url: the folder to fetch from instead of where it was released; otherwise the variable SADTALKER_DOWNLOAD_URL.
    on_progress(done, total): called several times a second, also while nothing comes, in bytes; it may raise, which
        stops the fetching and keeps the part for the next call.
    pause_s: before the second try; it doubles from try to try, and a try that brought something starts afresh.
    Raises DoesNotFit when the disk is too full, DownloadError for everything that the server, the line or the folder
    does wrong.
    """
    folder = Path(folder)
    target, part = folder / file.name, _part(folder, file)
    url = _url(file, base_url)
    with _folder_problems(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if file.size is not None:
            _require_space(folder, file.size - _size(part))
        with held(part.with_name(f"{part.name}.lock"), f"the download of {file.name} into {shorten(folder)}"):
            _persist(url, file, part, _Report(on_progress, file.size or 0), pause_s)
            _verify(file, part, url, _Report(on_progress, file.size or 0))
            part.replace(target)
    return target


class _Interrupted(Exception):
    """Worth another try."""


class _Report:
    """Calls on_progress a few times a second and at every megabyte, however often it is called itself."""

    def __init__(self, on_progress: OnProgress | None, total: int):
        self.on_progress, self.total = on_progress, total
        self._next_s, self._next_byte = 0.0, 0

    def __call__(self, done: int, *, now: bool = False) -> None:
        if self.on_progress and (now or done >= self._next_byte or time.monotonic() >= self._next_s):
            self.on_progress(done, max(self.total, done))
            self._next_s, self._next_byte = time.monotonic() + _POLL_S, done + (1 << 20)


def _persist(url: str, file: WeightsFile, part: Path, report: _Report, pause_s: float) -> None:
    """Fetch what `part` lacks, in as many tries as it takes while each brings something."""
    fruitless = 0
    while True:
        before = _size(part)
        try:
            _resume(url, file, part, report)
            return
        except _Interrupted as error:
            fruitless = 0 if _size(part) > before else fruitless + 1
            if fruitless >= _TRIES:
                raise DownloadError(
                    f"{shorten(url)} could not be downloaded in {_TRIES} tries: {shorten(error, 160)}. "
                    f"The {_size(part):,} bytes received are kept; the next try resumes there."
                ) from error
            end = time.monotonic() + pause_s * 2**fruitless
            while (left := end - time.monotonic()) > 0:
                report(_size(part))
                time.sleep(min(left, _POLL_S))


class _Response(NamedTuple):
    """The head of a server's response: its status, Content-Length (0: unknown) and Content-Range."""

    status: int
    length: int
    span: str


class _Redirects(urllib.request.HTTPRedirectHandler):
    """urllib's own, which leaves the connection open where a redirection leads to no address."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Line(threading.Thread):
    """Asks for a URL, from a byte on, and hands over: a _Response, blocks of bytes, then b"" or what went wrong."""

    def __init__(self, url: str, start: int):
        super().__init__(daemon=True, name="SadTalker download")
        self.url, self.start_byte = url, start
        self.facts: queue.Queue[_Response | bytes | Exception] = queue.Queue(maxsize=16)
        self.left_alone = threading.Event()

    def run(self) -> None:
        headers = {"User-Agent": "sadtalker-nodes", "Accept-Encoding": "identity"}
        if self.start_byte:
            headers["Range"] = f"bytes={self.start_byte}-"
        try:
            request = urllib.request.Request(self.url, headers=headers)
            with urllib.request.build_opener(_Redirects).open(request, timeout=_TIMEOUT_S) as response:
                stated = response.headers.get("Content-Length", "").strip()
                length = int(stated) if re.fullmatch(_NUMBER, stated) else 0
                self._put(_Response(response.status, length, response.headers.get("Content-Range", "")))
                while (block := response.read1(_BLOCK)) and not self.left_alone.is_set():
                    self._put(block)
            self._put(b"")
        except (OSError, http.client.HTTPException, ValueError) as error:  # URLError and time-outs are OSErrors
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is the answer as well, and holds the connection
            self._put(error)

    def _put(self, what: _Response | bytes | Exception) -> None:
        while not self.left_alone.is_set():
            with suppress(queue.Full):
                self.facts.put(what, timeout=_POLL_S)
                return

    def receive(self, idle: Callable[[], None]) -> _Response | bytes:
        """The next item; `idle` is called while there is none. Raises what the thread raised."""
        while True:
            with suppress(queue.Empty):
                facts = self.facts.get(timeout=_POLL_S)
                if isinstance(facts, Exception):
                    raise facts
                return facts
            if not self.is_alive() and self.facts.empty():
                raise ConnectionError("the connection timed out")
            idle()


def _resume(url: str, file: WeightsFile, part: Path, report: _Report) -> None:
    """Fetch what `part` lacks, once."""
    start = _size(part)
    if file.size is not None and start == file.size:
        return
    if file.size is not None and start > file.size:
        part.unlink()
        start = 0
    line = _Line(url, start)
    line.start()
    try:
        with _line_problems(url, file, part):
            response = line.receive(lambda: report(start))
        assert isinstance(response, _Response)  # a line begins with it
        start, total = _place(response, start, file, url)
        report.total = total
        done = start
        with part.open("r+b" if start else "wb", buffering=0) as stream:
            stream.seek(start)
            stream.truncate()
            report(done, now=True)
            most = file.size or total or _MOST_BYTES
            while done < most:
                with _line_problems(url, file, part):
                    block = line.receive(lambda: report(done))  # noqa: B023 (called before done moves on)
                assert not isinstance(block, _Response)  # it came first
                if not block:
                    break
                done += _write(stream, block[: most - done])
                report(done)
        report(done, now=True)
        if not file.size and not total and done >= _MOST_BYTES:
            raise DownloadError(f"{shorten(url)} does not end: {done:,} bytes received so far.")
        if total and done < total:
            raise _Interrupted(f"the connection dropped after {done:,} of {total:,} bytes")
    finally:
        line.left_alone.set()


def _write(stream: Any, block: bytes) -> int:
    left = memoryview(block)
    while left:
        left = left[stream.write(left) :]
    return len(block)


@contextmanager
def _line_problems(url: str, file: WeightsFile, part: Path) -> Iterator[None]:
    """What a line raises, as _Interrupted where another try may help, and else as a DownloadError."""
    try:
        yield
    except urllib.error.HTTPError as error:
        reason = shorten(f"{error.code} {error.reason}", 120)
        if error.code == 416:  # the part is as long as the file, or longer
            part.unlink(missing_ok=True)
            raise _Interrupted("the server's file is smaller than the part downloaded already") from error
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Interrupted(f"the server answered {reason}") from error
        raise DownloadError(
            f"{shorten(url)} cannot be downloaded: the server answered {reason}. Download the file in another way "
            f"and put it into {shorten(part.parent)}: {file.describe()}."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(getattr(error, "reason", "") or error or type(error).__name__)) from error
    except ValueError as error:  # an address that is none, here or in a redirection
        raise DownloadError(
            f"{shorten(url)} cannot be downloaded: it is not a web address, or redirects to none "
            f"({shorten(error, 120)})."
        ) from error


def _place(response: _Response, start: int, file: WeightsFile, url: str) -> tuple[int, int]:
    """Where the answer's first byte belongs, and how long the file will be (0: not known)."""
    if response.status == 206:
        span = re.fullmatch(rf"bytes ({_NUMBER})-[0-9]*/({_NUMBER}|\*)", response.span.strip())
        if span is None or int(span[1]) != start:
            raise DownloadError(
                f"{shorten(url)} answered with the bytes {shorten(response.span, 60) or 'unknown'}, not "
                f"from {start} on as asked."
            )
        total = int(span[2]) if span[2] != "*" else start + response.length if response.length else 0
    else:  # the server takes no ranges: from the beginning
        start, total = 0, response.length
    if file.size is not None and total and total != file.size:
        raise DownloadError(f"{shorten(url)} is {total:,} bytes long, expected {file.describe()}; nothing was kept.")
    return start, file.size or total


def _verify(file: WeightsFile, part: Path, url: str, report: _Report) -> None:
    digest = hashlib.sha256()
    with part.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            report(_size(part))
    if digest.hexdigest() != file.sha256:
        size = _size(part)
        part.unlink()
        raise DownloadError(
            f"{shorten(url)}: checksum mismatch: got {size:,} bytes with SHA-256 "
            f"{digest.hexdigest()}, expected {file.describe()}; the download was deleted."
        )


@contextmanager
def _folder_problems(folder: Path) -> Iterator[None]:
    """What goes wrong with the folder or its disk, in a sentence."""
    try:
        yield
    except OSError as error:
        from ..saving import disk_full_error  # brings torch

        full = disk_full_error(error, folder)
        if full:
            raise full from error
        what = f"{error.strerror or error}: {shorten(error.filename or folder)}"
        raise DownloadError(
            f"the model folder {shorten(folder)} cannot be written to ({what}). Make it writable, or "
            "set another folder in extra_model_paths.yaml."
        ) from error


def _require_space(folder: Path, n_bytes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if n_bytes > 0 and free < n_bytes + _SPARE_BYTES:
        raise DoesNotFit(
            f"{shorten(folder)} has {free / 1e6:,.0f} MB free, and {(n_bytes + _SPARE_BYTES) / 1e6:,.0f} MB are "
            "needed. Free some space, or set another model folder in extra_model_paths.yaml."
        )


def _url(file: WeightsFile, base_url: str | None) -> str:
    base = base_url or os.environ.get(BASE_URL_VARIABLE)
    url = f"{base.rstrip('/')}/{quote(file.name)}" if base else file.url
    try:
        known = urlsplit(url).scheme in ("http", "https")
    except ValueError:
        known = False
    if not known:
        raise DownloadError(
            f"{shorten(url)} is not a web address: expected http:// or https://, see {BASE_URL_VARIABLE}."
        )
    return url


def _part(folder: Path, file: WeightsFile) -> Path:
    return folder / f"{file.name}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _shifted(on_progress: OnProgress | None, before: int, total: int) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)
