"""What needs a ComfyUI to be fuzzed: settings, manifests of runs, and the pack's routes."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ..fuzzing import STRANGE, dumped, sentence, strange
from .harness import Host

RUN, STEPS = "fuzzed", 3
SETTINGS = {"ISI.StoreGiB": 4, "Comfy.Locale": "en", "ISI.Strip": {"open": True, "sizes": [1, 2]}}
TEXTS = [
    "", "0", "1", "-1", "1e9", "9" * 30, "nan", "１", "a\0b", "../..", "..", "é" * 300, "x" * 3000, "%00",
    "a/b", "'", RUN, "../runs/fuzzed", "2", "../../../../../../etc/hostname", "con", "@0123456789abcdef",
]  # fmt: skip


class Desk:
    """A run on disk, and a page that asks for it; each target makes one input from `random.Random`."""

    def __init__(self, host: Host):
        from isi.core.loop.lens import Masked
        from isi.core.loop.plan import Plan, Step, content_hash
        from isi.host.loop import gallery, manifest

        self.host = host
        mask = torch.zeros(1, 8, 8)
        mask[:, 2:5] = 1
        name = content_hash(mask)
        plan = Plan(tuple(Step(f"p{k}", lens=Masked(name, name)) for k in range(STEPS)), {name: mask})
        run = gallery.Run(RUN, tuple(f"{k:032x}" for k in range(STEPS)), plan)
        pictures = torch.rand(1, 8, 8, 3, generator=torch.Generator().manual_seed(0))
        for index, key in enumerate(run.keys):
            notes = {"isi": json.dumps({"key": key})}
            gallery.save_pictures(gallery.picture_name(RUN, index, key), pictures, notes)
        run.save(run.keys[-1])
        self.path = manifest.manifest_path(RUN)
        self.sound = json.loads(self.path.read_text("utf-8"))
        self.client: TestClient | None = None

    def targets(self) -> dict[str, Callable[[random.Random], None]]:
        """What can be fuzzed here, by name."""
        return {"settings": self.settings, "manifests": self.manifests, "routes": self.routes}

    def settings(self, rng: random.Random) -> None:
        """What a page may have set: a store opens whatever it is."""
        import folder_paths
        from isi.host.loop.gallery import open_store

        path = Path(folder_paths.get_user_directory(), "default", "comfy.settings.json")
        path.parent.mkdir(exist_ok=True)
        value: Any = strange(SETTINGS, rng)
        if rng.random() < 0.5:
            value = SETTINGS | {"ISI.StoreGiB": rng.choice([*STRANGE, -0.0, 5e-324, 1e308, "4", math.inf])}
        path.write_bytes(dumped(value, rng))
        try:
            limit = open_store().limit
        finally:
            path.write_text("{}")
        assert type(limit) is int and 0 <= limit < 2**63

    def manifests(self, rng: random.Random) -> None:
        """What a stranger may have written down of a run: it opens, or there is one sentence."""
        from isi.core.store.manifests import check_manifest
        from isi.host.loop import gallery

        self.path.write_bytes(dumped(strange(self.sound, rng), rng))
        for ask in (gallery.overview, gallery.open_run):
            try:
                ask(RUN)
            except ValueError as error:
                sentence(error)
        try:
            json.loads(json.dumps(check_manifest(self.path.read_bytes(), RUN)["saved"], allow_nan=False))
        except ValueError as error:
            sentence(error)

    def routes(self, rng: random.Random) -> None:
        """A request that the pack's routes may get, of a run that is sound or not."""
        sound = rng.random() < 0.5
        text = json.dumps(self.sound).encode() if sound else dumped(strange(self.sound, rng), rng)
        self.path.write_bytes(text)
        method, path, query, body = _asked(rng)
        given: dict[str, Any] = {"data": body} if method == "post" else {"params": query}

        async def ask() -> tuple[int, str, str]:
            if self.client is None:
                app = web.Application()
                app.add_routes([one for one in self.host.server.routes if one.path.startswith("/isi/")])
                self.client = TestClient(TestServer(app))
                await self.client.start_server()
            answer = await self.client.request(method, path, **given)
            return answer.status, answer.content_type, await answer.text()

        status, kind, said = self.host.loop.run_until_complete(ask())
        # 422 is what the pack answers where its own code failed: a raw error in the log. 400 is the server's
        # own word for a request line of more than 8 kB, which never reaches the pack.
        long = len(path) + sum(map(len, query.values())) > 8000
        assert status in (200, 404) or (long and status == 400), (
            status,
            said[:200],
            method,
            path[:200],
            query,
        )
        if status == 404 and kind == "application/json":
            error = json.loads(said)["error"]
            sentence(ValueError(error.splitlines()[0] if error.startswith("Axes, line ") else error))

    def close(self) -> None:
        """Ends the page's connection."""
        if self.client is not None:
            self.host.loop.run_until_complete(self.client.close())


def _asked(rng: random.Random) -> tuple[str, str, dict[str, str], bytes]:
    """A method, a path, a query and a body."""
    name = RUN if rng.random() < 0.4 else rng.choice(TEXTS)
    name = name.replace("/", "%2F").replace("\0", "%00") or "a"
    query = {rng.choice(("from", "count", "file", "kind", "other")): rng.choice(TEXTS) for _ in range(3)}
    if rng.random() < 0.5:
        query["file"] = f"checkpoints/{rng.choice(TEXTS)}"
    body = dumped(strange({"add": ["0001-00000000.png"], "remove": []}, rng), rng)
    grids = f"/isi/grids/{name}/index.html", f"/isi/grids/a/cells/{name}"
    path = rng.choice((f"/isi/runs/{name}", "/isi/model", f"/isi/stars/{name}", "/isi/grid", *grids))
    if path == "/isi/grid":
        graph = {"1": {"class_type": "EmptyImage", "inputs": {}}}
        graph["2"] = {"class_type": "ISI_Grid", "inputs": {"image": ["1", 0], "axes": "color = 1 .. 2"}}
        body = dumped(strange({"prompt": graph, "node": "2", "dry": True}, rng), rng)
    return "post" if "stars" in path or path == "/isi/grid" else "get", path, query, body
