"""The code and its pages keep to the words of docs/GLOSSARY.md: image, video, audio, network, not words of our own."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from pathlib import Path

import pytest

#: words that the field does not use for these things, and what it says: a part of an identifier, or a word of a text
PRIVATE = {
    "film": "video", "films": "videos", "picture": "image", "pictures": "images", "heard": "audible, encoded",
    "taught": "trained", "untaught": "randomly initialised", "meant": "selected", "wish": "options, requested",
    "wishes": "options", "quirk": "a link into PARITY.md", "yardstick": "reference", "frames a second": "fps",
    "crew": "worker pool", "teacher": "frozen network, target", "teachers": "frozen networks",
    "mended": "corrected, refined",
}  # fmt: skip
#: of the code alone, names and texts; the pages are sentences to a reader
PRIVATE_IN_CODE = {
    "says": "states, reports, holds", "said": "predicted, text", "told": "called with, distinguished, reported",
    "judged": "validated", "footage": "video", "teaches": "trains", "hears": "gets, encodes",
}  # fmt: skip
#: of identifiers alone; in a sentence these are plain English
PRIVATE_NAMES = {
    "hear": "encode", "say": "report, log", "tell": "report", "judge": "evaluator", "answer": "response, output",
    "answers": "outputs", "meeting": "fusion", "there": "existing, earlier, in_square", "given": "requested, arguments",
    "lacking": "missing", "painted": "mask, rendered", "knock": "ping, probe", "guess": "estimate",
    "steadiness": "rigidity weights", "evidence": "hourglass input", "greet": "on_ready", "hire": "start_worker",
    "guesses": "anchors",
}  # fmt: skip
#: what is frozen or a name: a column of the batch table, modules, ids of sockets, aliases of options, a key of a hash,
#: the interpolator FILM, the old numbers in PARITY.md
KEPT = {
    "batch/jobs.py": {"film", "picture"},
    "batch/worker.py": {"film"},
    "batch/run.py": {"film"},
    "batch/__main__.py": {"film"},
    "dub/__init__.py": {"film"},
    "training/run_options.py": {"films", "pictures"},
    "training/easy.py": {"films"},
    "nodes/paste_back.py": {"pictures"},
    "nodes/portrait.py": {"picture"},
    "nodes/render_video.py": {"film"},
    "docs/PARITY.md": {"quirk"},
    "docs/RELEASE.md": {"pictures"},
    "docs/WORKFLOWS.md": {"film"},
    "docs/BATCH.md": {"film"},
    "docs/MINI.md": {"films"},
}
_TEXTS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
_LINK = re.compile(r"\]\([^)]*\)|`[^`]*`|https?:\S+|\S+/\S+\.\w+")


def words_of_names(source: str) -> set[str]:
    """The parts of every name that the source gives: of functions, classes, arguments, variables and attributes."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {part.lower() for name in names for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def private_of_text(text: str, words: Mapping[str, str] = PRIVATE) -> set[str]:
    pattern = re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)
    return {word.lower() for word in pattern.findall(_LINK.sub(" ", text))} if pattern.search(text) else set()


def private_of_source(source: str) -> set[str]:
    """In its names, its comments and its strings."""
    in_texts = PRIVATE | PRIVATE_IN_CODE
    found = words_of_names(source) & {*in_texts, *PRIVATE_NAMES}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _TEXTS:
            found |= private_of_text(token.string, in_texts)
    return found


def without_kept(found: set[str], file: Path) -> list[str]:
    kept = next((words for end, words in KEPT.items() if file.as_posix().endswith(end)), set())
    instead = PRIVATE | PRIVATE_IN_CODE | PRIVATE_NAMES
    return sorted(f"{file.name}: {word} ({instead[word]})" for word in found - kept)


@pytest.mark.slow
@pytest.mark.parametrize("package", ["sadtalker_core", "nodes"])
def test_names_and_sentences_of_the_code_are_in_the_words_of_the_field(project, package):
    files = sorted((project / package).rglob("*.py"))
    assert len(files) > 20
    found = [fault for file in files for fault in without_kept(private_of_source(file.read_text("utf-8")), file)]
    assert not found, "\n".join(found)


def test_the_pages_are_in_the_words_of_the_field(project):
    folders = (project / "docs", project / "web" / "docs")
    pages = [project / "README.md", *(page for folder in folders for page in sorted(folder.glob("*.md")))]
    pages = [page for page in pages if not re.search(r"README\.\w\w\.md$", page.name)]
    assert len(pages) > 30
    found = [fault for page in pages for fault in without_kept(private_of_text(page.read_text("utf-8")), page)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("source", "word"), [
    ("def dub_film(): pass", "film"), ("class FilmCount: pass", "film"), ("x.wishes = 1", "wishes"),
    ("def f(picture): pass", "picture"), ("said = 1", "said"), ("a = 1  # what was heard", "heard"),
    ('"""Twelve frames a second."""', "frames a second"), ('raise E(f"the film {x} ends")', "film"),
    ("there = 1", "there"), ("a = 1  # as the row says", "says"), ("class _Answer: pass", "answer"),
])  # fmt: skip
def test_a_private_word_is_found_wherever_it_stands(source, word):
    assert word in private_of_source(source)


def test_links_and_code_in_a_page_are_no_words():
    assert private_of_text("see [there](../pictures/a.jpg), `film` and web/pictures/b.png") == set()
    assert private_of_text("a Film of two") == {"film"}
