"""`POST /v1/isi`: picture, script, model and settings become a job. The graph is ours."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from .jobs_api import IdempotencyKey, Jobs
from .schemas import Easy, JobView, Refusal

MINI = "mini"


def graph_of(asked: Easy, picture: str | None) -> dict[str, Any]:
    """The graph that a request means; `picture` is the file name of an upload."""
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": asked.model}}
    if asked.model == MINI:
        loader = {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}}
    script = {
        "script": asked.script, "steps": asked.steps, "cfg": asked.cfg, "denoise": asked.denoise,
        "final_denoise": asked.denoise, "curve": "constant", "seed": asked.seed, "seed_mode": "increment",
    }  # fmt: skip
    run: dict[str, Any] = {
        "model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2], "plan": ["script", 0],
        "negative": asked.negative, "sampler_name": asked.sampler_name, "scheduler": asked.scheduler,
        "width": asked.width, "height": asked.height,
    }  # fmt: skip
    graph = {
        "model": loader,
        "script": {"class_type": "ISI_Script", "inputs": script},
        "run": {"class_type": "ISI_Iterate", "inputs": run},
    }
    if picture is not None:
        graph["picture"] = {"class_type": "LoadImage", "inputs": {"image": picture}}
        run["image"] = ["picture", 0]
    return graph


def routes(jobs: Jobs) -> APIRouter:
    """The one endpoint."""
    router = APIRouter(prefix="/v1/isi", tags=["without a graph"])

    @router.post("", status_code=201)
    async def isi(asked: Easy, request: Request, idempotency_key: IdempotencyKey = None) -> JobView:
        """Carries a picture through a script, one iteration a step; each is an output of the job.

        The answer is a job as of `/api/v2/jobs`: follow, list and cancel it there.
        """
        picture = None
        if asked.picture is not None and (picture := jobs.files.named(asked.picture)) is None:
            raise Refusal(
                422, "missing_asset", "The picture is no uploaded asset: POST it to /api/v2/assets."
            )
        return await jobs.accept(graph_of(asked, picture), asked, idempotency_key, str(request.base_url))

    return router
