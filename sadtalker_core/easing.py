"""Smoothstep: what fades, or moves from one place to another, begins and ends softly. Several packages need it."""

from __future__ import annotations

from torch import Tensor


def smoothstep(share: Tensor) -> Tensor:
    """0 up to 0, 1 from 1 on, and between them 3 x**2 - 2 x**3, which is level at both ends."""
    x = share.clamp(0, 1)
    return x * x * (3 - 2 * x)


__all__ = ["smoothstep"]
