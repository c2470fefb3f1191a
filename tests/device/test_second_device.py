"""The pretend device refuses what CUDA refuses, allows what CUDA allows, and counts what lies on it."""

import gc

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.tools.second_device import DEVICE, MixedDevices, memory, second_device


@pytest.fixture(autouse=True)
def device():
    with second_device(), torch.no_grad():
        yield


def there(*shape):
    return torch.ones(shape, device=DEVICE)


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: b.mul_(a),
        lambda a, b: torch.cat([a, b]),
        lambda a, b: torch.where(a > 0, b, a),
        lambda a, b: torch.lerp(a, a, b),
        lambda a, b: a @ b.T,
        lambda a, b: F.conv2d(a[None, None], b[None, None]),
        lambda a, b: b[a.long()],
        lambda a, b: a.index_put_((b.long(),), b),
        lambda a, b: torch.stack([a[0, 0], b[0, 0]]),
        lambda a, b: torch.equal(a, b),
        lambda a, b: F.grid_sample(a[None, None], b[None, :, None, :2], align_corners=False),
        lambda a, b: a.new_zeros(3, 3) + a.cpu(),
    ],
)
def test_tensors_of_both_devices_do_not_mix(mix):
    with pytest.raises(MixedDevices, match="second:0 and cpu"):
        mix(there(3, 3), torch.ones(3, 3))


@pytest.mark.parametrize(
    "allowed",
    [
        lambda a, b: a + torch.tensor(2.0),
        lambda a, b: torch.where(a > 0, a, torch.zeros(())),
        lambda a, b: a[torch.tensor([0, 2])],
        lambda a, b: a.clone().copy_(b),
        lambda a, b: a * b.to(a),
        lambda a, b: a + a.new_tensor([1.0, 2.0, 3.0]),
        lambda a, b: a + torch.as_tensor([1.0, 2.0, 3.0], device=a.device),
        lambda a, b: torch.linspace(0, 1, 3, device=a.device).expand_as(a).contiguous(),
    ],
)
def test_what_cuda_allows_stays_on_the_device(allowed):
    made = allowed(there(3, 3), torch.ones(3, 3))
    assert made.device == DEVICE and made.cpu().device.type == "cpu"


def test_what_comes_back_is_what_went():
    numbers = torch.arange(6.0).view(2, 3)
    assert torch.equal(numbers.to(DEVICE).half().T.float().cpu(), numbers.T)
    assert numbers.to(DEVICE).tolist() == numbers.tolist() and float(there(1)) == 1


def test_numpy_and_a_cpu_generator_are_refused():
    for convert in (np.asarray, lambda numbers: numbers.numpy()):
        with pytest.raises(TypeError, match=r"cpu\(\)"):
            convert(there(2))
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(2, generator=torch.Generator(), device=DEVICE)


def test_inference_mode_works_within():
    with torch.inference_mode():
        assert (there(2) + 1).tolist() == [2, 2]
    decorated = torch.inference_mode()(lambda: there(2).requires_grad)
    assert decorated() is False


def test_a_network_moves_there_and_back():
    net = torch.nn.Sequential(torch.nn.modules.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    image = torch.rand(1, 3, 8, 8)
    want = net(image)
    assert torch.equal(net.to(DEVICE)(image.to(DEVICE)).cpu(), want)
    with pytest.raises(MixedDevices):
        net(image)
    assert torch.equal(net.cpu()(image), want)


def test_memory_is_counted_by_storage_and_runs_out():
    gc.collect()
    before, memory.capacity = memory.used, memory.used + 4000
    numbers = there(500)
    view = numbers[10:].view(7, 70)
    assert memory.used == before + 2000
    del numbers
    assert memory.used == before + 2000, "the view still needs it"
    with pytest.raises(torch.OutOfMemoryError, match="is full"):
        there(501)
    del view
    assert memory.used == before and there(1000).shape == (1000,)
