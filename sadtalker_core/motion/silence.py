"""Speech and an expression come in; the expression goes out with the mouth at rest in the pauses of the speech.

Letters: `T` frames.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..datatypes import Expression, FaceCoefficients, SpeechWindows, require_family
from ..errors import OptionError
from ..timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME
from .edit import MOUTH_GROUP, blendshapes_of

#: speech ends this far below the level at which it starts, so that the gate does not flutter
HYSTERESIS_DB = 6.0
#: frames whose samples are squared together
FRAMES_AT_ONCE = 4096
#: below this nothing counts as speech, however quiet the rest of the recording is
FLOOR_DB = -60.0
#: quantile of the level that counts as the speaker's own: one frame in fifty is louder
_LOUD = 0.98


def loudness_db(speech: SpeechWindows) -> Tensor:
    """(T,) the root mean square of every frame in dB, 0 for full scale; -120 for nothing, and for an idle clip."""
    if speech.wave is None:
        return torch.full((speech.n_frames,), -120.0)
    wave = speech.wave[: speech.n_samples]
    wave = torch.nn.functional.pad(wave, (0, speech.n_samples - len(wave)))
    pieces = wave.view(-1, SAMPLES_PER_FRAME).split(FRAMES_AT_ONCE)
    power = torch.cat([piece.double().square().mean(dim=1) for piece in pieces])
    return 10 * power.clamp(min=1e-12).log10().float()


def speaking(
    speech: SpeechWindows, *, threshold_db: float = -30.0, attack: float = 0.08, release: float = 0.2
) -> Tensor:
    """(T,) in 0..1: 1 while somebody speaks, 0 in silence.

    threshold_db: speech starts at this level relative to its own loud passages, and ends HYSTERESIS_DB lower
    attack, release: seconds by which the value rises before speech starts, and falls after it ends
    Raises OptionError for negative times.
    """
    if attack < 0 or release < 0:
        raise OptionError(f"expected an attack and a release of 0 seconds or more, got {attack:g} and {release:g}.")
    level = loudness_db(speech)
    start = max(float(level.quantile(_LOUD)) + threshold_db, FLOOR_DB) if len(level) else FLOOR_DB
    gate, audible = [], False
    for db in level.tolist():
        audible = db >= (start - HYSTERESIS_DB if audible else start)
        gate.append(float(audible))
    behind = _fall(gate, release)
    before = _fall(gate[::-1], attack).flip(0)
    return torch.maximum(behind, before)


def silence_gate(
    expression: Expression,
    speech: SpeechWindows,
    source: FaceCoefficients,
    *,
    threshold_db: float = -30.0,
    attack: float = 0.08,
    release: float = 0.2,
    strength: float = 1.0,
) -> Expression:
    """The mouth of the portrait in silence, that of the track in speech; `strength` below 1 goes only part of the way.

    Of a mini expression only the blendshapes of the mouth rest. The released basis does not separate mouth and lids, so
    there the whole face goes to that of the portrait, blinks too. A track longer than the speech rests after its end.
    Raises WrongFamily.
    """
    require_family("the expression", expression.family, source.family)
    gate = speaking(speech, threshold_db=threshold_db, attack=attack, release=release)[: len(expression)]
    gate = torch.nn.functional.pad(gate, (0, len(expression) - len(gate)))
    rest = source.expression[:1]
    to_rest = ((1 - gate) * strength)[:, None].expand(-1, rest.shape[1]).clone()
    if expression.blendshapes:
        other = torch.ones(rest.shape[1], dtype=torch.bool)
        other[blendshapes_of(MOUTH_GROUP)] = False
        to_rest[:, other] = 0
    return replace(expression, coefficients=torch.lerp(expression.coefficients, rest, to_rest))


def _fall(gate: list[float], seconds: float) -> Tensor:
    """T values -> (T,): wherever the gate falls, a linear ramp from 1 to 0 that takes so many seconds."""
    step = 1 / (seconds * FRAMES_PER_SECOND + 1)
    fallen, now = [], 0.0
    for value in gate:
        now = max(value, now - step, 0.0)
        fallen.append(now)
    return torch.tensor(fallen)


__all__ = ["FLOOR_DB", "HYSTERESIS_DB", "loudness_db", "silence_gate", "speaking"]
