"""What a site signs, as DICOM instances: round trips, archives that store Implicit VR, validators, models beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from iodeep.errors import ObjectError
from iodeep.model_object import (
    DocumentType,
    Manifest,
    ObjectKind,
    PackedModel,
    SiteDocument,
    assemble,
    read_descriptor,
    read_site_document,
    recognise,
    write_site_document,
)
from iodeep.model_object.site_document import site_series
from tests.unit.model_object.models import pack_ensemble
from tests.validators import dciodvfy_errors, missing_attributes

KEY = f"ED25519 {'ab' * 20}"
MOMENT = datetime(2026, 11, 21, 23, 59, 58, tzinfo=UTC)
RECORD = SiteDocument(DocumentType.STATE, b'{"by":"Dr. J\xc3\xb6rg","odd":1}', b"\x01" * 64, KEY)
LIST = SiteDocument(DocumentType.REVOCATIONS, b'{"keys":{}}', b"\x02" * 64, KEY)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return pack_ensemble(tmp_path_factory.mktemp("model"))


def manifest_of(model: PackedModel) -> Manifest:
    return read_descriptor(model.descriptor).manifest


def test_a_record_about_a_release_is_read_back_as_it_was_signed(model: PackedModel, tmp_path: Path) -> None:
    path = write_site_document(tmp_path, RECORD, 7, MOMENT, manifest_of(model), "0" * 64)

    found = read_site_document(path)

    assert (found.type, found.content, found.value, found.type_and_key) == (
        RECORD.type,
        RECORD.content,
        RECORD.value,
        KEY,
    )
    assert found.where == f"document {RECORD.sop_instance_uid}"
    assert recognise(path).kind is ObjectKind.SITE_DOCUMENT


def test_it_lies_in_the_releases_study_where_its_series_can_be_asked_for(model: PackedModel, tmp_path: Path) -> None:
    dataset = dcmread(write_site_document(tmp_path, RECORD, 7, MOMENT, manifest_of(model), "0" * 64))
    study = manifest_of(model).study_instance_uid

    series = site_series(DocumentType.STATE, KEY, study)

    assert (
        (series.study, series.series) == (dataset.StudyInstanceUID, dataset.SeriesInstanceUID) == (study, series.series)
    )
    assert dataset.SeriesNumber // 1_000_000 == DocumentType.STATE.kind
    assert dataset.InstanceNumber == 7


def test_a_document_of_the_whole_site_is_of_a_patient_that_is_no_model(tmp_path: Path) -> None:
    dataset = dcmread(write_site_document(tmp_path, LIST, 1, MOMENT))

    assert dataset.PatientID == "AIMSITE.REVOCATIONS"
    assert dataset.StudyInstanceUID == site_series(DocumentType.REVOCATIONS, KEY).study
    assert dataset.SeriesNumber // 1_000_000 == DocumentType.REVOCATIONS.kind


def test_the_same_document_gives_the_same_instance(tmp_path: Path) -> None:
    first, second = (tmp_path / "first", tmp_path / "second")
    for folder in (first, second):
        folder.mkdir()
        write_site_document(folder, LIST, 1, MOMENT)

    (one,), (other,) = first.iterdir(), second.iterdir()
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


def test_another_document_gives_another_instance() -> None:
    changed = SiteDocument(RECORD.type, RECORD.content + b" ", RECORD.value, KEY)
    signed_again = SiteDocument(RECORD.type, RECORD.content, b"\x03" * 64, KEY)

    assert len({each.sop_instance_uid for each in (RECORD, changed, signed_again, LIST)}) == 4


def test_it_survives_an_archive_that_stores_implicit_vr(tmp_path: Path) -> None:
    path = write_site_document(tmp_path, LIST, 1, MOMENT)
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(path, implicit_vr=True, little_endian=True)

    assert read_site_document(path).content == LIST.content


def test_the_standards_tables_and_dciodvfy_find_no_error(model: PackedModel, tmp_path: Path) -> None:
    paths = [
        write_site_document(tmp_path, RECORD, 7, MOMENT, manifest_of(model), "0" * 64),
        write_site_document(tmp_path, LIST, 1, MOMENT),
    ]

    for path in paths:
        assert missing_attributes(dcmread(path)) == []
        assert dciodvfy_errors(path) == []


def test_a_models_parts_are_found_beside_it(model: PackedModel, tmp_path: Path) -> None:
    record = write_site_document(tmp_path, RECORD, 7, MOMENT, manifest_of(model), "0" * 64)
    descriptor = read_descriptor(model.descriptor)

    files = assemble(descriptor, [*model.parts, record], tmp_path / "payload")

    assert set(files) == {file.name for file in descriptor.manifest.files}


def test_another_instance_is_no_document(model: PackedModel) -> None:
    with pytest.raises(ObjectError, match="not a signed document of a site"):
        read_site_document(model.descriptor)
