"""A shelf with a CT and an MR study and a model, and the gateway in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from iodeep.terms import deterministic_uid
from pacs_bridge.gateway import Gateway
from tests.synthetic import write_series
from tests.unit.pacs_bridge.dimse_peer import raw_data, written
from tests.unit.pacs_bridge.gateway.shelf import Shelf

CT_STUDY, CT_SERIES = deterministic_uid("study", "ct"), deterministic_uid("series", "ct", "thorax")
MR_STUDY = deterministic_uid("study", "mr")
VOXELS = np.arange(4 * 48 * 40, dtype=np.int16).reshape(4, 48, 40) * np.int16(4)
ROOT = "/dicom-web"


@dataclass(frozen=True)
class Site:
    client: TestClient
    shelf: Shelf
    gateway: Gateway
    cache: Path

    @property
    def series(self) -> str:
        return f"{ROOT}/studies/{CT_STUDY}/series/{CT_SERIES}"

    @property
    def uids(self) -> list[str]:
        """The CT's instances from the first slice to the last."""
        return [str(deterministic_uid("instance", "ct", "thorax", str(k))) for k in range(len(VOXELS))]


def fill(folder: Path) -> None:
    write_series(folder / "ct", VOXELS, name="thorax", study="ct", patient="P1")
    write_series(
        folder / "mr",
        VOXELS[:2],
        modality="MR",
        name="head",
        study="mr",
        patient="P2",
        overrides={"StudyDate": "20250203", "StudyTime": "101112", "PatientName": "Müller^Anna"},
    )
    model = raw_data(study="2.25.77", series="2.25.78", StudyDate="20250101", StudyTime="000000")
    written(model, folder / "model")
    for path in list(folder.rglob("*.dcm")):
        path.rename(folder / f"{path.parent.name}-{path.name}")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "shelf"
    fill(folder)
    shelf = Shelf(folder)
    gateway = Gateway(lambda _: shelf, tmp_path / "cache", 1 << 20, max_body_bytes=1 << 20)
    app = FastAPI()
    app.include_router(gateway.router(), prefix=ROOT)
    with TestClient(app) as client:
        yield Site(client, shelf, gateway, tmp_path / "cache")
    gateway.close()
