from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iodeep.errors import LocalStorageError, SettingsError
from iodeep.serve_settings import HttpSettings, ListenerSettings, ServeRole, ServeSettings
from iodeep.service.audit import AuditFilter, EventKind, read_events
from iodeep.service.configuration import Configuration, data_folder, secret
from iodeep.service.jobs.database import database_url
from iodeep.service.jobs.due import due
from iodeep.service.jobs.request import Priority
from iodeep.service.serving.children import children_of
from iodeep.service.serving.context import DataFolders
from iodeep.service.serving.logs import JsonLine
from iodeep.service.serving.serve import only_one
from iodeep.settings import Settings

moments = st.floats(1_767_225_600, 3_000_000_000)


@pytest.mark.parametrize(
    ("roles", "names"),
    [
        ((ServeRole.ALL,), ["intake", "api", "worker-1", "worker-2"]),
        ((ServeRole.WORKER,), ["worker-1", "worker-2"]),
        ((ServeRole.API, ServeRole.LISTENER), ["intake", "api"]),
    ],
)
def test_each_role_has_its_processes(roles: tuple[ServeRole, ...], names: list[str]) -> None:
    assert [each.name for each in children_of(roles, ServeSettings(), 2)] == names


def test_what_is_switched_off_is_not_started() -> None:
    settings = ServeSettings(listener=ListenerSettings(enabled=False), http=HttpSettings(enabled=False))

    assert [each.name for each in children_of((ServeRole.ALL,), settings, 1)] == ["worker-1"]


def test_a_log_line_in_json_holds_the_message_and_no_password() -> None:
    told = "cannot connect to postgresql+psycopg://iodeep:s3cr3t@db:5432/jobs"
    record = logging.LogRecord("iodeep", logging.INFO, __file__, 1, told, None, None)

    line = json.loads(JsonLine(patient_data=False).format(record))
    assert line["logger"] == "iodeep"
    assert "cannot connect" in line["message"]
    assert "s3cr3t" not in line["message"]


def test_a_data_folder_is_served_once(tmp_path: Path) -> None:
    with (
        only_one(DataFolders(tmp_path)),
        pytest.raises(LocalStorageError, match="served already"),
        only_one(DataFolders(tmp_path)),
    ):
        pass
    with only_one(DataFolders(tmp_path)):
        pass


def test_secrets_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IODEEP_TEST_DATABASE", "postgresql://u:p@h/d")
    assert secret("env:IODEEP_TEST_DATABASE") == "postgresql://u:p@h/d"
    assert secret("postgresql://u:p@h/d") == "postgresql://u:p@h/d"
    with pytest.raises(SettingsError, match="IODEEP_TEST_MISSING is not set"):
        secret("env:IODEEP_TEST_MISSING")


def test_the_database_is_sqlite_in_the_data_folder_unless_one_is_named(tmp_path: Path) -> None:
    assert database_url("", tmp_path / "jobs.sqlite") == f"sqlite:///{tmp_path}/jobs.sqlite"
    assert database_url("postgresql://u:p@h/d", tmp_path) == "postgresql+psycopg://u:p@h/d"
    with pytest.raises(SettingsError) as wrong:
        database_url("mysql://u:secret@h/d", tmp_path)
    assert "secret" not in str(wrong.value)


def test_the_data_folder_is_the_one_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(serve=ServeSettings(data=tmp_path))
    monkeypatch.setenv("IODEEP_DATA", str(tmp_path / "variable"))
    assert data_folder(Configuration(settings, None, tmp_path)) == tmp_path
    assert data_folder(Configuration(Settings(), None, tmp_path)) == tmp_path / "variable"


@given(earlier=moments, apart=st.floats(0, 1e6), delay=st.floats(0, 1e6))
def test_stat_goes_before_all_and_batch_waits_no_longer_than_its_delay(
    earlier: float, apart: float, delay: float
) -> None:
    later = earlier + apart
    assert (
        due(Priority.STAT, later, delay) < due(Priority.ROUTINE, earlier, delay) <= due(Priority.ROUTINE, later, delay)
    )
    assert due(Priority.BATCH, earlier, delay) <= due(Priority.ROUTINE, earlier + delay + 1, delay)
    assert due(Priority.BATCH, earlier, delay) >= due(Priority.ROUTINE, earlier, delay)


def test_plain_serve_starts_and_says_what_it_lacks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "iodeep", "serve", "--role", "worker", "--data", str(tmp_path / "data")]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as served:
        assert served.stdout
        said = []
        for line in served.stdout:
            said.append(line)
            if line.startswith("ready"):
                served.send_signal(signal.SIGTERM)
        assert served.wait(60) == 0

    assert any("worker-1: worker" in line for line in said)
    assert any("no PACS is configured" in line for line in said)
    recorded = [each.event.kind for each in read_events(tmp_path / "data" / "audit", AuditFilter(), 10)]
    assert recorded == [EventKind.APPLICATION_STOP, EventKind.APPLICATION_START]
