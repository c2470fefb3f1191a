"""For test_reference_frames.py: what the node 3DMM from Video makes of a VIDEO wire, before any network sees it."""

import io
import os
import sys
from fractions import Fraction

import av
import numpy as np
import torch

sys.path.insert(0, os.path.dirname(__file__))

from graphs import raised  # noqa: E402

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
            image = np.full((64, 64, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _write_at(path: str, stamps: list[float], *, with_sound: bool = False, **options: str) -> None:
    """A video whose image i, a grey of LEVELS[i], comes at stamps[i] seconds; sound begins at 0."""
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream("libx264", options={"crf": "1", "bf": "0"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        voice = container.add_stream("aac", rate=48000, layout="mono") if with_sound else None
        if voice is not None:
            for start in range(0, 48000, 1024):
                sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
                sound.rate, sound.pts, sound.time_base = 48000, start, Fraction(1, 48000)
                container.mux(voice.encode(sound))
            container.mux(voice.encode())
        for level, seconds in zip(LEVELS, stamps, strict=False):  # a clip may be shorter than the levels
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
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

    timed = {name: os.path.join(host.base, "input", name) for name in ("changing.mp4", "late.mkv", "late.mp4")}
    _write_at(timed["changing.mp4"], [*(i / 50 for i in range(6)), *(0.12 + 0.08 * i for i in range(6))])
    for name in ("late.mkv", "late.mp4"):
        _write_at(timed[name], [0.6 + 0.04 * i for i in range(6)], with_sound=True)
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
        **{name: seen(InputImpl.VideoFromFile(path)) for name, path in timed.items()},
        "pictures": seen(made),
        "part": seen(Cut(path)),
        "part of bytes": seen(Cut(io.BytesIO(content))),
        "batch": [clip.fps, clip.n_frames, [list(frame.shape) for frame in clip.frames]],
        "both": raised(lambda: open_clip(batch, InputImpl.VideoFromFile(path), 25.0)),
        "a voice": raised(lambda: seen(InputImpl.VideoFromFile(os.path.join(host.base, "input", "hello.flac")))),
        **{name: raised(lambda video=video: seen(video)) for name, video in wire.items()},
    }
