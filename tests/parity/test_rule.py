"""The rule-made weights are those the vectors were calculated with, known by their SHA-256."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.parity import rule

KNOWN = json.loads((rule.KEY_LIST.parent / "rule_check.json").read_text("ascii"))
#: the flat safetensors file begins with these, in the order of the key list
FLAT_PREFIXES = ("kp_extractor.", "generator.", "audio2exp.", "audio2pose.", "face_3drecon.")


def _digest(array) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.mark.parametrize("seed", sorted(KNOWN))
def test_tensors_of_every_kind_have_their_known_hash(seed):
    known = KNOWN[seed]["tensors"]
    wrong = [key for key, digest in known.items() if not _digest(rule.tensor(key, int(seed))).startswith(digest)]
    assert not wrong
    assert len(known) == 43


@pytest.mark.parametrize("prefix", ["mapping_00109.", "mapping_00229."])
@pytest.mark.parametrize("seed", sorted(KNOWN))
def test_every_tensor_of_a_mapping_net_has_its_known_hash(seed, prefix):
    together = hashlib.sha256()
    for _, array in rule.tensors(prefix, int(seed)):
        together.update(array.tobytes())
    assert together.hexdigest() == KNOWN[seed]["entries"][prefix]


@pytest.mark.slow
@pytest.mark.parametrize("seed", sorted(KNOWN))
def test_every_tensor_of_the_flat_file_has_its_known_hash(seed):
    together = hashlib.sha256()
    for _, array in rule.tensors(FLAT_PREFIXES, int(seed)):
        together.update(array.tobytes())
    assert together.hexdigest() == KNOWN[seed]["entries"]["safetensors"]
