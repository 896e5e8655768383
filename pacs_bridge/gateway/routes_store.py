"""STOW-RS routes (PS3.18 10.5)."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from anyio import from_thread
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from iodeep.errors import CancelledError, LocalStorageError
from pacs_bridge.gateway.cache import SeriesKey
from pacs_bridge.gateway.errors import TooLargeError
from pacs_bridge.gateway.gateway import Access, Parts, key_of
from pacs_bridge.gateway.media import JSON, require_json
from pacs_bridge.gateway.stow import Outcome, Received, receive, response, store


def add(router: APIRouter, parts: Parts) -> None:
    """The two resources of table 10.5.1-1."""

    async def answer(request: Request) -> Response:
        require_json(request)
        key = key_of(request)
        _check_length(request, parts.max_body_bytes)
        folder = await parts.workers.short(lambda: _folder(parts.incoming))
        try:
            received = await parts.workers.short(lambda: _received(parts, request, folder))
            outcome = await parts.workers.run(request, lambda cancel: _stored(parts, request, key, received, cancel))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return Response(json.dumps(response(outcome, parts.root(request))), outcome.status, media_type=JSON)

    for path in ("/studies", "/studies/{study}"):
        router.add_api_route(path, answer, methods=["POST"], name=f"store {path}")


def _check_length(request: Request, most: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise TooLargeError(
            "the request is too large",
            expected=f"at most {most} bytes (serve.http.max_body_bytes)",
            found=f"{length} bytes",
            remedy="Send the instances in several requests.",
        )


def _folder(incoming: Path) -> Path:
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=incoming))
    except OSError as error:
        raise LocalStorageError(f"{incoming} cannot be written: {error.strerror}") from error


def _received(parts: Parts, request: Request, folder: Path) -> Received:
    return receive(request.headers.get("content-type", ""), _chunks(request), parts.max_body_bytes, folder)


def _chunks(request: Request) -> Iterator[bytes]:
    """The body out of the event loop, a chunk when the one before is on the disk."""
    stream = request.stream()
    while True:
        try:
            chunk = from_thread.run(_next, stream)
        except ClientDisconnect as gone:
            raise CancelledError("the client went away while it sent") from gone
        if chunk is None:
            return
        if chunk:
            yield chunk


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)


def _stored(parts: Parts, request: Request, key: SeriesKey, received: Received, cancel: threading.Event) -> Outcome:
    studies = {instance.study for instance in received.instances}
    for study in sorted(studies):
        count = sum(instance.study == study for instance in received.instances)
        parts.accessed(request, Access("store", key.pacs, study, instances=count))
    with parts.pool.archive(key.pacs) as archive:
        outcome = store(archive, received, key.study, cancel)
    for instance in outcome.stored:
        parts.cache.forget(SeriesKey(key.pacs, instance.study, instance.series))
    return outcome
