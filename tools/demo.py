"""`python run.py demo`: one iterative image-to-image job on a real ComfyUI, from the command line."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from pathlib import Path

from . import client, graphs
from .server import ROOT, Server, ServerError

BASE = ROOT / ".demo"
WORKFLOW = "isi_iterate"


class Bar:
    """A progress bar on the terminal; in a file or pipe, a line every tenth."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.begun = 0.0
        self.tenth = -1

    def on_event(self, kind: str, data: dict) -> None:
        """Listens to the server: the node with the most to do is the one worth showing."""
        if kind != "progress_state":
            return
        node = max(data["nodes"].values(), key=lambda node: node["max"], default=None)
        if node and node["max"] > 1:
            self.show(node["value"], node["max"])

    def show(self, value: float, most: float) -> None:
        self.begun = self.begun or time.monotonic()
        part = value / most
        text = f"[{'#' * int(part * 40):40}] {value:.0f} of {most:.0f} steps"
        text += f", {time.monotonic() - self.begun:.0f} s"
        if self.live:
            print(f"\r{text} ", end="", flush=True)
        elif int(part * 10) > self.tenth:
            self.tenth = int(part * 10)
            print(text, flush=True)

    def close(self) -> None:
        if self.live:
            print()


def accelerated() -> bool:
    """Whether torch can reach a GPU; ComfyUI needs to be told if not."""
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return True
    return hasattr(torch, "xpu") and torch.xpu.is_available()


def provide(file: Path, folder: Path) -> None:
    """Puts the user's model into a folder of ours: as a link if the system allows it, else as a copy."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for way in (os.link, os.symlink):
        with contextlib.suppress(OSError):
            way(file, folder / file.name)
            return
    print(f"Copying {file.name}", flush=True)
    shutil.copyfile(file, folder / file.name)


def prepare(args: argparse.Namespace) -> graphs.Graph:
    """The graph with the user's model, picture and script in it."""
    graph = graphs.load(WORKFLOW)
    if args.checkpoint:
        checkpoint = Path(args.checkpoint)
        provide(checkpoint, BASE / "models" / "checkpoints")
        graphs.use_checkpoint(graph, checkpoint.name)
    if args.image:
        image = Path(args.image)
        (BASE / "input").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, BASE / "input" / image.name)
        graphs.set_inputs(graph, "LoadImage", image=image.name)
    if args.script:
        graphs.set_inputs(graph, "ISI_Script", script=args.script)
    return graph


def report(graph: graphs.Graph, found: dict[str, list[Path]], runs: list[str]) -> None:
    """Prints where the pictures are."""
    print()
    for node_id, files in found.items():
        if graph[node_id]["class_type"] == "ISI_Iterate":
            continue  # its picture is one of the iterations
        print(f"{graphs.title(graph, node_id) + ':':22} {files[-1]}")
    for run in runs:
        print(f"{'The single iterations:':22} {BASE / 'output' / 'isi' / run}")


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("checkpoint", "image", "script"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    for name in ("checkpoint", "image"):
        if getattr(args, name) and not Path(getattr(args, name)).is_file():
            print(f"There is no file {getattr(args, name)}")
            return 1
    graph = prepare(args)
    cpu = not accelerated()
    print(f"Starting ComfyUI on the {'CPU' if cpu else 'GPU'} (its log: {BASE / 'comfyui.log'})", flush=True)
    bar = Bar()
    try:
        with Server(BASE, cpu=cpu) as server:
            for _, node in graphs.nodes_of(graph, "ISI_Script"):
                print(f"Script: {node['inputs']['script']}", flush=True)
            outputs = client.execute(server.url, graph, bar.on_event)
    except (ServerError, client.Refused) as error:
        bar.close()
        print(error)
        return 1
    bar.close()
    runs = [run["run"] for output in outputs.values() for run in output.get("isi_run", [])]
    report(graph, graphs.pictures(outputs, BASE), runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
