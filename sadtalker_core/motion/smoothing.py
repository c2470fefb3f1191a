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
    """track (T, N) float32 -> (T, N): each frame is the value of the parabola through the window around it (PARITY.md
    P19).

    Near the ends the window stops at the edge, and the frames beyond its middle are read off the last parabola (scipy
    calls this "interp", and takes a second to import). A clip of one or two frames has no parabola and comes back as it
    is.
    """
    n_frames = track.shape[0]
    if n_frames < window:
        window = max((n_frames - 1) // 2 * 2 + 1, 1)
    if window <= ORDER:
        return track.clone()
    frames = track.detach().double().cpu()  # float32 would be fitted in float32, and round as the processor likes
    fit, half, n_windows = parabola_fit(window), window // 2, n_frames - window + 1
    smoothed = torch.zeros_like(frames)
    for place, share in enumerate(fit[half].tolist()):
        smoothed[half : half + n_windows].add_(frames[place : place + n_windows], alpha=share)
    smoothed[:half] = fit[:half] @ frames[:window]
    smoothed[n_frames - half :] = fit[half + 1 :] @ frames[n_frames - window :]
    return smoothed.to(track)


def parabola_fit(window: int) -> Tensor:
    """(W, W) float64: the numbers of a window -> those of the parabola that fits them best, a row for each frame."""
    time = torch.linspace(-1, 1, window, dtype=torch.float64)
    basis = torch.linalg.qr(torch.stack([time**power for power in range(ORDER + 1)], 1)).Q
    return basis @ basis.T


__all__ = ["smooth"]
