"""Which released tensor lives under which of our names, one table a package.

A canonical released key is the key of the flat safetensors file ("audio2exp.…", "audio2pose.…", "face_3drecon.…",
"kp_extractor.…", "generator.…"); tensors that are released in files of their own get the prefix that names it:
"mapping_00109.…", "mapping_00229.…", "he_estimator.…". Our name is the network's name, a dot, and the network's own
path.

Each package's module holds `RULES`: (pattern that has to match the whole canonical key, our name as in `re.sub`, or
None where the tensor is dropped on purpose). Every released key is matched by exactly one rule.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Iterable

from ...errors import CheckpointMismatch


@functools.cache
def rules() -> tuple[tuple[re.Pattern[str], str | None], ...]:
    """The rules of all packages, in the order of their names."""
    tables = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return tuple((re.compile(pattern), name) for table in tables for pattern, name in table.RULES)


@functools.lru_cache(maxsize=1 << 13)  # there are 1,600 released keys, and each is asked for several times
def homes(key: str) -> tuple[str | None, ...]:
    """Where the rules send a canonical key: one home where the tables are right."""
    found = ((pattern.fullmatch(key), name) for pattern, name in rules())
    return tuple(match.expand(name) if name is not None else None for match, name in found if match)


def our_name(key: str) -> str | None:
    """Our name of a canonical released key; None where it is dropped on purpose.

    Raises CheckpointMismatch for a key that no rule knows (or that two claim).
    """
    known = homes(key)
    if len(known) != 1:
        raise CheckpointMismatch(f"{key} has {len(known)} homes in the key tables, and should have one: {list(known)}.")
    return known[0]


def is_released(key: str) -> bool:
    """Whether any rule knows the canonical key."""
    return bool(homes(key))


def rename(keys: Iterable[str]) -> dict[str, str]:
    """{our name: canonical key} of those keys that are not dropped. Raises CheckpointMismatch as `our_name` does."""
    named = {key: our_name(key) for key in keys}
    return {name: key for key, name in named.items() if name is not None}
