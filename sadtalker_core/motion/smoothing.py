"""A track comes in, a calmer track goes out: Savitzky-Golay, a parabola fitted through a sliding window of frames.

Letters: `T` frames, `N` numbers per frame, `W` frames of the window (odd).
"""

from __future__ import annotations

import torch
from torch import Tensor

#: frames of the window that the original uses (half a second); shorter clips take the largest odd window that fits
WINDOW = 13
ORDER = 2


def smooth(track: Tensor, window: int = WINDOW) -> Tensor:
    """track (T, N) float32 -> (T, N): each frame is the value of the parabola through the window around it (quirk 13).

    Near the ends the window stops at the edge, and the frames beyond its middle are read off the last parabola (scipy
    calls this "interp"). A clip of one or two frames has no parabola and comes back as it is.
    """
    n_frames = track.shape[0]
    if n_frames < window:
        window = max((n_frames - 1) // 2 * 2 + 1, 1)
    if window <= ORDER:
        return track.clone()
    fit = _parabola_fit(window)
    middle = window // 2
    frames = track.double()
    n_inner = n_frames - window + 1
    inner = torch.zeros(n_inner, track.shape[1], dtype=frames.dtype)
    for place, weight in enumerate(fit[middle].tolist()):  # all windows at once would be as many copies of the track
        inner.add_(frames[place : place + n_inner], alpha=weight)
    first = fit[:middle] @ frames[:window]
    last = fit[middle + 1 :] @ frames[-window:]
    return torch.cat([first, inner, last]).to(track)


def _parabola_fit(window: int) -> Tensor:
    """(W, W) float64: values in the window -> values of their least-squares parabola at the same places."""
    places = torch.arange(window, dtype=torch.float64) - window // 2
    powers = places[:, None] ** torch.arange(ORDER + 1)
    return powers @ torch.linalg.pinv(powers)


__all__ = ["smooth"]
