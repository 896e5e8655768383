"""The gateway: what it needs, and its routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.params import Depends

from iodeep.ports import Archive

ArchiveOf = Callable[[str], Archive]
"""Opens an archive by its name in ``iodeep.toml``; ``""`` is the default one. The gateway closes what it opened."""


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
"""Told of each access before its answer goes out; raising refuses it."""


def nobody_told(_: Request, __: Access) -> None:
    """Where no audit is kept."""


class Gateway:
    """Archives, the cache of what was fetched from them, and the routes to both."""

    def __init__(
        self,
        archive_of: ArchiveOf,
        cache: Path,
        cache_bytes: int,
        *,
        max_body_bytes: int = 512 << 20,
        accessed: Accessed = nobody_told,
    ) -> None:
        raise NotImplementedError

    def router(self, reading: Sequence[Depends] = (), storing: Sequence[Depends] = ()) -> APIRouter:
        """QIDO-RS and WADO-RS behind ``reading``, STOW-RS behind ``storing``; without a prefix."""
        raise NotImplementedError

    def close(self) -> None:
        """End what is under way, and the archives."""
        raise NotImplementedError
