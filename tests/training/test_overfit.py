"""ExpNet and PoseVAE learn a clip of the demo's voice by heart, and the exported file says it again: in the core, and
in the nodes of a real ComfyUI.
"""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI
from sadtalker_core.families import FAMILIES
from sadtalker_core.model import load_model
from sadtalker_core.motion.expression import run_expnet
from sadtalker_core.motion.pose import run_posevae
from sadtalker_core.training.expnet import measured_blinks
from sadtalker_core.training.faces import BLINK_BLENDSHAPES, MiniFace
from tests.tools.comfyui import media
from tests.training import overfit
from tests.training.own_model import in_the_nodes

pytestmark = pytest.mark.slow

JAW = BLENDSHAPE_INDEX["jawOpen"]
MOUTH = [BLENDSHAPE_INDEX[name] for name in ("jawOpen", "mouthPucker", "mouthStretchLeft")]
#: the frames of the first block, which are relative to the portrait; frame 0 is the portrait
BLOCK = slice(1, 33)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    return overfit.learn(tmp_path_factory.mktemp("overfit"), media.VOICE)


@pytest.fixture(scope="module")
def model(learnt):
    return load_model(f"file/{learnt.file.name}", [learnt.file.parent])


def test_the_losses_fall_at_least_five_fold(learnt):
    for net, losses in (("expnet", ("distillation", "eyes")), ("posevae", ("reconstruction",))):
        for loss in losses:
            assert learnt.last[net][loss] < learnt.first[net][loss] / 5, (net, loss, learnt.first, learnt.last)


def test_the_exported_file_is_a_whole_model_of_its_family(model):
    assert model.family.name == MINI and model.name == "file/whole.safetensors"
    assert set(FAMILIES[MINI].networks.names()) <= set(model.nets)


def test_the_exported_expnet_predicts_the_expression_that_was_learnt(learnt, model):
    rows = learnt.clip.coefficients()
    blink = measured_blinks(MiniFace(), rows, rows.expression[:1].expand(len(rows), -1))
    predicted = run_expnet(model.nets["expnet"], learnt.clip.speech(), rows, blink).coefficients
    assert overfit.agreement(predicted[:, MOUTH], rows.expression[:, MOUTH]) >= 0.9


def test_lids_obey_the_blink_track(learnt, model):
    rows = learnt.clip.coefficients()
    wide, shut = (
        run_expnet(model.nets["expnet"], learnt.clip.speech(), rows, torch.full((len(rows),), blink))
        for blink in (0.0, 1.0)
    )
    change = (shut.coefficients - wide.coefficients)[:, BLINK_BLENDSHAPES]
    assert change.min() > 0.8, change.mean(dim=0)
    assert (shut.coefficients - wide.coefficients)[:, MOUTH].abs().max() < 0.1


def test_the_exported_posevae_moves_the_head_as_it_was_learnt(learnt, model):
    rows = learnt.clip.coefficients()
    draw = torch.Generator().manual_seed(7)
    predicted = run_posevae(model.nets["posevae"], learnt.clip.speech(), rows, 0, generator=draw).coefficients
    assert overfit.agreement(predicted[BLOCK], rows.pose[BLOCK]) >= 0.9


@pytest.mark.comfyui
def test_the_loader_lists_the_file_and_the_nodes_agree(learnt, comfyui, astronaut, tmp_path):
    seen = in_the_nodes(comfyui, learnt.file, astronaut, learnt.file.parent / "short.wav", tmp_path)
    assert seen["error"] is None and seen["listed"]
    rows = learnt.clip.coefficients()
    predicted, pose = torch.tensor(seen["expression"]), torch.tensor(seen["pose"])
    assert overfit.agreement(predicted[:, [JAW]], rows.expression[:, [JAW]]) >= 0.9
    assert overfit.agreement(pose[BLOCK], rows.pose[BLOCK]) >= 0.9
    assert seen["n_frames"] == learnt.clip.n_frames and seen["change"] > 0.05
