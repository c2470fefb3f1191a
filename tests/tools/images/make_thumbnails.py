"""Makes the thumbnails of workflows/ anew: each workflow runs on the built-in model; moments of its video are taken.

python -m tests.tools.images.make_thumbnails [name ...]        (needs the tests' tools, see `make test`)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.tools.comfyui import environment, media, shipped
from tests.tools.comfyui.client import Client
from tests.tools.comfyui.layout import make_base
from tests.tools.comfyui.server import Server
from tests.tools.images.saving import save_small

SIDE = 512  # the cards of the template browser are square
SECONDS = 2.6
HALF, ASTRONAUT, UPPER_HALF = (0.26, 0.0, 0.76, 1.0), (0.17, 0.0, 0.67, 1.0), (0.0, 0.02, 1.0, 0.7)
#: the two frames of the video that are shown, a mouth at rest and an open one or lids that are shut; and what of them:
#: left, top, right, bottom, in parts of the frame
MOMENTS = {
    "talking_portrait": (18, 34, HALF), "reference_video": (18, 34, HALF), "idle_portrait": (18, 41, HALF),
    "stable_diffusion_to_talking": (18, 34, HALF), "full_body_paste_back": (18, 34, ASTRONAUT),
    "upscaled_paste_back": (18, 34, ASTRONAUT), "two_speakers": (34, 65 + 34, UPPER_HALF),
    "cutout_on_background": (18, 34, HALF),
    "two_speakers_in_turns": (18, 34, UPPER_HALF), "blendshapes_in_and_out": (2, 8, HALF),
    "acting_portrait": (12, 61, HALF), "1_talking_portrait.app": (18, 34, HALF), "2_full_body.app": (18, 34, ASTRONAUT),
    "dub_video": (18, 34, HALF), "3_dub_video.app": (18, 34, HALF),
}  # fmt: skip


def main() -> None:
    host = environment.find()
    portrait = media.default_portrait(host)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = shipped.stand_in_checkpoint(Path(scratch) / "base", portrait)
        with Server(host, make_base(checkpoint["base"]), env=checkpoint["env"]) as server:
            client = Client(server.url)
            client.upload(portrait, "astronaut.png")
            inputs = shipped.provide(host, server, client, SECONDS, Path(scratch))
            for name in sys.argv[1:] or shipped.FILES:
                run = shipped.run(client, name, inputs, seconds=SECONDS)
                clip = Path(scratch) / f"{name}.mp4"
                clip.write_bytes(client.download(run.files(".mp4")[0]))
                save(name, frames(clip))


def frames(clip: Path) -> list:
    import av

    with av.open(str(clip)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def save(name: str, shown: list) -> None:
    """A square thumbnail of the two moments: one above the other where what is shown is wide, else side by side."""
    from PIL import Image

    *moments, part = MOMENTS[name]
    wide = part == UPPER_HALF
    size = (SIDE, SIDE // 2) if wide else (SIDE // 2, SIDE)
    thumbnail = Image.new("RGB", (SIDE, SIDE))
    for place, frame in enumerate(shown[moment] for moment in moments):
        box = [edge * length for edge, length in zip(part, 2 * frame.size, strict=True)]
        half = frame.resize(size, Image.Resampling.LANCZOS, box=box)
        thumbnail.paste(half, (0, place * SIDE // 2) if wide else (place * SIDE // 2, 0))
    save_small(thumbnail, shipped.FILES[name].with_suffix(".jpg"))


if __name__ == "__main__":
    main()
