"""The released widths in training mode against numbers of the original definitions in training mode.

The numbers were made by the original KPDetector, HEEstimator and OcclusionAwareSPADEGenerator (BatchNorm2d and 3d for
their synchronised norms, which are the same in one process), SimpleWrapperV2 (ExpNet), CVAE (PoseVAE) and
PoseSequenceDiscriminator in `train()`, with the tensors that the rule gives for seed 0, on the inputs below. (The
MappingNet is the same in training and out of it.)
"""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.model import build_released, load_weights
from sadtalker_core.training.sequence_discriminator import SequenceDiscriminator
from tests.parity.rule import our_tensors, tensors

#: float32 sums in another order: the original itself moves by 1.6e-5 with the number of threads
NEAR = 2e-4


def rule_net(name):
    return load_weights(build_released(name), our_tensors(name, 0), "the rule").train()


def rule_discriminator():
    """Its tensors come in the released order."""
    net = SequenceDiscriminator()
    numbers = (torch.from_numpy(number) for _, number in tensors("audio2pose.netD_motion.", 0))
    net.load_state_dict(dict(zip(net.state_dict(), numbers, strict=True)))
    return net.train()


def waves(*shape, turns):
    return torch.sin(torch.linspace(0, 1, torch.Size(shape).numel()) * turns).reshape(shape)


@pytest.fixture(scope="module")
def images():
    """(source, driving), each (2, 3, 128, 128)"""
    source = (waves(2, 3, 128, 128, turns=3000) + 1) / 2
    return source, source.flip(-1) * 0.8 + 0.1


def says(got, original):
    assert got.flatten().tolist() == pytest.approx(original, abs=NEAR)


@pytest.mark.slow
def test_key_points_and_the_frame_drawn_with_them(images):
    source, _ = images
    detector, generator = rule_net("keypoint_detector"), rule_net("generator")
    points = detector(source)
    says(
        points[0, :2],
        [
            0.1622624397277832,
            0.17450100183486938,
            -0.172322079539299,
            -0.3297048807144165,
            0.1206481009721756,
            -0.33091163635253906,
        ],
    )
    says(points[1, 14], [0.20627611875534058, -0.32468217611312866, -0.6784470677375793])
    says(detector.up[-1].norm.running_mean[:2], [0.04612733796238899, -0.07415905594825745])

    moved = points + 0.2 * torch.sin(torch.arange(90.0).reshape(2, 15, 3))
    drawn = generator(source, points, moved)
    says(drawn.image[0, :, 5, 7], [0.4834744334220886, 0.407943457365036, 0.5287634134292603])
    says(drawn.image[1, :, 100, 64], [0.28391051292419434, 0.4493028521537781, 0.7284099459648132])
    says(drawn.motion.occlusion.mean(), [0.3443959355354309])
    says(generator.flatten.norm.running_var[:2], [1.00562584400177, 1.1169732809066772])
    says(
        generator.decoder.up[0].first_conv.left[:3], [0.030349675565958023, -0.018744051456451416, -0.06395188719034195]
    )


@pytest.mark.slow
def test_the_motion_of_an_image(images):
    estimator = rule_net("motion_estimator")
    original = (
        [0.8850204348564148, -0.7608484029769897],
        [-0.1952465921640396, 0.08942346274852753],
        [1.1014107465744019, -0.39070332050323486],
        [0.396521657705307, 1.2649846076965332],
        [-0.04826265946030617, -0.3027534782886505],
    )
    for got, numbers in zip(estimator(images[1]), original, strict=True):
        says(got[1, :2], numbers)
    says(estimator.stages[3].widen_norm.running_mean[:2], [0.007041405886411667, -0.1125798225402832])


@pytest.mark.slow
def test_the_expression_of_a_batch_of_windows():
    net = rule_net("expnet")
    windows, rest = 4 * waves(4, 1, 80, 16, turns=3000), 0.5 * waves(4, 64, turns=500)
    predicted = net(windows, rest, torch.tensor([0.0, 0.5, 1.0, 0.2]))
    says(predicted[0, :4], [0.1399177759885788, 0.11980392783880234, 0.11495059728622437, 0.16794940829277039])
    says(predicted[3, 60:], [-0.09060467779636383, 0.06753093004226685, 0.13802377879619598, -0.023833489045500755])
    says(net.audio.layers[3].norm.running_mean[:2], [0.24940438568592072, -0.11123891919851303])
    says(net.audio.layers[11].norm.running_var[:2], [1.0949671268463135, 1.055853247642517])


@pytest.mark.slow
def test_the_latent_of_a_motion_and_what_is_rebuilt_from_it_and_the_verdict_about_that():
    net = rule_net("posevae")
    motion, embedded_clips = 0.1 * waves(2, 32, 6, turns=300), waves(2, 32, 512, turns=9000)
    reference, style = 0.2 * waves(2, 6, turns=20), torch.tensor([3, 45])
    mean, logvar = net.encoder(motion, embedded_clips, reference, style)
    says(mean[0, :3], [0.05718611180782318, 0.4547574818134308, -0.527276337146759])
    says(mean[1, 61:], [-1.933071255683899, 0.4902859926223755, -0.5049446821212769])
    says(net.encoder.unet.down3.norm1.running_mean[:2], [-0.03187017887830734, -0.07122144103050232])

    rebuilt = net.decode(mean + torch.exp(0.5 * logvar) * waves(2, 64, turns=700), embedded_clips, reference, style)
    says(
        rebuilt[0, 0],
        [
            0.031954746693372726,
            -0.20221976935863495,
            0.02752040885388851,
            0.024260004982352257,
            0.0476214624941349,
            -0.07846362143754959,
        ],
    )
    says(
        rebuilt[1, 31],
        [
            0.033685628324747086,
            -0.21111613512039185,
            -0.005516711622476578,
            0.03741883113980293,
            -0.00039118528366088867,
            -0.13169600069522858,
        ],
    )
    says(net.decoder.unet.up3.skip_norm.running_var[:2], [1.2284152507781982, 1.2141331434249878])

    discriminator = rule_discriminator()
    logits = discriminator(rebuilt)
    says(logits[0, :3], [-0.04422600939869881, 0.7275676727294922, 1.2671254873275757])
    says(logits[1, 6:], [-0.1422295868396759, 1.1689687967300415])
    says(discriminator.layers[7].running_mean[:2], [-0.04352133721113205, 0.0855349600315094])
