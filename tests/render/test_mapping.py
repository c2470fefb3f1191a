import dataclasses

import pytest
import torch
import torch.nn.functional as F

from sadtalker_core.datatypes import KeypointMotion
from sadtalker_core.errors import Cancelled
from sadtalker_core.render.mapping import (
    MINI_MAPPING,
    RELEASED_MAPPING,
    RELEASED_MAPPING_FULL,
    MappingNet,
    bins_to_degrees,
    run_mappingnet,
)
from sadtalker_core.render.semantics import semantic_windows
from tests.render import tiny


def read_plainly(net, window):
    """One window (nc, 27) through the network, convolution by convolution as sums over taps."""
    x = window
    for convolution, dilation in ((net.stem, 1), *((block, 3) for block in net.blocks)):
        skipped, x = x, x if convolution is net.stem else F.leaky_relu(x, 0.1)
        taps = convolution.weight.shape[-1]
        n_out = x.shape[-1] - (taps - 1) * dilation
        y = convolution.bias[:, None] + sum(
            convolution.weight[:, :, tap] @ x[:, tap * dilation : tap * dilation + n_out] for tap in range(taps)
        )
        x = y if convolution is net.stem else y + skipped[:, 3:-3]
    assert x.shape[-1] == 3
    features = x.mean(dim=-1)
    return [getattr(net, head)(features) for head in ("yaw", "pitch", "roll", "translation", "offsets")]


def test_forward_is_the_net_written_out_tap_by_tap():
    net, windows = tiny.mapping(), tiny.normal(2, 70, 27)
    for got, *plain in zip(net(windows), *(read_plainly(net, window) for window in windows), strict=True):
        assert torch.allclose(got, torch.stack(plain), atol=1e-5)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 27, 40])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_track_maps_as_its_windows_do(n_frames, chunk):
    net, rows = tiny.mapping().double(), tiny.normal(n_frames, 70).double()
    track, windows = run_mappingnet(net, rows, KeypointMotion, chunk=chunk), net(semantic_windows(rows)).motion()
    for part in dataclasses.fields(track):
        assert torch.allclose(getattr(track, part.name), getattr(windows, part.name), rtol=0, atol=1e-9), part.name


def test_a_long_track_can_be_stopped_between_its_chunks():
    net, seen = tiny.mapping(), []

    def stop(done, total):
        seen.append((done, total))
        if done == 14:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_mappingnet(net, tiny.normal(40, 70), KeypointMotion, chunk=7, on_progress=stop)
    assert seen == [(7, 40), (14, 40)]


def test_offsets_are_as_many_as_the_family_has():
    assert tiny.mapping(offsets=64)(tiny.normal(2, 70, 27)).offsets.shape == (2, 64)
    assert RELEASED_MAPPING.offsets == 45 and MINI_MAPPING.offsets == 64
    assert RELEASED_MAPPING_FULL == dataclasses.replace(RELEASED_MAPPING, coefficients=73)


def test_a_certain_bin_is_its_angle_and_no_idea_is_the_middle():
    certain = 1000 * torch.eye(66)
    assert torch.allclose(bins_to_degrees(certain), torch.arange(66) * 3.0 - 99)
    assert bins_to_degrees(torch.zeros(2, 66)).tolist() == pytest.approx([-1.5, -1.5], abs=1e-4)


def test_degrees_of_half_precision_bins_are_summed_in_full_precision():
    bins = (3 * tiny.normal(50, 66)).to(torch.bfloat16)
    assert torch.equal(bins_to_degrees(bins), bins_to_degrees(bins.float()))


def test_the_net_can_be_trained():
    net = MappingNet(dataclasses.replace(MINI_MAPPING, hidden=8))
    sum(part.sum() for part in net(tiny.normal(2, 70, 27))).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())
