"""Without kornia and spandrel, which ComfyUI itself does without, no node is lost."""

import json
import subprocess
import sys

from .harness import ROOT
from .test_schemas import golden

# A process of its own: in this one both packages are loaded long since.
SCRIPT = """
import json, sys, tempfile
from pathlib import Path

sys.modules["kornia"] = sys.modules["spandrel"] = None
from tests.host.harness import Failed, Host

with tempfile.TemporaryDirectory() as base:
    host = Host(Path(base))
    import torch

    def said(node, **inputs):
        try:
            return host.call(node, **inputs)[0]
        except Failed as failed:
            return failed.details["exception_message"].strip()

    sizes = {"factor": 2.0, "width": 0, "height": 0, "tile_size": 64, "overlap": 8, "allow_gigapixel": False}
    picture = torch.rand(1, 32, 32, 3)
    lanczos = said("ISI_UpscaleImage", image=picture, model_name="lanczos", **sizes)
    network = said("ISI_UpscaleImage", image=picture, model_name="mini/upscaler-2x", **sizes)
    model, clip, vae, _ = host.call("ISI_MiniCheckpoint", kind="base")
    plan, *_ = host.call("ISI_Script", script="a red circle", steps=1, cfg=1.0, denoise=0.5,
                         final_denoise=0.5, curve="constant", seed=0, seed_mode="fixed")
    runs = {}
    for hint in ("picture", "edges"):
        (control,) = host.call("ISI_ControlNetConditioner", control_net="none", hint=hint, strength=0.0,
                               start_percent=0.0, end_percent=1.0)
        made = said("ISI_Iterate", model=model, clip=clip, vae=vae, plan=plan, negative="", image=picture,
                    sampler_name="euler", scheduler="normal", conditioner=control)
        runs[hint] = made if isinstance(made, str) else list(made.shape)
    nodes = [name for name in host.nodes if name.startswith("ISI_")]
print("RESULT" + json.dumps([nodes, list(lanczos.shape), network, runs]))
"""


def test_no_node_is_lost_and_the_ones_that_need_them_say_so():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True)
    result = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert result, done.stdout + done.stderr
    nodes, lanczos, network, runs = json.loads(result[0].removeprefix("RESULT"))
    assert golden().keys() == set(nodes)
    assert lanczos == [1, 64, 64, 3]
    assert network.startswith("Upscaling by an upscale model needs the Python package spandrel")
    assert runs["picture"] == [1, 32, 32, 3]
    assert runs["edges"].startswith("The hint `edges` of ISI ControlNet Conditioner needs the Python package")
