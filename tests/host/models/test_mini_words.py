"""The mini model's embedding and hypernetwork, found and read by the host's own nodes."""

import torch
from isi.tools.mini import judge
from isi.tools.mini.words import EMBEDDING, HYPERNETWORK, MEANS

from ..studio import Studio

SAID = "a large red star in the centre on a yellow background"


def test_the_embedding_means_its_words(host):
    (named,), (spelt,) = (
        host.call("CLIPTextEncode", clip=Studio(host).clip, text=f"a {words} on the left")[0]
        for words in (f"embedding:{EMBEDDING}", MEANS)
    )
    assert torch.equal(named[0], spelt[0])


def test_the_hypernetwork_makes_it_night_and_strength_0_is_off(host):
    studio = Studio(host)
    day = studio.draw(SAID, 1, steps=8)
    for strength in (0.0, 1.0):
        (studio.model,) = host.call(
            "HypernetworkLoader", model=Studio(host).model, hypernetwork_name=f"{HYPERNETWORK}.pt",
            strength=strength,
        )  # fmt: skip
        drawn = studio.draw(SAID, 1, steps=8)
        assert torch.equal(drawn, day) == (strength == 0)
        assert judge.read(drawn).background == ("yellow" if strength == 0 else "black")
