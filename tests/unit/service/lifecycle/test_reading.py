"""The register read from its file: the same as the whole one says, as strict, and the whole one where it has to be."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import IntegrityError, SettingsError
from iodeep.serve_settings import ServeSettings
from iodeep.service.configuration import Configuration
from iodeep.service.lifecycle import table
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.lifecycle.reading import KEY_FILE, RegisterAtHand, read_file, register_at_hand
from iodeep.service.serving.composition import folders_of
from iodeep.settings import Settings
from iodeep.trust.lifecycle import SERVICE, ModelState
from tests.unit.service.lifecycle.registers import Events, release


def configured(folder: Path, **jobs: Any) -> Configuration:
    serve = ServeSettings.model_validate({"data": folder, "jobs": jobs})
    settings = Settings.model_validate({"serve": serve, "lifecycle": {"skip_shadow": True}})
    return Configuration(settings, None, folder / "cache")


def at_hand(configuration: Configuration) -> RegisterAtHand:
    return register_at_hand(configuration, folders_of(configuration), Events())


@pytest.fixture
def filled(tmp_path: Path) -> Configuration:
    """A register with three records of two releases."""
    configuration = configured(tmp_path)
    with open_register(configuration, folders_of(configuration), Events()) as whole:
        for number in (1, 2):
            whole.receive(release(number), SERVICE, "it arrived")
        whole.change(release(2).sop_instance_uid, ModelState.RETIRED, by="somebody", reason="not needed")
    return configuration


class NeverOpened:
    """What must not be asked for the whole register."""

    def __call__(self) -> Any:
        raise AssertionError("the whole register was opened")


def test_the_file_says_what_the_database_says(filled: Configuration) -> None:
    folders = folders_of(filled)
    with open_register(filled, folders, Events()) as whole, at_hand(filled) as quick:
        with whole.engine.connect() as connection:
            assert read_file(folders.database) == table.read_all(connection)
        assert quick.standings() == whole.standings()
        assert quick.standing(release(2).sop_instance_uid) == whole.standing(release(2).sop_instance_uid)
        assert quick.standing("2.25.404") is None


def test_asking_does_not_load_what_changes_a_register(filled: Configuration) -> None:
    folders = folders_of(filled)
    quick = RegisterAtHand(NeverOpened(), folders.database, folders.root / KEY_FILE)
    program = "import sys, iodeep.service.lifecycle.reading; sys.exit('sqlalchemy' in sys.modules)"

    assert len(quick.standings()) == 2
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_was_changed_meanwhile_is_seen(filled: Configuration) -> None:
    with open_register(filled, folders_of(filled), Events()) as whole, at_hand(filled) as quick:
        assert len(quick.standings()) == 2
        whole.receive(release(3), SERVICE, "it arrived")
        assert len(quick.standings()) == 3


def test_a_change_goes_through_the_whole_register(filled: Configuration) -> None:
    with at_hand(filled) as quick:
        assert quick.receive(release(3), SERVICE, "it arrived").state is ModelState.QUARANTINED
        assert len(quick.standings()) == 3
        assert len(quick.history(release(3).sop_instance_uid)) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE iodeep_state_records SET record = replace(record, 'retired', 'approved')",
        "UPDATE iodeep_state_records SET signature = 'no digits' WHERE sequence = 1",
        "DELETE FROM iodeep_state_records WHERE sequence = (SELECT max(sequence) FROM iodeep_state_records)",
        "DELETE FROM iodeep_state_end",
        "UPDATE iodeep_state_records SET record = x'00ff'",
        "UPDATE iodeep_state_records SET signature = x'00ff'",
        "UPDATE iodeep_state_end SET sequence = 'many'",
        "UPDATE iodeep_state_end SET sha256 = x'00ff'",
        "UPDATE iodeep_state_end SET signature = x'00ff'",
    ],
)
def test_a_file_that_was_altered_says_nothing(statement: str, filled: Configuration) -> None:
    with sqlite3.connect(folders_of(filled).database) as database:
        database.execute(statement)
    database.close()

    with at_hand(filled) as quick, pytest.raises(IntegrityError):
        quick.standings()
    with open_register(filled, folders_of(filled), Events()) as whole, pytest.raises(IntegrityError):
        whole.standings()


def test_a_register_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    with at_hand(configured(tmp_path)) as quick:
        assert quick.standings() == ()
    assert (tmp_path / KEY_FILE).exists()


def test_a_lost_key_is_told_as_the_whole_register_tells_it(filled: Configuration) -> None:
    (folders_of(filled).root / KEY_FILE).unlink()

    with at_hand(filled) as quick, pytest.raises(SettingsError, match="the key that they are signed with is not here"):
        quick.standings()


def test_another_database_is_asked_whole(tmp_path: Path) -> None:
    other = configured(tmp_path, database=f"sqlite:///{tmp_path / 'other.sqlite'}")
    with open_register(other, folders_of(other), Events()) as whole:
        whole.receive(release(1), SERVICE, "it arrived")

    with at_hand(other) as quick:
        assert len(quick.standings()) == 1
