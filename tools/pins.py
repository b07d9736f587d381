"""`python -m tools.pins`: whether what `run.py` installs can be resolved on every Python that README names.

uv resolves for a Python that is not installed, markers of the whole tree included, as pip can't. Only wheels
count: a newcomer has no compiler.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from .server import COMFYUI, ROOT

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def resolve(version: str, requirements: list[Path]) -> str:
    """Why these requirements can't be installed on that Python; empty if they can."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["uv", "pip", "compile", "--quiet", "--only-binary", ":all:", "--python-version", version]
        command += ["--constraints", str(ROOT / "constraints.txt"), "--output-file", str(Path(folder, "all"))]
        done = subprocess.run(
            [sys.executable, "-m", *command, *map(str, requirements)], capture_output=True, encoding="utf-8"
        )
    return done.stderr if done.returncode else ""


def main() -> int:
    host = COMFYUI / "requirements.txt"
    run, dev, service, ray = (ROOT / f"requirements-{name}.txt" for name in ("run", "dev", "service", "ray"))
    installs = {"demo": [run, host], "service": [service], "test": [run, dev, service, host]}
    installs["service --ray"] = [service, ray]
    bad = 0
    for version in VERSIONS:
        for name, requirements in installs.items():
            problem = resolve(version, requirements)
            print(f"Python {version}, run.py {name}: {problem or 'resolves'}", flush=True)
            bad += bool(problem)
    return bad


if __name__ == "__main__":
    sys.exit(main())
