"""The fuzzer sees what it is there for: other exceptions, deaths, hangs, memory and long sentences."""

from __future__ import annotations

from random import Random

import pytest

from sadtalker_core.errors import OptionError
from tests.tools.fuzz import __main__ as fuzz
from tests.tools.fuzz import mutations
from tests.tools.fuzz.child import make_input, why_not_clean
from tests.tools.fuzz.doorways import DOORWAYS, Doorway

LIMIT, HUGE = 64 << 20, 512 << 20  # what a crowded worker frees meanwhile is less than between them


class Door(Doorway):
    def __init__(self, folder, what=None):
        super().__init__(folder)
        self.what = what

    def make(self, rng):
        return rng.randbytes(4)

    def probe(self, data):
        self.what()


def raises(error):
    def probe():
        raise error

    return probe


def fill_memory():
    held = bytearray(HUGE)
    held[::4096] = b"x" * len(held[::4096])


@pytest.mark.parametrize(("what", "why"), [
    (lambda: None, ""), (raises(OptionError("no.")), ""), (raises(KeyError("fp8")), "KeyError"),
    (raises(OptionError("x" * 601)), "601 letters"), (raises(RecursionError()), "RecursionError"),
    (fill_memory, "GB of memory"),
])  # fmt: skip
def test_a_doorway_is_clean_when_it_works_or_refuses_in_few_words(tmp_path, monkeypatch, what, why):
    monkeypatch.setattr("tests.tools.fuzz.child.MEMORY_BYTES", LIMIT)
    found = why_not_clean(Door(tmp_path, what), b"")
    assert why in found and bool(why) == bool(found)


def test_the_inputs_follow_from_the_seed_alone(tmp_path):
    for name in ("degrees", "manifest", "tracks"):
        one, other = (DOORWAYS[name](tmp_path / folder) for folder in ("same", "same"))
        made = [[make_input(door, name, 5, k) for k in range(20)] for door in (one, other)]
        assert made[0] == made[1] and len(set(made[0])) > 10


def test_faults_behind_a_checksum_keep_the_checksum_right():
    import io
    import zipfile
    import zlib

    from PIL import Image

    image, packed = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", bytes(100))
    broken = mutations.png(Random(1), image.getvalue())
    assert broken != image.getvalue()
    kind_and_content = broken[12 : 16 + int.from_bytes(broken[8:12], "big")]
    assert zlib.crc32(kind_and_content) == int.from_bytes(broken[12 + len(kind_and_content) :][:4], "big")
    with zipfile.ZipFile(io.BytesIO(mutations.archive(Random(1), packed.getvalue()))) as archive:
        assert archive.testzip() is None


#: a child of the fuzzer that does as its name says at its third input
CHILD = """
import json, os, sys, time
from pathlib import Path
first, folder = int(sys.argv[3]), Path(sys.argv[4])
tell = lambda **facts: print(json.dumps(facts), flush=True)
tell(open=True)
for number in range(first, first + 1000):
    (folder / "input").write_bytes(b"%d" % number)
    tell(begun=number)
    if number == 2:
        {what}
    tell(ended=number, why="")
    time.sleep(0.01)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("os._exit(7)", "the process died with status 7"),
        ("time.sleep(60)", "more than 1 s"),
    ],
)
def test_a_process_that_dies_or_hangs_is_started_again_and_its_input_kept(tmp_path, monkeypatch, what, why):
    (tmp_path / "child.py").write_text(CHILD.format(what=what), encoding="utf-8")
    started = fuzz.subprocess.Popen
    monkeypatch.setattr(fuzz, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(fuzz, "HANG_S", 1.0)
    monkeypatch.setattr(
        fuzz.subprocess, "Popen", lambda line, **how: started([line[0], str(tmp_path / "child.py"), *line[3:]], **how)
    )
    count = fuzz.probe("degrees", 4, 4.0)
    assert count.not_clean == 1 and count.kinds == {why: 1} and count.tried > 3
    assert (tmp_path / "kept" / "degrees" / "4-2").read_bytes() == b"2"
