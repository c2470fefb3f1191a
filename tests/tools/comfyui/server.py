"""One ComfyUI server process with a folder of its own: started, watched, stopped.

In: an `Environment`, a base folder (layout.make_base). Out: a URL that answers, and the log.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.tools.comfyui.environment import Environment


class ServerError(Exception):
    """The server did not come up, or went away; the message carries the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`with Server(environment, base) as server:` gives a server that answers at server.url.

    base:  its `--base-directory`; models, input, output, temp, user and custom_nodes are in it
    cpu:   tell it `--cpu`; by default where torch sees no accelerator
    extra: further arguments of main.py
    """

    def __init__(
        self,
        environment: Environment,
        base: Path,
        *,
        port: int | None = None,
        cpu: bool | None = None,
        extra: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        self.environment, self.base = environment, base
        self.port = port or free_port()
        self.log_file = base / "server.log"
        self._env = env or {}
        self._process: subprocess.Popen | None = None
        self.command = [
            str(environment.python),
            "-s",
            str(environment.tree / "main.py"),
            "--disable-auto-launch",
            "--disable-api-nodes",
            "--port",
            str(self.port),
            "--database-url",
            "sqlite:///:memory:",
            "--base-directory",
            str(base),
            *extra,
        ]
        if environment.page is not None:
            self.command += ["--front-end-root", str(environment.page)]
        if environment.cpu if cpu is None else cpu:
            self.command.append("--cpu")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process number, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self, timeout: float = 300.0) -> Server:
        """Starts it and waits until it answers. Raises ServerError when it ends or stays silent."""
        env = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **self._env}
        env.pop("PYTHONPATH", None)  # what the tests put on their own path is none of the server's business
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self.command, cwd=self.environment.tree, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        try:
            self._wait_until_it_answers(time.monotonic() + timeout)
        except BaseException:  # also Ctrl-C: whoever started it does not hold it yet and could not stop it
            self.stop()
            raise
        return self

    def _wait_until_it_answers(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if not self.alive:
                raise ServerError(f"ComfyUI ended before it answered:\n{self.log_tail()}")
            try:
                with urllib.request.urlopen(self.url + "/system_stats", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.25)
        raise ServerError(f"ComfyUI did not answer at {self.url} in time:\n{self.log_tail()}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()  # not an interrupt: a process started in the background of a shell ignores those
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self) -> int:
        """Until it ends by itself."""
        assert self._process is not None
        return self._process.wait()

    def log_tail(self, lines: int = 25) -> str:
        return "\n".join("    " + line for line in self.log.strip().splitlines()[-lines:])

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *exc) -> None:
        self.stop()
