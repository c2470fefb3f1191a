"""The 3-D face network: shapes, the order of its row, and the layout of a ResNet-50 v1.5."""

import torch
from torch.nn import Conv2d

from sadtalker_core import coefficients as layout
from sadtalker_core.face.recon import HEADS, RELEASED_FACE_RECON, Bottleneck, FaceReconConfig, FaceReconNet

SMALL = FaceReconConfig(stem=4, blocks=(1, 2), widths=(4, 8), expansion=2)


def test_the_released_net_has_the_size_of_a_resnet_50_with_257_numbers():
    with torch.device("meta"):
        net = FaceReconNet(RELEASED_FACE_RECON)
    resnet_50_without_its_last_layer = 25_557_032 - (2048 * 1000 + 1000)
    assert sum(p.numel() for p in net.parameters()) == resnet_50_without_its_last_layer + 2048 * 257 + 257


def test_each_head_writes_its_own_part_of_the_row():
    net = FaceReconNet(SMALL).eval()
    with torch.no_grad():
        for i, head in enumerate(net.heads.values()):
            head.weight.zero_()
            head.bias.fill_(float(i))
        row = net(torch.rand(2, 3, 64, 64))
    parts = layout.split_row(row, layout.FULL_LAYOUT)
    assert row.shape == (2, layout.FULL_ROW)
    for i, name in enumerate(list(HEADS)[:5]):
        assert (parts[name] == i).all()
    assert parts["translation"][0].tolist() == [5.0, 5.0, 6.0]


def test_the_stride_sits_in_the_3x3_convolution():
    block = Bottleneck(8, 4, 2, stride=2)
    assert (block.squeeze.stride, block.spatial.stride, block.shortcut.stride) == ((1, 1), (2, 2), (2, 2))


def test_a_face_does_not_depend_on_its_neighbours_in_the_batch():
    net = FaceReconNet(SMALL).eval()
    faces = torch.rand(3, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(net(faces)[1:2], net(faces[1:2]))


def test_gradients_reach_the_image_and_the_input_stays_as_it_was():
    net = FaceReconNet(SMALL).eval()
    face = torch.rand(1, 3, 32, 32, requires_grad=True)
    before = face.detach().clone()
    net(face).square().sum().backward()
    assert face.grad.abs().sum() > 0 and torch.equal(face.detach(), before)


def test_layers_come_from_the_factory_that_is_passed_in():
    import types

    made = []

    def conv(*args, **kwargs):
        made.append(args)
        return Conv2d(*args, **kwargs)

    FaceReconNet(SMALL, ops=types.SimpleNamespace(Conv2d=conv))
    assert len(made) == 1 + (4 + 4 + 3) + len(HEADS)
