"""`python run.py test`: the gates, then the tiers of tests, then one line that sums them up.

Tiers go in two lanes at once: tests on ComfyUI keep one core busy, and tests in a browser mostly wait. What a
tier says is printed whole when it has ended.

With `--release` English no longer stands in for Chinese and Korean. In continuous integration (`CI=true`)
browser tests that cover each widget run on the newest page too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playwright.sync_api import sync_playwright

from run import HOSTS, NEWEST_PAGE

from . import browser

ROOT = Path(__file__).resolve().parents[1]
GATES = {
    "ruff check": ["ruff", "check", "--quiet"],
    "ruff format": ["ruff", "format", "--check", "--quiet"],
    "pyright": ["pyright"],
}
BROWSER = "tests/e2e"
NEWEST = f"{BROWSER} on page {NEWEST_PAGE}"
# A folder inside a tier that is a tier itself is left out of the larger one: so both lanes take as long.
LANES = [["tests/core", "tests/host"], ["tests/js", "tests/service", "tests/host/pictures", BROWSER]]
if os.environ.get("CI"):
    LANES[1].append(NEWEST)
# Results are bit-equal only at one thread count. More than one would wait for each other, spinning, at every
# small operation, for as long as the other lane has their core: ten times as long, and more.
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PRINTING = threading.Lock()


def say(text: bytes) -> None:
    with PRINTING:
        sys.stdout.buffer.write(text)
        sys.stdout.flush()


def run(name: str, command: list[str], **more: str) -> int:
    """Runs `python -m command` in the repository.

    How far it is is said meanwhile, and all that it said at its end, in one piece, with its time.
    """
    begun = time.monotonic()
    environment = {**os.environ, **THREADS, "PYTHONUTF8": "1", **more}
    words, said = [sys.executable, "-m", *command], []
    to_us = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(words, cwd=ROOT, env=environment, **to_us) as process:
        for line in process.stdout or ():
            said.append(line)
            if far := re.search(rb"\[ *\d+%\]$", line.rstrip()):
                say(name.encode() + b" " + far[0] + b"\n")
    ended = "ok" if process.returncode == 0 else f"failed ({process.returncode})"
    end = f"== {name}: {ended}, {time.monotonic() - begun:.0f} s\n"
    say(b"".join([f"\n== {name}\n".encode(), *said, end.encode()]))
    return process.returncode


def counts(report: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped of a JUnit report; a tier that left none counts as one failure."""
    if not report.exists():
        return 0, 1, 0
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    passed = failed = skipped = 0
    for suite in suites:
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skips = int(suite.get("skipped", 0))
        passed += int(suite.get("tests", 0)) - bad - skips
        failed += bad
        skipped += skips
    return passed, failed, skipped


def warn_without_browser() -> None:
    """Says at the start, not after a quarter of an hour, that the browser tests will be skipped."""
    with sync_playwright() as playwright:
        if browser.find(playwright) is None:
            print("No Chromium or Chrome was found: the browser tests will be skipped.")
            print(browser.how_to_get_one(), flush=True)


def run_tier(tier: str, folder: Path) -> tuple[int, int, int, int]:
    """Passed, failed, skipped of a tier, and how many of the passed did so at the second try."""
    name = re.sub(r"\W", "-", tier)
    report = folder / f"{name}.xml"
    # Which failed last is of this tier alone: the other lane writes its own meanwhile.
    which = ["--quiet", f"--junitxml={report}", "-o", f"cache_dir={folder / name}"]
    which += [BROWSER, "-m", "newest"] if tier == NEWEST else [tier]
    which += [f"--ignore={each}" for lane in LANES for each in lane if each.startswith(f"{tier}/")]
    more = {"ISI_PAGE": str(HOSTS / f"page-{NEWEST_PAGE}")} if tier == NEWEST else {}
    code = run(tier, ["pytest", *which], **more)
    passed, failed, skipped = counts(report)
    if code and not failed:
        return passed, 1, skipped, 0  # the process died after its tests, or found none
    # A page may draw a moment later than a test waits for: that is tried once more, and said.
    if BROWSER not in which or code != 1:
        return passed, failed, skipped, 0
    report.unlink()
    run(f"{tier}, what failed", ["pytest", *which, "--last-failed"], **more)
    still = counts(report)[1]
    return passed + failed - still, still, skipped, failed - still


def main() -> int:
    if "--release" in sys.argv[1:]:
        os.environ["ISI_RELEASE"] = "1"
    warn_without_browser()
    failed_gates = sum(run(name, command) != 0 for name, command in GATES.items())
    totals = [len(GATES) - failed_gates, failed_gates, 0, 0]
    print(f"\nNow {', beside '.join(' then '.join(lane) for lane in LANES)}", flush=True)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(LANES)) as lanes:
        walks = [
            lanes.submit(lambda lane=lane: [run_tier(tier, Path(folder)) for tier in lane]) for lane in LANES
        ]
        for tally in (tally for walk in walks for tally in walk.result()):
            totals = [a + b for a, b in zip(totals, tally, strict=True)]
    passed, failed, skipped, wobbled = totals
    second = f" ({wobbled} at the second try)" if wobbled else ""
    print(f"\n{passed} passed{second}, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
