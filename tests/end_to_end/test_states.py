"""From arrival to approval and back by the command line: who may, what is recorded, what a register that was tampered with says."""

from __future__ import annotations

import getpass
import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from iodeep.errors import ExitCode
from iodeep.model_object import ObjectKind, read_descriptor, recognise
from iodeep.ports import Level
from iodeep.service.library import local_model
from iodeep.service.storing import dicom_files
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive
from tests.end_to_end.conftest import HEAD, CommandLine
from tests.unit.model_object.models import flip_byte

pytestmark = pytest.mark.slow

MODEL, NAME = "CXRLUNG", "Lung fields in chest radiographs"
"""A network of a few bytes, with a self-test of its own."""
CARD = HEAD.parent / "others" / "cr-chest.yaml"
WHY = ("--reason", "our trial of 40 cases")


@dataclass(frozen=True)
class Site:
    """A site with a register, and an archive of its own."""

    folder: Path
    pacs: PacsSettings
    iodeep: CommandLine

    def settle(self, *lifecycle: str) -> None:
        """Write the settings; further lines of ``[lifecycle]``."""
        lines = (
            f'[pacs.main]\nhost = "{self.pacs.host}"\nport = {self.pacs.port}\naet = "{self.pacs.aet}"\n',
            f'[serve]\ndata = "{self.folder / "data"}"\n',
            "[lifecycle]",
            *lifecycle,
        )
        (self.folder / "iodeep.toml").write_text("\n".join(lines), encoding="utf-8")

    def says(self, *arguments: object, code: int = 0) -> str:
        """What a command prints, once it ended as it has to."""
        ended = self.iodeep(*arguments, "--config", self.folder / "iodeep.toml")
        said = " ".join((ended.out + ended.err).split())
        assert ended.code == code, said
        return said

    def told(self, *arguments: object, code: int = 0) -> Any:
        """The same as a document."""
        return json.loads(self.says(*arguments, "--json", code=code))

    def state(self, study: str) -> str:
        """Where a model stands."""
        return str(self.told("states", study)["state"])

    def store(self, *paths: Path) -> None:
        """Put files into the archive."""
        with open_archive(self.pacs) as archive:
            archive.store(dicom_files(paths))


@pytest.fixture
def site(tmp_path: Path, iodeep: CommandLine, objects: dict[str, Path]) -> Iterator[Site]:
    with embedded_archive(tmp_path / "archive") as pacs:
        made = Site(tmp_path, pacs, iodeep)
        made.settle("skip_shadow = true")
        made.store(objects[MODEL])
        yield made


@pytest.fixture
def study(objects: dict[str, Path]) -> str:
    return read_descriptor(local_model(objects[MODEL]).descriptor_path).study_instance_uid


@pytest.fixture
def newer(site: Site, objects: dict[str, Path]) -> str:
    """The study of a newer release of the same model, in the archive too."""
    card = yaml.safe_load(CARD.read_text(encoding="utf-8")) | {"version": "1.2.0"}
    path = site.folder / "newer.yaml"
    path.write_text(yaml.safe_dump(card, allow_unicode=True), encoding="utf-8")
    packed = site.told(
        "pack", objects[MODEL].parent / "placeholders" / CARD.stem, "--card", path, "--out", site.folder / "newer"
    )
    site.store(site.folder / "newer")
    return str(packed["study_instance_uid"])


def test_a_model_is_approved_after_every_step_was_taken_and_recorded(site: Site, study: str) -> None:
    assert [row["state"] for row in site.told("states", "--pacs", "main")["models"]] == [None]
    site.says("states", study, code=ExitCode.BAD_INPUT)

    approved = site.told("approve", study, *WHY, "--by", "Dr. Lee")

    assert (approved["state"], approved["approved_by"]) == ("approved", ["Dr. Lee"])
    assert {check["subject"] for check in approved["checks"]} >= {"descriptor", "structure", "self-test"}
    history = site.told("states", study)["history"]
    assert [record["after"] for record in history] == [
        "received",
        "quarantined",
        "verified",
        "self-tested",
        "approved",
    ]
    assert set(history[3]["evidence"]) == {"self-test", "runtime", "provider", "fingerprint", "host"}
    assert history[4]["evidence"] == {"login": getpass.getuser()}
    assert (history[4]["by"], history[4]["reason"], history[4]["skip_shadow"]) == ("Dr. Lee", WHY[1], True)
    assert "Every record of the register holds" in site.says("states", study)


def test_a_model_that_was_altered_stays_in_quarantine_with_the_reason(
    site: Site, study: str, objects: dict[str, Path]
) -> None:
    part = next(path for path in dicom_files([objects[MODEL]]) if recognise(path).kind is ObjectKind.PART)
    altered = Path(shutil.copy(part, site.folder / "altered.dcm"))
    flip_byte(altered, altered.stat().st_size - 20)
    site.store(altered)

    refused = site.says("approve", study, *WHY, code=ExitCode.NOT_TRUSTED)

    assert "stays in quarantine: Wrong:" in refused
    shown = site.told("states", study)
    assert (shown["state"], shown["by"]) == ("quarantined", "service")
    assert "Wrong:" in shown["reason"]


def test_the_shadow_comes_first_unless_somebody_says_otherwise(site: Site, study: str) -> None:
    site.settle()
    assert "never ran as a shadow" in site.says("approve", study, *WHY, code=ExitCode.NOT_TRUSTED)
    assert "no archive for the results of shadows" in site.says("shadow", study, *WHY, code=ExitCode.SETTINGS)
    assert site.state(study) == "self-tested"
    site.settle('shadow_archive = "main"')

    site.says("shadow", study, *WHY)
    assert site.state(study) == "shadow"
    site.says("approve", study, *WHY)
    assert site.state(study) == "approved"


def test_two_people_approve_each_with_a_key_of_their_own(
    site: Site, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IODEEP_KEY_PASSPHRASE", "correct horse battery staple")
    keys = {name: site.folder / f"{name}.pem" for name in ("ann", "bob", "eve")}
    for key in keys.values():
        site.iodeep("signing-key", "new", "--out", key)
    people = [
        f'[[lifecycle.people]]\nname = "{name}"\nkey = "{keys[name].with_suffix(".pub.pem")}"\nmay = ["approve", "retire"]'
        for name in ("ann", "bob")
    ]
    site.settle("skip_shadow = true", "approvals = 2", *people)

    assert "another person has to" in site.says("approve", study, *WHY, "--key", keys["ann"])
    assert site.state(study) == "self-tested"
    assert "ann has approved" in site.says("approve", study, *WHY, "--key", keys["ann"], code=ExitCode.NOT_TRUSTED)
    assert "bob has not signed" in site.says("approve", study, *WHY, "--by", "bob", code=ExitCode.NOT_TRUSTED)
    assert "of nobody whom iodeep.toml names" in site.says(
        "approve", study, *WHY, "--key", keys["eve"], code=ExitCode.BAD_INPUT
    )
    assert "not by the key of bob" in site.says(
        "approve", study, *WHY, "--key", keys["eve"], "--by", "bob", code=ExitCode.NOT_TRUSTED
    )
    approved = site.told("approve", study, *WHY, "--key", keys["bob"])
    assert (approved["state"], approved["approved_by"]) == ("approved", ["ann", "bob"])
    assert "retired" in site.says("retire", study, "--reason", "done", "--key", keys["ann"])


def test_a_release_is_taken_back_and_the_one_before_it_is_approved_again(site: Site, study: str, newer: str) -> None:
    nothing = site.says("rollback", NAME, *WHY, code=ExitCode.BAD_INPUT)
    assert f"no model {NAME}" in nothing
    site.says("approve", study, *WHY)
    assert "no other release was approved" in site.says("rollback", NAME, *WHY, code=ExitCode.NOT_TRUSTED)
    site.says("retire", study, "--reason", "the new one is here")
    site.says("approve", newer, *WHY)

    told = site.says("rollback", NAME.lower(), "--reason", "misses small lesions")

    assert f"{NAME} 1.2.0 is retired; {NAME} 1.1.0 is approved again." in told
    assert (site.state(study), site.state(newer)) == ("approved", "retired")


def test_a_model_is_stopped_while_the_archive_is_away(site: Site, study: str) -> None:
    site.settle("skip_shadow = true", "store_records = true")
    site.says("approve", study, *WHY)
    away = Site(site.folder, site.pacs.model_copy(update={"port": 1}), site.iodeep)
    away.settle("store_records = true")

    stopped = away.says("quarantine", study, "--reason", "wrong side in two cases")

    assert "the archive has no copy of the record yet" in stopped
    assert away.state(study) == "quarantined"


def test_records_are_in_the_archive_and_tell_where_the_database_is_an_older_one(site: Site, study: str) -> None:
    site.settle("skip_shadow = true", "store_records = true")
    site.says("approve", study, *WHY)
    with open_archive(site.pacs) as archive:
        rows = archive.find(Level.SERIES, {"StudyInstanceUID": study}, ("SeriesNumber",))
    assert [row["SeriesNumber"][:1] for row in rows].count("4") == 1
    database = site.folder / "data" / "jobs.sqlite"
    with sqlite3.connect(database) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    opened.close()
    shutil.copy(database, site.folder / "older.sqlite")
    site.says("quarantine", study, "--reason", "wrong side in two cases")
    site.says("states", study, "--pacs", "main")
    assert "Everything holds" in site.says("verify", study)

    for path in site.folder.glob("data/jobs.sqlite*"):
        path.unlink()
    shutil.copy(site.folder / "older.sqlite", database)

    older = site.says("states", study, code=ExitCode.NOT_TRUSTED)
    assert "an older one than this machine has seen" in older
    (site.folder / "data" / "register.seen").unlink()
    assert site.state(study) == "approved"
    lost = site.says("states", study, "--pacs", "main", code=ExitCode.NOT_TRUSTED)
    assert f"has lost 1 records of {NAME} 1.1.0" in lost
    assert "wrong side in two cases" in lost


def test_a_register_that_was_tampered_with_stops_everything(site: Site, study: str) -> None:
    site.says("approve", study, *WHY)
    with sqlite3.connect(site.folder / "data" / "jobs.sqlite") as opened:
        opened.execute("DELETE FROM iodeep_state_records WHERE sequence = 5")
    opened.close()

    for command in (("states",), ("approve", study, *WHY), ("quarantine", study, *WHY)):
        assert "has lost its newest records" in site.says(*command, code=ExitCode.NOT_TRUSTED)


def test_what_the_list_of_the_site_withdraws_is_revoked(
    site: Site, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IODEEP_KEY_PASSPHRASE", "correct horse battery staple")
    office, stranger, listed = (site.folder / name for name in ("office.pem", "stranger.pem", "revoked.json"))
    for key in (office, stranger):
        site.iodeep("signing-key", "new", "--out", key)
    lists = f'[[trust.revocation]]\nfile = "{listed}"\nkey = "{office.with_suffix(".pub.pem")}"'
    site.settle("skip_shadow = true", "[trust]", "research = true", 'unsigned = "warn"', lists)
    site.says("revoke", "--key", office, "--list", listed)
    manifest = site.told("approve", study, *WHY)["manifest_sha256"]

    site.says("revoke", manifest, "--key", stranger, "--list", site.folder / "another.json")
    assert site.state(study) == "approved", "that list is none that this site asks"
    said = site.says("revoke", manifest, "--key", office, "--list", listed, "--reason", "misses bleeding")

    assert f"Revoked at this site: {NAME} 1.1.0." in said
    shown = site.told("states", study)
    assert (shown["state"], shown["reason"]) == ("revoked", "by the list of what is withdrawn: misses bleeding")
    assert "cannot become approved" in site.says("approve", study, *WHY, code=ExitCode.NOT_TRUSTED)


def test_what_is_imported_is_in_quarantine(site: Site, study: str) -> None:
    site.says("export", study, "--out", site.folder / "media")

    told = site.told("import", site.folder / "media", "--to", "main", "--accept-licence", "Apache-2.0")

    assert told["state"] == "quarantined"
    assert "imported from" in site.told("states", study)["reason"]
