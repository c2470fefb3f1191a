from __future__ import annotations

import torch

from sadtalker_core.canonical_face import load_canonical_face, rotation_of_angles
from sadtalker_core.coefficients import ARKIT_BLENDSHAPES
from sadtalker_core.face.linear_3dmm import Linear3DMM
from sadtalker_core.training.fit_linear_3dmm import (
    SIDE,
    Heads,
    _regression,
    _rest_and_gain,
    _template_of,
    held_out,
    mirror_blendshapes,
    mirror_points,
    solve_ridge,
)


def a_few_heads(generator, n=6) -> Heads:
    """Meshes that are noise about the mean face, with poses and weights that are noise, too."""
    rotation = rotation_of_angles((torch.rand(n, 3, generator=generator) - 0.5) * 0.6).double()
    scale = 60 + 20 * torch.rand(n, generator=generator).double()
    origin = 100 + torch.rand(n, 2, generator=generator).double()
    canonical = load_canonical_face()
    head = ((canonical.mean - canonical.pivot) * torch.tensor([1.0, -1.0, -1.0])).double()
    head = head + 0.02 * torch.randn(n, 468, 3, generator=generator).double()
    points = scale[:, None, None] * (head @ rotation.transpose(1, 2))
    points[..., :2] += origin[:, None]
    weights = torch.rand(n, 52, generator=generator).double()
    return Heads(points, torch.arange(n), weights, rotation, scale, origin)


def test_without_a_penalty_ridge_regression_is_least_squares(generator):
    inputs, targets = (torch.randn(50, n, generator=generator).double() for n in (4, 3))
    matrix, bias = solve_ridge(inputs, targets, torch.full((3,), 1e-12).double())
    with_one = torch.cat([inputs, torch.ones(50, 1).double()], dim=1)
    expected = torch.linalg.lstsq(with_one, targets).solution
    torch.testing.assert_close(torch.cat([matrix, bias[None]]), expected, atol=1e-8, rtol=0)


def test_each_output_has_its_own_penalty(generator):
    inputs = torch.randn(50, 4, generator=generator).double()
    targets = inputs[:, :1].expand(-1, 2)
    matrix, _ = solve_ridge(inputs, targets, torch.tensor([1e-9, 1e9]).double())
    assert (matrix[0, 0] - 1).abs() < 1e-6 and matrix[:, 1].abs().max() < 1e-6


def test_mirroring_twice_is_nothing(generator):
    for partner in (mirror_points(), mirror_blendshapes()):
        assert torch.equal(partner[partner], torch.arange(len(partner)))
    heads = a_few_heads(generator)
    again = heads.with_mirrored()[torch.arange(6, 12)].with_mirrored()[torch.arange(6, 12)]
    for name in ("points", "weights", "rotation", "origin"):
        torch.testing.assert_close(getattr(again, name), getattr(heads, name))


def test_a_mirror_swaps_the_sides_that_units_name():
    swapped = [ARKIT_BLENDSHAPES[k] for k in mirror_blendshapes()]
    assert swapped[ARKIT_BLENDSHAPES.index("eyeBlinkLeft")] == "eyeBlinkRight"
    assert swapped[ARKIT_BLENDSHAPES.index("mouthLeft")] == "mouthRight"
    assert swapped[ARKIT_BLENDSHAPES.index("jawOpen")] == "jawOpen"


def test_a_mirrored_head_looks_to_the_other_side(generator):
    heads = a_few_heads(generator).with_mirrored()
    torch.testing.assert_close(heads.rotation[6:, 0, 2], -heads.rotation[:6, 0, 2])
    torch.testing.assert_close(heads.points[6:, 4, 0], SIDE - heads.points[:6, 4, 0])


def test_the_targets_of_the_map_lead_back_to_the_truth(generator):
    heads = a_few_heads(generator)
    net = _template_of(heads)
    residuals, targets = _regression(net, heads)

    class Oracle(torch.nn.Module):
        weight = torch.zeros(1, dtype=torch.float64)

        def forward(self, asked):
            assert torch.equal(asked, residuals)
            return targets

    regressor = Linear3DMM()
    regressor.load_state_dict(net.state_dict())
    regressor.read = Oracle()
    reading = regressor(heads.points)
    torch.testing.assert_close(reading.rotation, heads.rotation, atol=1e-6, rtol=0)
    torch.testing.assert_close(reading.scale, heads.scale)
    torch.testing.assert_close(reading.origin, heads.origin)
    torch.testing.assert_close(reading.blendshapes, heads.weights)


def test_rest_and_gain_undo_a_flattened_reading():
    truth = torch.cat([torch.zeros(30), torch.linspace(0, 1, 20)]).double()[:, None]
    rest, gain = _rest_and_gain(0.2 + truth / 2, truth)
    torch.testing.assert_close(rest, torch.tensor([0.2]).double(), atol=0.011, rtol=0)
    torch.testing.assert_close(gain, torch.tensor([2.0]).double(), atol=0.051, rtol=0)


def test_people_are_held_out_whole():
    person = torch.arange(10).repeat_interleave(3)
    out = held_out(person)
    assert set(person[out].tolist()) == {8, 9} and int(out.sum()) == 6
