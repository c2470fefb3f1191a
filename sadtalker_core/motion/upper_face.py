"""A voice and a seed come in; what lids, brows, cheeks and eyes do meanwhile goes out, for families that name them.

ExpNet predicts the mouth; the face above it follows a voice less, and how it does differs from person to person. So it
is drawn, by rules, from a seed:

    accents    brows rise (or are knit) on some stressed syllables, a little before their loudest moment
    mood       brows, lower lids and cheeks change slowly, mostly between phrases
    lids       blinks that differ, more of them where a phrase ends
    gaze       looks that rest, leap a little, go away for a second and come back

Everything begins as the portrait has it. Letters: `T` frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..canonical_face import brow_weights, look_weights
from ..coefficients import BLENDSHAPE_INDEX
from ..datatypes import Expression, FaceCoefficients, SpeechWindows
from ..easing import smoothstep
from ..timeline import FRAMES_PER_SECOND
from .blink import AUTO, OFF, Blinks, chosen_blinks, varied_blinks
from .silence import loudness_db, speaking

# Tuned on videos of generated and photographed portraits; brow heights then vary by about .015 of the distance of the
# eyes (real speakers .03, videos of the original .008).
_ACCENT_SHARE, _ACCENT_BY_STRESS = 0.15, 0.6  #: how likely a stress lifts the brows: a little, and more if it is strong
_ACCENT_GAP = 18  #: frames between two accents, at least
_ACCENT_SIZE = (0.35, 1.0)
_KNIT, _ONE_SIDED = 0.15, 0.15  #: shares of the accents that knit the brows, that lift one of them
_RISE, _HOLD, _FALL = (3.0, 6.0), (0.0, 8.0), (6.0, 14.0)  #: frames of an accent
_LEAD = 2.0  #: frames by which it has risen before the syllable is loudest
_MOOD_SPREAD, _MOOD_LASTS_S, _MOOD_CHANGE = 0.22, (2.5, 7.0), 10.0  #: the last in frames, how slowly it changes
_WIDE = 0.2  #: eyes that open wider where brows are lifted wholly
_SQUINT, _CHEEK, _CHEEK_BY_SMILE = 0.35, 0.3, 0.4

# Gaze, in degrees across and up: it rests for a while, leaps a little, and now and then goes away for a second, mostly
# as somebody begins to say something.
_REST_S, _LEAP_DEG = (0.5, 2.2), (1.1, 0.7)
_AWAY_EVERY_S, _AWAY_AT_A_START, _AWAY_S = 9.0, 0.3, (0.5, 1.6)
_AWAY_DEG, _AWAY_UP_DEG, _AWAY_DOWN_DEG = (6.0, 12.0), 3.5, 7.0

_STRESS_NEAR, _STRESS_AROUND = 1.5, 15.0  #: frames: sigma of a syllable, and of what it is louder than
_STRESS_APART = 7  #: frames between two of them
_STRONG_DB = 10.0  #: louder than its surroundings by this: a stress of 1
_PHRASE_END_S, _PHRASE_END_PACE = 0.6, 4.0  #: so long after a phrase ends, blinks begin so much more readily
_SHORTEST_PAUSE = 5  #: frames


class UpperFace(NamedTuple):
    """lids (T, 2): how far the left and the right lid are down;  units (T, 64): what is added to the expression."""

    lids: Tensor
    units: Tensor


def upper_face(speech: SpeechWindows, blinks: Blinks, lids: Tensor | None = None) -> UpperFace:
    """What the face does besides ExpNet's prediction; the same seed does the same on every machine.

    blinks: "auto": all of it. "original": the same, but blinks as the original draws them. "off": the eyes stay as in
            the portrait, and so does all that the voice does not cause.
    lids:   (T,) of a reference, which then stand in for blinks
    """
    n_frames = speech.n_frames
    seeds = torch.randint(2**62, (4,), generator=torch.Generator().manual_seed(blinks.seed)).tolist()
    accents, moods, lid_generator, gaze_generator = (torch.Generator().manual_seed(seed) for seed in seeds)
    voice = _read_voice(speech)
    if lids is not None:
        both = lids[:, None].expand(-1, 2)
    elif blinks.choice == AUTO:
        both = varied_blinks(
            n_frames,
            per_minute=blinks.per_minute,
            strength=blinks.strength,
            generator=lid_generator,
            pace=voice.blink_pace(),
        )
    else:
        both = chosen_blinks(blinks.choice, n_frames, strength=blinks.strength, seed=blinks.seed)[:, None].expand(-1, 2)
    units = _accents(voice, accents).clamp(max=1)
    if blinks.choice != OFF or speech.wave is not None:
        units = (units + _mood(voice, moods)).clamp(max=1)
    if blinks.choice != OFF and lids is None:
        units = units + _gaze(voice, gaze_generator)
    if blinks.choice == OFF:
        units[:, [k for name, k in BLENDSHAPE_INDEX.items() if name.startswith("eye")]] = 0
    return UpperFace(both, units)


def with_upper_face(expression: Expression, face: UpperFace, source: FaceCoefficients) -> Expression:
    """ExpNet's expression, predicted for the mean of both lids, with all the rest. Cheeks go up where the mouth
    smiles.
    """
    rows = expression.coefficients + face.units
    left, right = BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]
    uneven = (face.lids[:, 0] - face.lids[:, 1]) / 2
    rows[:, left] += uneven
    rows[:, right] -= uneven
    for side in ("Left", "Right"):
        smile = BLENDSHAPE_INDEX[f"mouthSmile{side}"]
        more = (expression.coefficients[:, smile] - source.expression[0, smile]).clamp(min=0)
        rows[:, BLENDSHAPE_INDEX[f"cheekSquint{side}"]] += _CHEEK_BY_SMILE * _smooth(more, 2.0)
    return Expression(rows, expression.family)


# ------------------------------------------------------------------------------------------------------ the voice


class _Voice(NamedTuple):
    """n_frames;  stresses: (frame, strength in 0..1) of each stressed syllable;  phrases: first frame, and the one
    behind the last.
    """

    n_frames: int
    stresses: list[tuple[int, float]]
    phrases: list[tuple[int, int]]

    def blink_pace(self) -> Tensor | None:
        """(T,) how readily a blink begins; None where nobody speaks."""
        if not self.phrases:
            return None
        pace = torch.ones(self.n_frames)
        for _, end in self.phrases:
            pace[max(end - 2, 0) : end + round(_PHRASE_END_S * FRAMES_PER_SECOND)] = _PHRASE_END_PACE
        return pace


def _read_voice(speech: SpeechWindows) -> _Voice:
    """Where somebody speaks, and where and how strongly syllables are stressed."""
    if speech.wave is None or speech.n_frames == 0:
        return _Voice(speech.n_frames, [], [])
    level = loudness_db(speech)
    voiced = speaking(speech, attack=0.0, release=0.0) > 0
    quiet = level.clamp(min=float(level.max()) - 40.0)
    above = _smooth(quiet, _STRESS_NEAR) - _smooth(quiet, _STRESS_AROUND)
    peaks = F.max_pool1d(above[None], 2 * (_STRESS_APART // 2) + 1, 1, _STRESS_APART // 2)[0] == above
    frames = torch.nonzero(peaks & voiced & (above > 0))[:, 0].tolist()
    return _Voice(
        speech.n_frames,
        [(frame, min(float(above[frame]) / _STRONG_DB, 1.0)) for frame in frames],
        _runs(voiced.tolist()),
    )


def _runs(voiced: list[bool]) -> list[tuple[int, int]]:
    """Stretches of speech; pauses of fewer than _SHORTEST_PAUSE frames are part of them."""
    runs: list[tuple[int, int]] = []
    for frame, on in enumerate(voiced):
        if not on:
            continue
        if runs and frame - runs[-1][1] < _SHORTEST_PAUSE:
            runs[-1] = (runs[-1][0], frame + 1)
        else:
            runs.append((frame, frame + 1))
    return runs


# ---------------------------------------------------------------------------------------------------- the movements


def _accents(voice: _Voice, generator: torch.Generator) -> Tensor:
    """(T, 64) brows that go with stressed syllables."""
    left, right = torch.zeros(voice.n_frames), torch.zeros(voice.n_frames)
    last = -_ACCENT_GAP
    for frame, stress in voice.stresses:
        taken, size, knit, one_sided, side, *times = torch.rand(8, generator=generator).tolist()
        if frame - last < _ACCENT_GAP or taken > _ACCENT_SHARE + _ACCENT_BY_STRESS * stress:
            continue
        last = frame
        height = _between(_ACCENT_SIZE, size) * (0.5 + 0.5 * stress) * (-0.7 if knit < _KNIT else 1.0)
        rise, hold, fall = (_between(e, t) for e, t in zip((_RISE, _HOLD, _FALL), times, strict=True))
        first = max(0, math.floor(frame - _LEAD - rise))
        last_frame = min(voice.n_frames, math.ceil(frame - _LEAD + hold + fall) + 1)
        since = torch.arange(first, last_frame) - (frame - _LEAD - rise)
        shape = height * smoothstep(since / rise) * (1 - smoothstep((since - rise - hold) / fall))
        weak = 0.25 if one_sided < _ONE_SIDED and height > 0 else 0.9
        for track, share in ((left, 1.0 if side < 0.5 else weak), (right, weak if side < 0.5 else 1.0)):
            track[first:last_frame] += share * shape
    return _brows(left, right)


def _mood(voice: _Voice, generator: torch.Generator) -> Tensor:
    """(T, 64) what changes from phrase to phrase, and every few seconds where nobody speaks; nothing at first."""
    n_frames = voice.n_frames
    brows, squint, cheek = torch.zeros(3, n_frames)
    starts = {start for start, _ in voice.phrases}
    until = since = round(_MOOD_LASTS_S[0] / 2 * FRAMES_PER_SECOND)
    for frame in range(until, n_frames):
        if frame < until and not (frame in starts and frame - since > _MOOD_LASTS_S[0] * FRAMES_PER_SECOND):
            continue
        lasts = _between(_MOOD_LASTS_S, torch.rand((), generator=generator).item())
        draws = torch.randn(3, generator=generator).clamp(-2, 2).tolist()
        since, until = frame, frame + round(lasts * FRAMES_PER_SECOND)
        brows[since:until] = _MOOD_SPREAD * draws[0]
        squint[since:until] = _SQUINT * max(draws[1], 0.0) / 2
        cheek[since:until] = _CHEEK * max(draws[2], 0.0) / 2
    brows, squint, cheek = (_smooth(track, _MOOD_CHANGE) for track in (brows, squint, cheek))
    units = _brows(brows, brows)
    for side in ("Left", "Right"):
        units[:, BLENDSHAPE_INDEX[f"eyeSquint{side}"]] += squint
        units[:, BLENDSHAPE_INDEX[f"cheekSquint{side}"]] += cheek
    return units


def _gaze(voice: _Voice, generator: torch.Generator) -> Tensor:
    """(T, 64) where the eyes look: straight at first."""
    return look_weights(*wandering_look(voice.n_frames, generator, [start for start, _ in voice.phrases]))


def wandering_look(n_frames: int, generator: torch.Generator, starts: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """(T,) twice, degrees to the left of the person, and up: a gaze that rests, leaps a little, now and then goes away
    for a second and comes back. It begins straight.

    starts: frames in which somebody begins to speak; then eyes go away more readily
    """
    across, up = torch.zeros(n_frames), torch.zeros(n_frames)
    frame = away_until = 0
    while frame < n_frames:
        rests, away, how_long, how_far, how_high, side = torch.rand(6, generator=generator).tolist()
        leap = torch.randn(2, generator=generator).clamp(-2, 2).tolist()
        lasts = round(_between(_REST_S, rests) * FRAMES_PER_SECOND)
        begins = any(frame - 6 <= start <= frame + lasts for start in starts)
        likely = _AWAY_AT_A_START if begins else sum(_REST_S) / 2 / _AWAY_EVERY_S
        look = (_LEAP_DEG[0] * leap[0], _LEAP_DEG[1] * leap[1])
        if frame == 0:
            look = (0.0, 0.0)
        elif away < likely and frame > away_until + lasts:
            lasts = away_until = round(_between(_AWAY_S, how_long) * FRAMES_PER_SECOND)
            away_until += frame
            far = _between(_AWAY_DEG, how_far) * (1 if side < 0.5 else -1)
            look = (far, _between((-_AWAY_DOWN_DEG, _AWAY_UP_DEG), how_high))
        lasts = max(lasts, 1)
        across[frame : frame + lasts], up[frame : frame + lasts] = look
        frame += lasts
    return _saccades(across), _saccades(up)


def _saccades(track: Tensor) -> Tensor:
    """A large leap takes two frames, the eye is seen on its way in one."""
    before = torch.cat([track[:1], track[:-1]])
    return torch.where((track - before).abs() > 4.0, torch.lerp(before, track, 0.65), track)


def _brows(left: Tensor, right: Tensor) -> Tensor:
    """(T,) each how high a brow is, above 0 up -> (T, 64)."""
    units = brow_weights(left, right)
    for side, height in (("Left", left), ("Right", right)):
        units[:, BLENDSHAPE_INDEX[f"eyeWide{side}"]] = _WIDE * height.clamp(min=0).square()
    return units


def _smooth(track: Tensor, sigma: float) -> Tensor:
    """(T,) -> (T,) through a Gaussian of `sigma` frames; the ends are carried on."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    padded = F.pad(track[None, None], (reach, reach), mode="replicate")
    return F.conv1d(padded, (kernel / kernel.sum())[None, None])[0, 0]


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


__all__ = ["UpperFace", "upper_face", "wandering_look", "with_upper_face"]
