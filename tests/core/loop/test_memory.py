"""Memory against its closed forms, on pictures and latents alike."""

import pytest
import torch
from isi.core.loop.memory import Memory, blend

SHAPES = [(2, 16, 24, 3), (1, 4, 8, 8), (1, 16, 3, 8, 8)]


def results(shape, count=7):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count + 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_ema_is_the_weighted_sum_of_all_results(shape):
    init, *outs = results(shape)
    b, state = 0.3, init
    for out in outs:
        state = blend(Memory(blend="ema", amount=b), state, out, init)
    n = len(outs)
    expected = (1 - b) ** n * init + sum(b * (1 - b) ** (n - 1 - k) * out for k, out in enumerate(outs))
    torch.testing.assert_close(state, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_anchor_mixes_the_first_picture_in(shape):
    init, state, out = results(shape, 2)
    mixed = blend(Memory(blend="anchor", amount=0.2), state, out, init)
    torch.testing.assert_close(mixed, 0.8 * out + 0.2 * init)


@pytest.mark.parametrize(
    "memory",
    [Memory(), Memory(amount=0.5), Memory(blend="anchor", amount=0.0), Memory(blend="ema", amount=1.0)],
)
def test_off_means_absent(memory):
    init, state, out = results(SHAPES[0], 2)
    assert blend(memory, state, out, init) is out


@pytest.mark.parametrize("kind", ["ema", "anchor"])
def test_nothing_to_remember_or_another_size_gives_the_result(kind):
    memory, out = Memory(blend=kind, amount=0.5), torch.rand(1, 8, 8, 3)
    assert blend(memory, None, out, None) is out
    small = torch.rand(1, 4, 4, 3)
    assert blend(memory, small, out, small) is out


def test_the_other_ends_of_amount():
    init, state, out = results(SHAPES[0], 2)
    assert torch.equal(blend(Memory(blend="ema", amount=0.0), state, out, init), state)
    assert torch.equal(blend(Memory(blend="anchor", amount=1.0), state, out, init), init)


def test_inputs_are_not_written_into():
    init, state, out = results(SHAPES[0], 2)
    before = [t.clone() for t in (init, state, out)]
    blend(Memory(blend="ema", amount=0.5), state, out, init)
    assert all(torch.equal(a, b) for a, b in zip(before, (init, state, out), strict=True))


def test_memories_that_act_alike_have_one_json():
    assert Memory(amount=0.5).to_json() == Memory().to_json()
    assert Memory(blend="ema", amount=0.5).to_json() != Memory(blend="ema").to_json()
    assert Memory(**Memory("latent", "anchor", 0.1).to_json()) == Memory("latent", "anchor", 0.1)
