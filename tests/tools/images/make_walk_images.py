"""Makes docs/walk_oldest.jpg and docs/walk_newest.jpg: the first hour of a user, image by image, on the oldest and
the newest ComfyUI and page that the tests run.

    python -m tests.tools.images.make_walk_images [oldest] [newest]      (needs the tests' tools, see `make test`)

The pack is there (found by a word), its templates, the first one opened, run, run with another voice, the full body;
in the newest page the app, too. Each step ends with an error when the page says anything that it should not.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from tests.tools.comfyui import environment, media, shipped, workflow
from tests.tools.comfyui.client import Client
from tests.tools.comfyui.environment import Environment
from tests.tools.comfyui.layout import PACK_NAME, PROJECT, make_base
from tests.tools.comfyui.page import Page
from tests.tools.comfyui.server import Server
from tests.tools.images.saving import save_small

SECONDS = (2.0, 3.5)  # how long the first and the second voice last
WIDTH, LABEL, GAP = 720, 26, 8  # pixels of an image, of the line above it, between two
LARGEST = 260_000  # bytes
#: ComfyUI, settings of the page, what is typed in its search (the oldest one knows no other words for a node than its
#: name), whether it has apps
PAGES: dict[str, tuple[Callable[[], Environment], dict[str, Any], str, bool]] = {
    "oldest": (environment.find, {}, "sadtalker", False),
    "newest": (
        environment.find_newer,
        {"Comfy.VueNodes.Enabled": True},
        "lip sync",
        True,
    ),
}


class Walk:
    """The steps on one page; `screenshots` holds (what was done, a PNG)."""

    def __init__(self, page: Page, inputs: dict[str, str]) -> None:
        self.page, self.inputs = page, inputs
        self.screenshots: list[tuple[str, bytes]] = []

    def take(self, words: str) -> None:
        if self.page.errors or self.page.complaints:
            raise SystemExit(f"{words}: the page says {self.page.errors + self.page.complaints}")
        self.page.page.wait_for_timeout(2000)
        self.screenshots.append((f"{len(self.screenshots) + 1}. {words}", self.page.page.screenshot()))
        print(self.screenshots[-1][0])

    def find(self, words: str) -> None:
        self.page.clear()
        box = self.page.page.locator("input:focus").first
        self.page.click_until(
            lambda: self.page.page.mouse.dblclick(700, 600), lambda patience: box.wait_for(timeout=patience)
        )
        self.page.page.keyboard.type(words)
        self.page.page.locator("body", has_text="Audio Encode").wait_for(timeout=60_000)
        self.take(f'Installed: "{words}" in the search')
        box.fill("")  # the old page's list of rows fails over a box that goes with words in it
        self.page.page.keyboard.press("Escape")

    def templates(self) -> None:
        self.page.clear()
        self.page.page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        self.page.page.get_by_text(PACK_NAME).first.click()
        self.page.page.wait_for_timeout(5000)
        self.take("Its templates")
        self.page.open()  # the dialog of an old page knows no Escape here

    def open(self, name: str) -> None:
        self.page.clear()
        self.page.drop(f"{name}.json", shipped.FILES[name].read_bytes())
        n_nodes = len(workflow.load(shipped.FILES[name])["nodes"])
        self.page.page.wait_for_function("n => app.graph.nodes.length === n", arg=n_nodes)

    def run(self, words: str, **values: Any) -> None:
        self.page.set_values(self.inputs, **values)
        ended, _ = self.page.run()
        if ended != "execution_success":
            raise SystemExit(f"{words}: {ended}")
        self.page.playing()
        self.take(words)

    def app(self, voice: str) -> None:
        self.open("1_talking_portrait.app")
        self.page.page.locator('button:has([data-testid="linear-run-button-icon"]):visible').wait_for()
        self.take("The app, opened")
        self.page.set_values({**self.inputs, "speech.wav": voice}, pose_style=7)
        ended, _ = self.page.run()
        if ended != "execution_success":
            raise SystemExit(f"the app: {ended}")
        video = self.page.page.locator('video[src*="type=output"]:visible').first
        video.wait_for()
        video.evaluate("film => { film.muted = film.loop = true; film.play().catch(() => null) }")
        self.page.page.wait_for_function("() => [...document.querySelectorAll('video')].some(v => v.currentTime > .4)")
        self.take("The app, after its run")


def walk(which: str) -> list[tuple[str, bytes]]:
    find, settings, words, has_apps = PAGES[which]
    host = find()
    with tempfile.TemporaryDirectory() as scratch, Server(host, make_base(Path(scratch) / "base"), cpu=True) as server:
        client = Client(server.url)
        client.upload(media.default_portrait(host), "astronaut.png")
        inputs = shipped.provide(environment.find(), server, client, SECONDS[0], Path(scratch))
        client.upload(media.beginning(environment.find(), media.VOICE, SECONDS[1], Path(scratch) / "other.wav"))
        with Page(server.url, settings=settings) as page:
            page.page.set_default_timeout(200_000)
            steps = Walk(page, inputs)
            steps.find(words)
            steps.templates()
            steps.open("talking_portrait")
            page.set_values(inputs)
            steps.take("The first template, opened")
            steps.run("After its run")
            steps.run("Another voice, run again", audio="other.wav")
            steps.open("full_body_paste_back")
            steps.run("Full body")
            if has_apps:
                steps.app("other.wav")
            return steps.screenshots


def join(screenshots: list[tuple[str, bytes]]) -> Image.Image:
    """Two columns, a line of words above each image."""
    images = [Image.open(io.BytesIO(png)).convert("RGB") for _, png in screenshots]
    height = round(images[0].height * WIDTH / images[0].width)
    rows = -(-len(images) // 2)
    sheet = Image.new("RGB", (2 * WIDTH + GAP, rows * (height + LABEL + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for i, ((words, _), image) in enumerate(zip(screenshots, images, strict=True)):
        x, y = i % 2 * (WIDTH + GAP), i // 2 * (height + LABEL + GAP)
        draw.text((x + 4, y + 2), words, fill="black", font=font)
        sheet.paste(image.resize((WIDTH, height), Image.Resampling.LANCZOS), (x, y + LABEL))
    return sheet


def main() -> None:
    for which in sys.argv[1:] or PAGES:
        save_small(join(walk(which)), PROJECT / "docs" / f"walk_{which}.jpg", LARGEST)


if __name__ == "__main__":
    main()
