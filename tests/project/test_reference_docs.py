"""docs/GLOSSARY.md and docs/ARCHITECTURE.md: the names and paths in them exist."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def quoted(written: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", written)


@functools.cache
def defined_names() -> frozenset[str]:
    """Every class, function, argument, field and variable of sadtalker_core."""
    names: set[str] = set()
    for file in (PROJECT / "sadtalker_core").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return frozenset(names)


def test_every_code_name_of_the_glossary_exists():
    rows = [row.split("|") for row in text("GLOSSARY.md").splitlines() if row.startswith("| ")]
    names = [name for row in rows for cell in row[3:5] for name in quoted(cell)]
    assert len(names) > 60
    assert [name for name in names if not set(name.split(".")) <= defined_names()] == []


def test_the_glossary_is_one_table_of_four_columns():
    rows = [row for row in text("GLOSSARY.md").splitlines() if row.startswith("|")]
    assert {row.count("|") for row in rows} == {5}


def test_every_path_of_the_architecture_exists():
    paths = {word for word in quoted(text("ARCHITECTURE.md")) if "/" in word}
    assert len(paths) > 25
    missing = [
        path for path in paths if not any((root / path).exists() for root in (PROJECT, PROJECT / "sadtalker_core"))
    ]
    assert missing == []


def test_every_link_between_the_pages_leads_somewhere():
    pages = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *DOCS.glob("*.md")]
    dead = [
        f"{page.name}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert dead == []
