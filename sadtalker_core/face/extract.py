"""A portrait comes in; the portrait with its face cropped, and the face as coefficients of the 3-D face model, go out.

Two functions of the same signature, one for each family: `extract_released` asks a point finder (points.py) and the 3-D
face network, `extract_mini` the embedded detector and mesh and a linear fit. The portrait is a checked one
(portrait.check_portrait). Letters: `H W` the image, `S` the square.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..datatypes import RELEASED, Box, CropMode, FaceCoefficients, FaceCrop, Portrait
from ..errors import FaceNotFound
from .align import align_face
from .covered import CLOTH, HAIR, HAND, STILL, STRANDS, cover_of
from .crop import (
    BY_THE_FACE,
    FIXED_RENDER,
    check_render_size,
    crop_filtered,
    crop_square,
    even_box,
    face_box,
    image_to_square,
    render_side,
    square_box,
    square_to_image,
)
from .detector import FaceDetector
from .iris import find_irises
from .landmarks import mesh_to_68
from .linear_3dmm import Linear3DMM, read_meshes
from .mesh import FaceMesh
from .person import PersonSegmenter, person_in_square
from .points import FaceSelector, find_mesh
from .recon import FaceReconNet

#: pixels from ear to ear, or from brow to chin; a smaller face is enlarged more than three times
SMALL_FACE = 48
#: a portrait with alpha is a cut-out of a person where so much of what it shows is the person
_CUT_OUT = 0.8
_COVERED = {
    CLOTH: "SadTalker: the mouth seems to be covered, by a mask perhaps, so it stays as it is; head and eyes move.",
    HAIR: "SadTalker: there seems to be a moustache or a beard, or a deep shadow, at the mouth; its hair moves with the"
    " lips, and teeth may show through it.",
    HAND: "SadTalker: a hand seems to cover the mouth, so it stays as it is; head and eyes move. A portrait that shows"
    " the lips can speak.",
    STRANDS: "SadTalker: there seem to be strands of hair, or another dark line, across the mouth; they move with the"
    " lips and are cut where these part.",
}


def extract_released(
    net: FaceReconNet,
    portrait: Portrait,
    find_points: Callable[[Tensor, Box | None], Tensor],
    mode: CropMode,
    pic_size: int,
    *,
    crop_scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
    render_size: int = FIXED_RENDER,
) -> tuple[Portrait, FaceCoefficients]:
    """The released family's 3DMM Extract: crop, look again at the square, align, read the 257 coefficients.

    find_points: (image (H, W, 3), where the face is or None) -> (68, 2) pixels of that image; a points.PointFinder
    pic_size:    S, 256 or 512 as the checkpoint has it
    crop_scale, offset: the user's adjustment of the box, see crop.face_box
    render_size: has no effect here, where the weights know one size; the log reports another value
    The face is looked for in the image and, with its place known, once more in the square, as the original does.
    Where the second look finds nothing, the points of the first are moved into the square; the original took the mean
    face, and silently so.
    Raises FaceNotFound, OptionError.
    """
    check_render_size(render_size)
    if render_size not in (BY_THE_FACE, FIXED_RENDER, pic_size):
        logging.warning(
            "SadTalker: render_size %d is ignored: the released weights of this model render %d pixels.",
            render_size,
            pic_size,
        )
    image = portrait.image
    points = None if mode is CropMode.RESIZE else find_points(image, None)
    box = face_box(points, portrait.size_wh, mode, crop_scale=crop_scale, offset=offset)
    square = crop_square(image, box, pic_size)
    near = _face_in_square(points, portrait.face_box, box, pic_size)
    try:
        points_in_square = find_points(square.permute(1, 2, 0).contiguous(), near)
    except FaceNotFound:
        points = find_points(image, None) if points is None else points
        points_in_square = image_to_square(points, box, pic_size)
    _warn_if_small(points_in_square * box.width / pic_size)
    _warn_if_left_out(portrait, square_to_image(points_in_square, box, pic_size))
    coefficients = read_squares(net, square[None], [points_in_square], mode)
    crop = FaceCrop(square, points_in_square, box, mode, alpha=_cut_alpha(portrait, box, pic_size, crop_square))
    return replace(portrait, crop=crop), coefficients


def extract_mini(
    detector: FaceDetector,
    mesh: FaceMesh,
    linear_3dmm: Linear3DMM,
    portrait: Portrait,
    mode: CropMode,
    pic_size: int,
    *,
    crop_scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
    render_size: int = FIXED_RENDER,
    segmenter: PersonSegmenter | None = None,
) -> tuple[Portrait, FaceCoefficients]:
    """The mini family's 3DMM Extract: find the mesh, crop by its 68 points, read it.

    render_size: the side of the square, 0 by the size of the face, see crop.render_side; it is then cut with a filter
                 and looked up finely. 256 is crop.FIXED_RENDER: pic_size, cut without a filter.
    segmenter:   separates the person from what is behind, which then stays as it is when the head turns

    The crop's landmarks are the mesh (468, 3) in pixels of the square. Everything else as in `extract_released`, but
    the face is looked for once, because a point of the image is as good as one of the square, and the box stays
    square near the edge of the image (crop.square_box).
    """
    check_render_size(render_size)
    points = find_mesh(detector, mesh, portrait.image, FaceSelector.of(portrait)).points
    _warn_if_small(mesh_to_68(points))
    _warn_if_left_out(portrait, points)
    box = square_box(mesh_to_68(points), portrait.size_wh, mode, crop_scale=crop_scale, offset=offset)
    fine = render_size != FIXED_RENDER
    if fine:
        box = box if mode is CropMode.RESIZE else even_box(box)
        pic_size = render_side(box, render_size)
    cover = cover_of(portrait.image.permute(2, 0, 1), points)
    if cover is not None:
        logging.warning(_COVERED[cover])
    cut = crop_filtered if fine else crop_square
    square, in_square = cut(portrait.image, box, pic_size), image_to_square(points, box, pic_size)
    alpha = _cut_alpha(portrait, box, pic_size, cut)
    person = None if segmenter is None else person_in_square(segmenter, portrait.image, box, square, in_square)
    cut_out = False
    if person is not None and alpha is not None:
        person, cut_out = _person_of(alpha, person)
    crop = FaceCrop(
        square,
        in_square,
        box,
        mode,
        _irises_in_square(find_irises(portrait.image.permute(2, 0, 1), points), box, pic_size),
        fine,
        cover in STILL,
        alpha,
        person,
        cut_out,
    )
    return replace(portrait, crop=crop), read_meshes_at(linear_3dmm, points[None], [box], pic_size, mode)


def _cut_alpha(portrait: Portrait, box: Box, pic_size: int, cut: Callable[[Tensor, Box, int], Tensor]) -> Tensor | None:
    """(1, S, S) what the square shows of the portrait's alpha, cut as its colours are; None where all is opaque."""
    alpha = portrait.alpha()
    return None if alpha is None else cut(alpha[..., None], box, pic_size)


def _person_of(alpha: Tensor, person: Tensor) -> tuple[Tensor, bool]:
    """alpha, and person as a network sees it (1, S, S) -> the person of a portrait with alpha,
    and whether that is somebody's cut-out.

    A cut-out of a person is the best evidence of where the person ends. An alpha that shows more, such as an image with
    round corners, only shows where nothing is.
    """
    visible = torch.minimum(person, alpha)
    cut_out = bool(visible.sum() >= _CUT_OUT * alpha.sum())
    return (alpha if cut_out else visible), cut_out


def _irises_in_square(irises: Tensor | None, box: Box, pic_size: int) -> Tensor | None:
    """(2, 3) from pixels of the image to those of the square."""
    if irises is None:
        return None
    return torch.cat([image_to_square(irises[:, :2], box, pic_size), irises[:, 2:] * (pic_size / box.width)], dim=1)


def _warn_if_small(points: Tensor) -> None:
    """points: (68, 2) in pixels of the image"""
    size = float((points.amax(dim=0) - points.amin(dim=0)).max())
    if size < SMALL_FACE:
        logging.warning(
            "SadTalker: the face is only about %.0f pixels large, so the head will be blurred. Use a larger image, or"
            " upscale this one first; 256 pixels or more are good.",
            size,
        )


def _warn_if_left_out(portrait: Portrait, points: Tensor) -> None:
    """points: (N, 2 or more) of the face in pixels of the image, most of which should be opaque"""
    alpha = portrait.alpha()
    if alpha is None:
        return
    width, height = portrait.size_wh
    x, y = points[:, 0].long().clamp(0, width - 1), points[:, 1].long().clamp(0, height - 1)
    if float(alpha[y, x].mean()) < 0.5:
        logging.warning(
            "SadTalker: most of the face is transparent; is its mask the wrong way round? person_mask is 1 where the "
            "person is, and Load Image's mask is 1 where nothing is."
        )


def read_meshes_at(
    net: Linear3DMM, meshes: Tensor, boxes: list[Box], pic_size: int, mode: CropMode
) -> FaceCoefficients:
    """Meshes (T, 468, 3) in pixels of the IMAGE and the box of each -> T rows in pixels of the square.

    A box that is wider than high is squeezed into the square, and a squeezed face would be read as another expression.
    So the mesh is read with both axes at their mean scale, and only then its place is squeezed with the box.
    """
    corner = torch.tensor([(box.x, box.y, 0) for box in boxes]).float()
    scales = pic_size / torch.tensor([(box.width, box.height) for box in boxes]).float()
    mean = scales.prod(dim=1).sqrt()[:, None]
    upright = (meshes.cpu() - corner[:, None]) * mean[:, None]
    rows = read_meshes(net, upright, pic_size, mode)
    origin = rows.crop[:, 1:] * scales / mean
    return replace(
        rows,
        crop=torch.cat([rows.crop[:, :1], origin], dim=1),
        translation=torch.cat([origin * 2 / pic_size - 1, rows.translation[:, 2:]], dim=1),
    )


def read_squares(
    net: FaceReconNet, squares: Tensor, landmarks: list[Tensor | None], mode: CropMode
) -> FaceCoefficients:
    """Squares (B, 3, S, S) and the (68, 2) points in each -> B rows of coefficients, in one pass of the network.

    A square whose points are None is read as if the mean face filled it (PARITY.md P24).
    """
    aligned = [align_face(square, points) for square, points in zip(squares, landmarks, strict=True)]
    rows = read_faces(net, torch.stack([face.image for face in aligned]))
    crop = torch.stack([face.crop for face in aligned])
    return FaceCoefficients.from_full_rows(rows, crop, family=RELEASED, crop_mode=mode, pic_size=squares.shape[-1])


@torch.no_grad()
def read_faces(net: FaceReconNet, faces: Tensor) -> Tensor:
    """Aligned faces (B, 3, 224, 224) -> (B, 257) float32 on the CPU, calculated wherever the network lives."""
    weight = next(net.parameters())
    return net(faces.to(weight.device, weight.dtype)).float().cpu()


def _face_in_square(points: Tensor | None, face_box: Box | None, box: Box, size: int) -> Box | None:
    """Where to look in the square: around the points of the first look, or at the user's box; None: not known."""
    if points is not None:
        low, high = points.amin(dim=0), points.amax(dim=0)
    elif face_box is not None:
        low, high = torch.tensor([face_box.x, face_box.y]), torch.tensor([face_box.right, face_box.bottom])
    else:
        return None
    corners = image_to_square(torch.stack([low, high]).float(), box, size).round().int()
    (left, top), (right, bottom) = corners.tolist()
    return Box(left, top, max(right - left, 1), max(bottom - top, 1))
