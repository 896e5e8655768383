"""One register of model states in PostgreSQL that several hosts share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from iodeep.errors import IntegrityError, LocalStorageError, NotTrustedError, SettingsError
from iodeep.lifecycle_settings import LifecycleSettings
from iodeep.serve_settings import JobSettings, ServeSettings
from iodeep.service.configuration import Configuration
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.lifecycle.reading import KEY_FILE
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.serving.composition import folders_of
from iodeep.settings import Settings
from iodeep.trust.lifecycle import SERVICE, ModelState
from tests.peers.postgres import PostgresServer, postgres
from tests.peers.servers import MissingPeerError
from tests.unit.service.lifecycle.registers import Events, approved, change, release, to_self_tested

pytestmark = [pytest.mark.peers, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    try:
        with postgres() as running:
            yield running
    except MissingPeerError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def host(folder: Path, server: PostgresServer, **lifecycle: object) -> SiteRegister:
    """The register as a host with this data folder opens it."""
    serve = ServeSettings(data=folder, jobs=JobSettings(database=server.url))
    settings = LifecycleSettings.model_validate({"skip_shadow": True, **lifecycle})
    configuration = Configuration(Settings(serve=serve, lifecycle=settings), None, folder / "cache")
    return open_register(configuration, folders_of(configuration), Events())


def test_hosts_share_a_register_with_its_key_and_change_it_one_after_another(
    server: PostgresServer, tmp_path: Path
) -> None:
    with host(tmp_path / "first", server) as first:
        approved(first, release(1))
        with pytest.raises(SettingsError, match="the key that they are signed with is not here"):
            host(tmp_path / "second", server)
        with host(tmp_path / "second", server, key=tmp_path / "first" / KEY_FILE) as second:
            assert second.standing(release(1).sop_instance_uid) == first.standing(release(1).sop_instance_uid)
            to_self_tested(second, release(2, "1.1.0"))
            hosts = (first, second)

            def decide(number: int) -> str:
                """Of all who would approve it at once, one does."""
                try:
                    return str(change(hosts[number % 2], release(2, "1.1.0"), ModelState.APPROVED, f"Person {number}"))
                except NotTrustedError as refusal:
                    return refusal.problem

            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(decide, range(8)))
                list(pool.map(lambda n: hosts[n % 2].receive(release(n), SERVICE, "it arrived"), range(3, 9)))

            assert sorted(answers) == ["Brain 1 1.1.0 is approved already"] * 7 + ["approved"]
            assert len(first.standings()) == len(second.standings()) == 8
            newest, older = second.rollback("Brain 1", by="Ann", reason="misses lesions")
            assert (newest.state, older.state) == (ModelState.RETIRED, ModelState.APPROVED)
            with psycopg.connect(server.url) as database:
                database.execute(
                    "UPDATE iodeep_state_records SET record = replace(record, 'Ann', 'Eve') WHERE sequence = 5"
                )
            for each in hosts:
                with pytest.raises(IntegrityError, match="record 5"):
                    each.standings()
            server.kill()
            with pytest.raises(LocalStorageError, match="does not answer"):
                second.standings()
