"""`python run.py test`: the gates, then the tiers of tests, then one line that sums them up.

With `--release` English no longer stands in for Chinese and Korean. In continuous integration (`CI=true`)
browser tests that cover each widget run on the newest page too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
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
TIERS = {name: [name] for name in ("tests/core", "tests/js", "tests/host", "tests/service", BROWSER)}
NEWEST = f"{BROWSER} on page {NEWEST_PAGE}"
if os.environ.get("CI"):
    TIERS[NEWEST] = [BROWSER, "-m", "newest"]
# Results are bit-equal only at one thread count.
THREADS = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}


def run(name: str, command: list[str], **more: str) -> int:
    """Runs `python -m command` in the repository, with its name before and its time after."""
    print(f"\n== {name}", flush=True)
    begun = time.monotonic()
    environment = {**os.environ, **THREADS, "PYTHONUTF8": "1", **more}
    code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment).returncode
    print(
        f"== {name}: {'ok' if code == 0 else f'failed ({code})'}, {time.monotonic() - begun:.0f} s",
        flush=True,
    )
    return code


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


def main() -> int:
    if "--release" in sys.argv[1:]:
        os.environ["ISI_RELEASE"] = "1"
    warn_without_browser()
    failed_gates = sum(run(name, command) != 0 for name, command in GATES.items())
    totals, wobbled = [len(GATES) - failed_gates, failed_gates, 0], 0
    with tempfile.TemporaryDirectory() as folder:
        for tier, which in TIERS.items():
            report = Path(folder, re.sub(r"\W", "-", tier) + ".xml")
            more = {"ISI_PAGE": str(HOSTS / f"page-{NEWEST_PAGE}")} if tier == NEWEST else {}
            code = run(tier, ["pytest", *which, "--quiet", f"--junitxml={report}"], **more)
            tally = counts(report)
            if code and not tally[1]:
                tally = (tally[0], 1, tally[2])  # the process died after its tests, or found none
            # A page may draw a moment later than a test waits for: that is tried once more, and said.
            if BROWSER in which and code == 1:
                report.unlink()
                again = ["pytest", *which, "--quiet", "--last-failed", f"--junitxml={report}"]
                run(f"{tier}, what failed", again, **more)
                still = counts(report)[1]
                wobbled = tally[1] - still
                tally = (tally[0] + wobbled, still, tally[2])
            totals = [a + b for a, b in zip(totals, tally, strict=True)]
    second = f" ({wobbled} at the second try)" if wobbled else ""
    print(f"\n{totals[0]} passed{second}, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main())
