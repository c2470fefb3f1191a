"""Lips that are read by a made-up network: the loss against a plain calculation, and files that are none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import Linear

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, CropMode, FaceCoefficients
from sadtalker_core.errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing
from sadtalker_core.training.faces import MOUTH_POINTS, MiniFace, mouth_images
from sadtalker_core.training.lipreading import lip_reading_loss, read_lip_reader


class Reader(nn.Module):
    """Tells five words by how grey the quarters of the mouth are."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.words = Linear(12 * 16, 5)

    def forward(self, mouths):
        return self.words(nn.functional.adaptive_avg_pool3d(mouths, (12, 4, 4)).flatten(1))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("reader") / "reader.pt"
    torch.jit.script(Reader()).save(str(file))
    return file


@pytest.fixture(scope="module")
def who():
    return FaceCoefficients.from_full_rows(
        torch.zeros(26, 257), torch.zeros(26, 3), family=MINI, pic_size=256, crop_mode=CropMode.CROP
    )


def opened(*widths):
    rows = torch.zeros(len(widths), 64)
    rows[:, BLENDSHAPE_INDEX["jawOpen"]] = torch.tensor(widths)
    return rows


def test_the_loss_is_the_cross_entropy_of_what_is_read(file, who):
    face, reader = MiniFace(), Reader()
    wanted, predicted = opened(*[0.02 * i for i in range(26)]), opened(*[0.4 - 0.01 * i for i in range(26)])
    loss = lip_reading_loss(read_lip_reader(file), face, who, predicted, wanted, length=13)

    centre = face.points(who, wanted)[:, MOUTH_POINTS].mean(dim=1)
    expected = 0.0
    for run in range(2):
        frames = slice(13 * run, 13 * run + 12)  # the thirteenth frame of a run is not read
        probabilities = []
        for expression in (wanted, predicted):
            mouths = (mouth_images(face.mesh(who, expression), centre, 88)[frames] - 0.421) / 0.165
            logits = reader(mouths[None, None])[0].tolist()
            whole = sum(math.exp(logit) for logit in logits)
            probabilities.append([math.exp(logit) / whole for logit in logits])
        expected -= sum(p * math.log(q) for p, q in zip(*probabilities, strict=True)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_lips_that_are_as_they_should_be_read_best_and_others_get_a_gradient(file, who):
    wanted = opened(*[0.5] * 26)
    predicted = opened(*[0.1] * 26).requires_grad_(True)
    reader, face = read_lip_reader(file), MiniFace()
    right = lip_reading_loss(reader, face, who, wanted, wanted, length=13)
    wrong = lip_reading_loss(reader, face, who, predicted, wanted, length=13)
    assert right < wrong
    wrong.backward()
    assert predicted.grad[:, BLENDSHAPE_INDEX["jawOpen"]].abs().max() > 0


def test_a_file_that_is_missing_or_none_or_of_another_kind_is_refused(tmp_path):
    with pytest.raises(CheckpointMissing, match="no lip-reading network gone.pt .* leave --lip-reader out"):
        read_lip_reader(tmp_path / "gone.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointDamaged, match="text.pt in .* cannot be read as TorchScript"):
        read_lip_reader(tmp_path / "text.pt")
    torch.jit.script(Linear(3, 2)).save(str(tmp_path / "linear.pt"))
    with pytest.raises(CheckpointMismatch, match=r"linear.pt in .* does not take mouths \(W, 1, 12, 88, 88\)"):
        read_lip_reader(tmp_path / "linear.pt")
