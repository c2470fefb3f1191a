"""Valid samples in, broken ones out: bytes, texts, numbers and JSON documents, chosen by a `random.Random` alone."""

from __future__ import annotations

import copy
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

#: texts that break what is built of them: paths, numbers, tables, sentences
ODD_TEXTS = (
    "", " ", ".", "..", "/", "\\", "~", "~nobody/x.png", "a/../../b", "../x", "C:\\x", "con", "nul.mp4", "a:b", "a?b*",
    "%date:yyyy-MM-dd%", "%width%", "%Node.widget%", "%", "\0", "a\0b", "\ud800", "\u202etxt", "x" * 300, "x" * 5000,
    "x" * 200_000, "\u4f60\u597d", "\u00e9", "e\u0301" * 130, "\n", "\r\n", "a\tb", "-", "--help", "'\"", "%s%n", "{}",
    "1e999", "nan", "-inf", "-0", "\u0663", "0x10", "1_000", "\u00bd", "\ufeff1", "1,2;3", "\u22125", "9" * 5000,
    "file/", "file/../x", "file/.", "file/" + "a/" * 2000, "[1, 2]", "true", "x/", "/etc/passwd", "a/b/c/",
)  # fmt: skip
ODD_NUMBERS = (
    0, -1, 1, 2, 255, 256, 65_536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 10**400,
    0.5, -0.0, 1e-320, 1e-9, 3e38, 1e39, 1e308, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip


def text(rng: Random) -> str:
    """A text out of ODD_TEXTS, two of them, or random letters of every alphabet."""
    kind = rng.randrange(6)
    if kind == 0:
        return "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0x110000)))) for _ in range(rng.randrange(20)))
    if kind == 1:
        return rng.choice(ODD_TEXTS) + rng.choice(ODD_TEXTS)
    return rng.choice(ODD_TEXTS)


def number(rng: Random) -> int | float:
    return rng.choice(ODD_NUMBERS)


def value(rng: Random) -> Any:
    """Anything that JSON can hold."""
    deep: Any = rng.choice(([], {}, 1))
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice((None, True, False, [], {}))
    if kind == 1:
        for _ in range(rng.choice((3, 50))):
            deep = rng.choice(([deep], {"a": deep}))
        return deep
    if kind == 2:
        return [value(rng) for _ in range(rng.randrange(4))]
    return text(rng) if kind < 5 else number(rng)


def document(rng: Random, sample: Any) -> Any:
    """The JSON document with one to three of its places replaced, taken away, renamed or doubled."""
    made = copy.deepcopy(sample)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(made))
        if not places:
            return value(rng)
        parent, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent[text(rng)] = parent.pop(key)
        elif kind == 2:
            other, other_key = rng.choice(places)
            try:
                parent[key] = copy.deepcopy(other[other_key])
            except (KeyError, IndexError):
                parent[key] = None
        else:
            parent[key] = value(rng)
    return made


def _places(node: Any):
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from _places(node[key])


def json_bytes(made: Any) -> bytes:
    """As JSON; now and then Python's own NaN and Infinity are in it, and lone surrogates escaped."""
    return json.dumps(made).encode()


def binary(rng: Random, data: bytes, others: Sequence[bytes] = (b"",)) -> bytes:
    """Bytes with one to four faults: cut, flipped, spliced with another sample, numbers made huge, blocks moved."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made) + 1)
        if rng.random() < 0.5:
            at = min(at, rng.randrange(200))  # headers say how the rest is read
        span = rng.choice((1, 2, 4, 8, 64, 1024))
        kind = rng.randrange(10)
        if kind == 0:
            del made[at:]
        elif kind <= 2 and made:
            for _ in range(rng.choice((1, 1, 8))):
                made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
        elif kind == 3:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice((0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1))
            made[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
        elif kind == 4:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            made[at:] = other[start:]
        elif kind == 5:
            del made[at : at + span]
        elif kind == 6:
            made[at:at] = made[at : at + span]
        elif kind == 7:
            made[at:at] = rng.randbytes(span)
        elif kind == 8:
            made[at : at + span] = bytes(min(span, len(made) - at))
        else:
            made[at:at] = text(rng).encode("utf-8", "surrogatepass")[:4096]
    return bytes(made)


def nearly(rng: Random, data: bytes, others: Sequence[bytes], inner: Callable[[Random, bytes], bytes]) -> bytes:
    """Half of the time plain faults, half of the time those behind what a format checks: `inner`."""
    if rng.random() < 0.5:
        return binary(rng, data, others)
    try:
        return inner(rng, data)
    except (ValueError, KeyError, IndexError, struct.error, zipfile.BadZipFile, UnicodeDecodeError):
        return binary(rng, data, others)


def safetensors(rng: Random, data: bytes) -> bytes:
    """Faults in the header's JSON, whose length is then right again."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    nested = [key for key, text in metadata.items() if text.startswith("{")]
    if nested and rng.random() < 0.7:
        key = rng.choice(nested)
        metadata[key] = json.dumps(document(rng, json.loads(metadata[key])))
        if rng.random() < 0.1:
            metadata[key] = "[" * 100_000
    else:
        header = document(rng, header)
    made = json.dumps(header).encode()
    return len(made).to_bytes(8, "little") + made + data[8 + length :]


def tensor_values(rng: Random, data: bytes) -> bytes:
    """Other numbers in the tensors of a safetensors file: NaN, infinity, huge ones, zeros."""
    length = int.from_bytes(data[:8], "little")
    made = bytearray(data)
    for _ in range(rng.choice((1, 5, 200))):
        at = 8 + length + 4 * rng.randrange(max((len(data) - 8 - length) // 4, 1))
        made[at : at + 4] = struct.pack("<f", rng.choice((0.0, -1.0, 1e30, 3e38, float("nan"), float("inf"))))
    return bytes(made[: len(data)])


def archive(rng: Random, data: bytes) -> bytes:
    """Faults inside a member of a zip file, whose checksums are then right again; or a member lacks."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as read, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as written:
        names = read.namelist()
        chosen = rng.choice(names)
        for name in names:
            content = read.read(name)
            if name == chosen:
                if rng.random() < 0.15:
                    continue
                content = binary(rng, content)
            written.writestr(name, content)
    return made.getvalue()


def png(rng: Random, data: bytes) -> bytes:
    """Faults inside one chunk of a PNG, whose checksum is then right again."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    chosen = rng.randrange(len(chunks))
    made = [data[:8]]
    for k, (kind, content) in enumerate(chunks):
        if k == chosen:
            content = binary(rng, content)
        made.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(made)


__all__ = [
    "ODD_NUMBERS",
    "ODD_TEXTS",
    "archive",
    "binary",
    "document",
    "json_bytes",
    "nearly",
    "number",
    "png",
    "safetensors",
    "tensor_values",
    "text",
    "value",
]
