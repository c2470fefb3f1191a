"""docs/README.<language>.md: a first screen in every language that the nodes speak, with the commands of the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
README = (PROJECT / "README.md").read_text(encoding="utf-8")
LANGUAGES = sorted(folder.name for folder in (PROJECT / "locales").iterdir() if folder.name != "en")
#: what a language puts around the name of a node or an input
QUOTES = {
    "zh": "\u201c\u201d",
    "ja": "\u300c\u300d",
    "ko": "''",
    "de": "\u201e\u201c",
    **dict.fromkeys(("fr", "es", "ru"), "\u00ab\u00bb"),
}
MOST_LINES = 70


def page(language: str) -> str:
    return (DOCS / f"README.{language}.md").read_text(encoding="utf-8")


def links(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)\s]+)\)", text))


def commands(text: str) -> list[str]:
    return re.findall(r"^    (\S.*)$", text, re.MULTILINE)


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    return {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


def test_there_is_one_for_every_language_and_the_readme_begins_with_links_to_them():
    assert sorted(file.name.split(".")[1] for file in DOCS.glob("README.*.md")) == LANGUAGES
    top = "\n".join(README.splitlines()[:6])
    assert [language for language in LANGUAGES if f"](docs/README.{language}.md)" not in top] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_links_lead_somewhere_and_all_languages_have_the_same(language):
    found = links(page(language))
    for link in found:
        file, _, anchor = link.partition("#")
        if "://" not in link:
            assert (DOCS / file).resolve().is_file(), link
            assert not anchor or anchor in anchors((DOCS / file).resolve().read_text(encoding="utf-8")), link
    itself = {f"README.{other}.md" for other in LANGUAGES}
    assert found & itself == itself - {f"README.{language}.md"}
    assert found - itself == links(page(LANGUAGES[0])) - itself
    assert {"HONEST_MEDIA.md", "WORKFLOWS.md", "../README.md#the-released-weights"} <= found


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_commands_and_versions_are_those_of_the_readme(language):
    assert commands(page(language)) != []
    assert set(commands(page(language))) <= set(commands(README))
    (versions,) = re.findall(r"ComfyUI ([\d.]+) or newer, Python ([\d.]+) to ([\d.]+\d)", README)
    without_addresses = re.sub(r"\(.*?\)", "", page(language))
    assert tuple(re.findall(r"\d+\.\d+(?:\.\d+)?", without_addresses)) == versions


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_calls_nodes_and_inputs_as_the_page_does(language):
    nodes = json.loads((PROJECT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    shown = {entry["display_name"] for entry in nodes.values()}
    shown |= {words["name"] for entry in nodes.values() for words in entry["inputs"].values()}
    first, last = QUOTES[language]
    quoted = re.findall(f"{first}([^{first}{last}]+){last}", page(language))
    assert len(quoted) >= 5
    assert [name for name in quoted if " ".join(name.split()) not in shown] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_one_screen_with_the_parts_of_the_others(language):
    assert len(page(language).splitlines()) <= MOST_LINES
    assert [len(re.findall(rf"^{mark} ", page(language), re.MULTILINE)) for mark in ("#", "##")] == [1, 6]
    for workflow in re.findall(r"\*([\w.]+)\*", page(language)):
        if "_" in workflow:
            assert (PROJECT / "workflows" / f"{workflow}.json").is_file(), workflow
