"""A track comes in, a calmer track goes out.

`smooth` is Savitzky-Golay, a parabola fitted through a sliding window of frames; `steadied` takes the haste out of a
mouth.

Letters: `T` frames, `N` numbers per frame, `W` frames of the window (odd).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..coefficients import BLENDSHAPE_INDEX

#: frames of the window that the original uses (half a second); shorter clips take the largest odd window that fits
WINDOW = 13
ORDER = 2
#: what shuts the lips, and bites them
_SHUTS = ("mouthClose", "mouthPress", "mouthRoll")
_HEAVY = [
    k for name, k in BLENDSHAPE_INDEX.items() if name.startswith(("jaw", "mouth")) and not name.startswith(_SHUTS)
]


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


def steadied(expression: Tensor) -> Tensor:
    """expression (T, 64) of the built-in basis, as the voice has it frame by frame -> (T, 64): jaw and lips as heavy as
    they are, each frame half its own and a quarter of either neighbour. What shuts the lips is left as it is: a p, b or
    m is short, and must be seen.

    Over five readings the jaw then agrees as well with the sounds, or a little better, about half of what its speed had
    above 4 Hz is gone, and as many lips are shut on p, b and m.
    """
    around = torch.cat([expression[:1], expression, expression[-1:]])
    steady = (around[:-2] + 2 * expression + around[2:]) / 4
    calmed = expression.clone()
    calmed[:, _HEAVY] = steady[:, _HEAVY]
    return calmed


__all__ = ["smooth", "steadied"]
