"""Graphs with an ISI Grid, and the host's own queue, done as its worker does it."""

import json

import numpy as np
import torch
from PIL import Image


def node(class_type, title="", **inputs):
    return {"class_type": class_type, "inputs": inputs} | ({"_meta": {"title": title}} if title else {})


def loop(axes="", name="", **run):
    """A loop of two steps of a mini model, and a grid over it."""
    script = {
        "script": "a red circle; a red square", "steps": 2, "cfg": 5.0, "denoise": 0.7, "final_denoise": 0.7,
        "curve": "constant", "seed": 3, "seed_mode": "increment",
    }  # fmt: skip
    iterate = {
        "model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2], "plan": ["script", 0],
        "negative": "", "sampler_name": "euler", "scheduler": "normal", "width": 64, "height": 64,
    } | run  # fmt: skip
    return {
        "model": node("ISI_MiniCheckpoint", "Model", kind="base"),
        "script": node("ISI_Script", **script),
        "run": node("ISI_Iterate", **iterate),
        "grid": node("ISI_Grid", image=["run", 0], axes=axes, name=name),
    }


def flat(axes, name=""):
    """A plain picture of one colour, scaled, and a grid over it: nothing is sampled."""
    return {
        "1": node("EmptyImage", "Paint", width=16, height=16, batch_size=1, color=255),
        "2": node(
            "ImageScale", image=["1", 0], upscale_method="bilinear", width=24, height=16, crop="disabled"
        ),
        "grid": node("ISI_Grid", image=["2", 0], axes=axes, name=name),
    }


class Queue:
    """The host, and the prompts that wait in its queue."""

    def __init__(self, host):
        self.host, self.queue = host, host.server.prompt_queue

    def run(self, prompt, most=1000):
        """Queues a prompt by its page and does it and all that it queues; how each of those ended."""
        outputs = self.send(prompt)
        return self.drain(most), outputs

    def send(self, prompt):
        """Does a prompt itself; as a server does, which reads each anew, since the host writes into it."""
        return self.host.run(json.loads(json.dumps(prompt)))

    def drain(self, most=1000):
        ended = []
        while len(ended) < most and (found := self.queue.get(timeout=0.001)):
            item, number = found
            executor = self.host.executor
            self.host.loop.run_until_complete(executor.execute_async(item[2], item[1], item[3], item[4]))
            self.queue.task_done(number, executor.history_result, None)
            ended.append(executor.success)
        return ended

    def die(self):
        """As if the server was killed: what is on disk stays, its queue and our memory are gone."""
        from isi.host.grids import queueing

        self.queue.wipe_queue()
        self.queue.currently_running.clear()
        queueing._cells.clear()
        queueing._makings.clear()
        self.host.new_executor()

    def folder(self, name):
        return self.host.base / "output" / "isi_grids" / name

    def grid(self, name):
        return json.loads((self.folder(name) / "grid.json").read_text())

    def pictures(self, name):
        """Every cell's picture `[H, W, 3]`, 0..255, the first axis fastest; None for what is not there."""
        files = [key and self.folder(name) / "cells" / f"{key}.png" for key in self.grid(name)["keys"]]
        return [np.asarray(Image.open(file)) if file and file.is_file() else None for file in files]


def levels(picture):
    """A float picture `[1, H, W, 3]` as a PNG has it."""
    return picture[0].clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
