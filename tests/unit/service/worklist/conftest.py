"""A worklist in SQLite, and its routes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from iodeep.service.jobs.database import database_engine, database_url
from iodeep.service.worklist import Worklist, worklist_router


@pytest.fixture
def worklist(tmp_path: Path) -> Iterator[Worklist]:
    engine = database_engine(database_url("", tmp_path / "jobs.sqlite"))
    yield Worklist(engine)
    engine.dispose()


@pytest.fixture
def client(worklist: Worklist) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(worklist_router(worklist), prefix="/dicom-web")
    with TestClient(app, base_url="http://testserver/dicom-web") as opened:
        yield opened
