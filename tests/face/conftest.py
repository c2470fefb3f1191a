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
