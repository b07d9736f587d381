"""What the door takes and gives, as Comfy API v2 names it; /docs shows these classes."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

NEVER = datetime(9999, 12, 31, tzinfo=timezone.utc)
"""The service deletes nothing by itself; the contract wants a date."""
Status = Literal["queued", "running", "canceling", "succeeded", "failed", "canceled"]
Label = Annotated[str, StringConstraints(max_length=500)]
Labels = Annotated[dict[Label, Label], Field(max_length=50)]
EXAMPLE = {
    "model": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
    "script": {
        "class_type": "ISI_Script",
        "inputs": {
            "script": "{a large circle} red; blue; green", "steps": 6, "cfg": 5.0, "denoise": 0.7,
            "final_denoise": 0.7, "curve": "constant", "seed": 3, "seed_mode": "increment",
        },
    },
    "run": {
        "class_type": "ISI_Iterate",
        "inputs": {
            "model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2], "plan": ["script", 0],
            "negative": "", "sampler_name": "euler", "scheduler": "normal", "width": 64, "height": 64,
        },
    },
}  # fmt: skip


class Extras(BaseModel):
    """What every kind of submission may have."""

    metadata: Labels | None = Field(
        None, description="Labels that come back with the job; nothing reads them."
    )
    priority: int = Field(0, ge=-10, le=10, description="ISI: higher ones first, then the oldest.")
    webhook: str | None = Field(
        None, max_length=2000, description="ISI: POSTed the job when it has ended, signed (X-ISI-Signature)."
    )


class Submit(Extras):
    """A job: a graph in ComfyUI's API form (File > Export (API))."""

    workflow: dict[str, Any] = Field(
        description="Nodes by id: `class_type` and `inputs`. A graph can read ComfyUI's files.",
        examples=[EXAMPLE],
    )
    extra_data: dict[str, Any] | None = Field(None, description="Accepted for the contract's sake; not used.")


class Easy(Extras):
    """A job for people who have no graph: a picture, a script, a model."""

    script: str = Field(
        description="Steps, separated by `;`: `{oil painting} dawn; (noon:1.3); dusk @denoise=.4; night *3`.",
        examples=["{a large circle} red; blue; green"],
    )
    picture: str | None = Field(
        None,
        max_length=300,
        description="`id` or `file_path` of an uploaded asset; without it, from text alone.",
    )
    model: str = Field("mini", max_length=300, description="A checkpoint of ComfyUI's, or `mini`.")
    negative: str = Field("", description="What no step should show.")
    steps: int = Field(20, ge=1, le=1000, description="Sampler steps of an iteration.")
    cfg: float = Field(7.0, ge=0, le=100)
    denoise: float = Field(0.75, ge=0, le=1, description="How much an iteration changes its picture.")
    seed: int = Field(0, ge=0, le=2**64 - 1)
    sampler_name: str = Field("euler", max_length=100)
    scheduler: str = Field("normal", max_length=100)
    width: int = Field(512, ge=8, le=16384, description="Without a picture.")
    height: int = Field(512, ge=8, le=16384, description="Without a picture.")


class Urls(BaseModel):
    self: str
    events: str
    cancel: str


class IterationView(BaseModel):
    """What ISI says of an iteration's picture."""

    run: str
    iteration: int = Field(description="From 1.")
    of: int
    label: str
    reused: bool | None = Field(description="Whether it was in the store; null where that was not heard.")
    seconds: float | None
    key: str | None = Field(None, description="Names these bits for ever; ISI Open Run takes it.")


class Output(BaseModel):
    """A file that a job made. Each ISI iteration is one, as soon as its picture is on disk."""

    id: str
    node_id: str
    name: str
    type: Literal["image", "video", "audio", "text", "file", "latent"]
    content_type: str
    size_bytes: int
    hash: str | None = None
    url: str
    url_expires_at: datetime = NEVER
    job_id: str
    isi: IterationView | None = None


class JobError(BaseModel):
    code: str
    message: str
    node_id: str | None = None
    class_type: str | None = None
    traceback: str | None = None


class Summary(BaseModel):
    """A job in a list."""

    id: str
    status: Status
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime = NEVER
    metadata: dict[str, str]
    priority: int
    attempt: int = Field(description="ISI: how often it was begun.")
    urls: Urls


class JobView(Summary):
    """One execution of a graph; `outputs` fills up while it runs."""

    queue_position: int | None
    progress: dict[str, Any] | None
    outputs: list[Output]
    error: JobError | None
    metrics: dict[str, int | None]


class Page(BaseModel):
    jobs: list[Summary]
    next_cursor: str | None = Field(None, description="Where the next page begins; null on the last one.")


class Workflow(BaseModel):
    workflow: dict[str, Any]
    format: Literal["api"] = "api"


class Asset(BaseModel):
    """A file: one that was uploaded, or a job's."""

    id: str
    hash: str | None
    size_bytes: int
    content_type: str
    file_path: str | None = Field(None, description="What a LoadImage of a graph calls it.")
    created_new: bool | None = None
    created_at: datetime
    url: str
    url_expires_at: datetime = NEVER
    expires_at: datetime | None = None
    job_id: str | None = None


class FromHash(BaseModel):
    hash: str = Field(max_length=200, description="`blake3:HEX`")
    file_path: str | None = Field(None, max_length=1000)
    tags: list[str] | None = None


class Problem(BaseModel):
    code: str
    message: str
    details: dict[str, Any] | None = None


class Envelope(BaseModel):
    """How every error is said."""

    error: Problem


class Refusal(Exception):
    """An answer that is an error: status, code, and one sentence."""

    def __init__(self, status: int, code: str, message: str, details: dict[str, Any] | None = None):
        self.status, self.code, self.message, self.details = status, code, message, details
        super().__init__(message)


def check_text(value: Any) -> None:
    """Raises Refusal for what no text file can hold: NaN, infinity, half a character."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        text = "The request holds a number that is none (NaN, infinity), or half a character."
        raise Refusal(422, "invalid_request", text) from error


def moment(seconds: float | None) -> datetime | None:
    """A time of the store as the contract has it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
