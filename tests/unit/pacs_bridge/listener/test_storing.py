"""What is sent is on the disk before it is answered for, whole and under its UIDs, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RawDataStorage,
)
from pynetdicom import AllStoragePresentationContexts

from iodeep.errors import InputError, SettingsError
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from pacs_bridge.dimse.negotiation import Proposal
from pacs_bridge.listener import Spool
from pacs_bridge.listener.instance import HEAD, header_of, received_from_file
from tests.synthetic import CT_IMAGE
from tests.unit.pacs_bridge.dimse_peer import raw_data, written
from tests.unit.pacs_bridge.listener.harness import (
    AET,
    ECHO,
    IMAGES,
    LOOPBACK,
    SENDER,
    associate,
    ct_slices,
    data_set,
    echo,
    rewritten,
    running,
    store,
    store_bytes,
)


def test_a_series_lies_in_the_spool_under_its_uids_as_it_was_sent(tmp_path: Path) -> None:
    paths = ct_slices(tmp_path / "sent")
    with running(tmp_path) as run, associate(run.port) as association:
        assert [store(association, path) for path in paths] == [(0, "")] * 3

        for path in paths:
            header, content = data_set(path)
            kept = run.spool.place(header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID)
            assert data_set(kept)[1] == content
            assert dcmread(kept).file_meta.SendingApplicationEntityTitle == SENDER
        assert len(run.files()) == 3


def test_what_is_told_of_an_instance_can_be_read_from_its_file_again(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    with running(tmp_path) as run, associate(run.port) as association:
        store(association, path)
        told = run.told.instances[0]

        again = received_from_file(told.path)
    assert (told.sop_class, told.modality, told.patient_id, told.sender) == (CT_IMAGE, "CT", "SYNTHETIC1", SENDER)
    assert again == told


def test_our_own_client_stores_to_our_own_listener(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        settings = PacsSettings(name="us", host=LOOPBACK, port=run.port, aet=AET)
        with open_archive(settings) as archive:
            archive.echo()
            archive.store(ct_slices(tmp_path / "sent", 5))
        assert len(run.told.instances) == 5


def test_an_instance_that_comes_twice_is_kept_once_and_answered_with_success(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    with running(tmp_path) as run, associate(run.port) as association:
        assert store(association, path) == store(association, path) == (0, "")
        assert [instance.new for instance in run.told.instances] == [True, False]
        assert len(run.files()) == 1


def test_every_storage_class_is_taken_in_its_compressed_syntaxes(tmp_path: Path) -> None:
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    with running(tmp_path) as run:
        for start in range(0, len(classes), 128):
            proposals = [Proposal(uid, (JPEG2000Lossless,)) for uid in classes[start : start + 128]]
            with associate(run.port, *proposals) as association:
                assert len(association.contexts) == len(proposals)


def test_what_is_no_storage_is_not_taken(tmp_path: Path) -> None:
    find = Proposal("1.2.840.10008.5.1.4.1.2.2.1", (ExplicitVRLittleEndian,))
    unknown_syntax = Proposal(CT_IMAGE, ("1.2.3.4",))
    with running(tmp_path) as run, associate(run.port, find, unknown_syntax, ECHO) as association:
        assert [context.abstract_syntax for context in association.contexts.values()] == [ECHO.abstract_syntax]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_are_kept_as_they_are(tmp_path: Path, syntax: str) -> None:
    path = rewritten(ct_slices(tmp_path / "sent", 1)[0], tmp_path / "other.dcm", syntax)
    with running(tmp_path) as run, associate(run.port, Proposal(CT_IMAGE, (syntax,))) as association:
        assert store(association, path) == (0, "")
        kept = run.told.instances[0].path
    assert data_set(kept)[1] == path.read_bytes()[-len(data_set(kept)[1]) :]
    assert dcmread(kept).file_meta.TransferSyntaxUID == syntax


def test_a_series_uid_far_into_the_data_set_is_found(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    dataset = dcmread(path)
    dataset.private_block(0x0009, "LONG", create=True).add_new(1, "OB", bytes(3 * HEAD))
    dataset.save_as(path)
    with running(tmp_path) as run, associate(run.port) as association:
        assert store(association, path) == (0, "")
        assert run.told.instances[0].series == dataset.SeriesInstanceUID


def test_a_model_object_is_refused_with_a_reason_and_the_association_lives_on(tmp_path: Path) -> None:
    part = written(raw_data(study="1.2.3", series="1.2.3.4"), tmp_path)
    proposal = Proposal(RawDataStorage, (ExplicitVRLittleEndian,))
    with running(tmp_path) as run, associate(run.port, proposal, ECHO) as association:
        status, comment = store(association, part)

        assert status == 0x0122
        assert "archive" in comment
        assert echo(association) == 0
        assert run.files() == []
    assert run.told.refusals[0][:2] == (SENDER, LOOPBACK)


def test_another_instance_than_the_command_names_is_refused(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    with running(tmp_path) as run, associate(run.port) as association:
        assert store(association, path, AffectedSOPInstanceUID="1.2.3")[0] == 0xA900
        assert store(association, path, AffectedSOPClassUID="1.2.840.10008.5.1.4.1.1.4")[0] == 0xA900
        assert store(association, path, AffectedSOPInstanceUID="")[0] == 0x0117
        assert run.files() == []
        assert store(association, path)[0] == 0


@pytest.mark.filterwarnings("ignore:Expected explicit VR")  # pydicom tells that the bytes are not what they should be
@pytest.mark.parametrize("content", [b"", b"\xff" * 100, bytes(1000), b"\x08\x00\x05\x00CS\xff\xff"])
def test_a_data_set_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    with running(tmp_path) as run, associate(run.port) as association:
        assert store_bytes(association, CT_IMAGE, "1.2.3", content or b"\0\0")[0] == 0xC000
        assert run.files() == []


def test_a_series_uid_that_is_a_path_is_refused(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    header, content = data_set(path)
    evil = "../../../../outside"
    uid = str(header.SeriesInstanceUID)
    content = content.replace(uid.encode(), evil.ljust(len(uid), "x").encode())
    with running(tmp_path) as run, associate(run.port) as association:
        assert store_bytes(association, CT_IMAGE, str(header.SOPInstanceUID), content)[0] == 0xC000
        assert run.files() == []


def test_a_command_without_its_data_set_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as run, associate(run.port, IMAGES) as association:
        context = association.context_for(CT_IMAGE)
        assert context is not None
        from tests.unit.pacs_bridge.listener.harness import store_command

        command = store_command(CT_IMAGE, "1.2.3")
        command.CommandDataSetType = 0x0101
        association.send(context, command)
        assert association.receive().status == 0xC000


def test_only_one_listener_writes_to_a_spool(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(SettingsError, match="another listener"):
        Spool(tmp_path / "spool").claim()
    Spool(tmp_path / "spool").claim()


def test_half_written_files_of_a_dead_listener_are_cleared_away(tmp_path: Path) -> None:
    left = Spool(tmp_path / "spool").part("7")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    with running(tmp_path) as run:
        assert run.files() == []


def test_a_folder_that_is_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.claim()
    for number in range(3):
        part = spool.part("1")
        part.write_bytes(b"whole")
        target = spool.place("1.2", "1.2.3", f"1.{number}")
        assert spool.publish(part, target)
        assert target.read_bytes() == b"whole"
        target.unlink()
        target.parent.rmdir()
    spool.release()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # it tells of each oddity before it gives up
@given(st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_data_set_is_anything_but_readable_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(128) + b"DICM" + content)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        with pytest.raises(InputError):
            header_of(content, syntax, path)
