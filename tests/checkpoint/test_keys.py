"""Every released tensor has exactly one home, and every tensor of our networks exactly one source; no weights
needed.
"""

from __future__ import annotations

import pytest

from sadtalker_core import model
from sadtalker_core.checkpoint import keys
from sadtalker_core.datatypes import RELEASED
from sadtalker_core.errors import CheckpointMismatch
from sadtalker_core.families import FAMILIES
from tests.parity.rule import released_keys

#: tensors that are in the released files and in none of our networks, and why
DROPPED = {
    "audio2pose.netD_motion.": "the pose discriminator, for training alone",
}
#: the networks that a model is made of, and the one that serves training alone
RELEASED_NETS = (*FAMILIES[RELEASED].networks.names(), "motion_estimator")


def _sources(net: str) -> dict[str, str]:
    """{our path inside the net: canonical key}"""
    named = keys.rename(released_keys())
    return {name[len(net) + 1 :]: key for name, key in named.items() if name.startswith(f"{net}.")}


def test_the_key_list_is_as_long_as_the_released_files():
    listed = list(released_keys())
    assert len(listed) == 1743
    assert sum(key.startswith(("mapping_", "he_estimator.")) for key in listed) == 1743 - 1305


def test_every_released_key_has_exactly_one_home():
    assert {key: homes for key in released_keys() if len(homes := keys.homes(key)) != 1} == {}


def test_no_two_released_keys_share_a_home():
    named = [name for key in released_keys() if (name := keys.our_name(key)) is not None]
    assert len(named) == len(set(named))


def test_only_what_is_never_used_is_dropped():
    dropped = {key for key in released_keys() if keys.our_name(key) is None}
    assert dropped == {key for key in released_keys() if key.startswith(tuple(DROPPED))}


@pytest.mark.parametrize("net", RELEASED_NETS)
def test_every_tensor_of_our_nets_has_one_source_of_its_shape(net):
    ours = {name: tuple(tensor.shape) for name, tensor in model.build_released(net).state_dict().items()}
    assert ours == {name: released_keys()[key] for name, key in _sources(net).items()}


def test_all_homes_lie_in_nets_that_are_built():
    homes = {name.partition(".")[0] for name in keys.rename(released_keys())}
    assert homes == set(RELEASED_NETS)


@pytest.mark.parametrize("key", ["generator.decoder.fc.weights", "xgenerator.decoder.fc.weight", "unet.in.weight", ""])
def test_a_key_is_matched_whole_or_not_at_all(key):
    assert not keys.is_released(key)
    with pytest.raises(CheckpointMismatch, match="has 0 homes"):
        keys.our_name(key)
