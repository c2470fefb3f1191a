import pytest
import torch

from sadtalker_core.model import build_released, load_weights
from sadtalker_core.render.facevid2vid.motion_estimator import MotionEstimator, MotionEstimatorConfig
from sadtalker_core.render.mapping import ANGLE_BINS
from tests.parity.rule import our_tensors
from tests.render import tiny

NARROW = MotionEstimatorConfig(stem=8, width=16, blocks=(1, 1), offsets=9)


def estimator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MotionEstimator(NARROW)


def test_it_predicts_what_a_mapping_net_predicts():
    predicted = estimator()(tiny.uniform(2, 3, 32, 32))
    assert [tuple(part.shape) for part in predicted] == [(2, ANGLE_BINS)] * 3 + [(2, 3), (2, 9)]
    assert predicted.motion().yaw.shape == (2,)


def test_every_parameter_learns():
    net = estimator()
    sum(part.square().sum() for part in net(tiny.uniform(2, 3, 32, 32))).backward()
    assert [name for name, parameter in net.named_parameters() if not parameter.grad.abs().sum() > 0] == []


@pytest.mark.slow
def test_the_released_widths_give_the_originals_numbers():
    # The original HEEstimator (BatchNorm2d, eval mode) with the tensors that the rule gives "he_estimator." for seed 0
    # run on the same waves: the first four numbers of yaw, pitch, roll, t, exp.
    original = (
        (0.6358150243759155, -0.6588358283042908, 0.04778405651450157, -0.24019953608512878),
        (-0.7259905338287354, 0.2300116866827011, -0.1921127885580063, -0.10051834583282471),
        (0.8237397074699402, -0.7443838119506836, 0.004810543730854988, -0.07011283189058304),
        (0.4297671914100647, 0.5388082265853882, 0.10116973519325256),
        (-0.6597463488578796, 0.2326204478740692, -0.04702506959438324, -0.021524813026189804),
    )
    net = load_weights(build_released("motion_estimator"), our_tensors("motion_estimator", 0), "the rule")
    waves = (torch.sin(torch.linspace(0, 1, 3 * 64 * 64) * 1000).reshape(1, 3, 64, 64) + 1) / 2
    for ours, theirs in zip(net(waves), original, strict=True):
        assert ours[0, :4].tolist() == pytest.approx(theirs, abs=1e-4)
