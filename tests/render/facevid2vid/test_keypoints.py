import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sadtalker_core.render.facevid2vid.blocks import ShortSums, pairwise_sum, short_sums
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


@pytest.mark.parametrize(
    ("dims", "inputs", "size", "n_sums"), [(2, 100, 3, 3), (3, 40, 3, 3), (2, 500, 1, 2), (3, 16, 3, 1), (2, 3, 31, 3)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_short_sums_are_the_convolution(dims, inputs, size, n_sums, bias, monkeypatch):
    """Of at most 432 products, or of one channel where its kernel has more; no more rounded than such sums may be."""
    plain = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
    layer = getattr(ShortSums(nn), plain.__name__)(inputs, 4, size, padding=size // 2, bias=bias).eval()
    x, seen = tiny.normal(2, inputs, *[6] * dims, seed=3), []
    whole = plain._conv_forward
    monkeypatch.setattr(plain, "_conv_forward", lambda *args: seen.append(args[2].shape[1]) or whole(*args))
    with torch.no_grad():
        got = layer(x)
        want = whole(layer, x.double(), layer.weight.double(), layer.bias.double() if bias else None)
        largest = whole(layer, x.abs().double(), layer.weight.abs().double(), want.new_ones(4))
    assert sum(seen) == inputs and len(seen) == n_sums
    additions = max(432, size**dims) + n_sums
    assert ((got - want).abs() <= additions * 2**-24 * largest).all()


@pytest.mark.parametrize("use", [lambda layer: layer.train(), lambda layer: layer.eval().bfloat16()])
def test_in_training_and_half_precision_convolutions_stay_whole(use, monkeypatch):
    layer, n_calls = use(ShortSums(nn).Conv2d(100, 4, 3)), []
    whole = nn.Conv2d._conv_forward
    monkeypatch.setattr(nn.Conv2d, "_conv_forward", lambda *args: n_calls.append(1) or whole(*args))
    layer(tiny.normal(1, 100, 6, 6).to(layer.weight.dtype))
    assert len(n_calls) == 1


def test_what_newer_comfyuis_hand_to_a_convolution_over_volumes_is_handed_on():
    class Comfys(nn.Conv3d):
        def _conv_forward(self, x, weight, bias, autopad=None):
            assert autopad == "none"
            return super()._conv_forward(x, weight, bias)

        def forward(self, x):
            return self._conv_forward(x, self.weight, self.bias, autopad="none")

    layer, x = short_sums(Comfys)(40, 2, 3).eval(), tiny.normal(1, 40, 3, 3, 3)
    assert torch.allclose(layer(x), F.conv3d(x, layer.weight, layer.bias), atol=1e-5)


@pytest.mark.parametrize("n_parts", [1, 2, 3, 4, 7, 64])
def test_a_sum_in_pairs_adds_each_part_once(n_parts):
    parts = [torch.tensor([float(3**k % 1009), 1.0]) for k in range(n_parts)]
    assert pairwise_sum(iter([part.clone() for part in parts])).tolist() == sum(parts).tolist()


def test_a_sum_in_pairs_loses_less_than_one_after_the_other():
    tenth, n_parts = torch.full((1,), 0.1), 1 << 16
    want = n_parts * tenth.double().item()
    one_after_the_other = sum((tenth for _ in range(n_parts)), torch.zeros(1)).item()
    assert abs(one_after_the_other - want) > 1
    assert pairwise_sum(tenth.clone() for _ in range(n_parts)).item() == pytest.approx(want, abs=1e-3)
