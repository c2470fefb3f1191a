"""Fetching from a server on this machine, one that does as asked and several that do not."""

from __future__ import annotations

import hashlib
import http.server
import re
import shutil
import threading
from collections import namedtuple

import pytest

from sadtalker_core.checkpoint import catalog, fetch
from sadtalker_core.checkpoint.catalog import WeightsFile
from sadtalker_core.errors import Cancelled, DoesNotFit, DownloadError

CONTENT = bytes(range(256)) * 12_000  # three megabytes
NAME = "größe 1.safetensors"


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


def test_wrong_bytes_are_thrown_away(server, file, tmp_path):
    server.content = CONTENT[::-1]
    with pytest.raises(DownloadError, match=f"other bytes than expected: .* instead of .*{file.sha256}"):
        _fetch(file, tmp_path, server)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_another_files_beginning_is_thrown_away(server, file, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="other bytes than expected"):
        _fetch(file, tmp_path, server)
    assert _fetch(file, tmp_path, server).read_bytes() == CONTENT


def test_another_length_is_noticed_before_it_is_fetched(server, file, tmp_path):
    server.content = CONTENT[:-5]
    with pytest.raises(DownloadError, match=r"is 3,071,995 bytes long, so it is not .*3,072,000 bytes"):
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

    with pytest.raises(DownloadError, match=r"in 5 tries: the server answered 500 .*1,000,000 bytes that came"):
        _fetch(file, tmp_path, server, on_progress=close_after_the_first)
    assert len(server.asked) == 6
    assert (tmp_path / (NAME + ".part")).stat().st_size == 1_000_000


def test_no_server_at_all_is_a_sentence(file, tmp_path, server):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="could not be fetched in 5 tries"):
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


def test_a_full_disk_is_said_before_anything_is_fetched(server, file, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 1_000_000))
    with pytest.raises(DoesNotFit, match="has 1 MB free, and 70 MB are needed"):
        _fetch(file, tmp_path, server)
    assert server.asked == []


def test_a_disk_that_fills_up_under_way_is_said_too(server, file, tmp_path, monkeypatch):
    class Full:
        name = "the model folder"

        def write(self, block):
            raise OSError(28, "No space left on device")

    class Answer:
        def read(self, n_bytes):
            return b"x"

    with pytest.raises(DoesNotFit, match="the disk of the model folder is full: .*No space left"):
        fetch._copy(Answer(), Full(), 0, 10, None)


def test_the_variable_names_a_mirror_and_the_argument_wins(server, file, tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.BASE_URL_VARIABLE, server.url)
    assert fetch.fetch(file, tmp_path / "a").read_bytes() == CONTENT
    monkeypatch.setenv(fetch.BASE_URL_VARIABLE, "http://127.0.0.1:1/nothing")
    assert _fetch(file, tmp_path / "b", server).read_bytes() == CONTENT


@pytest.mark.parametrize("base", ["file:///etc", "ftp://host/x", "C:\\models"])
def test_only_the_web_is_fetched_from(file, tmp_path, base):
    with pytest.raises(DownloadError, match="is no web address"):
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
