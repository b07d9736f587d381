"""What loading the pack costs when ComfyUI starts, beyond what ComfyUI has loaded by then.

python run.py bench imports
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5
CHILD = """
import asyncio, importlib.util, sys, time
from pathlib import Path

host, pack = sys.argv[1:3]
sys.path.insert(0, host)
sys.argv = ["main.py", "--cpu"]
import comfy.options

comfy.options.enable_args_parsing()
import nodes, server, execution
import comfy_api.latest

began = time.process_time()
door = Path(pack, "__init__.py")
where = importlib.util.spec_from_file_location("isi", door, submodule_search_locations=[pack])
sys.modules["isi"] = module = importlib.util.module_from_spec(where)
where.loader.exec_module(module)
asyncio.run(module.comfy_entrypoint())
ours = sum(name.startswith("isi.") for name in sys.modules)
print(time.process_time() - began, ours)
"""


def main() -> None:
    """Prints processor time in a new process each, bytecode being there."""
    command = [sys.executable, "-c", CHILD, os.environ["COMFYUI_PATH"], str(ROOT)]
    seconds, modules = [], 0
    for _ in range(ROUNDS + 1):
        out = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
        seconds.append(float(out[-2]))
        modules = int(out[-1])
    print(f"{modules} modules, processor time: {statistics.median(seconds[1:]):.3f} s")


if __name__ == "__main__":
    main()
