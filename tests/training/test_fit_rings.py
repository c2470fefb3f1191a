"""Depth and share of what surrounds a face, read back from motion that was made with known ones."""

import pytest
import torch

from sadtalker_core.canonical_face import FACE_OUTLINE, HEAD_TO_IMAGE, load_canonical_face, rotation_of_angles
from sadtalker_core.render.meshwarp.placement import WINDOW
from sadtalker_core.render.meshwarp.surroundings import cosine_sum
from sadtalker_core.training.heads.fit_rings import cosine_series, depth_and_share, fit_ring, went_to


def turns_and_shifts(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    flip = torch.tensor(HEAD_TO_IMAGE)
    turns = flip[:, None] * rotation_of_angles(torch.randn(n, 3, generator=generator) * 0.15) * flip
    return turns, torch.randn(n, 2, generator=generator) * 0.03


def moved_by(spots, depth, share, turns, shifts):
    """spots (N, 2) -> (N, 2), written out."""
    whole = torch.cat([spots, torch.full((len(spots), 1), depth)], dim=1)
    carried = (turns @ whole[..., None])[..., 0] - whole
    return share * (carried[:, :2] + shifts)


def test_depth_and_share_are_found_again():
    turns, shifts = turns_and_shifts(60)
    spots = torch.randn(60, 2) * 0.5
    depth, share = depth_and_share(spots, moved_by(spots, 0.8, 0.7, turns, shifts), turns, shifts)
    assert (depth, share) == pytest.approx((0.8, 0.7), abs=1e-4)


def test_a_ring_is_fitted_from_both_sides_together():
    turns, shifts = turns_and_shifts(20)  # too few looks for one side alone
    ring = load_canonical_face().mean[list(FACE_OUTLINE), :2] - load_canonical_face().pivot[:2]
    ring = (ring + ring[[-v % 36 for v in range(36)]] * torch.tensor([-1.0, 1.0])) / 2
    rows = []
    for turn, shift in zip(turns, shifts, strict=True):
        moved = moved_by(ring, 0.5, 0.9, turn.expand(36, 3, 3), shift.expand(36, 2))
        rows.append((ring, moved, turn, shift, torch.ones(36, dtype=torch.bool)))
    depth, share, seen = fit_ring(rows)
    assert torch.allclose(depth, torch.full((36,), 0.5) + load_canonical_face().pivot[2], atol=1e-3)
    assert torch.allclose(share, torch.full((36,), 0.9), atol=1e-3)
    assert (seen == 1).all()


def test_a_place_is_followed_through_the_flow():
    flow = torch.zeros(1, 2, WINDOW // 2, WINDOW // 2)
    flow[:, 0], flow[:, 1] = -4.0, 2.5  # what is seen here was 4 pixels to the left and 2.5 below
    places = torch.tensor([[60.0, 70.0], [90.0, 80.0]])
    assert torch.allclose(went_to(flow, places), places + torch.tensor([4.0, -2.5]), atol=1e-3)


def test_a_cosine_series_is_what_the_rings_are_made_of():
    series = (0.6, 0.2, 0.1, -0.05, 0.02)
    values = cosine_sum(series)
    values[5] = torch.nan
    assert cosine_series(values) == pytest.approx(series, abs=1e-5)
