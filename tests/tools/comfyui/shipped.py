"""What the shipped workflows ask for, as short things in a server's folders: images, voices, a clip, models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.tools.comfyui import media, workflow
from tests.tools.comfyui.client import Client, Run
from tests.tools.comfyui.environment import INSIDE, Environment
from tests.tools.comfyui.layout import PROJECT
from tests.tools.comfyui.server import Server

FILES = {file.stem: file for file in sorted((PROJECT / "workflows").glob("*.json"))}
#: those that a page opens as a graph; an app is another view, see tests/comfyui/test_newer.py
GRAPHS = [name for name in FILES if not name.endswith(".app")]
#: what Rhubarb might hear in the beginning of the demo's voice, for Import Blendshapes
MOUTHS = "0.00\tX\n0.16\tB\n0.24\tC\n0.32\tH\n0.40\tE\n0.60\tX\n"
VOICES = ("speech.wav", "voice_1.wav", "voice_2.wav")
#: the nodes that name a file of the user's
LOADERS = ("LoadImage", "LoadAudio", "LoadVideo", "SadTalkerLoadPortrait")
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


def provide(host: Environment, server: Server, client: Client, seconds: float, scratch: Path) -> dict[str, str]:
    """Fills the server's folders; the names that the workflows ask for -> the names there.

    seconds: how long the voices last. Not here: a Stable Diffusion checkpoint, see stand_in_checkpoint.
    """
    client.upload(media.beginning(host, media.VOICE, seconds, scratch / "short.wav"))
    made = run(client, "idle_portrait", {"portrait.png": "astronaut.png"}, seconds=0.6)
    clip = scratch / "reference.mp4"
    clip.write_bytes(client.download(made.files(".mp4")[0]))
    client.upload(clip)
    client.upload(media.two_people(host, scratch / "two_people.png"))
    client.upload(media.cut_out(host, scratch / "cutout.png"))
    client.upload(media.backdrop(host, scratch / "background.png"))
    (server.base / "input" / "speech.rhubarb.tsv").write_text(MOUTHS, encoding="utf-8")
    put_upscale_model(server)
    return {"portrait.png": "astronaut.png", **dict.fromkeys(VOICES, "short.wav")}


def run(client: Client, name: str, replaced: dict[str, str], seconds: float | None = None) -> Run:
    """Runs a shipped workflow, other values in the places of some; seconds: how long an idle portrait idles."""
    graph = workflow.load(FILES[name])
    info = client.object_info()
    prompt = workflow.to_prompt(graph, info)
    for kind, name in (("image", "portrait.png"), ("audio", "speech.wav"), ("video", "reference.mp4")):
        for node_id, key in workflow.uploads(prompt, info, kind):
            if prompt[node_id]["inputs"][key] == "":  # an app names no file
                prompt[node_id]["inputs"][key] = replaced.get(name, name)
    for node in prompt.values():
        for key, value in node["inputs"].items():
            if isinstance(value, str) and value in replaced:
                node["inputs"][key] = replaced[value]
        if seconds is not None and "idle_seconds" in node["inputs"]:
            node["inputs"]["idle_seconds"] = seconds
    return client.run(prompt, workflow=graph)


def put_upscale_model(server: Server) -> None:
    """A network of the kind of Real-ESRGAN's small models, with weights of zero: every pixel becomes 4 x 4 of them."""
    import torch
    from safetensors.torch import save_file

    shapes = {
        "body.0.weight": (8, 3, 3, 3),
        "body.0.bias": (8,),
        "body.1.weight": (8,),
        "body.2.weight": (48, 8, 3, 3),
        "body.2.bias": (48,),
    }
    folder = server.base / "models" / "upscale_models"
    folder.mkdir(exist_ok=True)
    net = {name: torch.zeros(shape) for name, shape in shapes.items()}
    save_file(net, str(folder / "RealESRGAN_x4plus.safetensors"))


def stand_in_checkpoint(base: Path, image: Path) -> dict[str, Any]:
    """Prepares a server's folder so that core loads small stand-ins for a Stable Diffusion checkpoint.

    Its network steps through the noise like a large one, and its VAE answers every latent with the image.
    Returns Server's argument for it.
    """
    for folder in ("custom_nodes", "models/checkpoints"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(INSIDE / "stand_in_checkpoint.py", base / "custom_nodes")
    (base / "models" / "checkpoints" / CHECKPOINT).touch()
    return {"base": base, "env": {"PICTURE_OF_THE_STAND_IN": str(image)}}
