"""What a run writes down as it goes: lines of log.jsonl, and the same for TensorBoard."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..saving import append_jsonl, atomic_write, complete_lines
from ..timeline import SAMPLE_RATE_HZ
from .trainer import SampleVideo

LOG_FILE = "log.jsonl"


class RunLog:
    """log.jsonl and tensorboard/. Lines of steps that a kill undid are dropped: they come again."""

    def __init__(self, folder: Path, first: int):
        from torch.utils.tensorboard import SummaryWriter

        self.file = folder / LOG_FILE
        kept = [line for line in read_log(folder) if line["step"] <= first]
        self.spent = kept[-1]["seconds"] if kept else 0.0
        with atomic_write(self.file) as unfinished:
            unfinished.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1)

    def losses(self, step: int, seconds: float, means: dict[str, float]) -> None:
        append_jsonl(self.file, {"step": step, "seconds": round(self.spent + seconds, 1), **means})
        for name, mean in means.items():
            self.board.add_scalar(name, mean, step)

    def images(self, step: int, images: dict[str, Tensor]) -> None:
        for name, image in images.items():
            self.board.add_image(name, image.float().clamp(0, 1).cpu(), step)

    def video(self, step: int, video: SampleVideo | None) -> None:
        """TensorBoard shows it as an animated image, with its audio beside it."""
        if video is None:
            return
        self.board._get_file_writer().add_summary(moving_image("video", video.frames, video.fps), step)
        if video.wave is not None:
            self.board.add_audio("audio", video.wave[None], step, sample_rate=SAMPLE_RATE_HZ)

    def remark(self, step: int, sentence: str) -> None:
        """On the terminal, in the log and on the board."""
        from tqdm import tqdm

        tqdm.write(sentence, file=sys.stderr)
        append_jsonl(self.file, {"step": step, "seconds": self.spent, "remark": sentence})
        self.board.add_text("remarks", sentence, step)

    def close(self) -> None:
        self.board.close()


def moving_image(name: str, frames: np.ndarray, fps: float) -> Any:
    """frames (T, H, W, 3) uint8 -> what TensorBoard shows among its images: a GIF that plays."""
    import io

    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    code, (first, *others) = io.BytesIO(), [Image.fromarray(frame) for frame in frames]
    first.save(code, "GIF", save_all=True, append_images=others, duration=round(1000 / fps), loop=0)
    height, width = frames.shape[1:3]
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=code.getvalue())
    return Summary(value=[Summary.Value(tag=name, image=image)])


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log.jsonl; a last one that a kill cut short is left out."""
    return [json.loads(line) for line in complete_lines(folder / LOG_FILE)]
