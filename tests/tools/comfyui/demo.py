"""An image and a voice -> a talking portrait, through the real server and the shipped workflow.

In, as arguments or environment variables of the same name: PORTRAIT, VOICE, OUT, WORKFLOW, REFERENCE (a video, for
workflows that load one). Out: an mp4 that has been looked at, and what to do next.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.tools.comfyui import environment, media, workflow
from tests.tools.comfyui.client import Client, ClientError, Progress, RunFailed
from tests.tools.comfyui.environment import Environment
from tests.tools.comfyui.layout import PACK_NAME, PROJECT, SetupError, home, make_base
from tests.tools.comfyui.server import Server

DAY = 24 * 3600.0
DEFAULT_WORKFLOW = PROJECT / "workflows" / "talking_portrait.json"
NEXT = """What next:
  another face and voice      make demo PORTRAIT=face.jpg VOICE=voice.wav OUT=talk.mp4
  the graph in your browser   make serve
  the released weights, every node, what it cannot do: README.md"""


def demo(
    portrait: str | None = None,
    voice: str | None = None,
    out: str | None = None,
    workflow_file: str | None = None,
    reference: str | None = None,
) -> Path:
    """Makes the video; returns its path. Raises SetupError, WorkflowError, ClientError or ServerError in sentences."""
    target = _target(out)
    source = Path(workflow_file).expanduser() if workflow_file else DEFAULT_WORKFLOW
    graph = workflow.load(source)
    host = environment.prepare()
    files = {
        "image": Path(portrait).expanduser() if portrait else default_image(host, source.stem),
        "audio": Path(voice).expanduser() if voice else media.VOICE,
    }
    media.need(host, "PORTRAIT", files["image"], "video", "an image")
    voice_seconds = media.need(host, "VOICE", files["audio"], "audio", "audio")["audio"]["seconds"]
    if reference:
        files["video"] = Path(reference).expanduser()
        media.need(host, "REFERENCE", files["video"], "video", "a video")

    begun = time.monotonic()
    print(f"starting ComfyUI {host.version} ...", flush=True)
    with free_base("demo") as base, start(host, base) as server:
        client = Client(server.url)
        schema = client.object_info()
        need_pack(schema, server)
        prompt = workflow.to_prompt(graph, schema)
        if workflow.uploads(prompt, schema, "video") and not reference:
            raise SetupError(f"{source.name} follows a video of somebody: name one in REFERENCE")
        used = _fill_in(client, prompt, schema, files)
        bar = Bar(schema)
        try:
            run = client.run(prompt, workflow=None if workflow.is_api(graph) else graph, on_progress=bar, timeout=DAY)
        except RunFailed as error:
            raise ClientError(f"{bar.names.get(error.node_type, error.node_type)}: {error.message}") from error
        finally:
            bar.end()
        videos = run.files(".mp4")
        if not videos:
            raise ClientError(f"{source.name} ran, but showed no mp4")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(client.download(videos[0]))
    record = media.probe(host, target)[0]
    wrong = media.complaints(record, voice_seconds if "audio" in used else None)
    if wrong:
        raise ClientError(f"{target}: this video {'; it '.join(wrong)}")
    video, sound = record["video"], record.get("audio")
    print(
        f"{target}\n{video['frames']} frames, {video['seconds']:.2f} seconds, {video['width']} x {video['height']}, "
        f"{video['fps']:g} fps, H.264{' + AAC' if sound else ''}; made in {time.monotonic() - begun:.0f} s\n\n{NEXT}"
    )
    return target


def serve(port: int | None = None) -> int:
    """Leaves the server up, with the pack, the example image and the example voice in place, until it is stopped:
    by Ctrl-C, or by a polite kill where it was started in the background, where shells switch Ctrl-C off.
    """
    for polite in (signal.SIGINT, signal.SIGTERM):
        signal.signal(polite, signal.default_int_handler)
    host = environment.prepare()
    with free_base("serve") as base, start(host, base, port or _free_or(8188)) as server:
        client = Client(server.url)
        schema = client.object_info()
        need_pack(schema, server)
        for file in sorted((PROJECT / "workflows").glob("*.json")):
            fill_input_folder(
                client,
                workflow.to_prompt(workflow.load(file), schema),
                schema,
                {"image": default_image(host, file.stem), "audio": media.VOICE},
            )
        print(
            f"ComfyUI {host.version} is up: {server.url}\n"
            f"  the workflows: Workflow > Browse Templates > {PACK_NAME}\n"
            f"  models: {models_folder(host)}\n  output: {base / 'output'}\n  log:    {server.log_file}\n"
            "Ctrl-C stops it.",
            flush=True,
        )
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0


@contextmanager
def free_base(name: str) -> Iterator[Path]:
    """A server's folder that no other demo is using right now; it stays, for the next one."""
    for number in count(1):
        folder = home() / "servers" / (name if number == 1 else f"{name} {number}")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "in use").open("a+b") as lock:
            if environment.try_lock(lock.fileno()):
                yield folder
                return


def start(host: Environment, base: Path, port: int | None = None) -> Server:
    """A server to be started, with the pack linked in and models found where the person keeps them."""
    make_base(base)
    models = models_folder(host)
    (models / "sadtalker").mkdir(parents=True, exist_ok=True)
    paths = {
        name: name
        for name in (
            "sadtalker",
            "checkpoints",
            "vae",
            "loras",
            "upscale_models",
            "clip",
            "text_encoders",
            "diffusion_models",
        )
    }
    listing = base / "extra_model_paths.yaml"
    listing.write_text(json.dumps({"people": {"base_path": str(models), **paths}}), encoding="utf-8")  # JSON is YAML
    return Server(host, base, port=port, extra=("--extra-model-paths-config", str(listing)))


def models_folder(host: Environment) -> Path:
    """Where models are looked for: that of an existing ComfyUI, or one that outlives this set-up's servers."""
    return home() / "models" if host.own else host.tree / "models"


def need_pack(schema: dict[str, Any], server: Server) -> None:
    if not any(node.startswith("SadTalker") for node in schema):
        raise ClientError(f"ComfyUI came up without the SadTalker nodes. The end of its log:\n{server.log_tail()}")


def default_image(host: Environment, workflow_name: str) -> Path:
    """The demo's portrait, or for a workflow of two speakers an image of two people."""
    if not workflow_name.startswith("two_speakers"):
        return media.default_portrait(host)
    home().mkdir(parents=True, exist_ok=True)
    return media.two_people(host, home() / "two_people.png")


def fill_input_folder(client: Client, prompt: dict, schema: dict, files: dict[str, Path]) -> None:
    """Puts the demo's image and voice where a shipped workflow looks for its own, so that it runs at once."""
    for kind, file in files.items():
        for node_id, key in workflow.uploads(prompt, schema, kind):
            client.upload(file, prompt[node_id]["inputs"][key])


def _target(out: str | None) -> Path:
    target = Path(out).expanduser().absolute() if out else home() / "demo.mp4"
    if target.is_dir():
        target = target / "demo.mp4"
    if target.suffix.lower() != ".mp4":
        raise SetupError(f"OUT={out}: the video is an mp4; let the name end in .mp4")
    return target


def _fill_in(client: Client, prompt: dict, schema: dict, files: dict[str, Path]) -> set[str]:
    """Uploads what the prompt's loaders ask for and names it there; the kinds ("image", "audio") that were used."""
    used = set()
    for kind, file in files.items():
        inputs = workflow.uploads(prompt, schema, kind)
        if inputs:
            used.add(kind)
            name = client.upload(file, f"demo_{kind}{file.suffix.lower()}")
            for node_id, key in inputs:
                prompt[node_id]["inputs"][key] = name
    return used


def _free_or(port: int) -> int | None:
    with socket.socket() as probe:
        return port if probe.connect_ex(("127.0.0.1", port)) else None


class Bar:
    """A progress bar: one line that is written over on a terminal, and a line per node and tenth elsewhere."""

    WIDTH = 30

    def __init__(self, schema: dict[str, Any], out=None) -> None:
        self.names = {kind: node.get("display_name") or kind for kind, node in schema.items()}
        self.out = out or sys.stdout
        self.live = self.out.isatty()
        self._last: tuple = ()

    def __call__(self, now: Progress) -> None:
        share = now.value / now.maximum if now.maximum else 0.0
        filled = round(self.WIDTH * share)
        count = f"{now.value:g}/{now.maximum:g}" if now.maximum else ""
        line = (
            f"[{'#' * filled}{'.' * (self.WIDTH - filled)}] {now.nodes_done + 1:>2} of {now.nodes}  "
            f"{self.names.get(now.node_type, now.node_type)} {count}"
        )
        if self.live:
            columns = shutil.get_terminal_size().columns
            self.out.write("\r" + line[: columns - 1].ljust(columns - 1))
        else:
            step = (now.node_id, int(10 * share))
            if step == self._last:
                return
            self._last = step
            self.out.write(line.rstrip() + "\n")
        self.out.flush()

    def end(self) -> None:
        if self.live:
            self.out.write("\n")
            self.out.flush()
