"""Signatures survive real archives: stored beside the model, found again, and judged as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from iodeep.errors import NotTrustedError
from iodeep.model_object import PackedModel, read_descriptor
from iodeep.model_object import private_block as block
from iodeep.service.library import fetch_descriptor
from iodeep.service.signing import sign_model
from iodeep.service.storing import store_and_prove
from iodeep.service.trusting import check_trusted, signatures_in_archive
from iodeep.trust.signatures import SignerRole, SigningKey
from pacs_bridge import open_archive
from tests.peers.servers import Peer
from tests.unit.model_object.models import edit, pack_ensemble
from tests.unit.trust.signing import certificate_authority, issued, key_files, policy, write_certificate

pytestmark = pytest.mark.peers


def key_of(kind: str, folder: Path) -> tuple[SigningKey, Path]:
    if kind == "ed25519":
        return key_files(folder)
    ca = certificate_authority()
    return issued(ca, with_rsa=True), write_certificate(folder / "ca.pem", ca)


def signed_by(model: PackedModel, key: SigningKey, role: SignerRole, folder: Path) -> Path:
    return sign_model(read_descriptor(model.descriptor), key, role, folder)


@pytest.mark.parametrize("kind", ["ed25519", "cms"])
def test_signatures_come_back_as_they_were_given(peer: Peer, tmp_path: Path, kind: str) -> None:
    """The model first, then the signatures, one by one, as a developer and a hospital would add theirs."""
    model = pack_ensemble(tmp_path)
    key, public = key_of(kind, tmp_path)
    trust = policy(public, key={"roles": ["developer", "hospital"]}, roles=["developer", "hospital"])
    with open_archive(peer.settings()) as archive:
        store_and_prove(archive, model.files)
        descriptor = read_descriptor(fetch_descriptor(archive, model.study_instance_uid, tmp_path / "back"))
        with pytest.raises(NotTrustedError, match="no signature as developer and as hospital"):
            check_trusted(archive, descriptor, trust, tmp_path)
        for role in (SignerRole.DEVELOPER, SignerRole.HOSPITAL):
            store_and_prove(archive, [signed_by(model, key, role, tmp_path)])

        assert len(signatures_in_archive(archive, model.study_instance_uid, tmp_path)) == 2
        check_trusted(archive, descriptor, trust, tmp_path)


def test_an_altered_signature_comes_back_altered(peer: Peer, tmp_path: Path) -> None:
    model = pack_ensemble(tmp_path)
    key, public = key_files(tmp_path)
    path = signed_by(model, key, SignerRole.DEVELOPER, tmp_path)

    def alter(dataset: Dataset) -> None:
        value = dataset[block.STATEMENT.tag()].value
        dataset[block.STATEMENT.tag()].value = value.replace(b"developer", b"regulator")

    edit(path, alter)
    with open_archive(peer.settings()) as archive:
        store_and_prove(archive, [*model.files, path])
        with pytest.raises(NotTrustedError, match="does not hold"):
            check_trusted(archive, read_descriptor(model.descriptor), policy(public), tmp_path)
