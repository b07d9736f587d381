"""Files that come in and go out: uploads, named by their content, and outputs. No path comes from outside."""

from __future__ import annotations

import io
import json
import mimetypes
import os
import re
import sqlite3
import uuid
from pathlib import Path
from typing import Annotated

import blake3
from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import FileResponse, Response
from PIL import Image

from ..jobs.graphs import Limits
from ..jobs.store import JobStore
from .schemas import NEVER, Asset, FromHash, Output, Refusal, moment

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
"""What may be uploaded: what the first bytes say counts, not the name."""
UPLOADED = re.compile(r"a([0-9a-f]{64})")
MADE = re.compile(r"o([0-9]{1,18})")
KINDS = ("image", "video", "audio", "text")


class AssetFiles:
    """The files below a service's folder, by the ids that the door gives them: `aHASH` and `oNUMBER`."""

    def __init__(self, data: Path, store: JobStore, limits: Limits):
        self.data, self.store, self.limits = data, store, limits
        self.inputs = data / "input"
        self.inputs.mkdir(parents=True, exist_ok=True)

    def uploaded(self, digest: str) -> Path | None:
        """The upload of that content; None where there is none. `digest` is 64 hex digits."""
        paths = (self.inputs / (digest + ending) for ending in FORMATS.values())
        return next((path for path in paths if path.is_file()), None)

    def named(self, name: str) -> str | None:
        """The file name of an upload, by its id or that name itself; None where there is none."""
        digest = name[1:] if UPLOADED.fullmatch(name) else name.partition(".")[0]
        path = self.uploaded(digest) if re.fullmatch("[0-9a-f]{64}", digest) else None
        return path.name if path else None

    def size(self, name: str) -> tuple[int, int] | None:
        """Width and height of a picture that a graph names, where it is one of the input folder's."""
        try:
            with Image.open(self.inputs / name, formats=list(FORMATS)) as picture:
                return picture.size
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
            return None

    def made(self, name: str) -> tuple[sqlite3.Row, Path] | None:
        """What a job made, by its id."""
        match = MADE.fullmatch(name)
        row = self.store.output(int(match[1])) if match else None
        return (row, self.data / row["place"]) if row is not None else None

    def find(self, name: str) -> Path:
        """The file behind an id. Raises Refusal."""
        if match := UPLOADED.fullmatch(name):
            path = self.uploaded(match[1])
        else:
            path = (self.made(name) or (None, None))[1]
        if path is None or not path.is_file():
            raise Refusal(404, "not_found", "There is no such asset, or its file is gone.")
        return path

    def keep(self, data: bytes) -> tuple[Path, bool]:
        """Writes an upload, named by its content; whether it is new. Raises Refusal if it is no picture."""
        try:
            with Image.open(io.BytesIO(data), formats=list(FORMATS)) as picture:
                pixels, ending = picture.width * picture.height, FORMATS[picture.format or ""]
        except Image.DecompressionBombError:
            pixels, ending = self.limits.pixels + 1, ""
        except (OSError, SyntaxError, ValueError, KeyError, EOFError) as error:
            raise Refusal(415, "unsupported_media_type", "A picture is PNG, JPEG or WebP.") from error
        if pixels > self.limits.pixels:
            text = f"A picture may have {self.limits.pixels:,} pixels."
            raise Refusal(413, "too_large", text)
        path = self.inputs / (blake3.blake3(data).hexdigest() + ending)
        if path.is_file():
            return path, False
        part = path.with_suffix(f".{uuid.uuid4().hex}.part")
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path, True

    def asset(self, name: str, base: str, created_new: bool | None = None) -> Asset:
        """What is known of an asset. Raises Refusal."""
        path = self.find(name)
        own = UPLOADED.fullmatch(name)
        row = None if own else (self.made(name) or (None,))[0]
        return Asset(
            id=name,
            hash=f"blake3:{own[1]}" if own else None,
            size_bytes=path.stat().st_size,
            content_type=content_type(path.name),
            file_path=path.name if own else None,
            created_new=created_new,
            created_at=moment(path.stat().st_mtime) or NEVER,
            url=f"{base}api/v2/assets/{name}/content",
            job_id=row["job"] if row is not None else None,
        )

    def output(self, row: sqlite3.Row, base: str) -> Output:
        """A job's file as a job has it."""
        kind = content_type(row["place"])
        return Output.model_validate(
            {
                "id": f"o{row['n']}", "node_id": row["node"], "name": row["place"].rpartition("/")[2],
                "type": kind.partition("/")[0] if kind.startswith(KINDS) else "file", "content_type": kind,
                "size_bytes": row["size"], "url": f"{base}api/v2/assets/o{row['n']}/content",
                "job_id": row["job"], "isi": json.loads(row["about"] or "null"),
            }
        )  # fmt: skip


def content_type(name: str) -> str:
    """By the ending; what is not known is bytes."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def routes(files: AssetFiles) -> APIRouter:
    """The endpoints of assets."""
    router = APIRouter(prefix="/api/v2/assets", tags=["assets"])

    @router.post("", status_code=201)
    async def upload(
        request: Request,
        file: UploadFile,
        expected_hash: Annotated[str | None, Form(max_length=200)] = None,
    ) -> Asset:
        """Takes a picture (PNG, JPEG, WebP); `file_path` of the answer is what a LoadImage calls it."""
        data = await file.read(files.limits.upload + 1)
        if len(data) > files.limits.upload:
            raise Refusal(413, "too_large", f"A picture may have {files.limits.upload:,} bytes.")
        digest = f"blake3:{blake3.blake3(data).hexdigest()}"
        if expected_hash is not None and expected_hash != digest:
            raise Refusal(409, "hash_mismatch", f"What came has the hash {digest}, not the expected one.")
        path, new = files.keep(data)
        return files.asset(f"a{path.stem}", str(request.base_url), new)

    @router.head("/by-hash/{hash}")
    async def by_hash(hash: str) -> Response:
        """200 where that content (`blake3:HEX`) is here already, else 404."""
        return Response(status_code=200 if files.named(hash.removeprefix("blake3:")) else 404)

    @router.post("/from-hash", status_code=201)
    async def from_hash(body: FromHash, request: Request) -> Asset:
        """The asset of content that is here already, without sending it again."""
        name = files.named(body.hash.removeprefix("blake3:"))
        if name is None:
            raise Refusal(404, "blob_not_found", "That content is not here: upload it.")
        return files.asset(f"a{name.partition('.')[0]}", str(request.base_url), False)

    @router.get("/{id}")
    async def asset(id: str, request: Request) -> Asset:
        """What is known of an asset."""
        return files.asset(id, str(request.base_url))

    @router.delete("/{id}", status_code=204)
    async def delete(id: str) -> Response:
        """Deletes an upload. What a job made stays: it is in the job's list of outputs."""
        if not UPLOADED.fullmatch(id):
            raise Refusal(403, "forbidden", "Only uploads can be deleted; outputs belong to their jobs.")
        files.find(id).unlink(missing_ok=True)
        return Response(status_code=204)

    @router.get("/{id}/content", response_class=FileResponse)
    async def content(id: str) -> FileResponse:
        """The bytes of an asset; ranges are served."""
        path = files.find(id)
        return FileResponse(path, media_type=content_type(path.name))

    return router
