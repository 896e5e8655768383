"""`iodeep keys`, `iodeep tls` and `iodeep audit`: what an administrator types, and what a running service sees of it."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import ExitCode
from iodeep.serve_settings import ServeSettings, UserRole
from iodeep.service.access.api_keys import ApiKeys
from iodeep.service.audit import AuditEvent, EventKind, open_audit
from iodeep.service.cli import main
from iodeep.service.serving import DataFolders
from iodeep.settings import settings_of_document


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def folders(tmp_path: Path) -> DataFolders:
    return DataFolders(tmp_path / "data", ServeSettings())


@pytest.fixture
def run(
    folders: DataFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """A command with the settings of a site whose data are in a folder of the test's."""
    (tmp_path / "iodeep.toml").write_text(f'[serve]\ndata = "{folders.root}"\n')
    monkeypatch.setenv("IODEEP_CONFIG", str(tmp_path / "iodeep.toml"))

    def running(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["iodeep", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return running


def test_a_key_that_is_made_opens_until_it_is_revoked(run: Run, folders: DataFolders) -> None:
    made = run("keys", "add", "ris", "--role", "clinician", "--json").document
    keys = ApiKeys(folders.api_keys)
    assert keys.principal_of(made["key"])[0].roles == {UserRole.CLINICIAN}

    shown = run("keys", "list", "--json")
    assert [each["name"] for each in shown.document["keys"]] == ["ris"]
    assert made["key"] not in shown.out
    assert "hash" not in shown.out

    assert run("keys", "revoke", "ris").code == 0
    assert keys.all() == []


def test_people_see_the_key_once_on_a_line_of_its_own(run: Run) -> None:
    said = run("keys", "add", "a very long name of a system that calls us").out

    assert said.splitlines()[0].startswith("iodeep_")
    assert " " not in said.splitlines()[0]


def test_who_changed_keys_is_in_the_audit_log(run: Run) -> None:
    run("keys", "add", "ris")
    run("keys", "revoke", "ris")
    events = run("audit", "show", "--json").document["events"]

    assert [each["event_type"] for each in events] == ["110137", "110137"]
    assert "revoked" in events[0]["detail"]


def test_a_key_that_is_not_there_is_told(run: Run) -> None:
    ended = run("keys", "revoke", "ris")

    assert ended.code == ExitCode.BAD_INPUT
    assert "iodeep keys list" in ended.err


def test_the_settings_that_init_shows_are_settings(run: Run, tmp_path: Path) -> None:

    made = run("tls", "init", "--out", str(tmp_path / "tls"), "--host", "localhost", "--json").document
    serve = settings_of_document(tomllib.loads(made["toml"]), "shown").serve

    assert serve.http.tls is not None
    assert serve.listener.tls is not None
    assert serve.listener.tls.client_ca == tmp_path / "tls" / "ca.pem"


def test_configured_certificates_are_looked_at(run: Run, tmp_path: Path) -> None:
    made = run("tls", "init", "--out", str(tmp_path / "tls"), "--host", "localhost", "--json").document
    with (tmp_path / "iodeep.toml").open("a") as file:
        file.write(made["toml"])

    assert run("tls", "check").code == 0
    bad = run("tls", "check", "--host", "another.example", "--json")
    assert bad.code == ExitCode.SETTINGS
    assert [each["good"] for each in bad.document["listener"]] == [True, True, False, False]


def test_a_site_without_certificates_is_told_so(run: Run) -> None:
    assert run("tls", "check").code == ExitCode.BAD_INPUT


def test_a_whole_log_is_verified_and_an_edited_one_is_placed(run: Run, folders: DataFolders) -> None:
    log = open_audit(folders, "api")
    for user in ("doe", "roe"):
        log.record(AuditEvent(EventKind.QUERY, user=user))
    whole = run("audit", "verify", "--json")
    assert (whole.code, whole.document["lines"]) == (0, 2)
    last = whole.document["last"]
    assert run("audit", "verify", "--expect", f"{last['sequence']}:{last['hash']}").code == 0
    assert run("audit", "verify", "--expect", f"1:{last['hash']}").code == ExitCode.NOT_TRUSTED

    (path,) = folders.audit.glob("audit-*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"doe", b"poe"))
    ended = run("audit", "verify")

    assert ended.code == ExitCode.NOT_TRUSTED
    assert f"{path.name}, line 1" in ended.out


def test_what_was_recorded_is_shown_as_far_as_it_is_asked_for(run: Run, folders: DataFolders) -> None:
    log = open_audit(folders, "api")
    log.record(AuditEvent(EventKind.QUERY, user="doe", patient_id="1"))
    log.record(AuditEvent(EventKind.EXPORT, user="roe", patient_id="2"))

    def users(*options: str) -> list[str]:
        return [each["user"] for each in run("audit", "show", "--json", *options).document["events"]]

    assert users() == ["roe", "doe"]
    assert users("--user", "doe") == ["doe"]
    assert users("--patient", "2") == ["roe"]
    assert users("--kind", "query") == ["doe"]
    assert users("--limit", "1") == ["roe"]
    assert users("--since", "1h") == ["roe", "doe"]
    assert users("--since", "9999-01-01") == []
    assert "doe" in run("audit", "show").out


@pytest.mark.parametrize("words", [("show", "--since", "soon"), ("verify", "--expect", "7")])
def test_what_cannot_be_meant_is_told(run: Run, folders: DataFolders, words: tuple[str, ...]) -> None:
    open_audit(folders, "api")

    assert run("audit", *words).code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("group", ["keys", "tls", "audit"])
def test_a_group_shows_its_commands(run: Run, group: str) -> None:
    said = run(group, "--help").out

    assert "Commands" in said


def test_a_second_word_that_is_none_is_answered_with_the_nearest(run: Run) -> None:
    ended = run("audit", "verfy")

    assert ended.code == ExitCode.USAGE
    assert "verify" in ended.err
