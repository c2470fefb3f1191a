"""What files call a tensor, where our name for it has changed since; `reading` and `writing` go through this table.

So a file that an older version wrote can be read, and one that we write can be read by an older version.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

#: beginning of our name -> beginning of the name in files
STORED = {
    "generator.dense_motion.mask.": "generator.dense_motion.say.",
    "generator.dense_motion.compression.": "generator.dense_motion.compact.",
    "generator.dense_motion.compression_norm.": "generator.dense_motion.compact_norm.",
    "linear_3dmm.rigidity_weights": "linear_3dmm.steadiness",
}


def for_file(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by our names -> by the names that files have."""
    return {_replaced(name, STORED): tensor for name, tensor in tensors.items()}


def our_name(stored: str) -> str:
    """Our name of a tensor that a file of ours calls so."""
    return _replaced(stored, {theirs: ours for ours, theirs in STORED.items()})


def _replaced(name: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        if name.startswith(old):
            return new + name[len(old) :]
    return name
