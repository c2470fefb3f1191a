"""A file comes in, whether it could be a model that Load SadTalker Model can load goes out: by its names of
tensors, without reading a tensor and without unpickling anything.

Only what is surely something else is ruled out (a face restorer, a lip-sync model, a Stable Diffusion checkpoint). A
file that cannot be read stays in the list, for the loader reports what is wrong with it.
"""

from __future__ import annotations

import functools
import json
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from .reading import METADATA_KEY

#: how the names of tensors begin in the released flat files; a model holds some of each
_PREFIXES = ("audio2exp.", "audio2pose.", "face_3drecon.", "generator.", "kp_extractor.")
#: more than the names of any SadTalker file take
_MOST_BYTES = 4 << 20
_ZIP = b"PK\x03\x04"


def could_be_model(path: Path) -> bool:
    """Whether a file may hold a whole model, ours or a released one that was renamed. Looked at once, as long as its
    size and time stay the same.
    """
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return False
    return _could_be_model(str(path), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _could_be_model(path: str, size: int, mtime_ns: int) -> bool:
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(16)
            if head[8:9] == b"{":
                length = int.from_bytes(head[:8], "little")
                return length > _MOST_BYTES or _names_a_model(head[8:] + stream.read(length - 8))
            if head.startswith(_ZIP):
                return _zip_names_a_model(path)
            if head.startswith(pickle.PROTO) and size > 1:
                return _holds_prefixes(head + stream.read(_MOST_BYTES))
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, LookupError):
        pass
    return True


def _names_a_model(header: bytes) -> bool:
    try:
        facts = json.loads(header)
        return METADATA_KEY in facts.get("__metadata__", {}) or _all_begin(facts)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return True


def _all_begin(names: Mapping[str, object]) -> bool:
    return all(any(name.startswith(prefix) for name in names) for prefix in _PREFIXES)


def _zip_names_a_model(path: str) -> bool:
    with zipfile.ZipFile(path) as archive:
        pickles = [record for record in archive.infolist() if record.filename.endswith("data.pkl")]
        if not pickles:
            return False
        with archive.open(pickles[0]) as stream:
            return _holds_prefixes(stream.read(_MOST_BYTES))


def _holds_prefixes(names: bytes) -> bool:
    return all(prefix.encode() in names for prefix in _PREFIXES)
