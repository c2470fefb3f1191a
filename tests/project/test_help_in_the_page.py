"""The help of every node, opened in ComfyUI's own page, in both languages, with its images."""

from __future__ import annotations

import re

import pytest

from tests.project.test_help import EN, NODES, PAGES, images_in, locale, page_of
from tests.tools.comfyui.page import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: chooses a node, as a click on it does; then there is a button with an i
CHOOSE = """async node => {
    const made = LiteGraph.createNode(node)
    made.pos = [300, 200]
    app.graph.add(made)
    app.canvas.selectNode(made)
    app.canvas.setDirty(true, true)
}"""
BUTTON = '[data-testid="info-button"]'
#: what that button does, for the panel that is open already; that of a newer page shows the node that is chosen
OPEN = """async node => {
    const stores = document.querySelector("#vue-app").__vue_app__.config.globalProperties.$pinia._s
    stores.get("nodeHelp")?.openHelp(stores.get("nodeDef").nodeDefsByName[node])
}"""
SHOWN = """([title, lastWord]) => {
    const help = document.querySelector(".node-help-content")
    const pictures = help ? [...help.querySelectorAll("img")] : []
    const ready = help && help.innerText.startsWith(title) && help.innerText.includes(lastWord)
        && pictures.every(picture => picture.complete)
    return ready && {text: help.innerText, pictures: pictures.map(picture => picture.naturalWidth)}
}"""


@pytest.mark.parametrize("language", PAGES)
def test_the_page_shows_the_help_of_every_node(server, language):
    wrong = {}
    with Page(server.url, settings={"Comfy.Locale": language}) as page:
        page.clear()
        page.page.evaluate(CHOOSE, NODES[0])
        button, panel = page.page.locator(BUTTON).first, page.page.locator(".node-help-content").first
        page.click_until(button.click, lambda patience: panel.wait_for(timeout=patience))
        for node in NODES:
            page.page.evaluate(CHOOSE, node)
            page.page.evaluate(OPEN, node)
            entry, file = locale(language)[node], page_of(node, language)
            last_word = re.findall(r"\w+", file.read_text(encoding="utf-8"))[-1]
            shown = page.page.wait_for_function(SHOWN, arg=[entry["display_name"], last_word]).json_value()
            named = "**" not in shown["text"] and all(name in shown["text"] for name in EN[node]["inputs"])
            if not (named and len(shown["pictures"]) == len(images_in(file)) and all(shown["pictures"])):
                wrong[node] = shown
        errors = page.errors
    assert wrong == {}
    assert errors == []
