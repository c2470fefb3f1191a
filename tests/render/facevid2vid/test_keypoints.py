import pytest
import torch
import torch.nn.functional as F

from sadtalker_core.render.facevid2vid.keypoints import AntialiasedShrink
from tests.render import tiny


def test_key_points_lie_in_the_volume():
    points = tiny.keypoint_detector()(tiny.uniform(2, 3, 32, 32))
    assert points.shape == (2, tiny.N_KEYPOINTS, 3)
    assert points.abs().max() < 1


def test_key_points_are_where_the_heat_is():
    detector, (depth, height, width) = tiny.keypoint_detector(), tiny.VOLUME
    heat = torch.zeros(1, tiny.N_KEYPOINTS, *tiny.VOLUME)
    heat[0, 0, 0, 0, 0] = heat[0, 1, -1, -1, -1] = heat[0, 2, 1, 2, 3] = 100
    detector.heat_volume = lambda small_image: heat
    points = detector(tiny.uniform(1, 3, 32, 32))[0]
    assert torch.allclose(points[0], torch.tensor([-1.0, -1.0, -1.0]))
    assert torch.allclose(points[1], torch.tensor([1.0, 1.0, 1.0]))
    place = torch.tensor([2 * 3 / (width - 1) - 1, 2 * 2 / (height - 1) - 1, 2 * 1 / (depth - 1) - 1])
    assert torch.allclose(points[2], place, atol=1e-6)


def test_temperature_sharpens_the_heat():
    """Two voxels, one 0.2 hotter: at 0.1 its share is that of a logit of 2."""
    detector = tiny.keypoint_detector()
    heat = torch.full((1, tiny.N_KEYPOINTS, *tiny.VOLUME), -1e4)
    heat[..., 0, 0, 0], heat[..., 0, 0, -1] = 0.0, 0.2
    detector.heat_volume = lambda small_image: heat
    x = detector(tiny.uniform(1, 3, 32, 32))[0, 0, 0]
    assert x.item() == pytest.approx(2 * torch.sigmoid(torch.tensor(2.0)).item() - 1, abs=1e-5)


def test_rows_of_a_batch_do_not_see_one_another():
    detector, images = tiny.keypoint_detector(), tiny.uniform(3, 3, 32, 32)
    alone = torch.cat([detector(image.unsqueeze(0)) for image in images])
    assert torch.allclose(detector(images), alone, atol=1e-6)


def test_bright_spots_shrink_to_a_gaussian_of_their_own():
    spot = torch.zeros(1, 3, 64, 64)
    spot[0, 1, 32, 36] = 1
    small = AntialiasedShrink()(spot)[0]
    assert small.shape == (3, 16, 16) and small[0].abs().sum() == 0 and small[2].abs().sum() == 0
    offsets = torch.arange(-6, 7).float()
    total = torch.exp(-(offsets**2) / 4.5).sum() ** 2
    for row in range(6, 11):
        for column in range(7, 12):
            dy, dx = 4 * row - 32, 4 * column - 36
            inside = abs(dy) <= 6 and abs(dx) <= 6
            bell = torch.exp(torch.tensor(-(dy**2 + dx**2) / 4.5)) / total if inside else torch.tensor(0.0)
            assert small[1, row, column].item() == pytest.approx(bell.item(), abs=1e-7)


def test_an_even_image_stays_even_inside_and_fades_at_the_border():
    small = AntialiasedShrink()(torch.ones(1, 3, 64, 64))[0, 0]
    assert torch.allclose(small[2:-2, 2:-2], torch.ones(12, 12))
    assert small[0, 0] < 0.5


def test_the_detector_can_be_trained():
    detector = tiny.keypoint_detector().train()
    detector(tiny.uniform(2, 3, 32, 32)).square().sum().backward()
    # a bias before a batch norm has no say in training, nor one that lifts all heat alike
    silent = ("conv.bias", "heat.bias")
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None
        assert name.endswith(silent) or parameter.grad.abs().sum() > 0, name


def test_the_image_is_left_as_it_was():
    image = tiny.uniform(1, 3, 32, 32)
    before = image.clone()
    tiny.keypoint_detector()(image)
    assert torch.equal(image, before)


def test_half_precision_finds_nearly_the_same_points():
    detector, image = tiny.keypoint_detector(), tiny.uniform(1, 3, 32, 32)
    narrow = tiny.keypoint_detector().bfloat16()(image.bfloat16())
    assert narrow.dtype == torch.float32
    assert F.l1_loss(narrow, detector(image)) < 0.02
