"""SadTalker Nodes: what ComfyUI loads. Nothing heavy is imported until the nodes are asked for."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Called once by ComfyUI; returns the extension that lists the nodes."""
    from .nodes import SadTalkerExtension

    return SadTalkerExtension()
