"""A run on a patched model with a ControlNet, killed at random moments or in its writes, and gone on with."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import stat
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import save_file

from ...forks import Child
from .. import harness
from ..tiny import tiny_control_net


def lora(model, path: Path) -> None:
    """A LoRA file of rank 2 for the attention of `model`."""
    generator = torch.Generator().manual_seed(9)
    tensors = {}
    for name, weight in model.model.diffusion_model.state_dict().items():
        if name.endswith(("to_q.weight", "to_v.weight")):
            stem = f"diffusion_model.{name.removesuffix('.weight')}"
            tensors[f"{stem}.lora_up.weight"] = torch.randn(weight.shape[0], 2, generator=generator)
            tensors[f"{stem}.lora_down.weight"] = torch.randn(2, weight.shape[1], generator=generator) * 0.1
    assert tensors
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


WRITES = ("os.rename", "flush", "open", "os.utime")


def count_writes(what: str, stop: int) -> Counter[str]:
    """Counts what this process does to files from now on, and kills it before the `stop`th of `what`.

    Where that is the moment in which a file's content is made to last, half of the content is there.
    """
    counts: Counter[str] = Counter()
    sync = os.fsync

    def here(event: str) -> bool:
        counts[event] += 1
        return event == what and counts[event] == stop

    def look(event: str, given: tuple) -> None:
        writes = event != "open" or (isinstance(given[2], int) and given[2] & (os.O_CREAT | os.O_TRUNC))
        if event in WRITES and writes and here(event):
            os.kill(os.getpid(), signal.SIGKILL)

    def flush(handle: int) -> None:
        state = os.fstat(handle)
        if stat.S_ISREG(state.st_mode) and here("flush"):
            os.ftruncate(handle, state.st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(handle)

    os.fsync = flush
    sys.addaudithook(look)
    return counts


def kill_and_go_on(
    host, model, clip, vae, picture, trials: int, folder: Path, aimed: bool, steps: int
) -> Counter[int]:
    """How often how many iterations were made again after a kill; holds that the bits are the same.

    Kills come at random moments, or, `aimed`, each in one of the run's writes, from the first to the last.
    """
    import comfy.sample
    import folder_paths

    lora(model, folder / "loras" / "killed.safetensors")
    folder_paths.add_model_folder_path("loras", str(folder / "loras"))
    given = {"model": model, "clip": clip, "vae": vae, "picture": picture, "net": tiny_control_net()}
    harness.VALUES |= given
    sampling = {"model": ["lora", 0], "sampling": "v_prediction", "zsnr": False}
    inputs = {"plan": ["script", 0], "negative": "n", "sampler_name": "euler", "scheduler": "normal"}
    inputs |= {"model": ["sampling", 0], "clip": ["clip", 0], "vae": ["vae", 0], "image": ["picture", 0]}
    inputs |= {"conditioner": ["control", 0]}
    control = {
        "control_net": ["net", 0],
        "hint": "picture",
        "strength": 0.8,
        "start_percent": 0.0,
        "end_percent": 1.0,
    }
    script = {"script": "; ".join(f"p{k}" for k in range(steps)), "steps": 2, "cfg": 2.0, "denoise": 0.5}
    script |= {"final_denoise": 0.5, "curve": "constant", "seed": 3, "seed_mode": "increment"}
    lora_inputs = {"model": ["model", 0], "lora_name": "killed.safetensors", "strength_model": 0.7}
    prompt = {name: {"class_type": "Test_Value", "inputs": {"name": name}} for name in given} | {
        "lora": {"class_type": "LoraLoaderModelOnly", "inputs": lora_inputs},
        "sampling": {"class_type": "ModelSamplingDiscrete", "inputs": sampling},
        "control": {
            "class_type": "ISI_ControlNetConditioner",
            "inputs": {"control_net": ["net", 0]} | control,
        },
        "script": {"class_type": "ISI_Script", "inputs": script},
        "run": {"class_type": "ISI_Iterate", "inputs": inputs},
        "out": {"class_type": "Test_Catch", "inputs": {"name": "image", "value": ["run", 0]}},
    }
    for name in given:
        harness.name_of(harness.VALUES[name])  # all children know it by one name
    real = comfy.sample.sample

    def work(home: Path, log: Path, what: str = "", stop: int = 0) -> None:
        os.environ["ISI_HOME"] = str(home)
        prompt["run"]["inputs"]["run_name"] = home.name  # pictures in a folder of its own
        handle = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

        def counted(*args, **kwargs):
            out = real(*args, **kwargs)
            os.write(handle, b"x")
            return out

        comfy.sample.sample = counted
        host.new_executor()
        writes = count_writes(what, stop)
        host.run(prompt)
        log.with_suffix(".writes").write_text(json.dumps(writes))
        image = harness.CAUGHT["image"].contiguous()
        os.write(handle, hashlib.sha256(image.numpy().tobytes()).hexdigest().encode())

    began = time.monotonic()
    assert Child(lambda: work(folder / "whole", folder / "whole.log")).wait() == 0
    lasts = time.monotonic() - began
    whole = (folder / "whole.log").read_bytes()
    assert whole.count(b"x") == steps
    rng, again = random.Random(trials), Counter()
    writes = json.loads((folder / "whole.writes").read_text())
    for trial in range(trials):
        home, logs = folder / f"home {trial}", [folder / f"{trial} {part}.log" for part in (1, 2)]
        what = WRITES[trial % len(WRITES)]
        # The last few are left out: the first run of all makes files that later ones find.
        aim = (what, 1 + (writes[what] - 5) * trial // trials) if aimed else ("", 0)
        child = Child(lambda home=home, log=logs[0], aim=aim: work(home, log, *aim))
        if not aimed:
            time.sleep(rng.uniform(0, lasts))
            child.kill()
        assert child.wait() in ((-9,) if aimed else (-9, 0))
        assert Child(lambda home=home, log=logs[1]: work(home, log)).wait() == 0
        first = logs[0].read_bytes().count(b"x") if logs[0].exists() else 0
        second = logs[1].read_bytes()
        assert second[-64:] == whole[-64:], f"kill {trial}: other bits"
        again[first + second.count(b"x") - steps] += 1
        left = [path for path in home.rglob("*.part")] + [*(host.base / "output").rglob("*.part")]
        assert not left, f"kill {trial}: {left}"
    return again
