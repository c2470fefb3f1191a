"""A patch and the image around it come in, the patch as if it had always been there goes out (Perez et al. 2003).

The patch keeps its gradients and takes its level from the image: the steps between neighbouring pixels come from the
patch, and from the image in a thin border, and the outermost pixels are those of the image. Letters: `h w` the
patch.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: pixels inside the box that keep the image's gradients: one for the border itself and three for a little room
BORDER = 4


def seamless(patch: Tensor, image: Tensor) -> Tensor:
    """patch (B, 3, h, w), and the image (3, h, w) that lies under it -> (B, 3, h, w), not clamped.

    What `cv2.seamlessClone` (NORMAL_CLONE of OpenCV 4.11 and newer, which leaves everything outside the box alone)
    does with a mask that is white all over. A patch that is all border comes back as the image.
    """
    height, width = image.shape[-2:]
    under = image.expand_as(patch)
    if min(height, width) <= 2 * BORDER:
        return under.clone()
    # OpenCV leaves the outermost ring alone altogether; the border condition then lies on the next one.
    precise = torch.float32 if patch.device.type == "mps" else torch.float64  # MPS has no float64
    difference = (patch.to(precise) - under.to(precise))[..., 1:-1, 1:-1]
    ours = torch.zeros_like(difference[0, 0])
    ours[BORDER - 1 : 1 - BORDER, BORDER - 1 : 1 - BORDER] = 1
    # forward differences of what is to change, weighted, then their divergence by backward differences
    step_x = ours[:, :-1] * difference.diff(dim=-1)
    step_y = ours[:-1] * difference.diff(dim=-2)
    divergence = step_x.diff(dim=-1)[..., 1:-1, :] + step_y.diff(dim=-2)[..., :, 1:-1]
    result = under.clone()
    result[..., 2:-2, 2:-2] += solve_poisson(divergence).to(result)
    return result


def solve_poisson(right_side: Tensor) -> Tensor:
    """f (..., h, w) -> u (..., h, w) with u[y-1] + u[y+1] + u[x-1] + u[x+1] - 4 u = f and u = 0 all around.

    The sines sin(pi k i / (n + 1)) are the eigenvectors of that difference, with eigenvalues 2 cos(pi k / (n + 1)) - 2.
    """
    height, width = right_side.shape[-2:]
    waves = sine_transform(sine_transform(right_side, -1), -2)
    waves = waves / (_eigenvalues(height, waves)[:, None] + _eigenvalues(width, waves))
    scale = 4 / ((height + 1) * (width + 1))
    return scale * sine_transform(sine_transform(waves, -1), -2)


def sine_transform(x: Tensor, dim: int) -> Tensor:
    """sum over i of x[i] sin(pi (i + 1) (k + 1) / (n + 1)) for each k (DST-I); its own inverse up to 2 / (n + 1).

    scipy.fft has the same for the CPU alone, and at 256 x 256 takes three times as long; frames may be on a GPU.
    """
    n = x.shape[dim]
    zero = torch.zeros_like(x.narrow(dim, 0, 1))
    odd = torch.cat([zero, x, zero, -x.flip(dim)], dim=dim)
    return -torch.fft.rfft(odd, dim=dim).imag.narrow(dim, 1, n) / 2


def _eigenvalues(n: int, like: Tensor) -> Tensor:
    k = torch.arange(1, n + 1, device=like.device, dtype=like.dtype)
    return 2 * torch.cos(torch.pi * k / (n + 1)) - 2


__all__ = ["seamless", "sine_transform", "solve_poisson"]
