"""QIDO-RS routes (PS3.18 10.6)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

from fastapi import APIRouter, Request, Response
from pydicom import dcmread

from iodeep.ports import Level
from pacs_bridge.gateway.cache import SeriesKey
from pacs_bridge.gateway.dicom_json import Json, attributes_json
from pacs_bridge.gateway.gateway import Access, Parts, key_of
from pacs_bridge.gateway.media import require_json
from pacs_bridge.gateway.query import RETURNED, query_of
from pacs_bridge.gateway.search import Found, Page, search
from pacs_bridge.matching import dataset_attributes

_RESOURCES = {
    "/studies": Level.STUDY,
    "/series": Level.SERIES,
    "/studies/{study}/series": Level.SERIES,
    "/instances": Level.IMAGE,
    "/studies/{study}/instances": Level.IMAGE,
    "/studies/{study}/series/{series}/instances": Level.IMAGE,
}
_PATH = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}


def add(router: APIRouter, parts: Parts) -> None:
    """The six search resources of table 10.6.1-1."""
    for path, level in _RESOURCES.items():
        router.add_api_route(path, partial(_answer, parts, level), methods=["GET"], name=f"search {path}")


async def _answer(parts: Parts, level: Level, request: Request) -> Response:
    media_type = require_json(request)
    key = key_of(request)
    path = {_PATH[name]: uid for name, uid in request.path_params.items() if name in _PATH}
    query = query_of(level, path, request.query_params.multi_items())
    root = parts.root(request)

    def ask(_: object) -> Page:
        parts.accessed(request, Access("query", key.pacs, key.study, key.series, detail=request.url.query))
        with parts.pool.archive(key.pacs) as archive:
            page = search(archive, query)
        return replace(page, results=[_with_header(parts, key.pacs, each) for each in page.results])

    page = await parts.workers.run(request, ask)
    warnings = list(page.warnings)
    if page.remaining:
        warnings.append(f"There are {page.remaining} additional results that can be requested")
    headers = {"Warning": ", ".join(f"299 {root}: {text}" for text in warnings)} if warnings else {}
    if not page.results:
        return Response(status_code=204, headers=headers)
    body = json.dumps([_json(level, each, root) for each in page.results], ensure_ascii=False)
    return Response(body, headers=headers, media_type=media_type)


def _with_header(parts: Parts, pacs: str, found: Found) -> Found:
    """Where few archives tell of an instance what it is, its file does, if we have it."""
    if "SOPInstanceUID" not in found or "SOPClassUID" in found:
        return found
    key = SeriesKey(pacs, found["StudyInstanceUID"], found["SeriesInstanceUID"])
    file = parts.cache.opened(key, found["SOPInstanceUID"])
    if file is None:
        return found
    with file:
        header = dcmread(file, stop_before_pixels=True, specific_tags=list(RETURNED[Level.IMAGE]))
    said = dataset_attributes(header, RETURNED[Level.IMAGE])
    return found | {keyword: value for keyword, value in said.items() if value}


def _json(level: Level, found: Found, root: str) -> Json:
    url = f"{root}/studies/{found['StudyInstanceUID']}"
    url += f"/series/{found['SeriesInstanceUID']}" if level is not Level.STUDY else ""
    url += f"/instances/{found['SOPInstanceUID']}" if level is Level.IMAGE else ""
    document = attributes_json(found) | {"00081190": {"vr": "UR", "Value": [url]}}
    return dict(sorted(document.items()))
