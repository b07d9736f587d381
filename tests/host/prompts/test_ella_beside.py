"""ELLA beside LoRAs, AND, a mask and tiles: as with a model that the paper's own connector tells, at the
model's own timesteps, what T5 reads in each text."""

import pytest
import torch
from safetensors.torch import save_file

from ..conditioning.test_ella import TEXT, conditioner, words_of
from ..loop.test_iterate import Bench
from ..tiny import tiny_clip, tiny_model, tiny_vae
from ..tiny_ella import SMALL, ella, t5_weights

OTHER = "a small blue ring"
TILES = {
    "tile_size": 64, "overlap": 16, "blend": "cosine", "shift_grid": False, "wrap": "off", "tile_batch": 2,
    "global_share": 0.3, "skip_flat": 0.0,
}  # fmt: skip


@pytest.fixture
def bench(host):
    for folder, name, weights in (
        ("ella", "ella.safetensors", ella(**SMALL).state_dict()),
        ("text_encoders", "t5.safetensors", t5_weights()),
    ):
        path = host.base / "models" / folder / name
        path.parent.mkdir(exist_ok=True)
        save_file(weights, path)
    return Bench(host, tiny_model(context=64), tiny_clip(width=64), tiny_vae())


def told_by_the_paper(bench):
    """A clone of the model whose every row gets the paper's tokens of the text that CLIP has read there."""
    model, network = bench.model.clone(), ella(**SMALL)
    known = {text: bench.text(text)[0][0][0] for text in (TEXT, OTHER, "blurry")}

    def tell(apply_model, args):
        rows, told = args["c"]["c_crossattn"], []
        times = model.model.model_sampling.timestep(args["timestep"]).float()
        for row, time in zip(rows, times.expand(len(rows)), strict=True):
            text = next(text for text, read in known.items() if torch.equal(row, read))
            told.append(network(words_of(text), time[None])[0])
        return apply_model(args["input"], args["timestep"], **args["c"] | {"c_crossattn": torch.stack(told)})

    model.set_model_unet_function_wrapper(tell)
    return model


@pytest.mark.parametrize("beside", ["lora", "and", "mask", "tiles"])
def test_ella_beside(bench, picture, loras, beside):
    text, given = TEXT, {"image": picture}
    if beside == "lora":
        loras("ink.safetensors", bench.model, bench.clip, 1)
        text = f"<lora:ink:.8:0>{TEXT}"  # on the model alone: T5 knows no LoRA
    elif beside == "and":
        text = f"{TEXT} AND {OTHER} :.7"
    elif beside == "mask":
        given["mask"] = torch.zeros(1, 64, 64)
        given["mask"][:, 16:56, 8:40] = 1
    else:
        given["image"] = torch.cat((picture, picture.flip(2)), 2)[:, :, :96]

    def made(model, **more):
        if beside == "tiles":
            (model,) = bench.host.call("ISI_TiledSampling", model=model, **TILES)
        return bench.run(bench.plan(text), model=model, **given, **more)[0]

    expected = made(told_by_the_paper(bench))
    found = made(bench.model, conditioner=conditioner(bench))
    without = made(bench.model)
    assert (found - expected).abs().max() < 1e-3
    assert (found - without).abs().max() > 1e-2
