"""Records of a model's states go into a real archive beside the model, and come back as the register has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from iodeep.errors import IntegrityError
from iodeep.model_object import read_descriptor
from iodeep.model_object.site_document import DocumentType, SiteDocument, write_site_document
from iodeep.selection import list_models
from iodeep.service.library import fetch_descriptor
from iodeep.service.lifecycle.archiving import check_nothing_lost, read_records, store_records
from iodeep.service.storing import store_and_prove
from iodeep.trust.lifecycle import ModelState, RegisteredRelease
from pacs_bridge import open_archive
from tests.peers.servers import Peer
from tests.unit.model_object.models import pack_ensemble
from tests.unit.service.lifecycle.registers import approved, change, register

pytestmark = pytest.mark.peers


def test_records_come_back_as_the_register_has_them_and_are_stored_once(peer: Peer, tmp_path: Path) -> None:
    model = pack_ensemble(tmp_path)
    descriptor = read_descriptor(model.descriptor)
    release, study = RegisteredRelease.of(descriptor), descriptor.study_instance_uid
    with register(tmp_path) as kept, open_archive(peer.settings()) as archive:
        store_and_prove(archive, model.files)
        models = {row.uid for row in list_models(archive, tmp_path / "before")}
        assert read_records(archive, kept, study, tmp_path) == ()
        approved(kept, release)
        assert [store_records(archive, kept, descriptor, tmp_path) for _ in range(2)] == [5, 0]
        change(kept, release, ModelState.RETIRED)
        assert store_records(archive, kept, descriptor, tmp_path) == 1

        history = kept.history(release.sop_instance_uid)
        archived = read_records(archive, kept, study, tmp_path)

        assert archived == history
        with pytest.raises(IntegrityError, match="has lost 1 records"):
            check_nothing_lost(history[:-1], archived)
        assert read_descriptor(fetch_descriptor(archive, study, tmp_path / "back")).identity == descriptor.identity
        assert {row.uid for row in list_models(archive, tmp_path / "after")} == models


def test_a_record_that_the_site_did_not_sign_is_refused(peer: Peer, tmp_path: Path) -> None:
    model = pack_ensemble(tmp_path)
    descriptor = read_descriptor(model.descriptor)
    release = RegisteredRelease.of(descriptor)
    (tmp_path / "stranger").mkdir()
    with (
        register(tmp_path) as kept,
        register(tmp_path / "stranger") as strange,
        open_archive(peer.settings()) as archive,
    ):
        store_and_prove(archive, model.files)
        approved(kept, release)
        approved(strange, release, by="Eve")
        store_records(archive, kept, descriptor, tmp_path)
        record, signed = strange.signed_history(release.sop_instance_uid)[-1]
        as_ours = SiteDocument(DocumentType.STATE, signed.content, signed.value, kept.key.type_and_id)
        forged = write_site_document(tmp_path, as_ours, 99, record.at, descriptor.manifest, release.manifest_sha256)
        archive.store([forged])

        with pytest.raises(IntegrityError, match="altered, or signed with another key"):
            read_records(archive, kept, descriptor.study_instance_uid, tmp_path)
