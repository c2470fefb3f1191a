"""ComfyUI's page in a headless chromium, for the tests that only a browser can answer.

In: a server's URL. Out: the page's answers: how it saves a graph, what prompt it would send, what it shows while a
graph runs and afterwards, what it looks like.
Runs where the tests' tools are installed (playwright drives the chromium that environment.prepare_browser finds).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.tools.comfyui import environment
from tests.tools.comfyui.client import Client
from tests.tools.comfyui.layout import SetupError

READY = "() => window.app && window.app.graph && Object.keys(LiteGraph.registered_node_types).length > 100"
#: The veil over a page that is being loaded is gone: whoever drops a graph before leaves it there for good (1.49.6).
UNVEILED = "() => !document.querySelector('.p-blockui-mask')"
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # the page must not wait for the internet
PATIENCE = 300_000  # milliseconds
#: Run, above the graph, in an app, and in an app of an old page
RUN_BUTTONS = (
    '[data-testid="queue-button"]',
    'button:has([data-testid="linear-run-button-icon"])',
    'button:has(.p-button-label:text-is("Run"))',
)
RUN = ", ".join(f"{button}:visible" for button in RUN_BUTTONS)
ROW = 'li, [data-testid="result-item"]'  # of the search, in an old and in a newer page
CLICKS = 20  # in that time, where the page may swallow one
#: what the page says for reasons of its own: the internet that is not there, and the internet that it must not ask
NOT_OURS = (
    "api.comfy.org",
    "Content Security Policy",
    "ERR_NAME_NOT_RESOLVED",
    "Failed to load resource",
    "Error fetching file size",
)

WATCH = """() => {
    const again = Boolean(window.seen)
    window.seen = {asked: false, pictures: 0, ended: null}
    if (again) return
    const queuePrompt = app.api.queuePrompt
    app.api.queuePrompt = function (...given) {
        seen.asked = true
        return queuePrompt.apply(this, given)
    }
    app.api.addEventListener("b_preview", () => seen.pictures++)
    for (const end of ["execution_success", "execution_error", "execution_interrupted"])
        app.api.addEventListener(end, event => seen.ended = [end, event.detail.exception_message ?? ""])
}"""
BRING_INTO_VIEW = """() => {
    const node = app.graph.nodes.findLast(node => node.outputs.some(output => output.type === "VIDEO"))
    if (node) app.canvas.centerOnNode(node)
}"""
VIDEOS = "[...document.querySelectorAll('video')].filter(video => video.src.includes('/view?'))"
PLAYING = f"""() => {VIDEOS}.map(video => {{
    video.muted = video.loop = true
    if (video.paused) video.play().catch(() => null)  // a page under load may load no more than its length unasked
    return video.currentTime > 0
}}).every(Boolean) && {VIDEOS}.some(video => video.src.includes("type=output")) && {VIDEOS}.map(video => ({{
    url: video.src, width: video.videoWidth, height: video.videoHeight, seconds: video.duration,
    shown: video.getBoundingClientRect().width}}))"""
DRAWN_TWICE = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
DROP = """([name, type, base64]) => {
    const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0))
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File([bytes], name, {type}))
    app.canvas.canvas.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}))
}"""
TYPES = {".json": "application/json", ".mp4": "video/mp4"}


class Page:
    """`with Page(url) as page:` gives the page, loaded and quiet."""

    def __init__(self, url: str, *, width: int = 1600, height: int = 1000, settings: dict | None = None) -> None:
        self.url, self.size = url, {"width": width, "height": height}
        self.settings = {
            "Comfy.TutorialCompleted": True,
            "Comfy.Workflow.Persist": False,  # a graph that is restored may open dialogs of its own
            "Comfy.VueNodes.Enabled": False,
            "Comfy.Locale": "en",
            "Comfy.VersionCompatibility.DisableWarnings": True,  # of the packages that fill menus; they cover buttons
            **(settings or {}),
        }
        self.errors: list[str] = []
        self.complaints: list[str] = []  # of the console

    def __enter__(self) -> Page:
        from playwright.sync_api import sync_playwright

        chromium = environment.prepare_browser()
        if chromium is None:
            raise SetupError("the tests of the page need chromium (apt-get install chromium)")
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=str(chromium), args=list(SWITCHES))
        self.page = self._browser.new_page(viewport=self.size)
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._listen)
        self.page.add_init_script("localStorage.setItem('vueNodesBannerDismissed', 'true')")
        intro = self.page.get_by_role("button", name="Skip", exact=True)  # to apps, at the first one
        self.page.add_locator_handler(intro, lambda: intro.click())
        self.open()
        return self

    def open(self, url: str | None = None, **settings: Any) -> None:
        """Loads the page, also once more: with other settings ("Comfy.Locale"; the server keeps them), or of another
        server.
        """
        self.url = url or self.url
        self.settings.update(settings)
        Client(self.url).post("/settings", self.settings)
        self.page.goto(self.url, wait_until="commit")
        self.page.wait_for_function(READY)
        self.page.wait_for_function(UNVEILED)

    def __exit__(self, *exc: Any) -> None:
        self._browser.close()
        self._playwright.stop()

    def _listen(self, message: Any) -> None:
        if message.type == "error" and not any(words in message.text for words in NOT_OURS):
            self.complaints.append(message.text)

    def clear(self) -> None:
        """An empty canvas, and nothing said yet: what the page complained about before is its own affair."""
        self.click_until(
            lambda: self.page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')"),
            # a page that was just loaded opens its first graph after it
            lambda patience: self.page.wait_for_function("() => app.graph.nodes.length === 0", timeout=patience),
        )
        self.page.evaluate(DRAWN_TWICE)
        self.errors.clear()
        self.complaints.clear()

    def search(self, words: str, chosen: str, at: tuple[int, int] = (700, 600)) -> None:
        """Adds a node as a person does: a double click on the empty canvas, words, a click on the row that says
        `chosen`.
        """
        box = self.page.locator("input:focus").first
        self.click_until(lambda: self.page.mouse.dblclick(*at), lambda patience: box.wait_for(timeout=patience))
        self.page.keyboard.type(words)
        # of the rows that say both: the list is not narrowed down at once
        self.page.locator(ROW, has_text=chosen).filter(has_text=words).first.click()

    def click_until(self, click: Callable[[], None], wait: Callable[[float], Any]) -> None:
        """Clicks, and again when wait(milliseconds) was in vain: a page under load swallows clicks."""
        from playwright.sync_api import TimeoutError

        for _ in range(CLICKS - 1):
            click()
            with suppress(TimeoutError):
                wait(PATIENCE / CLICKS)
                return
        click()
        wait(PATIENCE / CLICKS)

    def drop(self, name: str, content: bytes) -> None:
        """Drops a file on the canvas: a workflow, or a video that carries one."""
        self.page.evaluate(DROP, [name, TYPES[Path(name).suffix], base64.b64encode(content).decode()])

    def set_values(self, replaced: dict[str, Any], **named: Any) -> None:
        """Turns widgets: those that show a key of `replaced`, and those of a name. A loader that names no file yet
        takes what stands for portrait.png, speech.wav or reference.mp4.
        """
        self.page.evaluate(
            """([replaced, named]) => {
            const blank = {image: "portrait.png", audio: "speech.wav", file: "reference.mp4"}
            for (const node of app.graph.nodes) for (const widget of node.widgets ?? [])
                if (widget.name in named) widget.value = named[widget.name]
                else if (widget.value === "" && widget.name in blank)
                    widget.value = replaced[blank[widget.name]] ?? blank[widget.name]
                else if (widget.value in replaced) widget.value = replaced[widget.value]
        }""",
            [replaced, named],
        )

    def run(self) -> tuple[str, int]:
        """Clicks Run and waits: how it ended ("execution_success", or a node's sentence), how many live images."""
        self.page.evaluate(WATCH)
        button = self.page.locator(RUN).first
        self.click_until(
            button.click, lambda patience: self.page.wait_for_function("() => seen.asked", timeout=patience)
        )
        ended, words = self.page.wait_for_function("() => seen.ended").json_value()
        return words or ended, self.page.evaluate("() => seen.pictures")

    def playing(self) -> list[dict[str, Any]]:
        """Brings the last video in a node into view, starts all, and waits until they and one that was made play."""
        self.page.evaluate(BRING_INTO_VIEW)
        return self.page.wait_for_function(PLAYING).json_value()

    def load(self, workflow: dict[str, Any]) -> None:
        """Opens a saved graph, as dropping its file on the page does."""
        self.page.evaluate("workflow => app.loadGraphData(workflow)", workflow)

    def load_api(self, prompt: dict[str, Any], name: str = "prompt") -> None:
        """Opens an API prompt and lets the page lay its nodes out."""
        self.page.evaluate(
            "async ([prompt, name]) => { await app.loadApiJson(prompt, name); app.graph.arrange() }", [prompt, name]
        )

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
