"""Talks to a ComfyUI server: uploads, prompts, progress, results.

In: a server's URL. Out: what a run made (`Run`), or an error that says in the server's own words what went wrong.
Standard library alone.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tools.comfyui.websocket import Closed, Websocket


class ClientError(Exception):
    """The server cannot be asked, or answered that it will not."""


class PromptRefused(ClientError):
    """The server looked at a prompt and refused to run it. errors: its `node_errors`."""

    def __init__(self, message: str, errors: dict[str, Any]) -> None:
        super().__init__(message)
        self.errors = errors


class RunFailed(ClientError):
    """A node raised. kind: the exception's type; node_id, node_type: where; message: its sentence."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.kind = data.get("exception_type", "")
        self.node_id, self.node_type = str(data.get("node_id", "")), data.get("node_type", "")
        self.message = str(data.get("exception_message", "")).strip()
        self.traceback = "".join(data.get("traceback") or [])
        super().__init__(f"{self.node_type} (node {self.node_id}): {self.message or self.kind}")


class RunInterrupted(ClientError):
    """The run was stopped on request."""


@dataclass
class Progress:
    """A moment of a run: the node at work, and how far it is (0 of 0: it does not say)."""

    node_id: str
    node_type: str
    value: float
    maximum: float
    nodes_done: int
    nodes: int


@dataclass
class Run:
    """A finished run.

    outputs:  node id -> what that node showed on the page
    executed: ids of the nodes that ran, in order;  cached: ids of those whose earlier result was taken
    previews: how many live images came;  seconds: wall time
    """

    prompt_id: str
    outputs: dict[str, Any]
    executed: list[str]
    cached: set[str]
    previews: int = 0
    seconds: float = 0.0
    messages: list[dict] = field(default_factory=list, repr=False)

    def files(self, *suffixes: str) -> list[dict[str, str]]:
        """The files that the nodes showed, as {filename, subfolder, type}, filtered by suffix (".mp4")."""
        shown = [
            item
            for output in self.outputs.values()
            for items in output.values()
            if isinstance(items, list)
            for item in items
            if isinstance(item, dict) and "filename" in item
        ]
        return [item for item in shown if not suffixes or item["filename"].lower().endswith(suffixes)]


class Client:
    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self.url, self.timeout = url.rstrip("/"), timeout
        self.client_id = uuid.uuid4().hex

    # Asking ------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        return self._open(urllib.request.Request(self.url + path))

    def post(self, path: str, data: Any) -> Any:
        body = json.dumps(data).encode()
        answer = self._open(urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"}))
        return json.loads(answer) if answer.strip() else None

    def object_info(self) -> dict[str, Any]:
        """Every node's schema, as the page gets it."""
        return self.get("/object_info")

    def upload(self, file: Path, name: str | None = None) -> str:
        """Puts a file into the server's input folder (images, sounds and videos go the same way); the name there."""
        mark, name = uuid.uuid4().hex, (name or file.name).replace('"', "_")
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'.encode(),
            f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode(),
            file.read_bytes(),
            f"\r\n--{mark}--\r\n".encode(),
        ]
        answer = json.loads(
            self._open(
                urllib.request.Request(
                    self.url + "/upload/image",
                    b"".join(parts),
                    {"Content-Type": f"multipart/form-data; boundary={mark}"},
                )
            )
        )
        return answer["name"]

    def download(self, item: dict[str, str]) -> bytes:
        """The bytes of a file that a run showed."""
        query = {"filename": item["filename"], "subfolder": item.get("subfolder", ""), "type": item["type"]}
        return self.get_bytes("/view?" + urllib.parse.urlencode(query))

    def interrupt(self) -> None:
        self.post("/interrupt", {})

    def free(self, *, models: bool = True, memory: bool = True) -> None:
        """Asks the server to unload models and to drop its cache, as the page's button does."""
        self.post("/free", {"unload_models": models, "free_memory": memory})

    # Running -----------------------------------------------------------------------------------

    def queue(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None) -> str:
        """Hands an API prompt in; the prompt's id. Raises PromptRefused with one line per complaint."""
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow is not None else {}
        body = {"prompt": prompt, "client_id": self.client_id, "extra_data": extra}
        answer = self.post("/prompt", body)
        if answer.get("node_errors"):  # the server runs the branches that are right; a run here is all or nothing
            self.post("/queue", {"delete": [answer["prompt_id"]]})
            self.interrupt()
            raise PromptRefused(_complaints(answer["node_errors"]), answer["node_errors"])
        return answer["prompt_id"]

    def run(
        self,
        prompt: dict[str, Any],
        *,
        workflow: dict[str, Any] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        timeout: float = 1800.0,
    ) -> Run:
        """Runs an API prompt to its end.

        Raises PromptRefused, RunFailed, RunInterrupted, or ClientError when the server goes away or time is up.
        """
        begun = time.monotonic()
        where = urllib.parse.urlsplit(self.url)
        socket = Websocket(where.hostname or "127.0.0.1", where.port or 80, f"/ws?clientId={self.client_id}")
        try:
            prompt_id = self.queue(prompt, workflow)
            run = Run(prompt_id, {}, [], set())
            self._follow(socket, run, prompt, on_progress, begun + timeout)
        except Closed as error:
            raise ClientError(f"{error} while the prompt ran") from error
        finally:
            socket.close()
        run.outputs = self._history(prompt_id).get("outputs", {})
        run.previews, run.seconds = socket.previews, time.monotonic() - begun
        return run

    def _follow(self, socket: Websocket, run: Run, prompt: dict, on_progress, deadline: float) -> None:
        def tell(node: str, value: float = 0, maximum: float = 0) -> None:
            if on_progress:
                kind = prompt.get(node, {}).get("class_type", "")
                done = len(run.cached | set(run.executed)) - (1 if node in run.executed else 0)
                on_progress(Progress(node, kind, value, maximum, done, len(prompt)))

        while True:
            if time.monotonic() > deadline:
                raise ClientError("the prompt did not finish in the time that it was given")
            text = socket.text(timeout=1.0)
            if text is None:
                continue
            message = json.loads(text)
            kind, data = message.get("type"), message.get("data") or {}
            if data.get("prompt_id") not in (None, run.prompt_id):
                continue
            run.messages.append(message)
            if kind == "executing" and data.get("node"):
                node = str(data["node"])
                if node not in run.executed:
                    run.executed.append(node)
                tell(node)
            elif kind == "execution_cached":
                run.cached |= {str(node) for node in data.get("nodes", [])}
            elif kind == "progress":
                tell(str(data.get("node") or (run.executed or [""])[-1]), data["value"], data["max"])
            elif kind == "execution_success":
                return
            elif kind == "execution_error":
                raise RunFailed(data)
            elif kind == "execution_interrupted":
                raise RunInterrupted("the run was interrupted")

    def _history(self, prompt_id: str) -> dict[str, Any]:
        """The run's entry; the server writes it a moment after it has said that the run succeeded."""
        for _ in range(100):
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry:
                return entry
            time.sleep(0.1)
        raise ClientError(f"the server kept no history of prompt {prompt_id}")

    def _open(self, request: urllib.request.Request) -> bytes:
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise _refusal(request, error.code, error.read()) from error
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise ClientError(f"no answer from {request.full_url}: {error}") from error


def _refusal(request: urllib.request.Request, status: int, body: bytes) -> ClientError:
    text = body.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict) or "node_errors" not in data:
        return ClientError(f"{request.get_method()} {request.full_url} was answered with {status}: {text[:500]}")
    error = data.get("error") or {}
    line = str(error.get("message", "the server refused the prompt"))
    if error.get("details"):
        line += f": {error['details']}"
    node_errors = data["node_errors"] or {}
    # With complaints about single nodes, the summary only repeats the first of them.
    return PromptRefused(_complaints(node_errors) or line, node_errors)


def _complaints(node_errors: dict[str, Any]) -> str:
    return "\n".join(
        f"{node.get('class_type')} (node {node_id}): {one.get('message')}: {one.get('details')}"
        for node_id, node in node_errors.items()
        for one in node.get("errors", [])
    )
