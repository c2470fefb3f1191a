"""A wide 3 x 3 (x 3) convolution that computes four rows at once from six products instead of twelve: Winograd's
F(4, 3), along the rows.

The rows d0 ... d5 that four outputs see, and the taps a b c of a column, are read as polynomials whose product is the
output. Six places determine it: 0, p and -p, q and -q, and infinity. With P = p * p and Q = q * q,

    place     of the rows, `gathered`                 of the taps
    0         d4 - (P + Q) d2 + P Q d0                a / P Q
    p, -p     (d4 - Q d2) +- p (d3 - Q d1)            (a +- p b + P c) p / 2 P (P - Q)
    q, -q     (d4 - P d2) +- q (d3 - P d1)            (a +- q b + Q c) Q / 2 Q (Q - P)
    infinity  d5 - (P + Q) d3 + P Q d1                c

and `spread` makes the four outputs of the six products. It wins a fourth to two fifths where both numbers of channels
are large, in float32 on a CPU: the sums around the products are then little beside them. With p = 3/4 and q = 3/2 it
rounds as the convolution itself does; with the customary 1 and 2 it would round twice as coarsely. Letters: `B` frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from .fast_layers import Kernel, empty_last, parts

NEAR, FAR = 3 / 4, 3 / 2
_P, _Q = NEAR**2, FAR**2
#: channels that a convolution over a map or a volume must have, new and old, to be worth it
WIDE = {4: (256, 128), 5: (96, 96)}


def bordered(weight: Tensor, bias: Tensor, four_rows: bool) -> Kernel | FourRows:
    """A 3 x 3 (x 3) convolution with a border of zeros, four rows at once where that is wanted and the faster way."""
    return FourRows(weight, bias) if four_rows and is_wide(weight) else Kernel(weight, bias, padding=1)


def is_wide(weight: Tensor) -> bool:
    """Whether four rows at once are worth it."""
    return all(n >= fewest for n, fewest in zip(weight.shape[:2], WIDE[weight.ndim], strict=True))


class Products(nn.Module):
    """The six products. weight: (out, in, ..., 3, w), w taps along the columns;  bias: (out,)"""

    def __init__(self, weight: Tensor, bias: Tensor, padding: Sequence[int] | int = 0, stride: Sequence[int] | int = 1):
        super().__init__()
        self.n_outputs = len(weight)
        above, middle, below = weight.detach().unsqueeze(-3).unbind(-2)
        near, far = above + _P * below, above + _Q * below
        by_near, by_far = 1 / (2 * NEAR * (_P - _Q)), 1 / (2 * (_Q - _P))
        # each of the four outputs gets the bias once by these shares
        kernels = (
            (above / (_P * _Q), 1 - 1 / _P),
            ((near + NEAR * middle) * by_near, (1 / NEAR + 1) / 2),
            ((near - NEAR * middle) * by_near, (1 / NEAR - 1) / 2),
            ((far + FAR * middle) * by_far, None),
            ((far - FAR * middle) * by_far, None),
            (below, 1 - _P),
        )
        self.kernels = nn.ModuleList(
            Kernel(taps, None if share is None else share * bias, padding, stride) for taps, share in kernels
        )

    def forward(self, maps: Iterable[Tensor], out: Sequence[Tensor]) -> None:
        """maps: six maps, from `gathered`;  out: four maps, into which the outputs are written, as many columns of them
        as these have.
        """
        width = out[0].shape[-1]
        spread([kernel(rows)[..., :width] for kernel, rows in zip(parts(self.kernels), maps, strict=True)], out)


def gathered(d0: Tensor, d1: Tensor, d2: Tensor, d3: Tensor, d4: Tensor, d5: Tensor) -> Iterator[Tensor]:
    """The six maps that are multiplied, from those of the rows; one by one, so that each is used while in the cache."""
    yield torch.sub(d4, d2, alpha=_P + _Q).add_(d0, alpha=_P * _Q)
    for place, other in ((NEAR, _Q), (FAR, _P)):
        even, odd = torch.sub(d4, d2, alpha=other), torch.sub(d3, d1, alpha=other)
        yield torch.add(even, odd, alpha=place)
        yield even.sub_(odd, alpha=place)
    yield torch.mul(d1, _P * _Q).sub_(d3, alpha=_P + _Q).add_(d5)


def spread(products: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Six products, which are used up -> four outputs, written into `out`."""
    zero, near, minus_near, far, minus_far, infinity = products
    near_sum, near_difference = near + minus_near, near.sub_(minus_near)
    far_sum, far_difference = far + minus_far, far.sub_(minus_far)
    torch.add(zero.add_(near_sum, alpha=1 / NEAR), far_sum, alpha=1 / _Q, out=out[0])
    torch.add(near_difference, far_difference, alpha=1 / FAR, out=out[1])
    torch.add(far_sum, near_sum, alpha=NEAR, out=out[2])
    torch.add(infinity.add_(near_difference, alpha=_P), far_difference, alpha=FAR, out=out[3])


class FourRows(nn.Module):
    """The convolution with a border of zeros. weight: (out, in, ..., 3, 3);  bias: (out,)"""

    #: of a map, handled together, so that what is in between stays in the cache
    STRIP = 64

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.products = Products(weight, bias, padding=(*(1,) * (weight.ndim - 4), 0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, in, ..., n, m) -> (B, out, ..., n, m)."""
        missing = -x.shape[-2] % 4
        if missing:
            return self(nn.functional.pad(x, (0, 0, 0, missing)))[..., :-missing, :]
        out = empty_last(len(x), self.products.n_outputs, *x.shape[2:], like=x)
        for start, end in self.strips(x):
            self.convolve_rows(x, start, end, out[..., start:end, :])
        return out

    def strips(self, x: Tensor) -> Iterator[tuple[int, int]]:
        """First and last row of each strip."""
        n_rows = x.shape[-2]
        step = n_rows if x.ndim == 5 else self.STRIP  # a volume has kernels of its own for a few rows, slow ones
        return ((start, min(start + step, n_rows)) for start in range(0, n_rows, step))

    def convolve_rows(self, x: Tensor, start: int, end: int, out: Tensor) -> None:
        """The rows from start to end, into out (B, out, ..., end - start, m); both and the rows of x divide by four."""
        first, last = start // 4, end // 4
        d1, d2, d3, d4 = (x[..., start + row : end : 4, :] for row in range(4))
        d0, d5 = reaching(x[..., 3::4, :], first - 1, last - 1), reaching(x[..., ::4, :], first + 1, last + 1)
        maps = gathered(d0, d1, d2, d3, d4, d5)
        self.products(maps, [out[..., row::4, :] for row in range(4)])


def reaching(rows: Tensor, start: int, end: int) -> Tensor:
    """Rows (..., n, m) from start to end; one beyond the border, on either side, is of zeros."""
    if start >= 0 and end <= rows.shape[-2]:
        return rows[..., start:end, :]
    inside, above = rows[..., max(start, 0) : end, :], max(-start, 0)
    out = empty_last(*rows.shape[:-2], end - start, rows.shape[-1], like=rows)
    out[..., :above, :] = 0
    out[..., above : above + inside.shape[-2], :] = inside
    out[..., above + inside.shape[-2] :, :] = 0
    return out
