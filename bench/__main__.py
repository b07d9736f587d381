"""`python run.py bench [NAME]`: runs `main()` of bench/NAME.py, or of every bench, one process each."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def names() -> list[str]:
    """The benches there are."""
    return sorted(path.stem for path in (ROOT / "bench").glob("*.py") if not path.stem.startswith("_"))


def import_bench(name: str):
    """The bench's module, with this repository importable as the package `isi`."""
    spec = importlib.util.spec_from_file_location(
        "isi", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    sys.modules["isi"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["isi"])
    return importlib.import_module(f"isi.bench.{name}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python run.py bench")
    parser.add_argument("name", nargs="?", choices=names())
    name = parser.parse_args().name
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    if name:
        import_bench(name).main()
        return 0
    failed = 0
    for name in names():
        print(f"\n== {name}", flush=True)
        failed += subprocess.call([sys.executable, "-m", "bench", name], cwd=ROOT) != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
