"""Whatever lies in a weights file: networks, or a sentence of a class that says so; never another error, never a
flood.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import threading
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from sadtalker_core import model
from sadtalker_core.checkpoint.catalog import WeightsFile, find_files
from sadtalker_core.checkpoint.fetch import fetch
from sadtalker_core.checkpoint.glance import could_be_model
from sadtalker_core.checkpoint.reading import METADATA_KEY, Metadata, read_foreign
from sadtalker_core.datatypes import MINI
from sadtalker_core.errors import CheckpointError, CheckpointMissing, DownloadError
from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
from sadtalker_core.motion.expnet import ExpNet, ExpNetConfig

#: letters, the user's own text in it included
LONGEST_SENTENCE = 600
#: the same examples on every machine
some = functools.partial(
    settings,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@functools.cache
def whole_files() -> dict[str, bytes]:
    """A small file of each layout that is read: {its name: its bytes}."""
    torch.manual_seed(0)
    net = ExpNet(ExpNetConfig(AudioEncoderConfig(width=1)))
    own = {f"expnet.{name}": tensor.contiguous() for name, tensor in net.state_dict().items()}
    header = Metadata(MINI, "small", 256, {"expnet": {"audio": {"width": 1}}}).to_json()
    flat = {"audio2exp.mapping1.weight": torch.ones(4, 4), "audio2exp.mapping1.bias": torch.ones(4)}
    files = {"own.safetensors": save(own, {METADATA_KEY: header}), "flat.safetensors": save(flat)}
    for name, zipped in (("zip.pth", True), ("legacy.pth", False)):
        content = io.BytesIO()
        torch.save(flat | {"epoch": 3}, content, _use_new_zipfile_serialization=zipped)
        files[name] = content.getvalue()
    return files


def look_at(path: Path) -> None:
    """Through all the doors that a file has: each lets it in or says a sentence, and warns of nothing."""

    def load():
        read = model.read_tensors(path)
        return model._own_nets(read, torch.nn) if read.metadata else read.nets()

    could_be_model(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for door in (load, lambda: read_foreign(path)):
            try:
                door()
            except CheckpointError as error:
                assert 20 <= len(str(error)) <= LONGEST_SENTENCE, str(error)


@some(max_examples=60)
@given(st.sampled_from(["own.safetensors", "flat.safetensors", "zip.pth", "legacy.pth"]), st.data())
def test_a_file_that_was_cut_or_whose_bits_fell_over_is_nets_or_a_sentence(tmp_path, name, data):
    content = bytearray(whole_files()[name])
    near = st.one_of(
        st.integers(0, min(len(content), 700) - 1),
        st.integers(-min(len(content), 700), -1),
        st.integers(0, len(content) - 1),
    )
    for place in data.draw(st.lists(near, max_size=4)):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    end = data.draw(st.one_of(st.just(len(content)), near.map(lambda place: place % len(content))))
    path = tmp_path / data.draw(st.sampled_from([name, "x.safetensors", "x.pth.tar"]))
    path.write_bytes(bytes(content[:end]))
    look_at(path)


@some(max_examples=40)
@given(
    st.sampled_from([b"", b"\x80", b"\x80\x02", b"\x80\x04", b"PK\x03\x04", b"\x02\0\0\0\0\0\0\0{}", b"<html"]),
    st.binary(max_size=200),
)
def test_any_bytes_are_a_sentence(tmp_path, begin, rest):
    (tmp_path / "x.pth").write_bytes(begin + rest)
    look_at(tmp_path / "x.pth")


@some(max_examples=25)
@given(st.binary(max_size=200))
def test_a_zip_around_any_pickle_is_a_sentence(tmp_path, pickled):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + pickled)
        archive.writestr("x/version", "3\n")
        archive.writestr("x/byteorder", "little")
    look_at(tmp_path / "x.pth")


odd = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("x" * 5000)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


@some(max_examples=60)
@given(
    st.sampled_from(["format", "family", "name", "image_size", "configs", "base", "expnet", "audio", "width", "x"]), odd
)
def test_any_metadata_is_nets_or_an_error_of_ours(tmp_path, field, value):
    header = {
        "format": 1,
        "family": MINI,
        "name": "x",
        "image_size": 256,
        "configs": {"expnet": {"audio": {"width": 1}}},
    }
    place = {
        "expnet": header["configs"],
        "audio": header["configs"]["expnet"],
        "width": header["configs"]["expnet"]["audio"],
    }
    place.get(field, header)[field] = value
    (tmp_path / "x").write_bytes(save({"expnet.head.bias": torch.ones(2)}, {METADATA_KEY: json.dumps(header)}))
    look_at(tmp_path / "x")


header_entry = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.one_of(st.sampled_from(["F32", "I64", "F99"]), odd),
        "shape": st.one_of(st.lists(st.integers(-2, 1 << 50), max_size=3), odd),
        "data_offsets": st.one_of(st.lists(st.integers(-8, 1 << 50), min_size=2, max_size=2), odd),
    },
)


@some(max_examples=40)
@given(
    st.dictionaries(st.one_of(st.text(max_size=9), st.just("__metadata__")), st.one_of(header_entry, odd), max_size=3)
)
def test_any_header_is_an_error_of_ours(tmp_path, header):
    text = json.dumps(header).encode()
    (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + bytes(64))
    look_at(tmp_path / "x")


@some(max_examples=40)
@given(
    st.sampled_from(["", "file/", "SadTalker "]),
    st.one_of(st.text(max_size=30), st.sampled_from(["x" * 5000, "é" * 300])),
)
def test_any_name_of_a_model_is_a_sentence(tmp_path, begin, rest):
    with pytest.raises(CheckpointMissing) as caught:
        find_files(begin + rest if begin + rest not in ("SadTalker 256", "SadTalker 512") else "x", [tmp_path])
    assert len(str(caught.value)) <= LONGEST_SENTENCE + len(str(tmp_path))


# -------------------------------------------------------------------------------------------------------- the line

CONTENT = bytes(range(256)) * 8


class Liar(http.server.BaseHTTPRequestHandler):
    response: bytes = b""

    def do_GET(self):
        self.wfile.write(self.response)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def liar():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


line = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
header = st.one_of(
    st.tuples(
        st.sampled_from(["Content-Length", "Content-Range", "Location", "Transfer-Encoding", "Retry-After"]),
        st.one_of(
            line,
            st.sampled_from(["12abc", "2048", "0", "-1", "bytes 0-5/2048", "bytes 9-9/*", "chunked", "http://[::1"]),
        ),
    ),
    st.tuples(line, line),
)


@some(max_examples=30)
@given(
    st.sampled_from(["200 OK", "206 Partial", "302 Found", "404 No", "416 No", "503 Busy", "abc", ""]),
    st.lists(header, max_size=3),
    st.sampled_from([CONTENT, CONTENT * 9, CONTENT[:999], b""]),
    st.integers(0, 2500),
)
def test_whatever_a_server_sends_the_file_is_whole_or_not_there(tmp_path, liar, status, headers, body, there):
    file = WeightsFile("w.safetensors", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), liar + "w.safetensors")
    target, part = tmp_path / file.name, tmp_path / f"{file.name}.part"
    target.unlink(missing_ok=True)
    part.write_bytes((CONTENT * 2)[:there])
    Liar.response = "\r\n".join((f"HTTP/1.1 {status}", *(f"{a}: {b}" for a, b in headers), "", "")).encode() + body
    try:
        fetch(file, tmp_path, pause_s=0.0001)
    except DownloadError as error:
        assert 20 <= len(str(error)) <= LONGEST_SENTENCE, str(error)
        assert not target.exists() and (not part.exists() or part.stat().st_size <= max(len(CONTENT), there))
    else:
        assert target.read_bytes() == CONTENT and not part.exists()
