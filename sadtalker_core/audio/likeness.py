"""Whether a mel spectrogram could be speech: for a line in the log, and so that no room is looked for in what is none.

A mouth opens and closes several times a second, so after 150 ms a voice sounds otherwise. Noise, hums and held notes
stay what they are. Music that is all beats and short notes changes as fast as speech and is not noticed.

Letters: `n_mel` steps, 80 a second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .mel import LARGEST, QUIETEST_DB

#: steps between two moments that are compared: 150 ms
LAG = 12
#: dB by which a band of a voice has changed by then, half of the time: 10 to 18 in voices, 3.1 in white noise
LEAST_CHANGE_DB = 3.5
#: correlation of the two spectra, half of the time: 0.03 to 0.82 in voices, 0.9 in white noise and above in held notes
MOST_ALIKE = 0.88
#: dB below its loud passages where a recording pauses
PAUSE_DB = 25.0
#: moments that are compared at most, spread over the whole, and at least, three quarters of a second
MOST_MOMENTS, FEWEST_MOMENTS = 20_000, 60
_DB = -QUIETEST_DB / (2 * LARGEST)


def could_be_speech(mel: Tensor) -> bool:
    """mel (n_mel, 80) in -4..4 -> False for what is mostly noise or held notes; True where there is too little."""
    n_moments = mel.shape[0] - LAG
    if n_moments < FEWEST_MOMENTS:
        return True
    at = torch.arange(0, n_moments, max(n_moments // MOST_MOMENTS, 1))
    now, later = mel[at].double() * _DB, mel[at + LAG].double() * _DB
    level = now.mean(dim=1)
    quiet = (level.quantile(0.95) - PAUSE_DB).clamp(min=QUIETEST_DB / 2 + 1)  # the quietest value of a mel, and more
    sounding = (level > quiet) & (later.mean(dim=1) > quiet)
    if sounding.sum() < FEWEST_MOMENTS:
        return True
    now, later = now[sounding], later[sounding]
    change = (later - now).abs().mean(dim=1).median()
    now, later = now - now.mean(dim=1, keepdim=True), later - later.mean(dim=1, keepdim=True)
    alike = torch.nn.functional.cosine_similarity(now, later, dim=1).median()
    return bool(change >= LEAST_CHANGE_DB and alike <= MOST_ALIKE)


__all__ = ["could_be_speech"]
