"""Every node, its number widgets at their ends and far beyond: a result or one sentence, and nothing dies.

The cases are made from the schemas, in a process that may grow by 4 GB (ends.py). Here a sample; all of them
with `python run.py bench ends`.
"""

import json
import subprocess
import sys

import pytest

from .harness import ROOT

pytest.importorskip("resource")  # Windows has no such limits
SAMPLE = 40
FINE = ("ValueError: ", "skipped")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_result_or_one_sentence_and_the_process_lives():
    command = [sys.executable, "-m", "tests.host.ends", "--sample", str(SAMPLE)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert told and "done" in told[-1], f"died at {told[-1:]}: {ended.stderr[-2000:]}"
    results = [one for one in told if "error" in one]
    errors = [one["error"] for one in results if one["error"]]
    assert len(results) == SAMPLE and len(results) - len(errors) >= SAMPLE // 10
    assert not [error for error in errors if not error.startswith(FINE) or "\n" in error]
