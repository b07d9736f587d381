"""Apple's GPUs have no float64: what is computed in it is brought to the CPU first."""

import re

from .test_house import ROOT

DOUBLE = re.compile(r"(?<!\.cpu\(\))\.double\(\)|\.to\((torch\.)?float64\)")


def test_doubles_are_made_on_the_cpu():
    files = [path for hall in ("core", "host", "nodes") for path in (ROOT / hall).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text("utf-8").splitlines()
        if DOUBLE.search(line)
    ]
    assert not found
