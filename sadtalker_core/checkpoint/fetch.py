"""A catalog entry and a folder come in, the file lies in the folder when it is done. Nothing is fetched unless asked.

What has come is kept beside the target as `<name>.part`, and the next call goes on from there; only a file of the
right size and SHA-256 gets its name.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from ..errors import DoesNotFit, DownloadError
from .catalog import WeightsFile, missing_files

#: where to fetch from instead, a mirror's folder; an argument wins over it
BASE_URL_VARIABLE = "SADTALKER_DOWNLOAD_URL"

Progress = Callable[[int, int], None]

_BLOCK = 1 << 20
_SPARE_BYTES = 64 << 20  # the disk is not filled to the last byte
_TRIES = 5
_TIMEOUT_S = 30.0


def fetch_model(model: str, folders: Sequence[Path], *, base_url: str | None = None,
                on_progress: Progress | None = None) -> list[Path]:  # fmt: skip
    """Fetch what a released model lacks into the first folder; progress counts the bytes of all its files.

    Raises as `fetch` does.
    """
    files = missing_files(model, folders)
    if not files:
        return []
    folder = Path(folders[0])
    total = sum(file.size or 0 for file in files)
    _require_room(folder, total - sum(_size(_part(folder, file)) for file in files))
    paths, before = [], 0
    for file in files:
        report = _shifted(on_progress, before, total)
        paths.append(fetch(file, folder, base_url=base_url, on_progress=report))
        before += file.size or 0
    return paths


def fetch(file: WeightsFile, folder: Path | str, *, base_url: str | None = None, on_progress: Progress | None = None,
          pause_s: float = 1.0) -> Path:  # fmt: skip
    """Fetch one file into a folder (made where it is missing) and return its path.

    base_url: the folder to fetch from instead of where it was released; otherwise the variable SADTALKER_DOWNLOAD_URL.
    on_progress(done, total): called at every megabyte, in bytes; it may raise, which stops the fetching and keeps the
        part for the next call.
    pause_s: before the second try; it doubles from try to try, and a try that brought something starts afresh.
    Raises DoesNotFit when the disk is too full, DownloadError for everything that the server or the line does wrong.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / file.name, _part(folder, file)
    url = _url(file, base_url)
    if file.size is not None:
        _require_room(folder, file.size - (part.stat().st_size if part.exists() else 0))
    fruitless = 0
    while True:
        before = _size(part)
        try:
            _go_on(url, file, part, on_progress)
            break
        except _Interrupted as error:
            fruitless = 0 if _size(part) > before else fruitless + 1
            if fruitless >= _TRIES:
                raise DownloadError(f"{url} could not be fetched in {_TRIES} tries: {error}. The {_size(part):,} bytes "
                                    f"that came are kept, and the next try goes on from there.") from error  # fmt: skip
            time.sleep(pause_s * 2**fruitless)
    _verify(file, part, url)
    os.replace(part, target)
    return target


class _Interrupted(Exception):
    """Worth another try."""


def _go_on(url: str, file: WeightsFile, part: Path, on_progress: Progress | None) -> None:
    """Fetch what `part` lacks, once."""
    start = _size(part)
    if file.size is not None and start == file.size:
        return
    if file.size is not None and start > file.size:
        part.unlink()
        start = 0
    headers = {"User-Agent": "sadtalker-nodes", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S) as answer:
            start, total = _place(answer, start, file, url)
            with part.open("r+b" if start else "wb") as stream:
                stream.seek(start)
                stream.truncate()
                _copy(answer, stream, start, total, on_progress)
            if total and _size(part) < total:
                raise _Interrupted(f"the line was cut after {_size(part):,} of {total:,} bytes")
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is as long as the file, or longer
            part.unlink(missing_ok=True)
            raise _Interrupted("the server has fewer bytes than were there already") from error
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(f"{url} cannot be fetched: the server answered {error.code} {error.reason}. Get the file "
                            f"by other means and put it into {part.parent}: {file.describe()}.") from error  # fmt: skip
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise _Interrupted(str(getattr(error, "reason", "") or error or type(error).__name__)) from error


def _place(answer, start: int, file: WeightsFile, url: str) -> tuple[int, int]:
    """Where the answer's first byte belongs, and how long the file will be (0: not known)."""
    length = int(answer.headers.get("Content-Length") or 0)
    if answer.status == 206:
        span, _, whole = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if not span.startswith(f"{start}-"):
            raise DownloadError(f"{url} answered with the bytes {span or 'unknown'}, not from {start} on as asked.")
        total = int(whole) if whole.isdigit() else start + length
    else:  # the server takes no ranges: from the beginning
        start, total = 0, length
    if file.size is not None and total and total != file.size:
        raise DownloadError(f"{url} is {total:,} bytes long, so it is not {file.describe()}. Nothing of it was kept.")
    return start, file.size or total


def _copy(answer, stream, done: int, total: int, on_progress: Progress | None) -> None:
    if on_progress:
        on_progress(done, total)
    while block := answer.read(_BLOCK):
        try:
            stream.write(block)
        except OSError as error:
            raise DoesNotFit(f"the disk of {stream.name} is full: {error}. What came so far is kept.") from error
        done += len(block)
        if on_progress:
            on_progress(done, max(total, done))


def _verify(file: WeightsFile, part: Path, url: str) -> None:
    digest = hashlib.sha256()
    with part.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != file.sha256:
        size = _size(part)
        part.unlink()
        raise DownloadError(f"{url} brought other bytes than expected: {size:,} bytes with SHA-256 "
                            f"{digest.hexdigest()} instead of {file.describe()}. They were thrown away.")  # fmt: skip


def _require_room(folder: Path, n_bytes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if n_bytes > 0 and free < n_bytes + _SPARE_BYTES:
        raise DoesNotFit(f"{folder} has {free / 1e6:,.0f} MB free, and {(n_bytes + _SPARE_BYTES) / 1e6:,.0f} MB are "
                         f"needed. Make room, or name another model folder in extra_model_paths.yaml.")  # fmt: skip


def _url(file: WeightsFile, base_url: str | None) -> str:
    base = base_url or os.environ.get(BASE_URL_VARIABLE)
    url = f"{base.rstrip('/')}/{quote(file.name)}" if base else file.url
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url} is no web address: expected http:// or https://, see {BASE_URL_VARIABLE}.")
    return url


def _part(folder: Path, file: WeightsFile) -> Path:
    return folder / f"{file.name}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _shifted(on_progress: Progress | None, before: int, total: int) -> Progress | None:
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)
