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
from .audio_encoder import RELEASED_AUDIO_ENCODER, AudioEncoder, AudioEncoderConfig, FoldedAudioEncoder
from .temporal import FoldedTemporalNet, TemporalConfig, TemporalNet


@dataclass(frozen=True)
class ExpNetConfig:
    """audio: the width of the audio encoder.

    ahead: whether each frame gets the window of the next one. Lips are one to two frames ahead of the sound, and its
        own window ends 0.1 s after its middle, where the sound that they prepare may only begin.
    half_frames: whether a frame's embedding is the mean of three: its own window's, and those of windows half a frame
        before and after. One window more per frame, and less of what changes with a window's place (`embedding_of`).
    from_rest: whether an opened jaw has some of the portrait's own opening beyond what the voice asks for, so that who
        rests with parted lips opens as far as others. For the built-in basis alone, where the jaw has its own number.
    temporal: the second network, whose prediction is mixed with that of the windows; without blocks there is none.
    """

    audio: AudioEncoderConfig = RELEASED_AUDIO_ENCODER
    ahead: bool = False
    from_rest: bool = False
    half_frames: bool = False
    temporal: TemporalConfig = TemporalConfig()

    @property
    def frames_ahead(self) -> int:
        """By so many frames the mel window of a frame is that of a later one."""
        return int(self.ahead)


RELEASED_EXPNET = ExpNetConfig()

#: What the second network has of the prediction. On voices of synthesisers, whose rhythm it knows, half would be
#: best, and people's under music would lose by it (docs/MINI.md).
SHARE_OF_TEMPORAL = 0.25
_JAW = BLENDSHAPE_INDEX["jawOpen"]
#: A jaw that the voice opens by less counts as shut, one that it opens by more as open.
_SHUT, _OPEN = 0.04, 0.16
#: How much of the rest comes on top, and how much counts as rest. A smile that shows teeth reads as a jaw of .2 to .5:
#: with all of it the mouths of two such photographs gaped, with none they only uncovered their teeth; with half, who
#: rests at .2 opens 1.3 times as far as who rests shut.
_SHARE_OF_REST, _WIDEST_REST = 0.5, 0.4


class ExpNet(nn.Module):
    """windows (B, 1, 80, 16), reference (B, 64) expression of the portrait, blink (B,) in 0..1 -> expression (B, 64).

    The output is the expression itself, not a difference to the reference (PARITY.md P13). Windows alone are predicted
    without the second network, where there is one: it is given the mel track instead (`Embedder`).
    """

    def __init__(self, config: ExpNetConfig = RELEASED_EXPNET, ops: Any = nn):
        super().__init__()
        self.config = config
        self.audio = AudioEncoder(config.audio, ops)
        self.head = ops.Linear(config.audio.embedding + EXPRESSION + 1, EXPRESSION)
        self.temporal = TemporalNet(config.temporal, ops) if config.temporal.blocks else None

    def forward(self, windows: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        return self.from_embedding(self.audio(windows), reference, blink)

    def from_embedding(self, embedding: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        """embedding (B, E): the windows' embeddings, with those of the second network behind them or without;  the
        others as in `forward`.
        """
        of_windows = embedding[:, : self.config.audio.embedding]
        expression: Tensor = self.head(torch.cat([of_windows, reference, blink.reshape(-1, 1)], dim=1))
        if self.temporal is not None and of_windows.shape != embedding.shape:
            second = self.temporal.from_embedding(embedding[:, of_windows.shape[1] :], reference, blink)
            expression = torch.lerp(expression, second, SHARE_OF_TEMPORAL)
        return opened_from_rest(expression, reference) if self.config.from_rest else expression


class Embedder:
    """An ExpNet that has learnt enough, up to its embeddings: norms are folded into convolutions, gradients are not
    kept.
    """

    def __init__(self, net: ExpNet):
        self.config = net.config
        self.embed_audio = FoldedAudioEncoder(net.audio)
        self.embed_track = None if net.temporal is None else FoldedTemporalNet(net.temporal)

    def __call__(self, speech: SpeechWindows, frames: slice, like: Tensor) -> Tensor:
        """(B, E): the embeddings of these frames, from `frames.start` to before `frames.stop`, which do not depend on
        what else is asked for. like: a tensor where the network is, in its precision
        """
        windows = embedding_of(self.embed_audio, speech, frames, self.config, like)
        if self.embed_track is None:
            return windows
        return torch.cat([windows, self.embed_track(speech, range(frames.start, frames.stop), like)], dim=1)


def embedding_of(
    embed_audio: Callable[[Tensor], Tensor], speech: SpeechWindows, frames: slice, config: ExpNetConfig, like: Tensor
) -> Tensor:
    """(B, E): the windows' embeddings of these frames, from `frames.start` to before `frames.stop`.

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
