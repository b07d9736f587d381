"""ComfyUI's web page in a headless browser, for the tests and tools that need the real front end."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Playwright

from .server import PACK, Server

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
COMMANDS = {
    "linux": "sudo apt install chromium (Debian, Ubuntu), sudo dnf install chromium (Fedora)",
    "darwin": "brew install --cask google-chrome",
    "win32": "winget install Google.Chrome",
}
"""What brings a browser, by `sys.platform`."""
SLOWEST = 180_000
"""Milliseconds that the page may take to open on a busy machine."""
READY = "window.app?.rootGraph && window.LiteGraph?.registered_node_types?.KSampler && !app.loading"


def how_to_get_one(system: str = sys.platform) -> str:
    """The command that brings a browser on this system; Playwright's own serves on all of them."""
    playwright = f'"{sys.executable}" -m playwright install --with-deps chromium'
    return f"Get one by {' or '.join(filter(None, [COMMANDS.get(system), playwright]))}"


def find(playwright: Playwright) -> str | None:
    """The browser's executable: one on PATH or in its usual place, or Playwright's own; None without any."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    for place in (*PLACES, playwright.chromium.executable_path):
        if Path(place).exists():
            return place
    return None


def launch(playwright: Playwright, executable: str) -> Browser:
    """A headless browser. As root, which containers run as, Chromium needs its sandbox off."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"] if root else [])


class FrontEnd:
    """The loaded page. `faults` collects uncaught errors, and requests that leave the server's origin.

    The server's Content Security Policy stops requests of scripts before they are one; the page then says
    so on its console. (ComfyUI's own scripts do try: they ask for the sizes of missing models.)
    """

    def __init__(self, browser: Browser, server: Server):
        self.faults: list[str] = []
        self.page = browser.new_page(viewport={"width": 1600, "height": 1000})
        self.page.set_default_navigation_timeout(SLOWEST)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        own = (server.url, server.url.replace("http", "ws", 1), "data:", "blob:")
        self.page.on(
            "request",
            lambda request: request.url.startswith(own) or self.faults.append(f"request: {request.url}"),
        )
        self.page.on("console", self._listen)
        self.page.goto(server.url)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        self.page.wait_for_function(READY, timeout=SLOWEST)
        self.page.wait_for_selector("canvas#graph-canvas")
        # The page opens its default graph a moment after it is ready; ours has to come after that.
        self.page.wait_for_function("app.rootGraph.nodes.length > 0", timeout=SLOWEST)

    def _listen(self, line: ConsoleMessage) -> None:
        ours = f"/extensions/{PACK}/" in line.location["url"]
        if ours and "Content Security Policy" in line.text:
            self.faults.append(f"blocked: {line.text}")

    def reload(self) -> None:
        """Loads the whole page again, as F5 does."""
        self.page.reload()
        self._wait_until_ready()

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """What a JavaScript expression or function gives in the page."""
        return self.page.evaluate(script, argument)

    def load(self, workflow: dict) -> None:
        """Opens a graph in its UI form, as a dropped file would."""
        self.evaluate("workflow => app.loadGraphData(workflow, true, true, null, {})", workflow)

    def load_api(self, graph: dict, name: str) -> None:
        """Opens a graph in its API form."""
        self.evaluate("([graph, name]) => app.loadApiJson(graph, name)", [graph, name])

    def prompt(self) -> dict:
        """The API form of the open graph."""
        return self.evaluate("async () => (await app.graphToPrompt()).output")

    def serialize(self) -> dict:
        """The UI form of the open graph."""
        return self.evaluate("() => JSON.parse(JSON.stringify(app.rootGraph.serialize()))")


@contextmanager
def front_end(browser: Browser, server: Server, *, nodes2: bool = False) -> Iterator[FrontEnd]:
    """ComfyUI's page in the classic (canvas) or the Nodes 2.0 (DOM) renderer."""
    server.post("/settings/Comfy.VueNodes.Enabled", nodes2)
    opened = FrontEnd(browser, server)
    try:
        yield opened
    finally:
        opened.page.close()
