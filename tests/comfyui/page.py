"""ComfyUI's page in a headless chromium, for the tests that only a browser can answer.

In: a server's URL. Out: the page's answers: how it saves a graph, what prompt it would send, what it looks like.
Runs where the tests' tools are installed (playwright drives the chromium that environment.prepare_browser finds).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.comfyui import environment
from tests.comfyui.client import Client
from tests.comfyui.layout import SetupError

READY = "() => window.app && window.app.graph && Object.keys(LiteGraph.registered_node_types).length > 100"
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")  # the page must not wait for the internet
PATIENCE = 300_000  # milliseconds


class Page:
    """`with Page(url) as page:` gives the page, loaded and quiet."""

    def __init__(self, url: str, *, width: int = 1600, height: int = 1000, settings: dict | None = None) -> None:
        self.url, self.size = url, {"width": width, "height": height}
        self.settings = {"Comfy.TutorialCompleted": True, **(settings or {})}
        self.errors: list[str] = []

    def __enter__(self) -> Page:
        from playwright.sync_api import sync_playwright

        chromium = environment.prepare_browser()
        if chromium is None:
            raise SetupError("the tests of the page need chromium (apt-get install chromium)")
        Client(self.url).post("/settings", self.settings)
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=str(chromium), args=list(SWITCHES))
        self.page = self._browser.new_page(viewport=self.size)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(self.url, wait_until="commit", timeout=PATIENCE)
        self.page.wait_for_function(READY, timeout=PATIENCE)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._browser.close()
        self._playwright.stop()

    def load(self, workflow: dict[str, Any]) -> None:
        """Opens a saved graph, as dropping its file on the page does."""
        self.page.evaluate("workflow => app.loadGraphData(workflow)", workflow)

    def load_api(self, prompt: dict[str, Any], name: str = "prompt") -> None:
        """Opens an API prompt and lets the page lay its nodes out."""
        self.page.evaluate("async ([prompt, name]) => { await app.loadApiJson(prompt, name); app.graph.arrange() }",
                           [prompt, name])

    def serialize(self) -> dict[str, Any]:
        """The open graph as the page saves it."""
        return self.page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")

    def prompt(self) -> dict[str, Any]:
        """The prompt that the page would send for the open graph."""
        return self.page.evaluate("async () => JSON.parse(JSON.stringify((await app.graphToPrompt()).output))")

    def queue(self) -> None:
        """Presses Run."""
        self.page.evaluate("() => app.queuePrompt(0, 1)")

    def screenshot(self, file: Path) -> Path:
        self.page.screenshot(path=str(file))
        return file
