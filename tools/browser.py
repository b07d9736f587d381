"""Finds a browser of Chromium's family, for the tests and tools that drive ComfyUI's web page."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
HOW_TO_GET_ONE = "Install Chromium or Chrome, or run: python -m playwright install chromium (inside .venv)"


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
