"""ExpNet: mel windows, the face at rest and how far the lids are down come in; an expression goes out.

Letters: `B` video frames, each by itself. (SadTalker, section 3.1: Zhang et al. 2023.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..coefficients import BLENDSHAPE_INDEX, EXPRESSION
from ..datatypes import SpeechWindows
from .audio_encoder import RELEASED_AUDIO_ENCODER, AudioEncoder, AudioEncoderConfig


@dataclass(frozen=True)
class ExpNetConfig:
    """audio: the width of the audio encoder.

    ahead: whether each frame gets the window of the next one. Lips are one to two frames ahead of the sound, and its
        own window ends 0.1 s after its middle, where the sound that they prepare may only begin.
    half_frames: whether a frame's embedding is the mean of three: its own window's, and those of windows half a frame
        before and after. One window more per frame, and less of what changes with a window's place (`embedding_of`).
    from_rest: whether an opened jaw has some of the portrait's own opening beyond what the voice asks for, so that who
        rests with parted lips opens as far as others. For the built-in basis alone, where the jaw has its own number.
    """

    audio: AudioEncoderConfig = RELEASED_AUDIO_ENCODER
    ahead: bool = False
    from_rest: bool = False
    half_frames: bool = False

    @property
    def frames_ahead(self) -> int:
        """By so many frames the mel window of a frame is that of a later one."""
        return int(self.ahead)


RELEASED_EXPNET = ExpNetConfig()

_JAW = BLENDSHAPE_INDEX["jawOpen"]
#: A jaw that the voice opens by less counts as shut, one that it opens by more as open.
_SHUT, _OPEN = 0.04, 0.16
#: How much of the rest comes on top, and how much counts as rest. A smile that shows teeth reads as a jaw of .2 to .5:
#: with all of it the mouths of two such photographs gaped, with none they only uncovered their teeth; with half, who
#: rests at .2 opens 1.3 times as far as who rests shut.
_SHARE_OF_REST, _WIDEST_REST = 0.5, 0.4


class ExpNet(nn.Module):
    """windows (B, 1, 80, 16), reference (B, 64) expression of the portrait, blink (B,) in 0..1 -> expression (B, 64).

    The output is the expression itself, not a difference to the reference (PARITY.md P13).
    """

    def __init__(self, config: ExpNetConfig = RELEASED_EXPNET, ops: Any = nn):
        super().__init__()
        self.config = config
        self.audio = AudioEncoder(config.audio, ops)
        self.head = ops.Linear(config.audio.embedding + EXPRESSION + 1, EXPRESSION)

    def forward(self, windows: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        return self.from_embedding(self.audio(windows), reference, blink)

    def from_embedding(self, audio_embedding: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        """audio_embedding (B, E): the windows' embeddings;  the others as in `forward`."""
        expression = self.head(torch.cat([audio_embedding, reference, blink.reshape(-1, 1)], dim=1))
        return opened_from_rest(expression, reference) if self.config.from_rest else expression


def embedding_of(
    embed_audio: Callable[[Tensor], Tensor], speech: SpeechWindows, frames: slice, config: ExpNetConfig, like: Tensor
) -> Tensor:
    """(B, E): the audio embeddings of these frames, from `frames.start` to before `frames.stop`.

    embed_audio: windows (N, 1, 80, 16) -> (N, E): the network's audio encoder, or its folded form
    like:        a tensor where the network is, in its precision
    """
    start, stop = frames.start + config.frames_ahead, frames.stop + config.frames_ahead
    if not config.half_frames:
        return embed_audio(speech.windows(start, stop).to(like))
    windows = speech.half_frame_windows(start, stop).to(like)
    # in two goes: twice the windows at once would be slower, because feature maps no longer fit the cache
    halves = torch.cat([embed_audio(part) for part in windows.split(len(windows) // 2 + 1)])
    return (halves[:-1:2] + halves[1::2] + halves[2::2]) / 3


def opened_from_rest(expression: Tensor, reference: Tensor) -> Tensor:
    """expression, reference (B, 64) of the built-in basis -> (B, 64): where the voice opens the jaw, half of the
    portrait's own opening comes on top; a jaw that is shut stays shut.
    """
    jaw = expression[:, _JAW : _JAW + 1]
    opened = ((jaw - _SHUT) / (_OPEN - _SHUT)).clamp(0, 1)
    rest = reference[:, _JAW : _JAW + 1].clamp(0, _WIDEST_REST)
    return torch.cat([expression[:, :_JAW], jaw + _SHARE_OF_REST * opened * rest, expression[:, _JAW + 1 :]], dim=1)
