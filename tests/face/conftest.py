from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def face_nets():
    """The embedded detector and mesh network."""
    from sadtalker_core.face.embedded import embedded_face_nets

    return embedded_face_nets()


@pytest.fixture(scope="session")
def detector(face_nets):
    return face_nets[0]


@pytest.fixture(scope="session")
def mesh_net(face_nets):
    return face_nets[1]


@pytest.fixture(scope="session")
def mean_face():
    """A linear fit that says what laying the mean face on the mesh says: the mean face, and no units."""
    import torch

    from sadtalker_core.canonical_face import HEAD_TO_IMAGE, load_canonical_face
    from sadtalker_core.face.linear_3dmm import Linear3DMM

    net, canonical = Linear3DMM(), load_canonical_face()
    net.template.copy_((canonical.mean - canonical.pivot) * torch.tensor(HEAD_TO_IMAGE))
    torch.nn.init.zeros_(net.read.weight)
    torch.nn.init.zeros_(net.read.bias)
    return net
