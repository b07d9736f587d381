"""Boots the real ComfyUI inside the test process, and runs prompts on its real executor.

`Host.run` validates and executes an API-format prompt as the server does. `Host.call` runs one node on
live Python values (models, tensors): it wires them in through `Test_Value` and out through `Test_Catch`,
the only nodes that the tests add.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import uuid
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOST = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".host" / "comfyui-0.30.0")

VALUES: dict[str, Any] = {}
CAUGHT: dict[str, Any] = {}


NAMES: dict[int, tuple[weakref.ref, str]] = {}


def name_of(value: Any) -> str:
    """A name for an object as long as it lives; a new one each time for what can't be watched."""
    if id(value) in NAMES:
        return NAMES[id(value)][1]
    name, key = uuid.uuid4().hex, id(value)
    with suppress(TypeError):
        NAMES[key] = weakref.ref(value, lambda _: NAMES.pop(key, None)), name
    return name


class TestValue:
    """Hands a Python value of the test into a graph."""

    __test__ = False
    INPUT_TYPES = classmethod(lambda cls: {"required": {"name": ("STRING", {})}})
    RETURN_TYPES = ("*",)
    FUNCTION = "value"
    CATEGORY = "test"

    def value(self, name):
        return (VALUES[name],)


class TestCatch:
    """Takes a value of a graph out to the test."""

    __test__ = False
    INPUT_TYPES = classmethod(lambda cls: {"required": {"name": ("STRING", {}), "value": ("*", {})}})
    RETURN_TYPES = ()
    FUNCTION = "catch"
    OUTPUT_NODE = True
    CATEGORY = "test"

    @classmethod
    def VALIDATE_INPUTS(cls, input_types):
        return True

    def catch(self, name, value):
        CAUGHT[name] = value
        return {}


class Failed(Exception):
    """A prompt that did not validate, or a node that raised. `details` is the host's own message."""

    def __init__(self, message: str, details: dict):
        super().__init__(message)
        self.details = details


class Host:
    """The in-process ComfyUI: `events` collects what it would send to the front end."""

    def __init__(self, base: Path):
        self.base = base
        self.events: list[tuple[Any, Any]] = []
        self._boot()
        self.client_id = "test"
        self.last_node_id = self.last_prompt_id = None
        self.sockets_metadata: dict = {"test": {"feature_flags": {"supports_preview_metadata": True}}}
        self.new_executor()

    def _boot(self) -> None:
        sys.path.insert(0, str(HOST))
        for folder in ("input", "output", "temp", "user", "custom_nodes", "models"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        sys.argv = ["main.py", "--cpu", "--base-directory", str(self.base), "--disable-api-nodes"]
        import comfy.options

        comfy.options.enable_args_parsing()
        # Before `nodes` puts the folder comfy/ on the path, where another `utils` is.
        import utils.install_util  # noqa: F401, I001
        import server

        import nodes

        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.server = server.PromptServer(self.loop)
        self._host_main().hijack_progress(self.server)
        self.server.send_sync = self.send_sync
        self.server.client_id = "test"
        self.server.last_prompt_id = self.server.last_node_id = None
        self.server.sockets_metadata = {"test": {"feature_flags": {"supports_preview_metadata": True}}}
        self.loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
        before = set(sys.modules)
        assert self.loop.run_until_complete(nodes.load_custom_node(str(ROOT))), "the pack did not load"
        nodes.NODE_CLASS_MAPPINGS |= {"Test_Value": TestValue, "Test_Catch": TestCatch}
        # Tests import the pack as `isi`; give them the very modules that the host loaded.
        name = str(ROOT).replace(".", "_x_")
        for module in set(sys.modules) - before:
            if module == name or module.startswith(name + "."):
                sys.modules["isi" + module[len(name) :]] = sys.modules[module]
        self.nodes = nodes.NODE_CLASS_MAPPINGS

    def _host_main(self):
        """The host's main.py: its progress hook is what checks for interrupts."""
        spec = importlib.util.spec_from_file_location("comfyui_main", HOST / "main.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def send_sync(self, event, data, sid=None) -> None:
        self.events.append((event, data))

    def new_executor(self, cache: str = "classic") -> None:
        """Starts with empty caches, in one of the host's four modes: classic, lru, ram, none."""
        from execution import CacheType, PromptExecutor

        kinds = {"classic": "CLASSIC", "lru": "LRU", "ram": "RAM_PRESSURE", "none": "NONE"}
        sizes = {"lru": 50 if cache == "lru" else 0, "ram": 1.0, "ram_inactive": 1.0}
        self.cache = cache
        self.executor = PromptExecutor(self.server, getattr(CacheType, kinds[cache]), sizes)

    def run(self, prompt: dict, outputs: list[str] | None = None) -> dict:
        """Validates and executes a prompt; returns the `ui` outputs by node id. Raises Failed."""
        import execution

        prompt_id = str(uuid.uuid4())
        valid, error, good, node_errors = self.loop.run_until_complete(
            execution.validate_prompt(prompt_id, prompt, outputs)
        )
        if not valid:
            raise Failed(str(error) + str(node_errors), {"error": error, "node_errors": node_errors})
        self.loop.run_until_complete(
            self.executor.execute_async(prompt, prompt_id, {"client_id": "test"}, good)
        )
        if not self.executor.success:
            ends = ("execution_error", "execution_interrupted")
            event, data = next(m for m in self.executor.status_messages if m[0] in ends)
            trace = "".join(data.get("traceback", []))
            raise Failed(f"{event}: {data.get('exception_message')}\n{trace}", data)
        return self.executor.history_result["outputs"]

    def call(self, node: str, /, **inputs: Any) -> tuple:
        """Runs one node on Python values; returns its outputs. Widget values go in as they are.

        The node runs each time, and an object has one name as long as it lives: what it is does not change.
        """
        import nodes

        self.new_executor(self.cache)
        prompt: dict[str, dict] = {"node": {"class_type": node, "inputs": {}}}
        for name, value in inputs.items():
            if isinstance(value, (str, int, float, bool)):
                prompt["node"]["inputs"][name] = value
                continue
            token = name_of(value)
            VALUES[token] = value
            prompt[f"in_{name}"] = {"class_type": "Test_Value", "inputs": {"name": token}}
            prompt["node"]["inputs"][name] = [f"in_{name}", 0]
        token = uuid.uuid4().hex
        count = len(nodes.NODE_CLASS_MAPPINGS[node].RETURN_TYPES)
        for i in range(count):
            catch = {"name": f"{token}{i}", "value": ["node", i]}
            prompt[f"out_{i}"] = {"class_type": "Test_Catch", "inputs": catch}
        try:
            self.run(prompt)
            return tuple(CAUGHT.pop(f"{token}{i}") for i in range(count))
        finally:
            for key in [v["inputs"]["name"] for v in prompt.values() if v["class_type"] == "Test_Value"]:
                VALUES.pop(key, None)  # one value may be in two inputs
