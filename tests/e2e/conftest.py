"""Fixtures: a real ComfyUI server in a fresh base directory, and its web page in a real browser.

`ISI_PAGE=FOLDER` tests another web page than the host's own.
"""

import os
from pathlib import Path

import pytest
from isi.tools import browser as browsers
from isi.tools.server import Server
from playwright.sync_api import expect, sync_playwright

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    page = os.environ.get("ISI_PAGE")
    with Server(tmp_path_factory.mktemp("comfyui"), frontend=Path(page) if page else None) as running:
        yield running


@pytest.fixture(scope="session")
def chromium():
    """A headless browser. Without one these tests are skipped, but never in continuous integration."""
    with sync_playwright() as playwright:
        executable = browsers.find(playwright)
        if executable is None:
            message = f"No Chromium or Chrome was found. {browsers.how_to_get_one()}"
            pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
        window = browsers.launch(playwright, executable)
        yield window
        window.close()


@pytest.fixture
def faultless(page):
    """No error and no foreign request in the module's page while a test runs."""
    page.faults.clear()
    yield
    assert page.faults == []
