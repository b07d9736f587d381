"""`python service`: the service, and with `batch` its client; the repository is the package `isi`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def import_pack() -> None:
    """The package `isi`, whatever the repository's folder is called; also in the processes of Ray."""
    spec = importlib.util.spec_from_file_location(
        "isi", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    sys.modules["isi"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["isi"])


def import_main(name: str):
    """`isi.service.NAME`."""
    import_pack()
    return importlib.import_module(f"isi.service.{name}")


if __name__ == "__main__":
    words = sys.argv[1:]
    name = "client.batch" if words[:1] == ["batch"] else "serve"
    sys.exit(import_main(name).main(words[name != "serve" :]))
