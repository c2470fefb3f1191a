"""The edge of a face over its surroundings: each side keeps to itself."""

import torch

from sadtalker_core.render.meshwarp.face_edge import both_sides_of_edge, draw_edge


def grid(side: int) -> torch.Tensor:
    """(1, S, S, 2) where the pixels of an image are, in -1..1"""
    y, x = torch.meshgrid(*(2 * [(torch.arange(side) + 0.5) / side * 2 - 1]), indexing="ij")
    return torch.stack([x, y], dim=-1)[None]


def torn_at_the_middle(
    side: int = 40, by: float = -12.0, beside: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The displacement of a face in the left half that has come 12 pixels over what is beside it, and where it is.

    beside: what the first pixel beside it has of that, too
    """
    displacement, face = torch.zeros(1, 2, side, side), torch.zeros(1, 1, side, side)
    displacement[:, 0, :, : side // 2] = by
    displacement[:, 0, :, side // 2] = by * beside
    face[..., : side // 2] = 1
    on_face = face
    for _ in range(2):
        face = torch.nn.functional.avg_pool2d(face, 3, 1, 1, count_include_pad=False)
    return displacement, on_face, face


def test_either_side_of_an_edge_is_carried_on_across_it():
    within, beyond, *_ = both_sides_of_edge(*torn_at_the_middle())
    torch.testing.assert_close(within[:, 0, :, :22], torch.full_like(within[:, 0, :, :22], -12.0))
    assert within[:, 1].abs().max() == 0 and beyond[..., 18:].abs().max() == 0


def test_a_pixel_between_both_sides_hardly_counts():
    """The network's flow has .7 of the face's beside the edge: what is carried on is what lies further out."""
    _, beyond, *_ = both_sides_of_edge(*torn_at_the_middle(beside=0.7))
    assert beyond[0, 0, :, 18:].abs().max() < 0.3 * 0.7 * 12


def test_only_a_face_that_comes_over_its_surroundings_is_torn_from_them():
    """One that leaves them draws them out."""
    comes, leaves = (both_sides_of_edge(*torn_at_the_middle(by=by)).skipped for by in (-12.0, 12.0))
    assert comes[0, 0, :, 19:21].min() > 11
    assert leaves.max() <= 0


def test_a_face_that_is_not_there_has_no_edge():
    displacement, face = torch.randn(1, 2, 40, 40), torch.zeros(1, 1, 40, 40)
    within, beyond, *_ = both_sides_of_edge(displacement, face, face)
    assert torch.equal(within, displacement) and torch.equal(beyond, displacement)


def test_nothing_from_between_shows_at_a_torn_edge():
    """The portrait is black to the left, white to the right, and red where neither side of the edge looks."""
    side = 40
    image = torch.zeros(1, 3, side, side)
    image[..., 17:] = 1.0
    image[:, 1:, :, 10:17] = 0.0
    image[:, 0, :, 10:17] = 1.0
    displacement, on_face, face = torn_at_the_middle(side)
    identity, to_image = grid(side), 2 / side
    blurred = torch.nn.functional.avg_pool2d(displacement, 3, 1, 1, count_include_pad=False)  # as when it is enlarged
    looked_up = identity + to_image * blurred.permute(0, 2, 3, 1)
    warped = torch.nn.functional.grid_sample(image, looked_up, padding_mode="border", align_corners=False)

    def red(shown: torch.Tensor) -> float:
        return (shown[:, 0] - shown[:, 1]).max().item()

    assert red(warped) > 0.9
    sides = both_sides_of_edge(displacement, on_face, face)
    before, whole = warped.clone(), slice(0, side)
    still = torch.ones(1, 1, side, side, dtype=torch.bool)
    draw_edge(warped, still, image, identity, (whole, whole), sides, torch.tensor(to_image))
    assert red(warped) == 0
    assert not still[..., 18:22].any() and still[..., :14].all() and still[..., 26:].all()
    assert torch.equal(warped[..., :14], before[..., :14]) and torch.equal(warped[..., 26:], before[..., 26:])
