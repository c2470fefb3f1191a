"""Fetching from a server on this machine, one that does as asked and several that do not."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import http.server
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from sadtalker_core.checkpoint import catalog, fetch
from sadtalker_core.checkpoint.catalog import WeightsFile
from sadtalker_core.errors import Cancelled, DoesNotFit, DownloadError, InUse

CONTENT = bytes(range(256)) * 12_000  # three megabytes
NAME = "größe 1.safetensors"
PROJECT = Path(__file__).resolve().parent.parent.parent


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under every path and writes down what it was asked.

    ranges: whether it honours them;  cuts: how many bytes of each next answer it sends before it hangs up
    statuses: what it answers first, before it serves;  content: what it serves
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges, self.cuts, self.statuses, self.content = True, [], [], CONTENT
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/models/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        content, start = server.content, 0
        if wanted and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + server.cuts.pop(0) if server.cuts else len(content)
        self.wfile.write(content[start:stop])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def file():
    return WeightsFile(NAME, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "https://nowhere.invalid/" + NAME)


def _fetch(file, folder, server, **more):
    return fetch.fetch(file, folder, base_url=server.url, pause_s=0.01, **more)


def test_a_file_arrives_whole_under_its_name_alone(server, file, tmp_path):
    path = _fetch(file, tmp_path / "models" / "sadtalker", server)
    assert path == tmp_path / "models" / "sadtalker" / NAME
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == [NAME]


def test_the_name_is_quoted_in_the_address(server, file, tmp_path):
    _fetch(file, tmp_path, server)
    assert server.asked == [("/models/gr%C3%B6%C3%9Fe%201.safetensors", None)]


def test_progress_counts_bytes_up_to_all_of_them(server, file, tmp_path):
    seen = []
    _fetch(file, tmp_path, server, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen) and len(seen) >= 3


def test_a_cut_line_is_taken_up_where_it_was_cut(server, file, tmp_path):
    server.cuts = [1_000_000, 500_000]
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_part_from_last_time_is_gone_on_with(server, file, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(CONTENT[:2_000_000])
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == ["bytes=2000000-"]


def test_a_whole_part_is_only_verified_and_named(server, file, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(CONTENT)
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("extra", [b"", b"too much"], ids=["shorter", "longer"])
def test_a_server_without_ranges_starts_again(server, file, tmp_path, extra):
    server.ranges = False
    (tmp_path / (NAME + ".part")).write_bytes(b"old" * 100 if not extra else CONTENT + extra)
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT


def test_wrong_bytes_are_discarded(server, file, tmp_path):
    server.content = CONTENT[::-1]
    with pytest.raises(DownloadError, match=f"checksum mismatch: got .*, expected .*{file.sha256}"):
        _fetch(file, tmp_path, server)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_another_files_beginning_is_discarded(server, file, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="checksum mismatch"):
        _fetch(file, tmp_path, server)
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT


def test_another_length_is_noticed_before_it_is_fetched(server, file, tmp_path):
    server.content = CONTENT[:-5]
    with pytest.raises(DownloadError, match=r"is 3,071,995 bytes long, expected .*3,072,000 bytes"):
        _fetch(file, tmp_path, server)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_unknown_length_is_known_by_its_hash(server, file, tmp_path):
    unknown = WeightsFile(file.name, None, file.sha256, file.url)
    server.cuts = [700_000]
    assert _fetch(unknown, tmp_path, server).read_bytes() == CONTENT


def test_404_is_a_sentence_with_another_way_and_no_second_try(server, file, tmp_path):
    server.statuses = [404]
    with pytest.raises(DownloadError, match="answered 404 .* put it into") as caught:
        _fetch(file, tmp_path, server)
    assert str(tmp_path) in str(caught.value) and file.sha256 in str(caught.value)
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again(server, file, tmp_path):
    server.statuses = [503, 429, 500]
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT
    assert len(server.asked) == 4


def test_patience_ends_and_the_part_is_kept(server, file, tmp_path):
    server.cuts = [1_000_000]
    server.statuses = []
    (tmp_path / "first").mkdir()

    def close_after_the_first(done, total):
        if done >= 1_000_000:
            server.statuses = [500] * 20

    with pytest.raises(DownloadError, match=r"in 5 tries: the server answered 500 .*1,000,000 bytes received"):
        _fetch(file, tmp_path, server, on_progress=close_after_the_first)
    assert len(server.asked) == 6
    assert (tmp_path / (NAME + ".part")).stat().st_size == 1_000_000


def test_no_server_at_all_is_a_sentence(file, tmp_path, server):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="could not be downloaded in 5 tries"):
        fetch.fetch(file, tmp_path, base_url=url, pause_s=0.001)


def test_cancelling_keeps_the_part_and_the_next_call_goes_on(server, file, tmp_path):
    def cancel(done, total):
        if done:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        _fetch(file, tmp_path, server, on_progress=cancel)
    kept = (tmp_path / (NAME + ".part")).stat().st_size
    assert 0 < kept < len(CONTENT)
    assert not (tmp_path / NAME).exists()
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT
    assert server.asked[-1][1] == f"bytes={kept}-"


def test_a_full_disk_is_reported_before_anything_is_fetched(server, file, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 1_000_000))
    with pytest.raises(DoesNotFit, match="has 1 MB free, and 70 MB are needed"):
        _fetch(file, tmp_path, server)
    assert server.asked == []


def test_a_disk_that_fills_up_under_way_is_reported_too_and_what_came_is_kept(server, file, tmp_path, monkeypatch):
    write = fetch._write

    def write_a_megabyte(stream, block):
        if stream.tell() >= 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(stream, block[: 1_000_000 - stream.tell()])

    monkeypatch.setattr(fetch, "_write", write_a_megabyte)
    with pytest.raises(DoesNotFit, match="disk of .* is full; free some space"):
        _fetch(file, tmp_path, server)
    monkeypatch.undo()
    assert (tmp_path / (NAME + ".part")).read_bytes() == CONTENT[:1_000_000]
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=1000000-"


# ------------------------------------------------------------------------------- slow lines, lines that break, liars


class Raw:
    """A server of one's own bytes: `answer(connection, request)` says what comes after the request was read."""

    def __init__(self, answer):
        self.listening, self.answer, self.open = socket.create_server(("127.0.0.1", 0)), answer, []
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                self.open.append(connection)
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with contextlib.suppress(OSError):
            self.answer(connection, connection.recv(65536).decode())
            connection.close()

    def close(self):
        for each in (self.listening, *self.open):
            each.close()


@pytest.fixture
def raw():
    servers = []

    def start(answer):
        servers.append(Raw(answer))
        return servers[-1].url

    yield start
    for server in servers:
        server.close()


def _head(*lines, status="200 OK"):
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode()


LENGTH = f"Content-Length: {len(CONTENT)}"


def test_a_slow_line_hands_over_what_it_has_and_stop_works_at_once(raw, file, tmp_path):
    def trickle(connection, request):
        connection.sendall(_head(LENGTH))
        for place in range(0, len(CONTENT), 5_000):
            connection.sendall(CONTENT[place : place + 5_000])
            time.sleep(0.1)  # 50 kB/s

    pressed = []

    def stop(done, total):
        if done >= 10_000:
            pressed.append(time.monotonic())
            raise Cancelled("stop")

    started = time.monotonic()
    with pytest.raises(Cancelled):
        fetch.fetch(file, tmp_path, base_url=raw(trickle), on_progress=stop)
    assert time.monotonic() - started < 5, "a whole block was waited for"
    assert time.monotonic() - pressed[0] < 2
    kept = (tmp_path / (NAME + ".part")).read_bytes()
    assert 10_000 <= len(kept) < 1_000_000 and CONTENT.startswith(kept)


@pytest.mark.parametrize("response", [b"", _head(LENGTH), _head(LENGTH) + CONTENT[:5000]], ids=["mute", "head", "some"])
def test_a_connection_that_sends_nothing_more_can_be_stopped(raw, file, tmp_path, response):
    def stall(connection, request):
        connection.sendall(response)
        time.sleep(60)

    started = time.monotonic()

    def stop(done, total):
        if time.monotonic() - started > 0.5:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        fetch.fetch(file, tmp_path, base_url=raw(stall), on_progress=stop)
    assert time.monotonic() - started < 2.5


def test_every_try_keeps_what_it_brought(raw, file, tmp_path):
    def nine_tenths_of_a_megabyte(connection, request):
        start = int(request.partition("bytes=")[2].partition("-")[0] or 0)
        span = f"Content-Range: bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        connection.sendall(_head(span, f"Content-Length: {len(CONTENT) - start}", status="206 Partial Content"))
        connection.sendall(CONTENT[start : start + 900_000])

    path = fetch.fetch(file, tmp_path, base_url=raw(nine_tenths_of_a_megabyte), pause_s=0.01)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("number", ["EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "ECONNRESET", "ETIMEDOUT", "EPIPE"])
def test_a_line_that_breaks_in_the_body_is_taken_up_again(server, file, tmp_path, monkeypatch, number):
    read, breaks = http.client.HTTPResponse.read1, [OSError(getattr(errno, number), "the line broke")]

    def break_once(answer, n_bytes):
        if breaks and server.asked:
            raise breaks.pop()
        return read(answer, n_bytes)

    monkeypatch.setattr(http.client.HTTPResponse, "read1", break_once)
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT and not breaks


def test_no_more_than_the_file_has_is_ever_kept(raw, file, tmp_path):
    """A body without a length that does not end."""

    def flood(connection, request):
        connection.sendall(_head())
        while True:
            connection.sendall(CONTENT)

    assert fetch.fetch(file, tmp_path, base_url=raw(flood)).read_bytes() == CONTENT


def test_a_file_of_unknown_length_does_not_fill_the_disk(raw, file, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_MOST_BYTES", 500_000)
    unknown = WeightsFile(file.name, None, file.sha256, file.url)

    def flood(connection, request):
        connection.sendall(_head())
        while True:
            connection.sendall(CONTENT)

    with pytest.raises(DownloadError, match="does not end: 500,000 bytes"):
        fetch.fetch(unknown, tmp_path, base_url=raw(flood))
    assert (tmp_path / (NAME + ".part")).stat().st_size == 500_000


@pytest.mark.parametrize(
    "told",
    ["Content-Length: 12abc", "Content-Length: -5", "X: y", "Content-Length: " + "9" * 5000],
    ids=["no number", "negative", "none", "endless"],
)
def test_a_length_that_makes_no_sense_does_not_matter(raw, file, tmp_path, told):
    url = raw(lambda connection, request: connection.sendall(_head(told) + CONTENT))
    assert fetch.fetch(file, tmp_path, base_url=url).read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["http://[::1", "http://" + "a" * 70 + ".é/", "file:///etc/passwd"])
def test_a_redirection_to_nowhere_is_a_sentence(raw, file, tmp_path, place):
    url = raw(
        lambda connection, request: connection.sendall(
            f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
        )
    )
    with pytest.raises(DownloadError, match="cannot be downloaded"):
        fetch.fetch(file, tmp_path, base_url=url, pause_s=0.001)


def test_a_mirror_that_is_no_address_is_a_sentence(file, tmp_path):
    with pytest.raises(DownloadError, match="is not a web address"):
        fetch.fetch(file, tmp_path, base_url="http://[::1")


def test_a_place_that_was_not_asked_for_is_refused(raw, file, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(CONTENT[:100])
    head = _head("Content-Range: bytes 50-99/oops", "Content-Length: 50", status="206 Partial Content")
    url = raw(lambda connection, request: connection.sendall(head + CONTENT[50:100]))
    with pytest.raises(DownloadError, match="answered with the bytes bytes 50-99/oops, not from 100 on"):
        fetch.fetch(file, tmp_path, base_url=url)


def test_a_model_folder_that_is_a_file_is_a_sentence(server, file, small_model, tmp_path):
    (tmp_path / "sadtalker").write_text("")
    for call in (
        lambda: _fetch(file, tmp_path / "sadtalker", server),
        lambda: _fetch(file, tmp_path / "sadtalker" / "below", server),
        lambda: fetch.fetch_model(small_model, [tmp_path / "sadtalker"], base_url=server.url),
    ):
        with pytest.raises(DownloadError, match="the model folder .* cannot be written to"):
            call()
    assert server.asked == []
    with pytest.raises(DownloadError, match="there is no model folder"):
        fetch.fetch_model(small_model, [])


def test_a_second_program_does_not_write_into_the_part_of_the_first(server, file, tmp_path):
    seen = []

    def second(done, total):
        if not seen:
            seen.append(done)
            with pytest.raises(InUse, match="the download of größe 1.safetensors into .* is in use by process"):
                _fetch(file, tmp_path, server)

    assert _fetch(file, tmp_path, server, on_progress=second).read_bytes() == CONTENT and seen
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


FETCHING = """
import sys
from pathlib import Path
from sadtalker_core.checkpoint.catalog import WeightsFile
from sadtalker_core.checkpoint.fetch import fetch
name, size, digest, folder, url = sys.argv[1:]
fetch(WeightsFile(name, int(size), digest, url), Path(folder), base_url=url)
"""


@pytest.mark.parametrize("at", [1, 1_000_000, 2_500_000])
def test_a_killed_download_leaves_a_part_that_the_next_run_goes_on_with(raw, server, file, tmp_path, at):
    def up_to_there(connection, request):
        connection.sendall(_head(LENGTH) + CONTENT[:at])
        time.sleep(60)

    part = tmp_path / (NAME + ".part")
    arguments = [NAME, str(len(CONTENT)), file.sha256, str(tmp_path), raw(up_to_there)]
    with subprocess.Popen([sys.executable, "-c", FETCHING, *arguments], cwd=PROJECT) as child:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size == at) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
    assert part.read_bytes() == CONTENT[:at] and not (tmp_path / NAME).exists()
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT
    assert server.asked == [(server.asked[0][0], f"bytes={at}-")]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


# ------------------------------------------------------------------------------------------------ where from, and whole


def test_the_variable_names_a_mirror_and_the_argument_wins(server, file, tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.BASE_URL_VARIABLE, server.url)
    assert fetch.fetch(file, tmp_path / "a").read_bytes() == CONTENT
    monkeypatch.setenv(fetch.BASE_URL_VARIABLE, "http://127.0.0.1:1/nothing")
    assert _fetch(file, tmp_path / "b", server).read_bytes() == CONTENT


@pytest.mark.parametrize("base", ["file:///etc", "ftp://host/x", "C:\\models"])
def test_only_the_web_is_fetched_from(file, tmp_path, base):
    with pytest.raises(DownloadError, match="is not a web address"):
        fetch.fetch(file, tmp_path, base_url=base)


@pytest.fixture
def small_model(monkeypatch):
    """A released model of three small files, the same CONTENT under each name."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    files = tuple(WeightsFile(n, len(CONTENT), digest, f"https://nowhere.invalid/{n}") for n in ("a", "b", "c"))
    monkeypatch.setitem(catalog.RELEASED_MODELS, "small", catalog.ReleasedModel(256, (files,)))
    return "small"


def test_a_model_is_fetched_file_by_file_with_one_progress(server, small_model, tmp_path):
    (tmp_path / "b").write_bytes(CONTENT)
    seen = []
    paths = fetch.fetch_model(
        small_model, [tmp_path], base_url=server.url, on_progress=lambda done, total: seen.append((done, total))
    )
    assert paths == [tmp_path / "a", tmp_path / "c"]
    assert seen[-1] == (2 * len(CONTENT), 2 * len(CONTENT)) and seen == sorted(seen)


def test_a_model_that_is_there_is_not_fetched(server, small_model, tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(CONTENT)
    assert fetch.fetch_model(small_model, [tmp_path], base_url=server.url) == []
    assert server.asked == []
