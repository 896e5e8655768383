"""A signed list of what is revoked goes into a real archive and counts from there; old ones, altered ones and others' do not."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from iodeep.errors import NotTrustedError
from iodeep.model_object import PackedModel, read_descriptor
from iodeep.model_object import private_block as block
from iodeep.model_object.site_document import DocumentType, SiteDocument, write_site_document
from iodeep.selection import list_models
from iodeep.service.revoking import newest_list, store_list
from iodeep.service.signing import sign_model
from iodeep.service.storing import store_and_prove
from iodeep.service.trusting import check_trusted, policy_of
from iodeep.settings import Settings, settings_of_document
from iodeep.trust.revocations import RevocationList, sign_list
from iodeep.trust.signatures import SignerRole, SigningKey
from iodeep.trust.signatures.keys import ed25519_public
from pacs_bridge import open_archive
from tests.peers.servers import Peer
from tests.unit.model_object.models import edit, pack_ensemble
from tests.unit.trust.signing import DAY, NOW, key_files

pytestmark = pytest.mark.peers

ISSUED = NOW.replace(microsecond=0) - DAY


def a_list(issued: timedelta = timedelta(), *revoked: str) -> RevocationList:
    made = RevocationList(issued_at=ISSUED + issued, valid_until=(NOW + 90 * DAY).date())
    for each in revoked:
        made = made.with_revoked(each, "because", made.issued_at, made.valid_until)
    return made


def stored(peer: Peer, revoked: RevocationList, key: SigningKey) -> None:
    with open_archive(peer.settings()) as archive:
        store_list(archive, sign_list(revoked, key), revoked)


def site(peer: Peer, folder: Path, developer: Path, office: Path) -> Settings:
    """Settings of a site that asks the archive each time."""
    address = peer.settings()
    trust: dict[str, Any] = {
        "research": True,
        "keys": [{"name": "the developer", "file": developer, "roles": ["developer"]}],
        "revocation": {"pacs": "main", "key": office, "every_s": 0.000001},
    }
    main = {"host": address.host, "port": address.port, "aet": address.aet}
    return settings_of_document({"pacs": {"main": main}, "trust": trust, "serve": {"data": folder / "data"}}, "test")


def signed_model(peer: Peer, folder: Path, key: SigningKey) -> PackedModel:
    model = pack_ensemble(folder)
    path = sign_model(read_descriptor(model.descriptor), key, SignerRole.DEVELOPER, folder)
    with open_archive(peer.settings()) as archive:
        store_and_prove(archive, [*model.files, path])
    return model


def judged(peer: Peer, settings: Settings, model: PackedModel, folder: Path) -> None:
    with open_archive(peer.settings()) as archive:
        check_trusted(archive, read_descriptor(model.descriptor), policy_of(settings, serving=True), folder)


def test_what_is_revoked_in_the_archive_is_not_run_and_no_old_list_takes_that_back(peer: Peer, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    office, office_public = key_files(tmp_path, "office")
    settings = site(peer, tmp_path, public, office_public)
    model = signed_model(peer, tmp_path, key)

    with pytest.raises(NotTrustedError, match="no list of what is revoked came out of the archive yet"):
        judged(peer, settings, model, tmp_path)
    stored(peer, a_list(), office)
    judged(peer, settings, model, tmp_path)
    stored(peer, a_list(timedelta(hours=1), key.type_and_id.split()[1]), office)
    stored(peer, a_list(timedelta(minutes=30)), office)
    for _ in range(2):
        with pytest.raises(NotTrustedError, match="is revoked"):
            judged(peer, settings, model, tmp_path)
    with open_archive(peer.settings()) as archive:
        found = newest_list(archive, ed25519_public(office))
    assert found is not None
    assert found.checked(ed25519_public(office)).issued_at == ISSUED + timedelta(hours=1)


def test_an_archive_that_lost_the_newest_list_is_noticed(peer: Peer, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    office, office_public = key_files(tmp_path, "office")
    settings = site(peer, tmp_path, public, office_public)
    model = signed_model(peer, tmp_path, key)
    stored(peer, a_list(), office)
    judged(peer, settings, model, tmp_path)
    memory = tmp_path / "data" / "trust" / "seen.json"
    seen = json.loads(memory.read_text())
    seen["lists"] = {issuer: (ISSUED + timedelta(hours=2)).isoformat() for issuer in seen["lists"]}
    memory.write_text(json.dumps(seen))

    with pytest.raises(NotTrustedError, match="is older than one that was seen here"):
        judged(peer, settings, model, tmp_path)


def test_what_others_put_into_the_archive_counts_for_nothing(peer: Peer, tmp_path: Path) -> None:
    """A list by another key, an altered one, and an old one under the number of a new one."""
    key, public = key_files(tmp_path)
    office, office_public = key_files(tmp_path, "office")
    stranger, _ = key_files(tmp_path, "stranger")
    settings = site(peer, tmp_path, public, office_public)
    model = signed_model(peer, tmp_path, key)
    withdrawn = key.type_and_id.split()[1]
    forged = sign_list(a_list(timedelta(hours=3), withdrawn), stranger)
    as_ours = SiteDocument(DocumentType.REVOCATIONS, forged.content, forged.value, office.type_and_id)
    old = sign_list(a_list(-DAY, withdrawn), office)
    renumbered = SiteDocument(DocumentType.REVOCATIONS, old.content, old.value, old.type_and_key)
    altered_list = sign_list(a_list(timedelta(hours=4)), office)
    altered = SiteDocument(
        DocumentType.REVOCATIONS, altered_list.content, altered_list.value, altered_list.type_and_key
    )
    paths = [
        write_site_document(tmp_path, each, 2_000_000_000 + number, NOW)
        for number, each in enumerate((as_ours, renumbered, altered))
    ]

    def alter(dataset: Dataset) -> None:
        content = dataset[block.DOCUMENT.tag()].value
        assert b'"keys":{}' in content
        dataset[block.DOCUMENT.tag()].value = content.replace(b'"keys":{}', f'"keys":{{"{withdrawn}":"x"}}'.encode())

    edit(paths[2], alter)
    with open_archive(peer.settings()) as archive:
        archive.store(paths)
    stored(peer, a_list(), office)

    judged(peer, settings, model, tmp_path)


def test_a_list_is_no_model_and_is_stored_once(peer: Peer, tmp_path: Path) -> None:
    office, _ = key_files(tmp_path, "office")
    with open_archive(peer.settings()) as archive:
        before = {row.uid for row in list_models(archive, tmp_path / "before")}
        uids = {store_list(archive, sign_list(a_list(), office), a_list()) for _ in range(2)}
        after = {row.uid for row in list_models(archive, tmp_path / "after")}

    assert len(uids) == 1
    assert before == after


def test_an_archive_that_is_away_leaves_what_is_known(peer: Peer, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    office, office_public = key_files(tmp_path, "office")
    settings = site(peer, tmp_path, public, office_public)
    model = signed_model(peer, tmp_path, key)
    stored(peer, a_list(), office)
    judged(peer, settings, model, tmp_path)
    away = settings.pacs["main"].model_copy(update={"port": 1})

    judged(peer, settings.model_copy(update={"pacs": {"main": away}}), model, tmp_path)

    assert (tmp_path / "data" / "trust").stat().st_mode & 0o077 == 0
