"""Concat-conditioned sampling against the host's own nodes: time of a step as a ratio, both in one run.

python run.py bench concat
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

import torch

ROUNDS = 5
STEPS = 8


def seconds(act) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def main() -> None:
    """Prints (ours / host) for two-way and three-way guidance of an instruct-pix2pix model."""
    from ..tests.host.harness import Host

    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        model, clip, vae, _ = host.call("ISI_MiniCheckpoint", kind="instruct-pix2pix")
        (positive,) = host.call("CLIPTextEncode", clip=clip, text="make the circle blue")
        (negative,) = host.call("CLIPTextEncode", clip=clip, text="")
        image = torch.rand(1, 256, 256, 3, generator=torch.Generator().manual_seed(0))
        inputs = {"positive": positive, "negative": negative, "vae": vae}
        theirs = host.call("InstructPixToPixConditioning", pixels=image, **inputs)
        ours = host.call(
            "ISI_ConcatConditioning", model=model, kind="instruct-pix2pix", image=image, **inputs
        )
        null = [[e, {k: v for k, v in d.items() if k != "concat_latent_image"}] for e, d in theirs[1]]
        edit = {"model": ours[0], "positive": ours[1], "negative": ours[2], "text_cfg": 7.5}
        guiders = {
            "two-way, host": host.call(
                "CFGGuider", model=model, positive=theirs[0], negative=theirs[1], cfg=7.5
            ),
            "two-way, ISI": host.call("ISI_EditGuider", image_cfg=1.0, **edit),
            "three-way, host": host.call(
                "DualCFGGuider",
                model=model,
                cond1=theirs[0],
                cond2=theirs[1],
                negative=null,
                cfg_conds=7.5,
                cfg_cond2_negative=1.5,
                style="regular",
            ),  # fmt: skip
            "three-way, ISI": host.call("ISI_EditGuider", image_cfg=1.5, **edit),
        }
        (noise,) = host.call("RandomNoise", noise_seed=1)
        (sampler,) = host.call("KSamplerSelect", sampler_name="euler")
        (sigmas,) = host.call("BasicScheduler", model=model, scheduler="normal", steps=STEPS, denoise=1.0)
        times: dict[str, list[float]] = {name: [] for name in guiders}
        pictures = {}
        for _ in range(ROUNDS + 1):
            for name, (guider,) in guiders.items():

                def act(name=name, guider=guider):
                    out = host.call(
                        "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas,
                        latent_image=ours[3],
                    )  # fmt: skip
                    pictures[name] = out[0]["samples"]

                times[name].append(seconds(act))
    for way in ("two-way", "three-way"):
        ratio = median(times[f"{way}, ISI"][1:]) / median(times[f"{way}, host"][1:])
        apart = (pictures[f"{way}, ISI"] - pictures[f"{way}, host"]).abs().max()
        apart = apart / pictures[f"{way}, host"].abs().max()
        print(f"{way:10} ISI / host: {ratio:.2f} of the time, largest relative difference {apart:.1e}")
