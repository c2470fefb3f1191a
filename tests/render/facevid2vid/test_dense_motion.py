import torch

from sadtalker_core.render.facevid2vid.dense_motion import MIN_MASK, DenseMotion, sparse_motions
from sadtalker_core.render.facevid2vid.grids import heat_maps, read_volume, volume_grid
from tests.render import tiny

N_MOTIONS = tiny.N_KEYPOINTS + 1


def dense_motion():
    return tiny.generator().dense_motion


def points(n_frames, seed=0):
    return 1.6 * tiny.uniform(n_frames, tiny.N_KEYPOINTS, 3, seed=seed) - 0.8


def test_the_background_stays_and_each_key_point_carries_its_surroundings():
    source, driving = points(1), points(2, seed=1)
    motions = sparse_motions(source, driving, tiny.VOLUME)
    grid = volume_grid(tiny.VOLUME, like=driving)
    assert motions.shape == (2, N_MOTIONS, *tiny.VOLUME, 3)
    for frame in range(2):
        assert torch.equal(motions[frame, 0], grid)
        for k in range(tiny.N_KEYPOINTS):
            expected = grid - driving[frame, k] + source[0, k]
            assert torch.allclose(motions[frame, 1 + k], expected, atol=1e-6)


def test_the_evidence_is_heat_then_features_motion_by_motion():
    net, compressed_features, source, driving = (
        dense_motion(),
        tiny.normal(1, 2, *tiny.VOLUME),
        points(1),
        points(2, seed=1),
    )
    motions = sparse_motions(source, driving, tiny.VOLUME)
    hourglass_input = net.hourglass_input(compressed_features, motions, source, driving).unflatten(1, (N_MOTIONS, 3))
    heat = heat_maps(driving, tiny.VOLUME) - heat_maps(source, tiny.VOLUME)
    for frame in range(2):
        assert hourglass_input[frame, 0, 0].abs().max() == 0, "no heat for the background"
        for m in range(N_MOTIONS):
            if m:
                assert torch.equal(hourglass_input[frame, m, 0], heat[frame, m - 1])
            alone = read_volume(compressed_features, motions[frame, m].unsqueeze(0))[0]
            assert torch.allclose(hourglass_input[frame, m, 1:], alone, atol=1e-6)


def test_the_deformation_is_the_motions_weighted_by_their_masks():
    net, compressed_features, source, driving = (
        dense_motion(),
        tiny.normal(1, 2, *tiny.VOLUME),
        points(1),
        points(2, seed=1),
    )
    field = net(compressed_features, source, driving)
    assert torch.allclose(field.mask.sum(dim=1), torch.ones(2, *tiny.VOLUME), atol=1e-5)
    motions = sparse_motions(source, driving, tiny.VOLUME)
    for frame in range(2):
        for voxel in ((0, 0, 0), (1, 2, 3), (3, 7, 7)):
            place = torch.zeros(3)
            for m in range(N_MOTIONS):
                place += field.mask[(frame, m, *voxel)] * motions[(frame, m, *voxel)]
            assert torch.allclose(field.deformation[(frame, *voxel)], place, atol=1e-5)


def test_a_mask_below_a_thousandth_is_dropped_and_not_made_up_for():
    net = dense_motion()
    with torch.no_grad():
        net.mask.weight.zero_()
        shares = torch.tensor([0.9, 0.0995, 0.0005, 0.0])
        net.mask.bias.copy_(shares.clamp_min(1e-30).log())
    source, driving = points(1), points(1, seed=1)
    field = net(tiny.normal(1, 2, *tiny.VOLUME), source, driving)
    motions = sparse_motions(source, driving, tiny.VOLUME)
    assert MIN_MASK == 1e-3
    assert torch.allclose(field.deformation, 0.9 * motions[:, 0] + 0.0995 * motions[:, 1], atol=1e-5)


def test_the_occlusion_is_a_share():
    occlusion = dense_motion()(tiny.normal(1, 2, *tiny.VOLUME), points(1), points(2, seed=1)).occlusion
    assert occlusion.shape == (2, 1, *tiny.VOLUME[1:])
    assert occlusion.min() > 0 and occlusion.max() < 1


def test_the_hourglass_hands_its_input_to_the_last_layer():
    hourglass = dense_motion().hourglass
    seen = []
    hourglass.last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = tiny.normal(1, N_MOTIONS * 3, *tiny.VOLUME)
    assert hourglass(x).shape == (1, hourglass.outputs, *tiny.VOLUME)
    assert torch.equal(seen[0][:, -x.shape[1] :], x)


def test_motion_can_be_trained_through_the_key_points():
    net = dense_motion().train()
    source, driving = points(1).requires_grad_(), points(2, seed=1).requires_grad_()
    field = net(net.compress(tiny.normal(1, 4, *tiny.VOLUME)), source, driving)
    (field.deformation.square().sum() + field.occlusion.sum()).backward()
    assert source.grad.abs().sum() > 0 and driving.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_the_released_sizes_are_the_default():
    with torch.device("meta"):
        net = DenseMotion(type(tiny.MOTION)())
    assert net.mask.weight.shape == (16, 112, 7, 7, 7) and net.occlusion.weight.shape == (1, 1792, 7, 7)
