"""A model between two real archives, over DIMSE and DICOMweb in every direction, and back out whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iodeep.card import read_card
from iodeep.inference import Engine
from iodeep.model_object import PackedModel, read_descriptor
from iodeep.ports import Level
from iodeep.service.exchange.exporting import export_model
from iodeep.service.exchange.importing import receive, store_arrived
from iodeep.service.exchange.sending import send_model
from iodeep.service.library import fetch_model, local_model
from iodeep.service.packing import pack_network
from iodeep.service.signing import sign_model
from iodeep.settings import PacsSettings, Retrieve, RunSettings
from iodeep.trust import verify_object
from iodeep.trust_settings import SignerRole
from pacs_bridge import open_archive
from tests.peers.conftest import _running
from tests.peers.servers import Peer
from tests.unit.trust.signing import key_files

pytestmark = [pytest.mark.peers, pytest.mark.slow]

BRAIN = Path(__file__).resolve().parents[2] / "sample_data" / "brain"
MEBI = 1 << 20


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One process for all."""
    with Engine(RunSettings()) as engine:
        yield engine


@pytest.fixture
def signed(engine: Engine, tmp_path: Path) -> PackedModel:
    """The real network in five parts, with a signature: fresh UIDs for each test."""
    model = pack_network(BRAIN, read_card(BRAIN / "card.yaml"), tmp_path / "object", engine, part_size=2 * MEBI).model
    key, _ = key_files(tmp_path)
    sign_model(read_descriptor(model.descriptor), key, SignerRole.DEVELOPER, model.folder)
    return model


@pytest.fixture(scope="module")
def second_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The other hospital's."""
    yield from _running("orthanc", tmp_path_factory.mktemp("second"))


def _instances(settings: PacsSettings, study: str) -> int:
    with open_archive(settings) as archive:
        series = archive.find(Level.SERIES, {"StudyInstanceUID": study}, ("SeriesInstanceUID",))
        return sum(
            len(archive.find(Level.IMAGE, {"StudyInstanceUID": study, "SeriesInstanceUID": row["SeriesInstanceUID"]}))
            for row in series
        )


def _is_whole(settings: PacsSettings, study: str, folder: Path) -> bool:
    with open_archive(settings) as archive:
        model = fetch_model(archive, study, folder)
    return verify_object(model.descriptor_path, model.part_paths).holds


@pytest.mark.parametrize(
    ("giving", "taking"),
    [(Retrieve.AUTO, Retrieve.AUTO), (Retrieve.AUTO, Retrieve.WEB), (Retrieve.WEB, Retrieve.AUTO)],
    ids=["DIMSE to DIMSE", "DIMSE to DICOMweb", "DICOMweb to DIMSE"],
)
def test_a_model_is_sent_from_orthanc_to_orthanc(
    giving: Retrieve, taking: Retrieve, orthanc_peer: Peer, second_orthanc: Peer, signed: PackedModel, tmp_path: Path
) -> None:
    with open_archive(orthanc_peer.settings()) as archive:
        archive.store(sorted(signed.folder.glob("*.dcm")))
    with open_archive(orthanc_peer.settings(giving)) as source, open_archive(second_orthanc.settings(taking)) as target:
        _, held = send_model(signed.study_instance_uid, source, target, tmp_path)
        _, again = send_model(signed.identity.sop_instance_uid, source, target, tmp_path)

    assert (held.instances, held.held_before) == (7, 0)
    assert (again.instances, again.held_before) == (7, 7)
    assert _instances(second_orthanc.settings(), signed.study_instance_uid) == 7
    assert _is_whole(second_orthanc.settings(), signed.study_instance_uid, tmp_path / "back")


def test_a_model_is_sent_from_every_archive_to_orthanc(
    peer: Peer, second_orthanc: Peer, signed: PackedModel, tmp_path: Path
) -> None:
    with open_archive(peer.settings()) as archive:
        archive.store(sorted(signed.folder.glob("*.dcm")))
    with open_archive(peer.settings()) as source, open_archive(second_orthanc.settings()) as target:
        _, held = send_model(signed.study_instance_uid, source, target, tmp_path)

    assert held.instances == 7
    assert _is_whole(second_orthanc.settings(), signed.study_instance_uid, tmp_path / "back")


def test_a_model_goes_on_media_from_one_orthanc_to_every_archive(
    orthanc_peer: Peer, fresh_peer: Peer, signed: PackedModel, engine: Engine, tmp_path: Path
) -> None:
    with open_archive(orthanc_peer.settings()) as archive:
        archive.store(sorted(signed.folder.glob("*.dcm")))
        model = fetch_model(archive, signed.study_instance_uid, tmp_path / "fetched")
    export_model(model, tmp_path / "brain.zip")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    arrived = receive(tmp_path / "brain.zip", workspace, engine)
    with open_archive(fresh_peer.settings()) as target:
        held = store_arrived(arrived, target, workspace)

    assert arrived.verdict.holds, arrived.verdict
    assert held.instances == 7
    assert read_descriptor(local_model(workspace / "media").descriptor_path).identity == signed.identity
    assert _is_whole(fresh_peer.settings(), signed.study_instance_uid, tmp_path / "back")
