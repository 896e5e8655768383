"""The gateway: what it needs, what its routes share, and the routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.params import Depends

from pacs_bridge.gateway.cache import SeriesCache, SeriesKey
from pacs_bridge.gateway.errors import GatewayRoute
from pacs_bridge.gateway.pool import ArchiveOf, ArchivePool
from pacs_bridge.gateway.source import ArchiveSeries
from pacs_bridge.gateway.work import Workers

_THREADS = 32
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_RESOURCES = frozenset({"studies", "series", "instances"})


@dataclass(frozen=True)
class Access:
    """What somebody was given or gave, for the audit log."""

    action: str
    """``query``, ``retrieve`` or ``store``."""
    pacs: str
    study: str = ""
    series: str = ""
    instances: int = 0
    detail: str = ""


Accessed = Callable[[Request, Access], None]
"""Told of each access before its answer goes out, in a thread; raising refuses it."""


def nobody_told(_: Request, __: Access) -> None:
    """Where no audit is kept."""


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    pool: ArchivePool
    cache: SeriesCache
    workers: Workers
    accessed: Accessed
    incoming: Path
    max_body_bytes: int
    public_url: str

    def source(self, key: SeriesKey) -> ArchiveSeries:
        """Where a series comes from."""
        return ArchiveSeries(self.pool, key)

    def root(self, request: Request) -> str:
        """The service's base URI, as the client addresses it, or as a proxy in front is configured."""
        steps = request.url.path.split("/")
        first = next((number for number, step in enumerate(steps) if step in _RESOURCES), len(steps))
        return (self.public_url.rstrip("/") or _host(request)) + "/".join(steps[:first])


def _host(request: Request) -> str:
    """Scheme, host and port. Some clients leave the port out of the Host field; what a proxy passed on is left as it is."""
    url = request.base_url
    server = request.scope.get("server")
    if url.port is None and server and server[1] and not any(name in request.headers for name in _FORWARDED):
        standard = {"http": 80, "https": 443}.get(url.scheme)
        url = url if server[1] == standard else url.replace(port=server[1])
    return str(url).rstrip("/")


class Gateway:
    """Archives, the cache of what was fetched from them, and the routes to both."""

    def __init__(
        self,
        archive_of: ArchiveOf,
        cache: Path,
        cache_bytes: int,
        *,
        max_body_bytes: int = 512 << 20,
        public_url: str = "",
        accessed: Accessed = nobody_told,
    ) -> None:
        self._parts = Parts(
            ArchivePool(archive_of),
            SeriesCache(cache, cache_bytes),
            Workers(_THREADS),
            accessed,
            cache / "sent",
            max_body_bytes,
            public_url,
        )

    @property
    def cached_bytes(self) -> int:
        """Bytes that the cache holds now."""
        return self._parts.cache.bytes

    def router(self, reading: Sequence[Depends] = (), storing: Sequence[Depends] = ()) -> APIRouter:
        """QIDO-RS and WADO-RS behind ``reading``, STOW-RS behind ``storing``; without a prefix."""
        from pacs_bridge.gateway import routes_retrieve, routes_search, routes_store

        router = APIRouter()
        for prefix in ("", "/pacs/{pacs}"):
            for module, needed in ((routes_search, reading), (routes_retrieve, reading), (routes_store, storing)):
                part = APIRouter(
                    prefix=prefix, dependencies=list(needed), route_class=GatewayRoute, include_in_schema=False
                )
                module.add(part, self._parts)
                router.include_router(part)
        return router

    def close(self) -> None:
        """End what is under way, and the archives."""
        self._parts.cache.close()
        self._parts.pool.close()


def key_of(request: Request) -> SeriesKey:
    """The series of a request's path; its UIDs are known to be some."""
    from pacs_bridge.gateway.query import check_path

    path = request.path_params
    study, series = path.get("study", ""), path.get("series", "")
    check_path(uid for name in ("study", "series", "instance") if (uid := path.get(name)) is not None)
    return SeriesKey(path.get("pacs", ""), study, series)
