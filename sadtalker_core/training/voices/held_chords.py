"""Chords that are held: organs, bowed strings, synthesiser pads, choirs that sing one vowel. Of all music they are most
like vowels, and the mouth should stay closed to them.

They are sums of partials. `augment.noise(n, "chords", rng)` is how training asks for them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...timeline import SAMPLE_RATE_HZ

_HIGHEST_HZ = 0.47 * SAMPLE_RATE_HZ
_INTERVALS = (-12, -8, -5, 0, 3, 4, 5, 7, 9, 12, 16, 19, 24)
#: centres in Hz of what a choir's vowels let through: ah, oh, oo, eh, mm
_VOWELS = ((750, 1150, 2700), (480, 850, 2600), (330, 800, 2400), (560, 1800, 2600), (250, 1100, 2200))


class Register(NamedTuple):
    """How every note of a piece sounds. multiples (P,) of the note's frequency and shares (P,) of its partials;
    centres in Hz of its resonances; detuned (C,) factors of the players; attack and release in seconds; the tremulant's
    rate in Hz, and how much of loudness and of pitch it takes.
    """

    multiples: np.ndarray
    shares: np.ndarray
    centres_hz: tuple[float, ...]
    detuned: np.ndarray
    attack_s: float
    release_s: float
    rate_hz: float
    tremolo: float
    vibrato: float


def held_chords(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) chords of two to six notes, each held for half a second to five, in one register."""
    register = drawn_register(rng)
    root_hz = 65 * 2 ** (rng.uniform(0, 26) / 12)
    hold_s = float(np.exp(rng.uniform(np.log(0.5), np.log(5.0))))
    sound, start = np.zeros(n), 0
    while start < n:
        held = int(SAMPLE_RATE_HZ * hold_s * rng.uniform(0.7, 1.3))
        length = min(n - start, held + int(SAMPLE_RATE_HZ * register.release_s))
        steps = rng.choice(_INTERVALS, int(rng.integers(2, 7)), replace=False)
        sound[start : start + length] += chord(root_hz * 2.0 ** (steps / 12), length, register, rng)
        start += held
    return sound + 10 ** (-rng.uniform(25, 60) / 20) * np.sqrt(np.mean(np.square(sound))) * rng.normal(0, 1, n)


def drawn_register(rng: np.random.Generator) -> Register:
    """An organ, strings, a pad or a choir."""
    kind = rng.choice(4, p=[0.3, 0.15, 0.2, 0.35])
    if kind == 0:
        multiples, shares = _stops(rng)
        tremulant = bool(rng.random() < 0.6)
        return Register(
            multiples, shares, (), 1 + rng.normal(0, 5e-4, 1), rng.uniform(0.01, 0.15), rng.uniform(0.03, 0.3),
            rng.uniform(3, 7.5), tremulant * rng.uniform(0, 0.4), tremulant * rng.uniform(0, 0.004),
        )  # fmt: skip
    multiples = np.arange(1.0, 21.0)
    shares = multiples ** -rng.uniform(0.6, 2.2)
    players = 1 + rng.normal(0, rng.uniform(0.001, 0.006), int(rng.integers(2, 4)))
    attack_s, release_s = rng.uniform(0.08, 0.8), rng.uniform(0.1, 1.0)
    if kind == 1:
        centres = tuple(rng.uniform(250, 4500, 4))
        return Register(multiples, shares, centres, players, attack_s, release_s, rng.uniform(4, 7), 0.05, 0.004)
    if kind == 2:
        if rng.random() < 0.4:
            shares[1::2] = 0.0  # as a square wave has it
        slow_hz, swell = rng.uniform(0.2, 6), rng.uniform(0, 0.4)
        return Register(multiples, shares, (), players, attack_s, release_s, slow_hz, swell, 0.0)
    vowel = _VOWELS[int(rng.integers(len(_VOWELS)))]
    throat = rng.uniform(0.85, 1.2)
    centres = tuple(throat * hertz * rng.uniform(0.93, 1.07) for hertz in vowel)
    return Register(multiples, shares, centres, players, attack_s, release_s, rng.uniform(4.5, 6.5), 0.1, 0.006)


def chord(notes_hz: np.ndarray, length: int, register: Register, rng: np.random.Generator) -> np.ndarray:
    """(length,) notes (N,) in Hz that begin and end together, with phases drawn."""
    t = np.arange(length) / SAMPLE_RATE_HZ
    turn = 2 * np.pi * register.rate_hz * t + rng.uniform(0, 6.3)
    late = register.vibrato * np.sin(turn) / (2 * np.pi * register.rate_hz)
    sound = np.zeros(length)
    for hertz in notes_hz.tolist():
        for player in register.detuned.tolist():
            partials_hz = hertz * player * register.multiples
            shares = register.shares * _let_through(partials_hz, register.centres_hz)
            audible = (partials_hz < _HIGHEST_HZ) & (shares > 0.01 * shares.max())
            for partial_hz, share in zip(partials_hz[audible], shares[audible], strict=True):
                sound += share * np.sin(2 * np.pi * partial_hz * (t + late) + rng.uniform(0, 6.3))
    swell = np.minimum(1, t / register.attack_s) * np.minimum(1, t[::-1] / register.release_s)
    return sound * swell * (1 - register.tremolo * (0.5 + 0.5 * np.sin(turn)))


def _stops(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A few ranks of pipes, or drawbars, at the octaves and fifths above the note; each has partials of its own."""
    ranks = rng.choice([0.5, 1, 1.5, 2, 3, 4, 5, 6, 8], int(rng.integers(1, 7)), replace=False)
    loud: dict[float, float] = {}
    for rank in ranks.tolist():
        share, fall = rng.uniform(0.2, 1), rng.uniform(0.8, 4)
        for k in range(1, 9):
            loud[rank * k] = loud.get(rank * k, 0.0) + share * k**-fall
    multiples = np.array(sorted(loud))
    return multiples, np.array([loud[m] for m in multiples.tolist()])


def _let_through(hertz: np.ndarray, centres_hz: tuple[float, ...]) -> np.ndarray:
    """(P,) what resonances leave of each partial; all of it where there are none."""
    if not centres_hz:
        return np.ones_like(hertz)
    near = [0.5**i / (1 + ((hertz - centre) / (40 + 0.06 * centre)) ** 2) for i, centre in enumerate(centres_hz)]
    return 0.05 + np.sum(near, axis=0)
