"""The websocket client against a small server that misbehaves on purpose."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest

from tests.tools.comfyui.client import Client, ClientError, PromptRefused, RunFailed, RunInterrupted, _refusal
from tests.tools.comfyui.demo import Bar
from tests.tools.comfyui.websocket import Closed, Websocket

pytestmark = pytest.mark.plain
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(payload: bytes, opcode: int = 1, last: bool = True) -> bytes:
    size = len(payload)
    head = (
        bytes([size])
        if size < 126
        else (b"\x7e" + struct.pack("!H", size) if size < 65536 else b"\x7f" + struct.pack("!Q", size))
    )
    return bytes([(0x80 if last else 0) | opcode]) + head + payload


class Scripted:
    """A server for one websocket: shakes hands, then sends the given pieces; numbers are pauses in seconds."""

    def __init__(self, *pieces) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = b""
        self.thread = threading.Thread(target=self._serve, args=(pieces,), daemon=True)
        self.thread.start()

    def _serve(self, pieces) -> None:
        with self.listener:
            connection, _ = self.listener.accept()
        with connection:
            self._speak(connection, pieces)

    def _speak(self, connection, pieces) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
        accept = base64.b64encode(hashlib.sha1(key + GUID.encode()).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        for piece in pieces:
            if isinstance(piece, bytes):
                connection.sendall(piece)
            else:
                time.sleep(piece)
        connection.settimeout(0.3)
        with suppress(TimeoutError, ConnectionError):
            self.received = connection.recv(4096)


@pytest.fixture
def listen():
    """listen(*pieces) -> a Websocket and the Scripted that it is connected to; both end with the test."""
    made = []

    def connected(*pieces) -> tuple[Websocket, Scripted]:
        server = Scripted(*pieces)
        made.append((Websocket("127.0.0.1", server.port, "/ws"), server))
        return made[-1]

    yield connected
    for websocket, server in made:
        websocket.close()
        server.thread.join()


@pytest.mark.parametrize("size", [5, 200, 70_000])
def test_messages_of_every_length_arrive_whole(listen, size):
    socket, _ = listen(frame(b"x" * size))
    assert socket.text(5) == "x" * size


def test_a_message_in_pieces_is_joined_around_a_ping(listen):
    socket, server = listen(frame(b"one ", last=False), frame(b"p", opcode=9), frame(b"two", opcode=0))
    assert socket.text(5) == "one two"
    server.thread.join()
    assert server.received[0] == 0x8A  # the pong


def test_a_pause_in_the_middle_of_a_message_loses_nothing(listen):
    whole = frame(b"slow but sure")
    socket, _ = listen(whole[:6], 0.5, whole[6:])
    assert socket.text(0.1) is None
    assert socket.text(5) == "slow but sure"


def test_images_are_counted_and_passed_over(listen):
    socket, _ = listen(frame(b"\x00" * 300, opcode=2), frame(b"text"))
    assert socket.text(5) == "text" and socket.previews == 1


def test_a_server_that_goes_away_is_noticed(listen):
    socket, _ = listen(frame(b"", opcode=8))
    with pytest.raises(Closed):
        socket.text(5)


class FakeComfy:
    """The few addresses that a run needs, told what the websocket is to say."""

    def __init__(self, monkeypatch, messages, history=None, answer=None) -> None:
        texts = [json.dumps({"type": kind, "data": {"prompt_id": "p", **data}}) for kind, data in messages]
        fake = self

        class Socket:
            previews = 2

            def __init__(self, *args) -> None:
                pass

            def text(self, timeout):
                return texts.pop(0)

            def close(self) -> None:
                pass

        monkeypatch.setattr("tests.tools.comfyui.client.Websocket", Socket)
        self.asked, self.history = [], history or [{"p": {"outputs": {}}}]
        self.client = Client("http://127.0.0.1:1")
        self.client._open = lambda request: fake.open(request, answer or {"prompt_id": "p"})

    def open(self, request, answer) -> bytes:
        path = request.full_url.split(":1", 1)[1]
        self.asked.append(path)
        if path.startswith("/history"):
            return json.dumps(self.history.pop(0)).encode()
        return json.dumps(answer).encode() if path == "/prompt" else b""


PROMPT = {"1": {"class_type": "A", "inputs": {}}, "2": {"class_type": "B", "inputs": {}}}


def test_a_run_reports_what_ran_and_what_was_kept(monkeypatch):
    shown = {"2": {"images": [{"filename": "talk.mp4", "subfolder": "", "type": "output"}, {"filename": "a.png"}]}}
    fake = FakeComfy(
        monkeypatch,
        [
            ("execution_cached", {"nodes": ["1"]}),
            ("executing", {"node": "2"}),
            ("progress", {"node": "2", "value": 3, "max": 6}),
            ("execution_success", {}),
        ],
        history=[{}, {"p": {"outputs": shown}}],
    )  # written a moment later
    seen = []
    run = fake.client.run(PROMPT, on_progress=seen.append)
    assert run.executed == ["2"] and run.cached == {"1"} and run.previews == 2
    assert [item["filename"] for item in run.files(".mp4")] == ["talk.mp4"]
    assert [(p.node_type, p.value, p.maximum, p.nodes_done) for p in seen] == [("B", 0, 0, 1), ("B", 3, 6, 1)]


def test_a_node_that_raises_is_reported_in_its_own_words(monkeypatch):
    fake = FakeComfy(
        monkeypatch,
        [
            ("executing", {"node": "1"}),
            (
                "execution_error",
                {"node_id": "1", "node_type": "A", "exception_type": "NoFace", "exception_message": "no face found\n"},
            ),
        ],
    )
    with pytest.raises(RunFailed, match=r"A \(node 1\): no face found") as raised:
        fake.client.run(PROMPT)
    assert raised.value.kind == "NoFace"


def test_an_interrupted_run_reports_it(monkeypatch):
    fake = FakeComfy(monkeypatch, [("execution_interrupted", {"node_id": "1"})])
    with pytest.raises(RunInterrupted):
        fake.client.run(PROMPT)


def test_a_prompt_of_which_one_branch_is_wrong_is_taken_back(monkeypatch):
    wrong = {"1": {"class_type": "A", "errors": [{"message": "Value not in list", "details": "image: 'x.png'"}]}}
    fake = FakeComfy(monkeypatch, [], answer={"prompt_id": "p", "node_errors": wrong})
    with pytest.raises(PromptRefused, match=r"A \(node 1\): Value not in list: image: 'x.png'"):
        fake.client.run(PROMPT)
    assert fake.asked == ["/prompt", "/queue", "/interrupt"]


def test_a_refusal_without_details_still_has_a_sentence():
    import urllib.request

    body = json.dumps({"error": {"message": "Prompt has no outputs", "details": ""}, "node_errors": {}}).encode()
    assert str(_refusal(urllib.request.Request("http://h/prompt"), 400, body)) == "Prompt has no outputs"


def test_a_server_that_is_not_there_is_an_error_with_its_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ClientError, match=f"no answer from http://127.0.0.1:{port}"):
        Client(f"http://127.0.0.1:{port}").object_info()


def test_the_progress_bar_off_a_terminal_writes_a_line_a_tenth(monkeypatch, capsys):
    fake = FakeComfy(
        monkeypatch,
        [("executing", {"node": "1"})]
        + [("progress", {"node": "1", "value": i, "max": 100}) for i in range(1, 101)]
        + [("execution_success", {})],
    )
    fake.client.run(PROMPT, on_progress=Bar({"A": {"display_name": "Face Render"}}))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[5] == "[" + "#" * 15 + "." * 15 + "]  1 of 2  Face Render 50/100"
