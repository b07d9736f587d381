"""The page's scripts in a real browser: their size, how long they take to load, and how smoothly a film strip
of a thousand iterations scrolls.

Load time is measured twice. *Compiled and run*: what the browser notes of our modules on its main thread
while the page opens. *Imported again*: the time that all modules take in the opened page, from the server,
under another spelling of their address (`isi%2Dnodes`), so that nothing comes from a cache.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from ..tools import browser as browsers
from ..tools.server import PACK, ROOT, Server

MANY = 1000
FRAMES = 240
WAYS = 6
"""How often the modules are imported again."""

# The extension's name is taken by then, so the import ends with that error, when all modules have run.
IMPORT = """async name => {
  const begun = performance.now();
  await import(`/extensions/${name}/isi.js`).catch(() => {});
  return performance.now() - begun;
}"""
SCROLL = """async frames => {
  const row = document.querySelector(".isi-strip-row");
  const frame = () => new Promise(requestAnimationFrame);
  const times = [], works = [];
  let last = await frame();
  for (let n = 0; n < frames; n++) {
    row.scrollLeft = (row.scrollWidth / frames) * n;
    const began = await frame();
    row.getBoundingClientRect(); // lays out what this frame changed
    works.push(performance.now() - began);
    times.push(began - last);
    last = began;
  }
  return [times, works];
}"""


def opened_page(server: Server, chromium, *, nodes2: bool) -> tuple[browsers.FrontEnd, float]:
    """The page, and the milliseconds that its main thread spent on our modules while it opened."""
    server.post("/settings/Comfy.VueNodes.Enabled", nodes2)
    chromium.start_tracing(categories=["devtools.timeline", "v8", "disabled-by-default-v8.compile"])
    page = browsers.FrontEnd(chromium, server)
    events = json.loads(chromium.stop_tracing())["traceEvents"]
    spent = 0.0
    for event in events:
        data = event.get("args", {}).get("data", {})
        about = f"{event.get('args', {}).get('fileName', '')} {data.get('url', '')}"
        if event["name"] in ("v8.compileModule", "v8.evaluateModule") and f"/{PACK}/" in about:
            spent += event.get("dur", 0) / 1000
    return page, spent


def write_many(base: Path) -> None:
    """A run of a thousand iterations, as a finished one lies on disk."""
    from PIL import Image

    keys = [f"{number:08x}{0:024x}" for number in range(MANY)]
    runs, folder = base / "user/isi/runs", base / "output/isi/many"
    runs.mkdir(parents=True)
    folder.mkdir(parents=True)
    plan = {"version": 1, "steps": [{"label": f"step {n + 1}", "prompt": ""} for n in range(MANY)]}
    text = json.dumps({"version": 1, "name": "many", "keys": keys, "plan": plan})
    (runs / "many.json").write_text(text, "utf-8")
    for index, key in enumerate(keys):
        Image.new("RGB", (64, 64), (index % 256, 90, 160)).save(folder / f"{index + 1:04d}-{key[:8]}.png")


def scroll(page: browsers.FrontEnd) -> tuple[list[float], list[float], int]:
    """Frame times and work in them in ms, and the strip's elements."""
    page.evaluate(
        "() => { const node = LiteGraph.createNode('ISI_Iterate'); node.properties.isi_run = 'many';"
        " node.pos = [100, 100]; app.rootGraph.clear(); app.rootGraph.add(node); node.setSize([900, 700]);"
        " app.canvas.ds.scale = 1; app.canvas.ds.offset = [100, 0]; app.canvas.setDirty(true, true); }"
    )
    page.page.wait_for_selector(".isi-cell", timeout=browsers.SLOWEST)
    times, works = page.evaluate(SCROLL, FRAMES)
    return times, works, page.evaluate("document.querySelectorAll('.isi-strip *').length")


def main() -> None:
    files = [path for path in (ROOT / "js").rglob("*") if path.suffix in (".js", ".mjs", ".css")]
    words = [path for path in files if path.parent.name == "words"]
    scripts = [path for path in files if path.suffix != ".css" and path not in words]
    for name, paths in {"scripts": scripts, "tables of words": words, "all with styles": files}.items():
        print(f"{name}: {sum(path.stat().st_size for path in paths) / 1000:.1f} kB in {len(paths)} files")
    with (
        tempfile.TemporaryDirectory() as base,
        Server(Path(base)) as server,
        sync_playwright() as playwright,
    ):
        executable = browsers.find(playwright)
        if executable is None:
            raise SystemExit(f"No browser. {browsers.how_to_get_one()}")
        write_many(server.base)
        chromium = browsers.launch(playwright, executable)
        for nodes2 in (False, True):
            page, spent = opened_page(server, chromium, nodes2=nodes2)
            names = [PACK[:n] + f"%{ord(PACK[n]):02X}" + PACK[n + 1 :] for n in range(WAYS)]
            walls = [page.evaluate(IMPORT, name) for name in names]
            times, works, elements = scroll(page)
            print(f"{'Nodes 2.0' if nodes2 else 'canvas'}:")
            print(f"  modules compiled and run while the page opens: {spent:.1f} ms")
            print(f"  all modules imported again: {statistics.median(walls):.0f} ms (best {min(walls):.0f})")
            slow = sum(time > 25 for time in times)
            frame, work, most = (
                statistics.median(times),
                statistics.median(works),
                sorted(works)[-FRAMES // 10],
            )
            print(
                f"  strip of {MANY}: {elements} elements, a frame every {frame:.1f} ms, work {work:.1f} ms "
                f"(90 %: {most:.1f}), {slow} of {len(times)} frames late"
            )
            page.page.close()
        chromium.close()


if __name__ == "__main__":
    main()
