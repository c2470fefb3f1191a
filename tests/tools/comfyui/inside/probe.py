"""probe.py FILE...: what is in an image, sound or video, as one JSON object per file on a line of its own.

Runs in ComfyUI's Python, with the PyAV that ComfyUI brings. Every frame is decoded: a number here is one that a player
would find, not one that a header claims.
"""

import json
import sys

import av


def probe(path: str) -> dict:
    """{"video": {codec, width, height, fps, frames, seconds, pixels}, "audio": {codec, rate, channels, seconds},
    "metadata": {...}} with the parts that are there, or {"error": sentence}.
    """
    try:
        with av.open(path) as file:
            found: dict = {"format": file.format.name, "metadata": dict(file.metadata)}
            if file.streams.video:
                stream = file.streams.video[0]
                frames = sum(1 for _ in file.decode(stream))
                rate = float(stream.average_rate or 0)
                found["video"] = {
                    "codec": stream.codec_context.name,
                    "width": stream.width,
                    "height": stream.height,
                    "fps": rate,
                    "frames": frames,
                    "seconds": frames / rate if rate else 0.0,
                    "pixels": stream.codec_context.pix_fmt,
                }
        with av.open(path) as file:
            if file.streams.audio:
                stream = file.streams.audio[0]
                samples = sum(frame.samples for frame in file.decode(stream))
                found["audio"] = {
                    "codec": stream.codec_context.name,
                    "rate": stream.rate,
                    "channels": stream.codec_context.channels,
                    "seconds": samples / stream.rate,
                }
        return found
    except (av.FFmpegError, OSError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(probe(name)))
