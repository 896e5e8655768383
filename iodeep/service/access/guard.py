"""How an application is guarded: install it once, then each route names the role that it needs.

install_access(app, folders, audit)

@router.get("/jobs")
def jobs(caller: Annotated[Principal, Depends(require(UserRole.VIEWER))]) -> ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request

from iodeep.serve_settings import UserRole
from iodeep.service.access.principal import Principal
from iodeep.service.audit import AuditSink

if TYPE_CHECKING:
    from iodeep.service.serving.context import DataFolders


def install_access(app: FastAPI, folders: DataFolders, audit: AuditSink) -> None:
    """Add security headers, the Host check, limits, sign-in and sign-out (``/auth/...``) and refusals as problem+json."""
    raise NotImplementedError


def require(role: UserRole) -> Callable[[Request], Principal]:
    """A dependency that gives the caller, or answers with 401 or 403; the caller is in ``request.state.principal`` too."""
    raise NotImplementedError
