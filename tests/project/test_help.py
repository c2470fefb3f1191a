"""Every node explains itself: a help page in two languages that names each input, and locales that leave nothing out.

locales/en/nodeDefs.json is what a running server says about the nodes, word for word; after a change of a node write it
anew with `python -m tests.tools.locale_of` (see there), then mend the Chinese beside it and the node's pages.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.tools.locale_of import locales_of
from tests.tools.pictures.saving import LARGEST_IMAGE

PROJECT = Path(__file__).resolve().parents[2]
DOCS, LOCALES = PROJECT / "web" / "docs", PROJECT / "locales"

#: what the page itself adds behind a seed
ADDED_BY_THE_PAGE = {"control_after_generate"}
#: frames are images here and a number there, a size is of an image here and of letters there
TWO_THINGS = {"frames", "size"}
#: the page reads its texts as messages of vue-i18n, to which these are not letters
SPECIAL_LETTERS = re.compile(r"[{}@|]|%\{|\$t\(")
CHINESE = re.compile("[\u4e00-\u9fff]")
SECTIONS = {
    "en": ("## Inputs", "## Outputs", "## Worth trying", "## Pitfalls"),
    "zh": ("## \u8f93\u5165", "## \u8f93\u51fa", "## \u53ef\u4ee5\u8bd5\u8bd5", "## \u6ce8\u610f\u4e8b\u9879"),
}


def ids_in_the_sources() -> set[str]:
    """The node_id of every io.Schema in nodes/."""
    return {
        keyword.value.value
        for file in sorted((PROJECT / "nodes").glob("*.py"))
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "io.Schema"
        for keyword in call.keywords
        if keyword.arg == "node_id" and isinstance(keyword.value, ast.Constant)
    }


def locale(language: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def page_of(node: str, language: str) -> Path:
    return DOCS / f"{node}.md" if language == "en" else DOCS / node / f"{language}.md"


NODES = sorted(ids_in_the_sources())
EN, ZH = locale("en"), locale("zh")
LANGUAGES = ("en", "zh")


def texts(entry: Any, path: str = "") -> list[tuple[str, str]]:
    """Every text of a locale with the way to it."""
    if isinstance(entry, str):
        return [(path, entry)]
    return [found for key, inner in entry.items() for found in texts(inner, f"{path}.{key}")]


def images_in(page: Path) -> list[str]:
    return re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))


def test_the_sources_hold_the_nodes():
    assert {"SadTalkerLoadModel", "SadTalkerFaceRender", "SadTalkerVideoCombine"} <= set(NODES)


@pytest.mark.comfyui
def test_the_english_locale_is_what_the_nodes_say(object_info):
    written = locales_of(object_info)
    assert {node: entry for node, entry in EN.items() if written.get(node) != entry} == {}, "write it anew: see above"
    assert set(written) == set(EN)


@pytest.mark.comfyui
def test_the_server_hands_the_page_every_help_page_and_image(client, object_info):
    """At the addresses that the page asks for: its folder's own first, then the one that has no language."""
    for node in NODES:
        web = "/extensions/" + object_info[node]["python_module"].removeprefix("custom_nodes.")
        for language, address in (("en", f"{web}/docs/{node}.md"), ("zh", f"{web}/docs/{node}/zh.md")):
            page = page_of(node, language)
            assert client.get_bytes(address).decode() == page.read_text(encoding="utf-8")
            for name in images_in(page):
                assert client.get_bytes(f"{web}/{name.removeprefix('../')}") == (DOCS / name).read_bytes()


@pytest.mark.comfyui
def test_the_server_hands_the_page_both_locales(client):
    told = client.get("/i18n")
    for language in LANGUAGES:
        ours = {node: entry for node, entry in told[language]["nodeDefs"].items() if node in NODES}
        assert ours == locale(language)


def test_both_locales_know_every_node():
    assert sorted(EN) == NODES
    assert sorted(ZH) == NODES


@pytest.mark.parametrize("node", NODES)
def test_the_chinese_locale_leaves_nothing_out(node):
    assert set(ZH[node]["inputs"]) - ADDED_BY_THE_PAGE == set(EN[node]["inputs"])
    assert set(ZH[node]["outputs"]) == set(EN[node]["outputs"])
    assert ("control_after_generate" in ZH[node]["inputs"]) == ("seed" in EN[node]["inputs"])
    untold = [path for path, text in texts(ZH[node]) if not path.endswith(".name") and not CHINESE.search(text)]
    assert untold == [], "not in Chinese"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_a_locale_says_something_that_the_page_can_read(language):
    told = texts(locale(language))
    assert [path for path, text in told if not text.strip()] == []
    assert [path for path, text in told if SPECIAL_LETTERS.search(text)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_locale_calls_the_same_input_by_the_same_name(language):
    names: dict[str, set[str]] = {}
    for entry in locale(language).values():
        for name, words in entry["inputs"].items():
            if name not in TWO_THINGS:
                names.setdefault(name, set()).add(words["name"])
    assert {name: called for name, called in names.items() if len(called) > 1} == {}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_the_help_page_names_every_input_and_output(node, language):
    page = page_of(node, language).read_text(encoding="utf-8")
    entry = locale(language)[node]
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    unnamed = [name for name in EN[node]["inputs"] if not any(row.startswith(f"| `{name}`") for row in rows)]
    outputs = [output["name"] for output in entry["outputs"].values()]
    unnamed += [name for name in outputs if not any(row.startswith(f"| {name} |") for row in rows)]
    assert unnamed == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_the_help_page_has_the_title_of_its_node_and_all_of_its_parts(node, language):
    page = page_of(node, language).read_text(encoding="utf-8")
    assert page.splitlines()[0].startswith(f"# {locale(language)[node]['display_name']}")
    places = [page.find(f"\n{section}\n") for section in SECTIONS[language]]
    assert -1 not in places and places == sorted(places)
    assert len(page.splitlines()) <= 70, "a help page is about one screen"


@pytest.mark.parametrize("node", NODES)
def test_the_chinese_page_shows_the_names_that_the_page_shows_in_chinese(node):
    page = page_of(node, "zh").read_text(encoding="utf-8")
    names = {name: ZH[node]["inputs"][name]["name"] for name in EN[node]["inputs"]}
    assert [
        f"`{name}` {name_zh}"
        for name, name_zh in names.items()
        if name != name_zh and f"| `{name}` {name_zh} |" not in page
    ] == []


@pytest.mark.parametrize("node", NODES)
def test_bold_words_end_where_markdown_can_see_it(node):
    """A closing ** behind a bracket is taken for letters when a letter follows at once."""
    page = page_of(node, "zh").read_text(encoding="utf-8")
    bold = re.finditer(r"\*\*[^*]+\*\*", page)
    assert [b[0] for b in bold if not b[0][-3].isalnum() and page[b.end() : b.end() + 1].isalnum()] == []


def test_no_help_page_is_left_of_a_node_that_has_gone():
    assert sorted(file.stem for file in DOCS.glob("*.md")) == NODES
    assert sorted(folder.name for folder in DOCS.iterdir() if folder.is_dir() and any(folder.iterdir())) == NODES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_the_nodes_that_a_help_page_points_to_exist(node, language):
    """Bold are values, which begin small, models, and our nodes under the names that the page shows."""
    bold = set(re.findall(r"\*\*([^*]+)\*\*", page_of(node, language).read_text(encoding="utf-8")))
    shown = {entry["display_name"] for entry in locale(language).values()}
    pointed = {name for name in bold if re.match("[A-Z0-9]", name) or CHINESE.search(name)}
    assert pointed - shown - {"SadTalker 256", "SadTalker 512"} == set()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_the_images_of_a_help_page_are_where_the_page_looks_for_them(node, language):
    """The page resolves them against web/docs, also from the folder of a node, and serves nothing outside of web."""
    shown = images_in(page_of(node, language))
    for name in shown:
        image = (DOCS / name).resolve()
        assert image.is_file() and image.is_relative_to(PROJECT / "web"), name
    assert shown == images_in(page_of(node, "en"))


@pytest.mark.parametrize("node", NODES)
def test_every_help_page_shows_its_node_or_what_it_makes(node):
    assert images_in(page_of(node, "en")) != []


def test_the_images_are_light_and_all_of_them_are_shown():
    images = sorted((PROJECT / "web" / "pictures").iterdir())
    assert [file.name for file in images if file.stat().st_size > LARGEST_IMAGE] == []
    written = [*DOCS.rglob("*.md"), *(PROJECT / "docs").glob("*.md"), PROJECT / "README.md"]
    told = "".join(file.read_text(encoding="utf-8") for file in written)
    assert [file.name for file in images if f"pictures/{file.name})" not in told] == []
