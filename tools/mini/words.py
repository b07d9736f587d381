"""What is made of the text model alone, in seconds: an embedding and a hypernetwork for base.

`python tools/mini/train.py words` writes both: the embedding is the vectors of a few words under one name,
and the hypernetwork the linear map that changes what every caption says of its background.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch
from safetensors.torch import save_file
from torch import Tensor

from host.models import mini

from . import world
from .captions import phrase
from .denoiser import Text, Tokens

NAME = "words"
EMBEDDING, MEANS = "mini-hero", "large striped orange star"
HYPERNETWORK, GROUND = "mini-night", "black"
CAPTIONS, RIDGE = 1200, 1e-4


def make() -> None:
    """Writes both to assets/mini, in the layouts of A1111."""
    tokens = Tokens()
    text = Text(tokens.vocabulary())
    text.load_state_dict(mini.read_weights("text"))
    place = mini.ASSETS / "embeddings" / f"{EMBEDDING}.safetensors"
    place.parent.mkdir(exist_ok=True)
    ids = torch.tensor(tokens(MEANS)[1 : 1 + len(MEANS.split())])
    save_file({"clip_l": text.rows[text.place[ids]].detach().half()}, place)
    place = mini.ASSETS / "hypernetworks" / f"{HYPERNETWORK}.pt"
    place.parent.mkdir(exist_ok=True)
    layer = night(text, tokens)
    torch.save({mini.CONTEXT: [layer, layer], "activation_func": "linear", "name": HYPERNETWORK}, place)


def night(text: Text, tokens: Tokens) -> dict[str, Tensor]:
    """One linear layer, by ridge regression: from each token's context in captions of single shapes to what
    has to be added for the same captions with the background GROUND."""
    rng, said, wanted = Random(5), [], []
    while len(said) < CAPTIONS:
        scene = world.sample_scene(rng, 1, 0.15, 0.15)
        if GROUND not in (scene.background, scene.shapes[0].colour):
            seed = rng.random()
            said.append(tokens(phrase(scene, Random(seed))))
            wanted.append(tokens(phrase(replace(scene, background=GROUND), Random(seed))))
    with torch.no_grad():
        before, after = (
            torch.cat([text(part) for part in torch.tensor(ids).split(100)]).flatten(0, 1).double()
            for ids in (said, wanted)
        )
    x = torch.cat((before, torch.ones(len(before), 1, dtype=before.dtype)), 1)
    ridge = RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    w = torch.linalg.solve(x.T @ x + ridge, x.T @ (after - before))
    return {"linear.0.weight": w[:-1].T.half().contiguous(), "linear.0.bias": w[-1].half()}
