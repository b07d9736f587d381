"""Makes the pictures of help pages: what a node does, without it on the left and with it on the right.

.venv/bin/python -m tools.help_pictures [NODE]
"""

from __future__ import annotations

import copy
import sys
import tempfile
from pathlib import Path

from PIL import Image

from . import client, graphs
from .make_pictures import beside
from .server import ROOT, Server

DOCS = ROOT / "js" / "docs"
PICTURE = "picture.jpg"
OF_A_TEMPLATE = {"ISI_IterativeMix": "upscale_denoise_1_mix"}
"""Nodes that are shown by a shipped workflow."""
SETTINGS = {
    "ISI_Detail": {"amount": 0.6, "start": 0.2, "end": 0.8, "first_layer": 0.0, "last_norm": 0.0},
    "ISI_Tone": {
        **dict.fromkeys(("contrast", "saturation", "red", "green", "blue"), 0.0),
        "brightness": -0.2,
        "start": 0.0,
        "end": 1.0,
        "vae": ["model", 2],
    },
    "ISI_Mirror": {"turn": "left-right", "how": "average", "end": 1.0},
    "ISI_FrequencyLock": {"cutoff": 32.0, "strength": 1.0, "start": 0.0, "end": 1.0},
    "ISI_HighRes": {"start": 0.0, "end": 0.4, "windows": True, "trained_size": 192},
}
PROMPTS = {
    "ISI_Detail": "a large dotted blue star in the centre on a black background",
    "ISI_Tone": "a large red triangle in the centre on a white background",
    "ISI_Mirror": "a large red triangle on the left on a white background",
    "ISI_FrequencyLock": "a large green cross in the centre on a white background",
    "ISI_HighRes": "a large red triangle in the centre on a white background",
}
DENOISE, SIDE = {"ISI_FrequencyLock": 0.7}, {"ISI_HighRes": 384}
NOISE = "ISI_Noise"


def part(node_class: str, **inputs) -> dict:
    return {"class_type": node_class, "inputs": inputs}


def graph_of_noise() -> graphs.Graph:
    """A green cross that a prompt makes red, with noise that is recovered from it."""
    cross = "a large {} cross in the centre on a white background"
    return {
        "model": part("ISI_MiniCheckpoint", kind="base"),
        "picture": part("LoadImage", image="cross.png"),
        "latent": part("VAEEncode", pixels=["picture", 0], vae=["model", 2]),
        "original": part("CLIPTextEncode", clip=["model", 1], text=cross.format("green")),
        "prompt": part("CLIPTextEncode", clip=["model", 1], text=cross.format("red")),
        "negative": part("CLIPTextEncode", clip=["model", 1], text=""),
        "sigmas": part("BasicScheduler", model=["model", 0], scheduler="normal", steps=20, denoise=1.0),
        "node": part(
            NOISE, seed=2, variation_seed=0, variation_strength=0.0, resize_from_width=0,
            resize_from_height=0, walk=1.0, model=["model", 0], source="recovered",
            original=["original", 0], sigmas=["sigmas", 0], recover_steps=20,
        ),
        "guider": part(
            "CFGGuider", model=["model", 0], positive=["prompt", 0], negative=["negative", 0], cfg=2.0
        ),
        "euler": part("KSamplerSelect", sampler_name="euler"),
        "sampler": part(
            "SamplerCustomAdvanced", noise=["node", 0], guider=["guider", 0], sampler=["euler", 0],
            sigmas=["sigmas", 0], latent_image=["latent", 0],
        ),
        "decode": part("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "save": part("SaveImage", images=["decode", 0], filename_prefix="help"),
    }  # fmt: skip


def graph_of(node: str) -> graphs.Graph:
    """A workflow with `node` in it: a shipped one, or a sampler from text, or from a picture."""
    if node in OF_A_TEMPLATE:
        return graphs.load(OF_A_TEMPLATE[node])
    if node == NOISE:
        return graph_of_noise()
    side = SIDE.get(node, 128)
    graph = {
        "model": part("ISI_MiniCheckpoint", kind="base"),
        "node": part(node, model=["model", 0], **SETTINGS[node]),
        "prompt": part("CLIPTextEncode", clip=["model", 1], text=PROMPTS[node]),
        "negative": part("CLIPTextEncode", clip=["model", 1], text=""),
        "latent": part("EmptyLatentImage", width=side, height=side, batch_size=1),
        "sampler": part(
            "KSampler", model=["node", 0], positive=["prompt", 0], negative=["negative", 0],
            latent_image=["latent", 0], seed=2, steps=20, cfg=5.0, sampler_name="euler",
            scheduler="normal", denoise=DENOISE.get(node, 1.0),
        ),
        "decode": part("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "save": part("SaveImage", images=["decode", 0], filename_prefix="help"),
    }  # fmt: skip
    if node in DENOISE:
        graph["picture"] = part("LoadImage", image="cross.png")
        graph["latent"] = part("VAEEncode", pixels=["picture", 0], vae=["model", 2])
    return graph


def without(graph: graphs.Graph, node: str) -> graphs.Graph:
    """The same workflow with the model led past `node`, or with the noise of a seed."""
    graph = copy.deepcopy(graph)
    ((at, patch),) = graphs.nodes_of(graph, node)
    if node == NOISE:
        graph[at] = part("RandomNoise", noise_seed=patch["inputs"]["seed"])
        return graph
    for other in graph.values():
        for name, value in other["inputs"].items():
            if value == [at, 0]:
                other["inputs"][name] = patch["inputs"]["model"]
    del graph[at]
    return graph


def main() -> None:
    with tempfile.TemporaryDirectory() as base, Server(Path(base)) as server:
        for node in sys.argv[1:] or [*SETTINGS, *OF_A_TEMPLATE, NOISE]:
            graph, pair = graph_of(node), []
            ((saved, _),) = graphs.nodes_of(graph, "SaveImage")
            for one in (without(graph, node), graph):
                found = graphs.pictures(client.execute(server.url, one), server.base)
                with Image.open(found[saved][-1]) as picture:
                    pair.append(picture.convert("RGB"))
            target = DOCS / node / PICTURE
            beside(*pair).save(target, quality=85, optimize=True)
            print(target, f"{target.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
