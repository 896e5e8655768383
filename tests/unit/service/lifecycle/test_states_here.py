"""Where models stand can be shown by whoever may read the service's file, and is left out for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from iodeep.errors import IntegrityError
from iodeep.serve_settings import JobSettings, ServeSettings
from iodeep.service.configuration import Configuration
from iodeep.service.lifecycle import table
from iodeep.service.lifecycle.reading import KEY_FILE, read_states
from iodeep.service.serving.context import DataFolders
from iodeep.settings import Settings
from tests.unit.service.lifecycle.registers import approved, release
from tests.unit.service.lifecycle.test_opening import opened


def states(folder: Path, database: str = "") -> object:
    settings = Settings(serve=ServeSettings(data=folder, jobs=JobSettings(database=database)))
    return read_states(Configuration(settings, None, folder / "cache"), DataFolders(folder))


def test_states_are_read_from_the_file_of_this_machine(tmp_path: Path) -> None:
    assert states(tmp_path) is None
    with opened(tmp_path, skip_shadow=True) as register:
        approved(register, release())

    assert states(tmp_path) == {release().sop_instance_uid: "approved"}
    assert states(tmp_path, "postgresql://elsewhere/jobs") is None
    (tmp_path / KEY_FILE).unlink()
    assert states(tmp_path) is None


def test_a_file_that_was_altered_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, skip_shadow=True) as register:
        approved(register, release())
        with register.engine.begin() as connection:
            connection.execute(table.records.delete().where(table.records.c.sequence == 2))

    with pytest.raises(IntegrityError):
        states(tmp_path)
