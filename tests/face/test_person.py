"""The network that tells a person from what is behind. The numbers were stored with mediapipe 0.10.14:

image = skimage.data.astronaut()[:256, 96:352]
with mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as original:
    mask = original.process(image).segmentation_mask
"""

from __future__ import annotations

import hashlib

import pytest
import torch

from sadtalker_core.canonical_face import FACE_OUTLINE, OUTER_LIPS
from sadtalker_core.datatypes import Box
from sadtalker_core.face.embedded import ASSETS, PERSON_FILE, embedded_person_segmenter
from sadtalker_core.face.person import person_in_square, person_mask
from tests.face.images import astronaut

FACE = torch.full((468, 2), 92.0)  #: in pixels of the square that is cut close around the head
FACE[list(OUTER_LIPS)], FACE[FACE_OUTLINE[18]] = torch.tensor([92.0, 125.0]), torch.tensor([92.0, 155.0])


@pytest.fixture(scope="module")
def net():
    return embedded_person_segmenter()


def square():
    return astronaut()[:256, 96:352].permute(2, 0, 1)


def test_the_network_matches_the_original(net):
    mask = net(square()[None])[0, 0]
    assert mask.mean() == pytest.approx(0.513789, abs=1e-5)
    assert mask[40, 190] == pytest.approx(0.886410, abs=1e-4)
    assert (mask[128, 128], mask[20, 60]) == (1, 0)


def test_hair_is_the_persons_and_the_wall_is_not(net):
    mask = person_mask(net, square())[0]
    assert mask[50, 80] > 0.95 and mask[30, 128] > 0.95
    assert mask[30:60, 215:250].max() < 0.05


def test_shoulders_are_found_with_more_of_the_image_around(net):
    """Of the square alone the network takes the left end of the collar for wall."""
    close = astronaut()[14:198, 133:317].permute(2, 0, 1)
    both, alone = person_in_square(net, astronaut(), Box(133, 14, 184, 184), close, FACE), person_mask(net, close)
    assert alone[0, 155, 2] < 0.01 and both[0, 155, 2] > 0.99
    assert (both - alone)[:, :100].abs().max() < 1e-3


def test_what_is_no_person_gets_no_mask(net):
    wall = torch.rand(256, 256, 3, generator=torch.Generator().manual_seed(1))
    assert person_in_square(net, wall, Box(0, 0, 256, 256), wall.permute(2, 0, 1), FACE) is None


def test_the_shipped_file_is_the_one_the_conversion_makes():
    assert (
        hashlib.sha256(PERSON_FILE.read_bytes()).hexdigest()
        == "3ca90f951d52b2aeb3d4cdd3d516b2a0681a01d8b682fd58adc86390e0a002a1"
    )


def test_where_the_weights_come_from_is_reported_beside_them():
    notice = (ASSETS / "NOTICE").read_text(encoding="utf-8")
    for word in ("person.safetensors", "selfie_segmentation.tflite", "mediapipe 0.10.14"):
        assert word in notice
