"""docs/PARITY.md: its numbers, the tests that it names, and who refers to it."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ENTRY = re.compile(r'### <a id="p(\d+)"></a>P(\d+)\. (.+) \((kept|fixed|replaced)\)')
TEST = re.compile(r"\* `(tests/[\w/]+\.py)::(test_\w+)(?:\[(\w+)\])?`")
RECORDED = "test_stage_gives_the_numbers_of_the_original"
#: the list of behaviours that the page was made from: so many, and each has its entry
QUIRKS = range(1, 35)


class Entry(NamedTuple):
    """A behaviour of the original."""

    anchor: int
    number: int
    lines: list[str]  #: what stands below its heading, but for empty lines

    @property
    def tests(self) -> list[str]:
        return [line for line in self.lines if line.startswith("* ")]


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    return (project / "docs" / "PARITY.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def entries(page: str) -> list[Entry]:
    found: list[Entry] = []
    inside = False
    for line in page.partition("<!-- quirks")[0].splitlines():
        if line.startswith("#"):
            inside = line.startswith("### ")
            if inside:
                heading = ENTRY.fullmatch(line)
                assert heading, f'expected ### <a id="p1"></a>P1. Name (kept, fixed or replaced), got {line}'
                found.append(Entry(int(heading[1]), int(heading[2]), []))
        elif inside and line:
            found[-1].lines.append(line)
    return found


@functools.cache
def functions_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def citations(project: Path) -> Iterator[tuple[str, int]]:
    """(file, number) for every P and number in the code, the tests and the docs."""
    for folder in ("sadtalker_core", "nodes", "tests", "docs"):
        for file in sorted((project / folder).rglob("*")):
            if file.suffix in {".py", ".md"}:
                for number in re.findall(r"\bP([1-9]\d*)\b", file.read_text(encoding="utf-8")):
                    yield str(file.relative_to(project)), int(number)


def test_the_numbers_have_no_gaps_and_are_their_anchors(entries):
    assert sorted(entry.number for entry in entries) == list(range(1, len(entries) + 1))
    assert [entry for entry in entries if entry.anchor != entry.number] == []


def test_every_behaviour_is_described_in_a_few_lines_and_has_a_test(entries):
    assert [entry.number for entry in entries if not 1 <= len(entry.lines) - len(entry.tests) <= 4] == []
    assert [entry.number for entry in entries if not entry.tests] == []


def test_every_test_that_is_named_exists(project, entries):
    lost = []
    for line in (line for entry in entries for line in entry.tests):
        named = TEST.fullmatch(line)
        if not named:
            lost.append(line)
            continue
        path, function, recorded = named.groups()
        vectors = project / "tests" / "parity" / "vectors" / f"{recorded}.npz"
        if (
            not (project / path).is_file()
            or function not in functions_of(project / path)
            or (recorded is None) == (function == RECORDED)
            or (recorded is not None and not vectors.is_file())
        ):
            lost.append(line)
    assert lost == []


def test_every_number_that_is_cited_exists(project, entries):
    numbers = {entry.number for entry in entries}
    assert [f"{file}: P{number}" for file, number in citations(project) if number not in numbers] == []


def test_every_old_number_has_its_entry(page, entries):
    table = page.partition("<!-- quirks\n")[2].partition("-->")[0]
    rows = [re.fullmatch(r"quirk (\d+): P(\d+)", line) for line in table.splitlines()]
    assert all(rows) and [int(row[1]) for row in rows if row] == list(QUIRKS)
    assert {int(row[2]) for row in rows if row} <= {entry.number for entry in entries}
