"""For test_reference_frames.py: what the node 3DMM from Video makes of a VIDEO wire, before any net sees it."""

import io
import os
import sys
from fractions import Fraction

import av
import numpy as np
import torch

FPS = 10
TITLE, LATIN_1 = b"the title", "Zo\u00eb title".encode("latin-1")
LEVELS = [20 * i for i in range(12)]


def _write(path: str, **options: str) -> None:
    """A video whose frame i is a grey of LEVELS[i]."""
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.metadata["title"] = TITLE.decode()
        for level in LEVELS:
            picture = np.full((64, 64, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def main(host) -> dict:
    from comfy_api.latest import InputImpl
    from comfy_api.util import VideoComponents

    open_clip = sys.modules[f"{host.pack.__name__}.nodes.video_frames"].open_clip
    path = os.path.join(host.base, "input", "steps.mp4")
    _write(path)

    class Cut(InputImpl.VideoFromFile):
        """As newer ComfyUIs cut: the stream stays the whole file, length and components are those of the part."""

        def get_duration(self):
            return 0.4

        def get_components(self):
            whole = super().get_components()
            return VideoComponents(images=whole.images[3:7], audio=None, frame_rate=whole.frame_rate)

    def seen(video) -> dict:
        clip = open_clip(None, video, 25.0)
        levels = [round(float(frame.mean()) * 255) for frame in clip.frames]
        return {"fps": clip.fps, "n_frames": clip.n_frames, "levels": levels}

    def raised(call) -> str:
        try:
            call()
        except Exception as error:  # noqa: BLE001 (whatever it is, the test reads it)
            return f"{type(error).__name__}: {error}"
        return "nothing was raised"

    with open(path, "rb") as file:
        content = file.read()
    index_first = os.path.join(host.base, "input", "index_first.mp4")
    _write(index_first, movflags="faststart")
    with open(index_first, "rb") as file:
        whole = file.read()
    bad = {
        "words": b"this is no video",
        "half": content[: len(content) // 2],
        "half of the frames": whole[: (whole.index(b"mdat") + len(whole)) // 2],
    }
    for name, part in bad.items():
        with open(os.path.join(host.base, "input", f"{name}.mp4"), "wb") as file:
            file.write(part)
    batch = torch.rand(3, 64, 64, 4)
    greys = torch.tensor(LEVELS)[:, None, None, None].expand(-1, 64, 64, 3) / 255
    made = InputImpl.VideoFromComponents(VideoComponents(images=greys, audio=None, frame_rate=Fraction(FPS)))
    clip = open_clip(batch, None, 12.5)
    wire = {name: InputImpl.VideoFromFile(os.path.join(host.base, "input", f"{name}.mp4")) for name in bad}
    return {
        "file": seen(InputImpl.VideoFromFile(path)),
        "latin-1": seen(InputImpl.VideoFromFile(io.BytesIO(content.replace(TITLE, LATIN_1)))),
        "bytes": seen(InputImpl.VideoFromFile(io.BytesIO(content))),
        "pictures": seen(made),
        "part": seen(Cut(path)),
        "part of bytes": seen(Cut(io.BytesIO(content))),
        "batch": [clip.fps, clip.n_frames, [list(frame.shape) for frame in clip.frames]],
        "both": raised(lambda: open_clip(batch, InputImpl.VideoFromFile(path), 25.0)),
        "a voice": raised(lambda: seen(InputImpl.VideoFromFile(os.path.join(host.base, "input", "hello.flac")))),
        **{name: raised(lambda video=video: seen(video)) for name, video in wire.items()},
    }  # fmt: skip
