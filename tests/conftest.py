"""Makes the repository importable as the package `isi`, whatever its folder is called."""

import importlib.util
import os
import sys
from pathlib import Path

from hypothesis import settings

# Threads that wait must sleep: spinning ones take the core from those that work. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No test asserts on time: a busy machine is no fault.
settings.register_profile("isi", deadline=None)
settings.load_profile("isi")

ROOT = Path(__file__).resolve().parents[1]


def load_pack() -> None:
    spec = importlib.util.spec_from_file_location(
        "isi", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["isi"] = module
    spec.loader.exec_module(module)


if "isi" not in sys.modules:
    load_pack()
