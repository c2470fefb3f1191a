"""The released widths in training mode against numbers of the original definitions in training mode.

The numbers were made by the original KPDetector, HEEstimator and OcclusionAwareSPADEGenerator (BatchNorm2d and 3d for
their synchronised norms, which are the same in one process) in `train()`, with the tensors that the rule gives for
seed 0, on the two pictures of 128 pixels below.
"""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.assembly import build_released, fill
from tests.parity.rule import our_tensors

#: float32 sums in another order: the original itself moves by 1.6e-5 with the number of threads
NEAR = 2e-4


def rule_net(name):
    return fill(build_released(name), our_tensors(name, 0), "the rule").train()


@pytest.fixture(scope="module")
def pictures():
    """(source, driving), each (2, 3, 128, 128)"""
    waves = (torch.sin(torch.linspace(0, 1, 2 * 3 * 128 * 128) * 3000) + 1) / 2
    source = waves.reshape(2, 3, 128, 128)
    return source, source.flip(-1) * 0.8 + 0.1


def says(got, original):
    assert got.flatten().tolist() == pytest.approx(original, abs=NEAR)


@pytest.mark.slow
def test_key_points_and_the_frame_drawn_with_them(pictures):
    source, _ = pictures
    detector, generator = rule_net("keypoint_detector"), rule_net("generator")
    points = detector(source)
    says(points[0, :2], [0.1622624397277832, 0.17450100183486938, -0.172322079539299,
                         -0.3297048807144165, 0.1206481009721756, -0.33091163635253906])  # fmt: skip
    says(points[1, 14], [0.20627611875534058, -0.32468217611312866, -0.6784470677375793])
    says(detector.up[-1].norm.running_mean[:2], [0.04612733796238899, -0.07415905594825745])

    moved = points + 0.2 * torch.sin(torch.arange(90.0).reshape(2, 15, 3))
    drawn = generator(source, points, moved)
    says(drawn.image[0, :, 5, 7], [0.4834744334220886, 0.407943457365036, 0.5287634134292603])
    says(drawn.image[1, :, 100, 64], [0.28391051292419434, 0.4493028521537781, 0.7284099459648132])
    says(drawn.motion.occlusion.mean(), [0.3443959355354309])
    says(generator.flatten.norm.running_var[:2], [1.00562584400177, 1.1169732809066772])
    says(generator.decoder.up[0].first_conv.left[:3], [0.030349675565958023, -0.018744051456451416,
                                                       -0.06395188719034195])  # fmt: skip


@pytest.mark.slow
def test_the_motion_of_a_picture(pictures):
    estimator = rule_net("motion_estimator")
    original = (
        [0.8850204348564148, -0.7608484029769897],
        [-0.1952465921640396, 0.08942346274852753],
        [1.1014107465744019, -0.39070332050323486],
        [0.396521657705307, 1.2649846076965332],
        [-0.04826265946030617, -0.3027534782886505],
    )
    for got, numbers in zip(estimator(pictures[1]), original, strict=True):
        says(got[1, :2], numbers)
    says(estimator.stages[3].widen_norm.running_mean[:2], [0.007041405886411667, -0.1125798225402832])
