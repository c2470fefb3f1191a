"""SadTalker Nodes: what ComfyUI loads. Nothing heavy is imported until the nodes are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import SadTalkerExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> SadTalkerExtension:
    """Called once by ComfyUI; returns the extension that lists the nodes."""
    from .nodes import SadTalkerExtension

    return SadTalkerExtension()
