"""The whole process: what is sent to its port becomes a job, and what it says of itself can be read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from iodeep.service.audit import EventKind
from iodeep.service.configuration import Configuration
from iodeep.service.intake.process import run_intake
from iodeep.service.intake_counters import read_counters
from iodeep.service.jobs import JobBoard, JobRecord, JobRequest, JobState
from iodeep.service.serving import DataFolders, ServeContext
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from tests.unit.pacs_bridge.listener.harness import ct_slices
from tests.unit.service.intake.doubles import AuditLog, FakeArchive, site
from tests.unit.service.jobs.fake_board import FakeBoard


class ToldBoard(FakeBoard):
    """A board that tells when a job comes."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def submit(self, request: JobRequest) -> tuple[JobRecord, bool]:
        answer = super().submit(request)
        self.came.set()
        return answer


class Process:
    """``run_intake`` in a thread."""

    def __init__(self, root: Path, **serve: Any) -> None:
        self.board, self.archive, self.audit = ToldBoard(), FakeArchive(), AuditLog()
        self.stop, self.ready = threading.Event(), threading.Event()
        self.told: dict[str, str] = {}
        self.folders = DataFolders(root)
        self.failure: BaseException | None = None
        settings = site(**{"listener": {"port": 0}, "arrivals": {"quiet_s": 0, "least_free_bytes": 0}} | serve)
        self.context = ServeContext(
            name="intake",
            configuration=Configuration(settings, None, root),
            folders=self.folders,
            stop=self.stop,
            open_board=self._open_board,
            open_archive=lambda _: self.archive,  # type: ignore[arg-type, return-value]
            open_audit=lambda: self.audit,
            announce=self._announce,
        )

    def _open_board(self) -> JobBoard:
        return self.board

    def _announce(self, what: Mapping[str, str]) -> None:
        self.told.update(what)
        self.ready.set()

    @contextmanager
    def running(self) -> Iterator[Process]:
        thread = threading.Thread(target=run_intake, args=(self.context,))
        thread.start()
        try:
            assert self.ready.wait(20)
            yield self
        finally:
            self.stop.set()
            thread.join(20)
            assert not thread.is_alive()

    @property
    def port(self) -> int:
        return int(self.told["dicom"].rpartition(":")[2])


def test_a_series_that_is_sent_becomes_a_job_and_is_deleted_when_it_is_done(tmp_path: Path) -> None:
    with Process(tmp_path).running() as process:
        us = PacsSettings(name="us", host="127.0.0.1", port=process.port, aet="IODEEP", calling_aet="PACSAET")
        with open_archive(us) as archive:
            archive.store(ct_slices(tmp_path / "sent", 4))
        assert process.board.came.wait(20)
        [job] = process.board.list()
        assert job.request.instances == 4
        process.board.change(job.job_id, state=JobState.DONE)
    assert {event.kind for event in process.audit.events} == {EventKind.INSTANCES_TRANSFERRED}
    counted = read_counters(process.folders.running)
    assert counted is not None

    again = Process(tmp_path)
    again.board = process.board
    with again.running():
        watched = threading.Event()
        for _ in range(400):
            if not list(again.folders.spool.rglob("*.dcm")):
                break
            watched.wait(0.05)
    assert not list(again.folders.spool.rglob("*.dcm"))


def test_who_is_not_let_in_is_recorded_as_an_alert_once(tmp_path: Path) -> None:
    with Process(tmp_path, listener={"port": 0, "allowed_addresses": ["10.0.0.0/8"]}).running() as process:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", process.port), timeout=20) as opened:
                assert opened.recv(1) == b""
    assert [(event.kind, event.address) for event in process.audit.events] == [(EventKind.SECURITY_ALERT, "127.0.0.1")]


@pytest.mark.parametrize("enabled", [True, False])
def test_archives_are_polled_with_and_without_a_listener(tmp_path: Path, enabled: bool) -> None:
    process = Process(
        tmp_path,
        listener={"port": 0, "enabled": enabled},
        polls=[{"pacs": "main", "every_s": 0.05, "modalities": ["CT"], "back_hours": 1e6}],
    )
    process.archive.add_study("1")
    process.archive.set_series("1", "1.1", 3)
    with process.running():
        assert process.board.came.wait(20)
    assert ("dicom" in process.told) == enabled
