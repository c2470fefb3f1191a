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
    calls this "interp"). A clip of one or two frames has no parabola and comes back as it is.
    """
    n_frames = track.shape[0]
    if n_frames < window:
        window = max((n_frames - 1) // 2 * 2 + 1, 1)
    if window <= ORDER:
        return track.clone()
    from scipy.signal import savgol_filter

    # in float64: scipy would fit float32 in float32, and where that rounds depends on the processor
    smoothed = savgol_filter(track.detach().double().cpu().numpy(), window, ORDER, axis=0)
    return torch.from_numpy(smoothed).to(track)


__all__ = ["smooth"]
