"""A small application that is guarded, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

from iodeep.serve_settings import ServeSettings, UserRole
from iodeep.service.access import Principal
from iodeep.service.access.api_keys import ApiKeys
from iodeep.service.access.guard import install_access, require
from iodeep.service.audit import AuditEvent
from iodeep.service.serving import DataFolders

HERE = ("127.0.0.1", 50000)
THERE = ("10.0.0.9", 50000)
AT_HOME = "http://localhost:8080"


@dataclass
class Heard:
    """An audit sink that remembers."""

    events: list[AuditEvent] = field(default_factory=list)

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)


@dataclass
class Site:
    """A guarded application and what belongs to it."""

    root: Path
    settings: ServeSettings
    audit: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        folders = DataFolders(self.root, self.settings)
        self.keys = ApiKeys(folders.api_keys)
        self.app = FastAPI()

        @self.app.get("/open")
        def open_to_all() -> dict[str, str]:
            return {}

        @self.app.get("/view")
        def view(caller: Annotated[Principal, Depends(require(UserRole.VIEWER))]) -> dict[str, str]:
            return {"name": caller.name, "proof": caller.proof}

        @self.app.post("/change")
        def change(caller: Annotated[Principal, Depends(require(UserRole.CLINICIAN))]) -> dict[str, str]:
            return {"name": caller.name}

        @self.app.get("/administer")
        def administer(caller: Annotated[Principal, Depends(require(UserRole.ADMINISTRATOR))]) -> dict[str, str]:
            return {"name": caller.name}

        @self.app.post("/body")
        async def body(request: Request) -> dict[str, int]:
            return {"bytes": len(await request.body())}

        self.guard = install_access(self.app, folders, self.audit)

    def key(self, role: UserRole = UserRole.CLINICIAN) -> dict[str, str]:
        """Headers of a caller with a new key."""
        return {"Authorization": f"Bearer {self.text(role)}"}

    def text(self, role: UserRole = UserRole.CLINICIAN) -> str:
        return self.keys.add(f"{role.value} {len(self.keys.all())}", frozenset({role}), days=1)[1]

    def client(self, address: tuple[str, int] = THERE, base: str = AT_HOME) -> TestClient:
        return TestClient(self.app, base_url=base, client=address, follow_redirects=False)


def site_with(root: Path, **serve: Any) -> Site:
    return Site(root, ServeSettings.model_validate(serve))
