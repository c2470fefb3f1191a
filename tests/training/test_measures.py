"""The figures of what is held out, against what they are by their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, CropMode, FaceCoefficients
from sadtalker_core.training import measures
from sadtalker_core.training.faces import MiniFace


def motions(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_no_motion_has_the_error_of_no_motion():
    seen = motions(8, 32, 6)
    assert measures.ratio(*measures.drawn_error(torch.zeros(4, 8, 32, 6), seen)) == pytest.approx(1.0)


def test_the_error_of_draws_is_that_of_a_plain_loop():
    draws, seen = motions(3, 2, 4, 6), motions(2, 4, 6, seed=1)
    total = 0.0
    for b in range(2):
        away = [float((draws[k, b] - seen[b]).norm()) for k in range(3)]
        apart = [float((draws[k, b] - draws[j, b]).norm()) for k in range(3) for j in range(3) if j != k]
        total += np.mean(away) - np.mean(apart) / 2
    assert float(measures.drawn_error(draws, seen)[0]) == pytest.approx(total / 2, rel=1e-5)


def test_draws_like_the_data_are_better_than_too_small_too_large_or_equal_ones():
    seen, draws = motions(200, 8, 6), motions(4, 200, 8, 6, seed=1)
    errors = {scale: measures.ratio(*measures.drawn_error(scale * draws, seen)) for scale in (0.3, 1.0, 3.0)}
    alike = measures.ratio(*measures.drawn_error(draws[:1].expand(4, -1, -1, -1), seen))
    assert errors[1.0] < min(errors[0.3], errors[3.0], alike) and errors[1.0] < 0.8


def test_the_spread_of_seeds_is_that_of_the_draws_and_a_collapse_is_reported():
    seen, draws = motions(200, 8, 6), motions(4, 200, 8, 6, seed=1)
    assert measures.seed_spread(0.5 * draws, seen) == pytest.approx(0.5, rel=0.05)
    assert measures.seed_spread(draws[:1].expand(4, -1, -1, -1), seen) == 0.0
    (remark,) = measures.collapse_remark({measures.SEED_SPREAD: 0.02})
    assert "the seed does nothing" in remark and "--init-from base" in remark
    assert measures.collapse_remark({measures.SEED_SPREAD: 0.4}) == measures.collapse_remark({}) == []


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_the_lag_of_a_late_mouth_is_measured(late):
    track = np.convolve(np.random.default_rng(0).normal(size=300), np.ones(5), "same")
    seen, remark = track[10:-10], 0.5 * track[10 - late : 290 - late] + 3
    r, lag = measures.agreement([remark, remark[:8]], [seen, seen[:8]])
    assert lag == late and (r > 0.999 if late == 0 else r < 0.9)
    assert measures.agreement([remark * 0], [seen])[0] == 0.0


def test_the_mouth_s_opening_grows_with_the_jaw_and_not_with_the_head_s_turn():
    rows = torch.zeros(4, 257)
    rows[:3, 80 + BLENDSHAPE_INDEX["jawOpen"]] = torch.tensor([0.0, 0.3, 0.8])
    rows[3, 224:227] = torch.tensor([0.1, 0.0, 0.2])
    who = FaceCoefficients.from_full_rows(rows, torch.zeros(4, 3), family=MINI, crop_mode=CropMode.CROP, pic_size=256)
    opening = measures.mouth_opening(MiniFace().points(who, who.expression))
    assert opening[0] < opening[1] < opening[2] and abs(opening[3] - opening[0]) < 0.1 * (opening[2] - opening[0])
