"""`python run.py service`: the door on this machine, and a ComfyUI for each GPU."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from .door.app import Options, make_app
from .door.guard import Patient, is_loopback
from .door.watch import Lines
from .jobs.comfyui import ROOT, Comfy, Worker
from .jobs.graphs import Limits
from .jobs.store import InUse, JobStore

CARDS = """
import torch
other = torch.backends.mps.is_available() or (hasattr(torch, "xpu") and torch.xpu.is_available())
print(torch.cuda.device_count(), other)
"""


def cards(python: str) -> tuple[int, bool]:
    """How many CUDA or ROCm GPUs torch sees, and whether it has another accelerator."""
    done = subprocess.run([python, "-c", CARDS], capture_output=True, text=True)
    count, _, other = done.stdout.strip().rpartition("\n")[2].partition(" ")
    return (int(count), other == "True") if count.isdigit() else (0, False)


def make_workers(comfy: Comfy, wanted: int | None, cpu: bool) -> list[Worker]:
    """A worker for each GPU, or as many as are `wanted`; where there is no GPU, one on the CPU."""
    count, other = (0, False) if cpu else cards(comfy.python)
    if count:
        return [Worker(f"w{n}", comfy, cpu=False, card=n % count) for n in range(wanted or count)]
    return [Worker(f"w{n}", comfy, cpu=not other) for n in range(wanted or 1)]


def how_many(text: str) -> tuple[int, int]:
    """`3`, or `1-8`: the least and the most. Raises ValueError."""
    least, _, most = text.partition("-")
    least, most = int(least), int(most or least)
    if not 0 <= least <= most or not most:
        raise ValueError
    return least, most


def ray_workers(comfy: Comfy, address: str, most: int, cpu: bool, gpus: float) -> Sequence[Worker]:
    """Workers on a Ray cluster, which is joined. Raises what Ray does where there is none."""
    from .jobs.on_ray import RayWorker, join

    join(address)
    return [RayWorker(f"w{n}", comfy, cpu=cpu, gpus=0 if cpu else gpus) for n in range(most)]


def parse(words: list[str]) -> argparse.Namespace:
    few = Limits()
    parser = argparse.ArgumentParser(prog="python run.py service", description=__doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (beyond this machine: ISI_TOKEN)"
    )
    parser.add_argument("--port", type=int, default=8190)
    parser.add_argument(
        "--data", type=Path, default=ROOT / ".service", help="folder of jobs, pictures, store"
    )
    parser.add_argument(
        "--workers",
        type=how_many,
        metavar="N",
        help="how many ComfyUIs (default: one a GPU); 1-8 on Ray: as many as the jobs that wait need",
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="workers on this Ray cluster (host:6379, or auto)")
    parser.add_argument("--gpus", type=float, default=1.0, help="GPUs of a worker on Ray")
    parser.add_argument("--cpu", action="store_true", help="keep off the GPU")
    parser.add_argument(
        "--allow-nodes",
        action="append",
        default=[],
        metavar="NAME",
        help="a node of another pack that graphs may use; * stands for any letters",
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="a web page of another site that may use the service",
    )
    parser.add_argument("--private-webhooks", action="store_true", help="webhooks may lead into this network")
    parser.add_argument("--waiting", type=int, default=few.waiting, help="most jobs that wait")
    parser.add_argument("--hours", type=float, default=few.hours, help="longest that a job may take")
    parser.add_argument("--pixels", type=int, default=few.pixels, help="most pixels of a picture")
    parser.add_argument("--steps", type=int, default=few.steps, help="most iterations of a script")
    args = parser.parse_args(words)  # fmt: skip
    if args.workers and args.workers[0] < args.workers[1] and not args.ray:
        parser.error("--workers 1-8 is for --ray; on this machine say how many.")
    return args


def main(words: list[str]) -> int:
    args = parse(words)
    token = os.environ.get("ISI_TOKEN") or None
    if not token and not is_loopback(args.host):
        print("Set ISI_TOKEN to a secret before you listen beyond this machine.", file=sys.stderr)
        return 2
    if token and len(token) < 16:
        print("ISI_TOKEN should have at least 16 characters.", file=sys.stderr)
        return 2
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    data = args.data.expanduser().absolute()
    data.mkdir(parents=True, exist_ok=True)
    try:
        store = JobStore(data / "jobs.sqlite", args.waiting)
    except InUse as error:
        print(error, file=sys.stderr)
        return 2
    tree = Path(os.environ["COMFYUI_PATH"])
    comfy = Comfy(tree, data, os.environ.get("ISI_PYTHON") or sys.executable)
    limits = Limits(waiting=args.waiting, hours=args.hours, pixels=args.pixels, steps=args.steps)
    least, most = args.workers or (None, None)
    if args.ray:
        try:
            workers = ray_workers(comfy, args.ray, most or 1, args.cpu, args.gpus)
        except (ConnectionError, RuntimeError, ValueError) as error:
            print(
                f"There is no Ray cluster at {args.ray} that lets this service in: {error}", file=sys.stderr
            )
            return 2
    else:
        workers = make_workers(comfy, most, args.cpu)
    options = Options(
        data, token, limits, tuple(args.allow_nodes), tuple(args.allow_origin), args.private_webhooks, least
    )
    app = make_app(options, store, workers)
    logging.getLogger("isi.service").info("service", extra={"address": f"http://{args.host}:{args.port}"})
    uvicorn.run(
        app,
        host=args.host,
        port=args.port,
        http=Patient,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=512,
        timeout_graceful_shutdown=3,
    )
    return 0
