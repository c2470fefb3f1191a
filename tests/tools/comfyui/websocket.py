"""Listens to a ComfyUI server's websocket: as much of RFC 6455 as a patient listener on one's own machine needs.

In: host, port, path. Out: text messages, one at a time; binary ones (live previews) are counted and dropped.
Standard library alone, so that the demo runs with whatever Python is at hand.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
from contextlib import suppress

CONTINUED, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10


class Closed(ConnectionError):
    """The server is gone or said goodbye."""


class Websocket:
    def __init__(self, host: str, port: int, path: str, timeout: float = 30.0) -> None:
        self.previews = 0
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._buffer = b""
        self._kind, self._message = TEXT, b""
        try:
            self._shake_hands(host, port, path)
        except BaseException:
            self._socket.close()
            raise

    def _shake_hands(self, host: str, port: int, path: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            (
                f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        head = self._until(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise Closed(f"no websocket at {path}: {head.splitlines()[0].decode('latin-1')}")

    def text(self, timeout: float) -> str | None:
        """The next text message, or None when `timeout` seconds pass without one."""
        self._socket.settimeout(timeout)
        while True:
            try:
                last, opcode, payload = self._frame()
            except TimeoutError:
                return None
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE:
                raise Closed("the server closed the connection")
            elif opcode != PONG:
                self._message = self._message + payload if opcode == CONTINUED else payload
                self._kind = self._kind if opcode == CONTINUED else opcode
                if last and self._kind == TEXT:
                    return self._message.decode("utf-8")
                self.previews += last

    def close(self) -> None:
        with suppress(OSError):  # it is gone already, which is all that was wanted
            self._send(CLOSE, b"")
        self._socket.close()

    def _frame(self) -> tuple[bool, int, bytes]:
        """The next frame: whether it ends its message, its opcode and its payload.

        Looks before it takes, so that a time-out in the middle leaves the buffer at the frame's start.
        """
        self._fill(2)
        first, size, at = self._buffer[0], self._buffer[1] & 0x7F, 2
        if size == 126:
            self._fill(4)
            size, at = struct.unpack("!H", self._buffer[2:4])[0], 4
        elif size == 127:
            self._fill(10)
            size, at = struct.unpack("!Q", self._buffer[2:10])[0], 10
        self._fill(at + size)
        payload, self._buffer = self._buffer[at : at + size], self._buffer[at + size :]
        return bool(first & 0x80), first & 0x0F, payload

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            more = self._socket.recv(65536)
            if not more:
                raise Closed("the server is gone")
            self._buffer += more

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._fill(len(self._buffer) + 1)
        head, self._buffer = self._buffer.split(mark, 1)
        return head

    def _send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)  # a client masks what it sends; control frames are shorter than 126 bytes
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload[:125]))
        self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(body)]) + mask + body)
