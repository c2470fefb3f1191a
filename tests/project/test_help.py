"""Every node explains itself: a help page in two languages that names each input, and locales in eight that leave
nothing out.

locales/en/nodeDefs.json is what a running server says about the nodes, word for word; after a change of a node write it
anew with `python -m tests.tools.locale_of` (see there), then mend the other languages beside it and the node's pages.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.tools.images.saving import LARGEST_IMAGE
from tests.tools.locale_of import locales_of

PROJECT = Path(__file__).resolve().parents[2]
DOCS, LOCALES = PROJECT / "web" / "docs", PROJECT / "locales"
FROZEN = json.loads((PROJECT / "tests" / "nodes" / "frozen_interface.json").read_text(encoding="utf-8"))

#: what the page itself adds behind a seed
ADDED_BY_THE_PAGE = {"control_after_generate"}
#: frames are images here and a number there, a size is of an image here and of letters there
TWO_THINGS = {"frames", "size"}
#: the page reads its texts as messages of vue-i18n, to which these are not letters
SPECIAL_LETTERS = re.compile(r"[{}@|]|%\{|\$t\(")
CHINESE = re.compile("[\u4e00-\u9fff]")
#: letters that a text of this language has, and how long it is beside the English one
LETTERS = {
    "zh": CHINESE,
    "ja": re.compile("[\u3040-\u30ff\u4e00-\u9fff]"),
    "ko": re.compile("[\uac00-\ud7a3]"),
    "ru": re.compile("[\u0430-\u044f\u0451]"),
    **dict.fromkeys(("fr", "es", "de"), re.compile("[a-z]")),
}
LENGTHS = {"zh": (0.15, 1), "ja": (0.25, 1.2), "ko": (0.3, 1.3), **dict.fromkeys(("fr", "es", "de", "ru"), (0.6, 2.0))}
#: words of English sentences, which no sentence of another language has
ENGLISH_WORDS = re.compile(r"\b(the|of|and|with|from|for|is|are|to|by|it|which|when|where)\b", re.IGNORECASE)
#: what is written alike everywhere: numbers; abbreviations and names such as GPU, bf16, ComfyUI; paths and file names
NUMBERS = re.compile(r"(?<![A-Za-z.])-?\d+(?:\.\d+)?(?![A-Za-z])")
NAMES = re.compile(r"\b(?:[A-Za-z]*[A-Z]{2}[A-Za-z]*|[a-z]+\d+)\b|[\w.%:-]*[\w%][/_][\w./%-]*[a-z%]")
#: of these the ones that are a word as well
TRANSLATED = {"MASK", "AI", "largest"}
LONGEST_NAME = 30
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
LANGUAGES = ("en", "zh", "ja", "ko", "fr", "es", "de", "ru")
OTHERS = LANGUAGES[1:]
IN = {language: locale(language) for language in LANGUAGES}
EN, ZH = IN["en"], IN["zh"]
#: the help pages' languages
PAGES = ("en", "zh")


def texts(entry: Any, path: str = "") -> list[tuple[str, str]]:
    """Every text of a locale with the way to it."""
    if isinstance(entry, str):
        return [(path, entry)]
    return [found for key, inner in entry.items() for found in texts(inner, f"{path}.{key}")]


def choices(path: str) -> dict[str, list[str]]:
    """What can be chosen at the inputs of the node that the path is in."""
    inputs = FROZEN[path.split(".")[1]]["inputs"]
    return {name: sorted(translated.get("values", ()), key=len, reverse=True) for name, translated in inputs.items()}


def values_in(text: str, path: str) -> list[str]:
    """The choices that the text of an input names: its own, and those of its neighbours that it explains ("blend:")."""
    if ".inputs." not in path:
        return []
    own = choices(path)[path.split(".")[3]]
    near = [value for values in choices(path).values() for value in values]
    found = [value for value in own if re.search(rf"\b{re.escape(value)}\b", text)]
    return found + [value for value in near if re.search(rf"\b{re.escape(value)}:", text)]


def without_values(text: str, path: str) -> str:
    for values in choices(path).values():
        for value in values:
            text = text.replace(value, "")
    return text


def images_in(page: Path) -> list[str]:
    return re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))


def test_the_sources_hold_the_nodes():
    assert {"SadTalkerLoadModel", "SadTalkerFaceRender", "SadTalkerVideoCombine"} <= set(NODES)


@pytest.mark.comfyui
def test_the_english_locale_matches_the_nodes(object_info):
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
def test_the_server_hands_the_page_every_locale(client):
    translated = client.get("/i18n")
    for language in LANGUAGES:
        ours = {node: entry for node, entry in translated[language]["nodeDefs"].items() if node in NODES}
        assert ours == locale(language)


def test_there_is_a_locale_for_every_language_and_no_other():
    assert sorted(folder.name for folder in LOCALES.iterdir()) == sorted(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_locale_knows_every_node(language):
    assert sorted(IN[language]) == NODES


@pytest.mark.parametrize("language", OTHERS)
def test_a_locale_has_the_texts_of_the_english_one_and_explains_what_becomes_of_a_seed(language):
    wanted = {path for path, _ in texts(EN)}
    for node, entry in EN.items():
        if "seed" in entry["inputs"]:
            wanted |= {f".{node}.inputs.{name}.{word}" for name in ADDED_BY_THE_PAGE for word in ("name", "tooltip")}
    assert {path for path, _ in texts(IN[language])} == wanted


@pytest.mark.parametrize("language", OTHERS)
def test_a_locale_is_written_in_its_language(language):
    english = dict(texts(EN))
    for path, text in texts(IN[language]):
        plain = without_values(text, path)
        assert not ENGLISH_WORDS.search(plain), f"{path}: {text}"
        if not path.endswith(".name"):
            assert LETTERS[language].search(plain), f"{path}: {text}"
            assert text != english.get(path), path


@pytest.mark.parametrize("language", OTHERS)
def test_a_locale_is_about_as_long_as_the_english_one(language):
    """A text that is far longer or shorter says something else; a name must fit on its node."""
    shortest, longest = LENGTHS[language]
    translated = dict(texts(IN[language]))
    for path, text in texts(EN):
        if path.endswith((".name", ".display_name")):
            assert len(translated[path]) <= LONGEST_NAME, translated[path]
        elif len(text) >= 20:
            assert shortest <= len(translated[path]) / len(text) <= longest, translated[path]


@pytest.mark.parametrize("language", OTHERS)
def test_a_locale_keeps_the_numbers(language):
    """As often as the English one has each, in any order."""
    translated = dict(texts(IN[language]))
    numbers = [
        (path, Counter(NUMBERS.findall(text)), Counter(NUMBERS.findall(translated[path]))) for path, text in texts(EN)
    ]
    assert [f"{path}: {translated[path]}" for path, wanted, found in numbers if not wanted <= found] == []


@pytest.mark.parametrize("language", OTHERS)
def test_a_locale_keeps_values_names_and_paths(language):
    """An input's id may be told by the name that the page shows."""
    lost = []
    translated = dict(texts(IN[language]))
    shown = {name: words["name"] for entry in IN[language].values() for name, words in entry["inputs"].items()}
    for path, text in texts(EN):
        if path.endswith((".name", ".display_name")):
            continue
        wanted = {*values_in(text, path), *(name.removesuffix("s") for name in NAMES.findall(text))}
        lost += [
            f"{path}: {word} in {translated[path]}"
            for word in sorted(wanted - TRANSLATED)
            if word not in translated[path] and shown.get(word, word) not in translated[path]
        ]
    assert lost == []


@pytest.mark.parametrize("language", OTHERS)
def test_a_locale_calls_our_nodes_as_the_page_does(language):
    translated = dict(texts(IN[language]))
    titles = sorted((entry["display_name"] for entry in EN.values()), key=len, reverse=True)
    shown = {entry["display_name"]: IN[language][node]["display_name"] for node, entry in EN.items()}
    called = re.compile("|".join(rf"\b{re.escape(title)}\b" for title in titles))
    assert [
        f"{path}: {title} in {translated[path]}"
        for path, text in texts(EN)
        if path.endswith((".description", ".tooltip"))
        for title in called.findall(text)
        if shown[title] not in translated[path]
    ] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_nodes_and_no_two_inputs_of_a_node_have_one_name(language):
    titles = [entry["display_name"] for entry in IN[language].values()]
    assert len(set(titles)) == len(titles)
    for node, entry in IN[language].items():
        names = [words["name"] for words in entry["inputs"].values()]
        assert len(set(names)) == len(names), node


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_a_locale_is_one_that_the_page_reads(language):
    translated = texts(locale(language))
    assert [path for path, text in translated if not text.strip()] == []
    assert [path for path, text in translated if SPECIAL_LETTERS.search(text)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_locale_calls_the_same_input_by_the_same_name(language):
    names: dict[str, set[str]] = {}
    for entry in locale(language).values():
        for name, words in entry["inputs"].items():
            if name not in TWO_THINGS:
                names.setdefault(name, set()).add(words["name"])
    assert {name: called for name, called in names.items() if len(called) > 1} == {}


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("node", NODES)
def test_the_help_page_names_every_input_and_output(node, language):
    page = page_of(node, language).read_text(encoding="utf-8")
    entry = locale(language)[node]
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    unnamed = [name for name in EN[node]["inputs"] if not any(row.startswith(f"| `{name}`") for row in rows)]
    outputs = [output["name"] for output in entry["outputs"].values()]
    unnamed += [name for name in outputs if not any(row.startswith(f"| {name} |") for row in rows)]
    assert unnamed == []


@pytest.mark.parametrize("language", PAGES)
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


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("node", NODES)
def test_the_nodes_that_a_help_page_points_to_exist(node, language):
    """Bold are values, which begin small, models, and our nodes under the names that the page shows."""
    bold = set(re.findall(r"\*\*([^*]+)\*\*", page_of(node, language).read_text(encoding="utf-8")))
    shown = {entry["display_name"] for entry in locale(language).values()}
    pointed = {name for name in bold if re.match("[A-Z0-9]", name) or CHINESE.search(name)}
    assert pointed - shown - {"SadTalker 256", "SadTalker 512"} == set()


@pytest.mark.parametrize("language", PAGES)
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


def test_the_images_are_light_and_all_of_them_are_used():
    images = sorted((PROJECT / "web" / "pictures").iterdir())
    assert [file.name for file in images if file.stat().st_size > LARGEST_IMAGE] == []
    written = [*DOCS.rglob("*.md"), *(PROJECT / "docs").glob("*.md"), PROJECT / "README.md"]
    translated = "".join(file.read_text(encoding="utf-8") for file in written)
    assert [file.name for file in images if f"pictures/{file.name})" not in translated] == []
