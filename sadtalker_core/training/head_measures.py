"""How a head moves, in numbers that can be compared with videos: tracks of angles in, a number for each axis out.

Letters: `T` frames at 25 per second, of which PIECE = 8 seconds are looked at together; what is left over is left out,
but a shorter track is one piece. Angles are (T, 3) pitch, yaw and roll in degrees.
"""

from __future__ import annotations

import numpy as np

from ..timeline import FRAMES_PER_SECOND

PIECE = 8 * FRAMES_PER_SECOND
#: degrees per second, of all three axes together, below which a head rests
SLOW = 3.0
#: dB below the loud passages (the level of one frame in fifty) that still count
QUIETEST_DB = -35.0


def pieces(track: np.ndarray) -> list[np.ndarray]:
    """The track in pieces of 8 seconds."""
    whole = len(track) // PIECE
    return np.split(track[: whole * PIECE], whole) if whole else [track]


def head_range(degrees: np.ndarray) -> np.ndarray:
    """(3,) maximum minus minimum within 8 seconds, mean over the pieces."""
    return np.mean([np.ptp(piece, axis=0) for piece in pieces(degrees)], axis=0)


def head_speed(degrees: np.ndarray) -> np.ndarray:
    """(3,) root mean square in degrees per second."""
    return np.sqrt(np.mean(_speeds(degrees) ** 2, axis=0))


def rests(degrees: np.ndarray) -> float:
    """The share of the time in which the head turns by less than SLOW."""
    return float(np.mean(np.linalg.norm(_speeds(degrees), axis=1) < SLOW))


def centroid_hz(degrees: np.ndarray) -> float:
    """The mean frequency of the movement, weighted by its power; mean over axes and pieces."""
    found = []
    for piece in pieces(degrees):
        power = np.abs(np.fft.rfft(piece - piece.mean(axis=0), axis=0)) ** 2
        frequency = np.fft.rfftfreq(len(piece), 1 / FRAMES_PER_SECOND)[:, None]
        found.append((power * frequency).sum(axis=0) / np.maximum(power.sum(axis=0), 1e-12))
    return float(np.mean(found))


def at_seams(degrees: np.ndarray, block: int = 32) -> float:
    """How far the head is from where it began at the last frame of each block (the first frame is none), relative to
    everywhere: 1 where nothing returns there.
    """
    away = np.linalg.norm(degrees - degrees[0], axis=1)
    return float(np.mean(away[block::block]) / max(np.mean(away[1:]), 1e-9))


def nods_with_loudness(degrees: np.ndarray, loudness_db: np.ndarray) -> float:
    """Pearson's r of pitch and loudness (T,) in dB."""
    level = np.clip(loudness_db - np.quantile(loudness_db, 0.98), QUIETEST_DB, 0)
    if np.std(level) < 1e-9 or np.std(degrees[:, 0]) < 1e-9:
        return 0.0
    return float(np.corrcoef(degrees[:, 0], level)[0, 1])


def _speeds(degrees: np.ndarray) -> np.ndarray:
    return np.diff(degrees, axis=0) * FRAMES_PER_SECOND


__all__ = ["at_seams", "centroid_hz", "head_range", "head_speed", "nods_with_loudness", "pieces", "rests"]
