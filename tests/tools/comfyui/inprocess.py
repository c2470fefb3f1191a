"""Runs a script inside a real ComfyUI process, without a server; what it finds comes back as plain data.

In: a Python file with `main(host, **arguments)` (host: inside/host.py). Out: what main returned. One process per call:
ComfyUI's modules have names (`nodes`, `execution`) and settings that cannot be taken back.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.tools.comfyui.environment import INSIDE, Environment
from tests.tools.comfyui.layout import PACK_NAME, PROJECT, make_base


class InsideError(Exception):
    """The script raised, or ComfyUI could not be loaded; the message is the process's last words."""


def run_inside(
    environment: Environment,
    script: Path,
    base: Path,
    *,
    pack: Path | None = PROJECT,
    timeout: float = 900.0,
    **arguments: Any,
) -> Any:
    """Runs script's main(host, **arguments) and returns its result. Arguments and result must be JSON.

    base: a folder for models, input and output (filled beforehand if the script reads files)
    pack: the node pack to load, None for ComfyUI alone
    """
    make_base(base, pack or PROJECT)
    job, result = base / "job.json", base / "result.json"
    linked = str(base / "custom_nodes" / PACK_NAME) if pack else None
    job.write_text(
        json.dumps(
            {
                "tree": str(environment.tree),
                "pack": linked,
                "base": str(base),
                "script": str(script),
                "arguments": arguments,
            }
        ),
        encoding="utf-8",
    )
    result.unlink(missing_ok=True)
    env = {**os.environ, "PYTHONUTF8": "1"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(environment.python), "-s", str(INSIDE / "host.py"), str(job), str(result)],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
    )
    if done.returncode or not result.exists():
        raise InsideError(f"{script.name} ended with status {done.returncode}:\n" + done.stdout[-6000:])
    return json.loads(result.read_text(encoding="utf-8"))
