"""The administrator's page: static files without any data in them; what they show they ask the API for."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse

from iodeep.service import console
from iodeep.service.api.problems import NotFoundError

router = APIRouter(include_in_schema=False)

_FOLDER = Path(console.__file__).parent
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _TYPES}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


@router.get("/")
async def home(request: Request) -> RedirectResponse:
    """People come to the page."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/console/")


@router.get("/console")
async def without_slash() -> RedirectResponse:
    """Its files are beside it."""
    return RedirectResponse("console/")


@router.get("/console/")
async def page() -> FileResponse:
    """The page."""
    return _file("index.html")


@router.get("/console/{name}")
async def file(name: str) -> FileResponse:
    """One of its files."""
    return _file(name)


def _file(name: str) -> FileResponse:
    path = _FILES.get(name)
    if path is None:
        raise NotFoundError("there is no such page", remedy="The administrator's page is at /console/.")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)
