"""The register of a data folder: its key is made once, and never beside records that another key signed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import IntegrityError, SettingsError
from iodeep.serve_settings import ServeSettings
from iodeep.service.configuration import Configuration
from iodeep.service.lifecycle.newest_seen import FILE, LOCK
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.lifecycle.reading import KEY_FILE, read_states
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.serving.composition import folders_of
from iodeep.settings import Settings
from iodeep.trust.lifecycle import SERVICE, ModelState
from iodeep.trust.signatures import make_key
from tests.unit.service.lifecycle.registers import Events, Somebody, change, release, to_self_tested


def configured(folder: Path, **lifecycle: Any) -> Configuration:
    settings = Settings.model_validate({"serve": ServeSettings(data=folder), "lifecycle": lifecycle or None})
    return Configuration(settings, None, folder / "cache")


def opened(folder: Path, **lifecycle: Any) -> SiteRegister:
    configuration = configured(folder, **lifecycle)
    return open_register(configuration, folders_of(configuration), Events())


def test_the_key_is_made_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as first:
        first.receive(release(), SERVICE, "it arrived")
    key = tmp_path / KEY_FILE
    made = key.read_bytes()

    assert key.stat().st_mode & 0o777 == 0o600
    with opened(tmp_path) as second:
        assert len(second.standings()) == 1
    assert key.read_bytes() == made


@pytest.mark.skipif(os.geteuid() != 0, reason="another owner's folder needs root")
def test_what_root_makes_is_of_the_folders_owner(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 12345, 12345)

    with opened(folder) as site:
        site.receive(release(), SERVICE, "it arrived")

        assert {path.name: path.stat().st_uid for path in folder.iterdir() if path.is_file()} == dict.fromkeys(
            ("jobs.sqlite", "jobs.sqlite-wal", "jobs.sqlite-shm", KEY_FILE, FILE, LOCK), 12345
        )


def test_a_lost_key_is_not_made_anew_beside_records_that_it_signed(tmp_path: Path) -> None:
    with opened(tmp_path) as first:
        first.receive(release(), SERVICE, "it arrived")
    (tmp_path / KEY_FILE).unlink()

    with pytest.raises(SettingsError, match="the key that they are signed with is not here"):
        opened(tmp_path)


def test_a_key_that_was_lost_before_there_was_any_record_is_made_anew(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / KEY_FILE).unlink()

    with opened(tmp_path) as again:
        assert again.receive(release(), SERVICE, "it arrived")


def test_a_key_that_is_set_has_to_be_there_and_to_be_one_that_needs_nobody(tmp_path: Path) -> None:
    locked = tmp_path / "locked.pem"
    locked.write_bytes(make_key("a passphrase")[0])
    no_key = tmp_path / "none.pem"
    no_key.write_text("nothing", encoding="utf-8")

    for path in (tmp_path / "missing.pem", locked, no_key):
        with pytest.raises(SettingsError, match="the register's key cannot be used"):
            opened(tmp_path / "data", key=path)


def test_a_key_that_is_set_signs(tmp_path: Path) -> None:
    key = tmp_path / "site.pem"
    key.write_bytes(make_key("")[0])

    with opened(tmp_path / "data", key=key) as site:
        site.receive(release(), SERVICE, "it arrived")

    assert not (tmp_path / "data" / KEY_FILE).exists()


def test_two_people_with_one_key_are_refused(tmp_path: Path) -> None:
    ann = Somebody("Ann")
    people = [ann.settings(tmp_path), Somebody("Bob", ann.key).settings(tmp_path)]

    with pytest.raises(SettingsError, match="have the same key"):
        opened(tmp_path, approvals=2, people=[person.model_dump() for person in people])


def test_an_older_database_is_refused_until_somebody_says_that_it_is_meant(tmp_path: Path) -> None:
    """Its chain holds; but this machine has seen a newer one."""
    older = tmp_path / "older.sqlite"
    with opened(tmp_path) as site:
        to_self_tested(site, release())
        change(site, release(), ModelState.APPROVED, skip_shadow=True)
        with sqlite3.connect(tmp_path / "jobs.sqlite") as database, sqlite3.connect(older) as copy:
            database.backup(copy)
        for connection in (database, copy):
            connection.close()
        change(site, release(), ModelState.QUARANTINED)
        assert len(site.history(release().sop_instance_uid)) == 6
    for path in tmp_path.glob("jobs.sqlite*"):
        path.unlink()
    older.rename(tmp_path / "jobs.sqlite")

    with opened(tmp_path) as site:
        for ask in (site.standings, lambda: change(site, release(), ModelState.RETIRED)):
            with pytest.raises(IntegrityError, match="an older one than this machine has seen"):
                ask()
    with pytest.raises(IntegrityError, match="an older one"):
        read_states(configured(tmp_path), folders_of(configured(tmp_path)))
    (tmp_path / FILE).unlink()
    with opened(tmp_path) as site:
        assert site.standings()[0].state is ModelState.APPROVED


def test_another_history_of_the_same_length_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as site:
        site.receive(release(), SERVICE, "it arrived")
    for path in tmp_path.glob("jobs.sqlite*"):
        path.rename(tmp_path / f"kept-{path.name}")
    seen = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).unlink()
    with opened(tmp_path) as site:
        site.receive(release(), SERVICE, "it arrived otherwise")
    (tmp_path / FILE).write_bytes(seen)

    with opened(tmp_path) as site, pytest.raises(IntegrityError, match="or another one"):
        site.standings()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"key": 1}'])
def test_a_damaged_memory_is_refused(tmp_path: Path, content: bytes) -> None:
    with opened(tmp_path) as site:
        site.receive(release(), SERVICE, "it arrived")
        (tmp_path / FILE).write_bytes(content)

        if content == b'{"key": 1}':
            assert site.standings(), "it is of another register"
        else:
            with pytest.raises(IntegrityError, match="cannot be read"):
                site.standings()


@pytest.mark.parametrize("may", [["approve"], ["retire"]])
def test_two_approvals_need_two_people_who_may(tmp_path: Path, may: list[str]) -> None:
    ann = Somebody("Ann").settings(tmp_path).model_dump() | {"may": may}

    with pytest.raises(ValueError, match="needs two people who may approve"):
        opened(tmp_path, approvals=2, people=[ann])


def test_a_certificate_is_no_persons_key(tmp_path: Path) -> None:
    from tests.unit.trust.signing import certificate_authority, write_certificate

    path = write_certificate(tmp_path / "ca.pem", certificate_authority())

    with pytest.raises(SettingsError, match="is a certificate"):
        opened(tmp_path, people=[{"name": "Ann", "key": path, "may": ["approve"]}])
