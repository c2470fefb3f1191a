"""Makes web/pictures/node_dub_video.jpg anew: frames of a video, and below them the same frames, dubbed.

python -m tests.tools.images.make_dub_image
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sadtalker_core.dub.dub import DubOptions, dubbed_frames, speech_track
from sadtalker_core.media import read_audio
from sadtalker_core.model import load_model
from tests.dub.videos import gliding, video_of
from tests.tools.images.saving import save_small

PROJECT = Path(__file__).resolve().parents[3]
SHOWN = (22, 28, 34, 37)  #: frames
PART = slice(20, 200), slice(36, 216)


def main() -> None:
    from PIL import Image

    model, images = load_model("mini", []), gliding(40)
    track, _ = speech_track(model, read_audio(PROJECT / "tests" / "demo" / "hello.flac"))
    made = torch.stack(list(dubbed_frames(model, video_of(images), track, DubOptions(length="cut")))).numpy()
    filmed = (images * 255).round().byte().numpy()
    rows = [np.concatenate([video[k][PART[0], max(36 - 2 * k, 0) : max(36 - 2 * k, 0) + 180] for k in SHOWN], 1)
            for video in (filmed, made)]  # fmt: skip
    image_strip = Image.fromarray(np.concatenate(rows)).resize((1080, 540), Image.Resampling.LANCZOS)
    save_small(image_strip, PROJECT / "web" / "pictures" / "node_dub_video.jpg")


if __name__ == "__main__":
    main()
