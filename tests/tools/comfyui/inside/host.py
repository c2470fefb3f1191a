"""host.py JOB.json RESULT.json: ComfyUI's insides in one process, without a server, for tests that look at them.

Runs in ComfyUI's Python. JOB: {tree, pack or null, base, script, arguments}. `script` is a Python file with a function
`main(host, **arguments)`; what it returns goes to RESULT as JSON. The pack is loaded as ComfyUI loads it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import sys
import uuid
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """A prompt that has run.

    error:    None, or the server's message with exception_type, exception_message, node_id
    executed: node ids in the order in which they ran;  cached: ids of nodes whose earlier result was taken
    outputs:  node id -> what it shows on the page
    progress: (node id, value, maximum, whether an image came with it)
    """

    error: dict | None
    executed: list
    cached: list
    outputs: dict
    progress: list = field(default_factory=list)


class _Page:
    """Stands where the server stands and keeps what it would have sent to the page."""

    def __init__(self) -> None:
        self.client_id, self.last_node_id, self.last_prompt_id = "page", None, None
        self.sockets_metadata: dict = {}
        self.sent: list = []

    def send_sync(self, event, data, sid=None) -> None:
        self.sent.append((event, data))

    def send_progress_text(self, text, node_id, sid=None) -> None:
        self.sent.append(("progress_text", {"text": text, "node": node_id}))

    def queue_updated(self) -> None:
        pass


class Host:
    """A loaded ComfyUI. `mm` is comfy.model_management, `pack` the pack's module, `nodes` ComfyUI's own module."""

    def __init__(self, tree: str, base: str, pack: str | None) -> None:
        self.base = base
        os.chdir(tree)
        sys.path.insert(0, tree)
        import comfy.options

        comfy.options.enable_args_parsing(False)
        from comfy.cli_args import args

        args.cpu = True
        args.base_directory = base
        args.disable_auto_launch = args.disable_api_nodes = True
        # As main.py does: before nodes.py puts the folder comfy, which has a utils.py of its own, in front of the path.
        import utils.extra_config  # noqa: F401

        # isort: split
        import comfy.model_management as mm
        import comfy.utils
        import execution
        import folder_paths

        import nodes

        self.mm, self.nodes, self.folder_paths, self.execution = mm, nodes, folder_paths, execution
        asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
        self.pack = None
        if pack:
            if not asyncio.run(nodes.load_custom_node(pack, module_parent="custom_nodes")):
                raise RuntimeError(f"ComfyUI could not load the pack in {pack}; the reason stands above in the log")
            self.pack = sys.modules[pack.replace(".", "_x_")]
        self.page = _Page()
        self.executor = execution.PromptExecutor(
            self.page, cache_type=execution.CacheType.CLASSIC, cache_args={"lru": 0, "ram": 0, "ram_inactive": 0}
        )
        comfy.utils.set_progress_bar_global_hook(self._on_progress)
        self.on_progress = None

    def run(self, prompt: dict, on_progress=None) -> Outcome:
        """Validates and runs an API prompt. on_progress(node_id, value, maximum) may interrupt: host.interrupt().

        Raises ValueError with the server's complaints when the prompt is refused.
        """
        prompt_id = uuid.uuid4().hex
        valid, error, outputs, node_errors = asyncio.run(self.execution.validate_prompt(prompt_id, prompt, None))
        if not valid or node_errors:
            raise ValueError(json.dumps({"error": error, "node_errors": node_errors}, default=str))
        self.page.sent.clear()
        self.on_progress = on_progress
        self.page.last_prompt_id = prompt_id
        self.executor.execute(prompt, prompt_id, {"client_id": "page"}, outputs)
        sent = self.page.sent
        failed = [data for event, data in sent if event in ("execution_error", "execution_interrupted")]
        cached = [node for event, data in sent if event == "execution_cached" for node in data["nodes"]]
        progress = [(d["node"], d["value"], d["max"], d["picture"]) for event, d in sent if event == "progress"]
        return Outcome(
            failed[0] if failed else None,
            [data["node"] for event, data in sent if event == "executing" and data.get("node")],
            cached,
            self.executor.history_result["outputs"] if not failed else {},
            progress,
        )

    def value(self, node_id: str, output: int = 0):
        """What a node of the last prompt put on its wire (the cached object itself)."""
        entry = self.executor.caches.outputs.get(node_id)
        if inspect.iscoroutine(entry):  # since 0.33
            entry = asyncio.run(entry)
        return None if entry is None else entry.outputs[output][0]

    def interrupt(self) -> None:
        """What the page's button does."""
        self.mm.interrupt_current_processing()

    def core(self, name: str = ""):
        """A module of the core under the name by which the pack has it: host.core("audio.mel")."""
        import importlib

        return importlib.import_module(f"{self.pack.__name__}.sadtalker_core" + (f".{name}" if name else ""))

    def _on_progress(self, value, total, preview=None, prompt_id=None, node_id=None) -> None:
        self.mm.throw_exception_if_processing_interrupted()
        node = node_id or self.page.last_node_id
        self.page.send_sync("progress", {"node": node, "value": value, "max": total, "picture": preview is not None})
        if self.on_progress:
            self.on_progress(node, value, total)


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    host = Host(job["tree"], job["base"], job["pack"])
    spec = importlib.util.spec_from_file_location("inside_script", job["script"])
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    result = script.main(host, **job["arguments"])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
