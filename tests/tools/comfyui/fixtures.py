"""What tests that need a real ComfyUI ask for, in whatever folder they live (a pytest plugin, see tests/conftest.py).

comfyui      the Environment (Python and tree); fails with the sentence what to run when it is not set up
server       one server with the pack for the whole session, with its input folder filled
client       a Client of it
object_info  its schemas
new_server   a factory for a server of one's own: new_server(extra=("--novram",), env={...})
in_process   runs a script inside a ComfyUI without a server, to look at its memory and its caches
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.comfyui import environment, media
from tests.tools.comfyui.client import Client
from tests.tools.comfyui.environment import Environment
from tests.tools.comfyui.inprocess import run_inside
from tests.tools.comfyui.layout import make_base, remove_base
from tests.tools.comfyui.server import Server


@pytest.fixture(scope="session")
def comfyui() -> Environment:
    return environment.find()


@pytest.fixture(scope="session")
def astronaut(comfyui: Environment) -> Path:
    """The portrait that the demo uses."""
    return media.default_portrait(comfyui)


@pytest.fixture(scope="session")
def voice() -> Path:
    """The speech that the demo uses: 16 kHz mono, 5.33 s."""
    return media.VOICE


@pytest.fixture(scope="session")
def server(comfyui: Environment, tmp_path_factory) -> Iterator[Server]:
    base = make_base(tmp_path_factory.mktemp("comfyui") / "base")
    with Server(comfyui, base, cpu=True) as server:
        yield server
    remove_base(base)


@pytest.fixture(scope="session")
def client(server: Server, astronaut: Path, voice: Path) -> Client:
    client = Client(server.url)
    client.upload(astronaut, "astronaut.png")
    client.upload(voice, voice.name)
    return client


@pytest.fixture(scope="session")
def object_info(client: Client) -> dict[str, Any]:
    return client.object_info()


@pytest.fixture
def new_server(comfyui: Environment, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers with a folder of their own and stops them when the test ends."""
    servers: list[Server] = []

    def start(**arguments: Any) -> Server:
        base = arguments.pop("base", None) or tmp_path / f"server {len(servers)}"
        made = Server(comfyui, make_base(base), **{"cpu": True, **arguments})
        servers.append(made)
        return made.start()

    yield start
    for made in servers:
        made.stop()
        remove_base(made.base)


@pytest.fixture
def in_process(comfyui: Environment, tmp_path: Path, astronaut: Path, voice: Path) -> Callable[..., Any]:
    """in_process(script, name=value, ...) runs the script's main(host, name=value) in a ComfyUI of its own.

    The demo's image and speech lie in its input folder, as astronaut.png and hello.flac.
    """

    def run(script: Path, **arguments: Any) -> Any:
        base = make_base(tmp_path / "inside")
        shutil.copy(astronaut, base / "input" / "astronaut.png")
        shutil.copy(voice, base / "input" / voice.name)
        return run_inside(comfyui, script, base, **arguments)

    return run
