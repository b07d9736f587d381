"""The host's own patches of guidance and of the UNet work in a loop as with its KSampler."""

import pytest
import torch

PATCHES = {
    "RescaleCFG": {"multiplier": 0.7},
    "FreeU_V2": {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2},
    "APG": {"eta": 0.5, "norm_threshold": 5.0, "momentum": 0.3},
}


@pytest.mark.parametrize("node", PATCHES)
def test_in_a_loop_it_does_what_it_does_in_a_chain_of_samplers(bench, picture, node):
    plain, *_ = bench.run(bench.plan("a tree, spring; a tree, summer"), image=picture)
    (bench.model,) = bench.host.call(node, model=bench.model, **PATCHES[node])
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    chained, _ = bench.chain(latent, ["a tree, spring", "a tree, summer"], [1, 1])
    looped, *_ = bench.run(bench.plan("a tree, spring; a tree, summer"), image=picture)
    assert torch.equal(looped, chained) and not torch.equal(looped, plain)
