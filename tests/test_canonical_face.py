"""The canonical face serves inference and training alike, whichever of them asks for it first."""

from __future__ import annotations

import torch

from sadtalker_core.audio.mel import _slaney_mel_bands
from sadtalker_core.canonical_face import load_canonical_face
from sadtalker_core.render.meshwarp.flow_maps import _topology
from sadtalker_core.render.meshwarp.lip_contact import spread_of_lips


def test_tables_that_inference_read_first_can_be_trained_with():
    for table in (load_canonical_face, _slaney_mel_bands, _topology, spread_of_lips):
        table.cache_clear()
    with torch.inference_mode():
        cpu = torch.device("cpu")
        tables = [*vars(load_canonical_face()).values(), *vars(_topology(cpu)).values(), _slaney_mel_bands()]
        tables.append(spread_of_lips(cpu))
    assert len(tables) > 10 and not any(table.is_inference() for table in tables)
