"""For test_doorways_names.py: inputs of the fuzzer for names and node inputs, inside a ComfyUI without a server."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType


def main(host, project: str, wanted: dict[str, int], seed: int) -> dict:
    """wanted: how many inputs of each doorway. -> {doorway: what was not clean}"""
    ours = sys.modules["tests"] = ModuleType("tests")  # ComfyUI's tree, which is on the path, has tests of its own
    ours.__path__ = [str(Path(project) / "tests")]
    sys.path.append(project)
    from tests.tools.fuzz.child import make_input, why_not_clean
    from tests.tools.fuzz.doorways import DOORWAYS

    found = {}
    for name, n in wanted.items():
        doorway = DOORWAYS[name](Path(host.base) / "doorways" / name, host)
        tried = (make_input(doorway, name, seed, number) for number in range(n))
        found[name] = [f"{data[:200]!r}: {why}" for data in tried if (why := why_not_clean(doorway, data))]
    return found
