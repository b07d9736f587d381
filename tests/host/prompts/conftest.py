"""Fixtures of prompts: the nodes on the tiny models, what the model sees, LoRAs with few weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file


class Seen:
    """A clone of a MODEL that notes which conditioning each of its calls gets."""

    def __init__(self, model):
        self.calls: list[list[tuple[int, torch.Tensor]]] = []
        self.predictions: list[list[torch.Tensor]] = []
        self.guided: list[torch.Tensor] = []
        self.model = model.clone()
        self.model.set_model_unet_function_wrapper(self._note)
        self.model.set_model_sampler_post_cfg_function(self._guide)

    def _note(self, apply_model, args):
        rows = args["c"]["c_crossattn"].chunk(len(args["cond_or_uncond"]))
        self.calls.append(list(zip(args["cond_or_uncond"], rows, strict=True)))
        found = apply_model(args["input"], args["timestep"], **args["c"])
        self.predictions.append(list(found.chunk(len(rows))))
        return found

    def _guide(self, args):
        self.guided.append(args["denoised"])
        return args["denoised"]

    def texts(self, names: dict[str, torch.Tensor], which=0) -> list[str]:
        """The name of the positive (or negative) text of each call."""
        found = []
        for call in self.calls:
            (row,) = (row for index, row in call if index == which)
            found.append(next(name for name, tensor in names.items() if torch.equal(row, tensor)))
        return found


@pytest.fixture
def loras(host):
    """Writes LoRAs for the tiny models into the host's folder of LoRAs, and removes them afterwards."""
    import folder_paths

    folder = Path(folder_paths.models_dir, "loras")
    written = []

    def write(name, model, clip, seed, width=0):
        import comfy.lora

        keys = comfy.lora.model_lora_keys_unet(model.model, {})
        keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, keys)
        state = model.model.state_dict() | clip.cond_stage_model.state_dict()
        generator = torch.Generator().manual_seed(seed)
        weights = {}
        for known, key in sorted(keys.items()):
            if known.startswith(("lora_unet_", "lora_te_")) and "attn" in known and isinstance(key, str):
                rows, columns = state[key].shape[0] + width, state[key][0].numel()
                weights[f"{known}.lora_up.weight"] = torch.randn(rows, 2, generator=generator)
                weights[f"{known}.lora_down.weight"] = torch.randn(2, columns, generator=generator) * 0.05
                weights[f"{known}.alpha"] = torch.tensor(2.0)
        assert any("unet" in one for one in weights) and any("_te_" in one for one in weights)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, path)
        written.append(path)
        folder_paths.filename_list_cache.pop("loras", None)

    yield write
    for path in written:
        path.unlink(missing_ok=True)
    folder_paths.filename_list_cache.pop("loras", None)
