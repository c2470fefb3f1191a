"""Each loss of the renderer's training against a plain calculation with loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sadtalker_core.datatypes import KeypointMotion
from sadtalker_core.training import losses
from sadtalker_core.training.tps import PUBLISHED_BEND, Bend, BendConfig, draw_bend

B, K = 2, 5


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def maps(seed):
    return [draw(B, 2, 4, 3, seed=seed), draw(B, 3, 2, 2, seed=seed + 1)]


def test_feature_distance_is_the_mean_difference_summed_over_maps():
    made, real = maps(0), maps(10)
    plain = 0.0
    for a, b in zip(made, real, strict=True):
        numbers = [abs(float(x) - float(y)) for x, y in zip(a.flatten(), b.flatten(), strict=True)]
        plain += sum(numbers) / len(numbers)
    assert losses.feature_distance(made, real).item() == pytest.approx(plain, rel=1e-5)


def test_what_is_real_is_not_pulled_towards_what_is_made():
    made, real = draw(2, 2).requires_grad_(), draw(2, 2, seed=1).requires_grad_()
    losses.feature_distance([made], [real]).backward()
    assert made.grad is not None and real.grad is None


def test_the_hinges_are_sums_of_means_over_patches():
    made, real = maps(0), maps(10)
    for_generator = for_discriminator = 0.0
    for m, r in zip(made, real, strict=True):
        m, r = [float(x) for x in m.flatten()], [float(x) for x in r.flatten()]
        for_generator += -sum(m) / len(m)
        for_discriminator += sum(max(0, 1 - x) for x in r) / len(r) + sum(max(0, 1 + x) for x in m) / len(m)
    assert losses.hinge_for_generator(made).item() == pytest.approx(for_generator, rel=1e-5)
    assert losses.hinge_for_discriminator(made, real).item() == pytest.approx(for_discriminator, rel=1e-5)


def test_a_discriminator_that_is_sure_and_right_learns_nothing_more():
    made, real = torch.full((1, 1, 2, 2), -1.5, requires_grad=True), torch.full((1, 1, 2, 2), 1.5)
    loss = losses.hinge_for_discriminator([made], [real])
    loss.backward()
    assert loss.item() == 0 and not made.grad.any()


def test_keypoint_prior_counts_near_pairs_and_depth():
    points = 0.3 * draw(B, K, 3)
    plain = 0.0
    for row in points.tolist():
        for i, a in enumerate(row):
            for j, b in enumerate(row):
                if i != j:
                    plain += max(0.0, 0.1 - sum((p - q) ** 2 for p, q in zip(a, b, strict=True))) / B
        plain += abs(sum(z for _, _, z in row) / K - 0.33) / B
    assert losses.keypoint_prior(points).item() == pytest.approx(plain, rel=1e-5)


def test_keypoint_prior_is_content_with_points_far_apart_at_the_right_depth():
    points = torch.tensor([[[-1.0, 0, 0.33], [0, 0, 0.33], [1, 0, 0.33]]])
    assert losses.keypoint_prior(points).item() == pytest.approx(0, abs=1e-6)


def test_head_pose_is_degrees_apart_in_the_order_pitch_yaw_roll():
    motion = KeypointMotion(*10 * draw(3, B), draw(B, 3), draw(B, 3 * K))
    degrees = 10 * draw(B, 3, seed=1)
    predicted = np.stack([motion.pitch, motion.yaw, motion.roll], axis=1)
    plain = sum(abs(float(predicted[b, k] - degrees[b, k])) for b in range(B) for k in range(3)) / B
    assert losses.head_pose(motion, degrees).item() == pytest.approx(plain, rel=1e-5)


def test_deformation_prior_is_the_sum_of_sizes():
    offsets = draw(B, 3 * K)
    plain = sum(abs(x) for row in offsets.tolist() for x in row) / B
    assert losses.deformation_prior(offsets).item() == pytest.approx(plain, rel=1e-5)


def test_keypoint_distance_is_the_mean_difference():
    a, b = draw(B, K, 3), draw(B, K, 3, seed=1)
    plain = sum(abs(x - y) for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)) / (B * K * 3)
    assert losses.keypoint_distance(a, b).item() == pytest.approx(plain, rel=1e-5)


# ---- bends ------------------------------------------------------------------------------------------------------


def bent_plainly(bend: Bend, b: int, x: float, y: float) -> tuple[float, float]:
    (a11, a12, a13), (a21, a22, a23) = bend.affine[b].tolist()
    pushed = 0.0
    for (nx, ny), push in zip(bend.nodes.tolist(), bend.push[b].tolist(), strict=True):
        r = abs(x - nx) + abs(y - ny)
        pushed += push * r**2 * math.log(r + 1e-6)
    return a11 * x + a12 * y + a13 + pushed, a21 * x + a22 * y + a23 + pushed


def bend(config=PUBLISHED_BEND, n=B):
    return draw_bend(n, config, torch.Generator().manual_seed(3))


def test_a_bend_is_an_affine_map_and_a_thin_plate():
    given = 0.8 * draw(B, K, 2)
    plain = [[bent_plainly(bend(), b, *given[b, k].tolist()) for k in range(K)] for b in range(B)]
    assert torch.allclose(bend().places(given), torch.tensor(plain), atol=1e-5)


def test_the_published_spreads_are_those_that_are_drawn():
    many = draw_bend(4000, PUBLISHED_BEND, torch.Generator().manual_seed(0))
    assert many.push.shape == (4000, 25)
    assert (many.affine - torch.eye(2, 3)).std().item() == pytest.approx(0.05, rel=0.03)
    assert many.push.std().item() == pytest.approx(0.005, rel=0.03)


def test_equivariance_asks_whether_the_bend_leads_from_one_to_the_other():
    points, when_bent = 0.5 * draw(B, K, 3), 0.5 * draw(B, K, 3, seed=1)
    plain = 0.0
    for b in range(B):
        for k in range(K):
            x, y = bent_plainly(bend(), b, *when_bent[b, k, :2].tolist())
            plain += (abs(points[b, k, 0].item() - x) + abs(points[b, k, 1].item() - y)) / (B * K * 2)
    assert losses.equivariance(points, when_bent, bend().places).item() == pytest.approx(plain, rel=1e-5)


def test_no_bend_leaves_an_image_alone():
    image = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(bend(BendConfig(0.0, 0.0), n=1).bent(image), image, atol=1e-6)


def test_a_dot_is_found_in_the_bent_image_where_the_bend_moves_it():
    # a blurred dot; its centre of mass in the bent image, led through the bend, is where it was drawn
    side, place = 65, torch.tensor([0.25, -0.375])
    line = torch.linspace(-1, 1, side)
    dot = torch.exp(-((line[None, :] - place[0]) ** 2 + (line[:, None] - place[1]) ** 2) / 0.02)[None, None]
    one = bend(n=1)
    seen = one.bent(dot)[0, 0]
    seen = seen / seen.sum()
    centre = torch.stack([(seen.sum(0) * line).sum(), (seen.sum(1) * line).sum()])
    assert torch.allclose(one.places(centre[None, None])[0, 0], place, atol=0.01)
    assert (centre - place).abs().max() > 0.03
