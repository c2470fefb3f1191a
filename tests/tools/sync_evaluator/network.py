"""LR-ASD (Liao et al., "LR-ASD: lightweight and robust network for active speaker detection", IJCV 2025) in own code.

It answers, for each video frame, whether the face in it says the sound. For evaluation only: it is never a loss, never
chooses between more than a few candidates, and its weights are not part of the project.
Letters: `B` clips, `T` video frames at 25 fps, `C` channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import modules as layers

SIDE = 112  #: of the grey crops, in pixels
MFCC_PER_FRAME = 4
MEAN, SPREAD = 0.4161, 0.1688  #: of grey values in 0..1, from the training
WIDTHS = (32, 64, 128)
HIDDEN = 64
#: of every batch norm, also of those in the gates
NORM_EPS = 1e-3
#: the frames on each side that change what the encoders say of one (three blocks, each with kernels of 5 and 3)
REACH = 9


class LRASD(nn.Module):
    """crops (B, 1, T, 112, 112) in 0..255, MFCC (B, 1, 13, 4 T) -> logits (B, T) of "this face says this sound"."""

    def __init__(self) -> None:
        super().__init__()
        self.video = nn.ModuleList()
        self.audio = nn.ModuleList()
        for number, (n_in, width) in enumerate(zip((1, *WIDTHS[:-1]), WIDTHS, strict=True)):
            self.video.append(_video_block(n_in, width, stride=2 if number == 0 else 1))
            self.audio.append(_audio_block(n_in, width))
        self.fusion_gate = Gate(2 * WIDTHS[-1])
        self.forwards = nn.GRU(2 * WIDTHS[-1], HIDDEN, batch_first=True)
        self.backwards = nn.GRU(2 * WIDTHS[-1], HIDDEN, batch_first=True)
        self.detector_gate = Gate(2 * HIDDEN)
        self.head = layers.Linear(2 * HIDDEN, 2)

    def forward(self, crops: Tensor, mfcc: Tensor) -> Tensor:
        return self.compare(self.encode_video(crops), self.encode_audio(mfcc))

    def encode_video(self, crops: Tensor) -> Tensor:
        """(B, 1, T, 112, 112) in 0..255 -> (B, T, 128)"""
        features = (crops / 255 - MEAN) / SPREAD
        for number, block in enumerate(self.video):
            features = block(features)
            if number < 2:
                features = nn.functional.max_pool3d(features, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        return features.amax((-2, -1)).transpose(1, 2)

    def encode_audio(self, mfcc: Tensor) -> Tensor:
        """(B, 1, 13, 4 T) -> (B, T, 128)"""
        features = mfcc
        for number, block in enumerate(self.audio):
            features = block(features)
            if number < 2:
                features = nn.functional.max_pool2d(features, (1, 3), (1, 2), (0, 1))
        return features.mean(2).transpose(1, 2)

    def compare(self, video: Tensor, audio: Tensor) -> Tensor:
        """What the two encoders say, (B, T, 128) each -> logits (B, T)."""
        fused = self.fusion_gate(torch.cat([audio, video], -1))
        forwards = self.forwards(fused)[0]
        backwards = self.backwards(fused.flip(1))[0].flip(1)
        return self.head(self.detector_gate(torch.cat([forwards, backwards], -1)))[..., 1]


class Gate(nn.Module):
    """(B, T, C) times how much of each channel passes, which the channels of the same frame decide."""

    def __init__(self, width: int):
        super().__init__()
        self.mix = layers.Conv1d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm1d(width, NORM_EPS)

    def forward(self, features: Tensor) -> Tensor:
        return features * self.norm(self.mix(features.transpose(1, 2))).sigmoid().transpose(1, 2)


def _video_block(n_in: int, width: int, stride: int) -> nn.Sequential:
    """Two convolutions over space and two over time: s_1, s_2, t_1, t_2."""

    def layer(n_in: int, width: int, kernel: tuple[int, ...], stride: int = 1) -> list[nn.Module]:
        padding = tuple(k // 2 for k in kernel)
        conv = layers.Conv3d(n_in, width, kernel, (1, stride, stride), padding, bias=False)
        return [conv, nn.BatchNorm3d(width, NORM_EPS), nn.ReLU()]

    return nn.Sequential(
        *layer(n_in, width // 2, (1, 5, 5), stride),
        *layer(width // 2, width, (1, 3, 3)),
        *layer(width, width, (5, 1, 1)),
        *layer(width, width, (3, 1, 1)),
    )


def _audio_block(n_in: int, width: int) -> nn.Sequential:
    """Two convolutions over the coefficients and two over time: m_1, m_2, t_1, t_2."""

    def layer(n_in: int, width: int, kernel: tuple[int, int]) -> list[nn.Module]:
        padding = (kernel[0] // 2, kernel[1] // 2)
        conv = layers.Conv2d(n_in, width, kernel, padding=padding, bias=False)
        return [conv, nn.BatchNorm2d(width, NORM_EPS), nn.ReLU()]

    return nn.Sequential(
        *layer(n_in, width // 2, (5, 1)),
        *layer(width // 2, width, (3, 1)),
        *layer(width, width, (1, 5)),
        *layer(width, width, (1, 3)),
    )


# ------------------------------------------------------------------------------------------------------------ weights

#: the stored head of the images alone, used in training only
_DROPPED = "lossV.FC."
_STORED_LAYERS = {"video": ("s_{}1", "s_{}2", "t_{}1", "t_{}2"), "audio": ("m_{}1", "m_{}2", "t_{}1", "t_{}2")}
_STORED = {
    "fusion_gate.mix": "model.fusion.attention", "fusion_gate.norm": "model.fusion.bn",
    "forwards": "model.detector.gru_forward", "backwards": "model.detector.gru_backward",
    "detector_gate.mix": "model.detector.attention.attention", "detector_gate.norm": "model.detector.attention.bn",
    "head": "lossAV.FC",
}  # fmt: skip
_ENCODERS = {"video": "model.visualEncoder", "audio": "model.audioEncoder"}


def stored_name(own: str) -> str:
    """A name of our state dict -> the key in the file."""
    found = re.fullmatch(r"(video|audio)\.(\d)\.(\d+)\.(\w+)", own)
    if found is None:
        module, _, parameter = own.rpartition(".")
        return f"{_STORED[module]}.{parameter}"
    stream, block, position, parameter = found.groups()
    layer, part = divmod(int(position), 3)
    name = _STORED_LAYERS[stream][layer].format("norm_" if part else "")
    return f"{_ENCODERS[stream]}.block{int(block) + 1}.{name}.{parameter}"


def load_network(file: Path) -> LRASD:
    """The network with the weights of lr_asd_ava.safetensors, for evaluation. Raises ValueError when a key is missing
    or left over.
    """
    from safetensors.torch import load_file

    stored = {key: value for key, value in load_file(file).items() if not key.startswith(_DROPPED)}
    net = LRASD()
    counters = {key for key in net.state_dict() if key.endswith("num_batches_tracked")}
    names = {key: stored_name(key) for key in net.state_dict() if key not in counters}
    missing, unexpected = set(names.values()) - set(stored), set(stored) - set(names.values())
    if missing or unexpected:
        raise ValueError(f"{file}: missing keys {sorted(missing)}, unexpected keys {sorted(unexpected)}")
    weights = {own: stored[key] for own, key in names.items()}
    net.load_state_dict(weights | {key: torch.tensor(0) for key in counters})
    return net.eval().requires_grad_(False)


def in_pieces(encode: Callable[[Tensor], Tensor], steps: Tensor, per_frame: int, piece: int = 100) -> Tensor:
    """The same as `encode(steps)`, piece by piece, so that a long video needs no more memory than a short one.

    steps (B, C, ...): `per_frame` of them make a video frame; time is the third dimension of video (B, 1, T, H, W) and
    the last of audio (B, 1, 13, 4 T) -> (B, T, 128)
    """
    axis = 2 if per_frame == 1 else 3
    n_frames = steps.shape[axis] // per_frame
    found = []
    for start in range(0, n_frames, piece):
        stop = min(start + piece, n_frames)
        first, last = max(start - REACH, 0), min(stop + REACH, n_frames)
        part = encode(steps.narrow(axis, first * per_frame, (last - first) * per_frame))
        found.append(part[:, start - first : stop - first])
    return torch.cat(found, 1)
