"""Models are found by tokens, filtered again, kept by copy, and shown when they cannot be used."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydicom import dcmread

from iodeep.card import read_card
from iodeep.errors import InputError
from iodeep.ports import Level
from iodeep.selection import Candidate, Catalogue, UnusableModel, list_models
from tests.unit.selection.support import BRAIN_CARD, MemoryArchive, make_card, packed


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    shelf = tmp_path / "shelf"
    packed(shelf / "brain", read_card(BRAIN_CARD))
    packed(shelf / "liver", make_card("Liver CT", "CT", "LIVER"))
    packed(shelf / "organs", make_card("Organs CT", "CT", "CHEST", "ABDOMEN"))
    packed(
        shelf / "fusion",
        make_card(
            "Fusion", "MULTI", "PROSTATE", inputs=[{"name": "mr", "modality": "MR"}, {"name": "pet", "modality": "PT"}]
        ),
    )
    return shelf


def archive_of(shelf: Path, *, ignores_keys: bool = False) -> MemoryArchive:
    return MemoryArchive(*shelf.glob("*/packed"), ignores_keys=ignores_keys)


def names(found: list[Candidate | UnusableModel]) -> set[str]:
    return {candidate.name for candidate in found}


def test_tokens_of_region_what_contains_it_and_multi_are_asked_for(shelf: Path, tmp_path: Path) -> None:
    found = Catalogue(archive_of(shelf), tmp_path / "cache").candidates("CT", ["ABDOMEN"])

    assert names(found) == {"Liver CT 1.0.2", "Organs CT 1.0.2"}


def test_a_model_with_inputs_of_several_modalities_is_found_for_each(shelf: Path, tmp_path: Path) -> None:
    for modality in ("MR", "PT"):
        assert "Fusion 1.0.2" in names(
            Catalogue(archive_of(shelf), tmp_path / "cache").candidates(modality, ["PELVIS"])
        )


def test_a_superset_from_a_server_that_ignores_keys_is_filtered_again(shelf: Path, tmp_path: Path) -> None:
    archive = archive_of(shelf, ignores_keys=True)

    found = Catalogue(archive, tmp_path / "cache").candidates("MR", ["HEAD"])

    assert names(found) == {"Brain extraction 1.0.2"}


def test_few_queries_are_sent_whatever_the_region(shelf: Path, tmp_path: Path) -> None:
    archive = archive_of(shelf)
    Catalogue(archive, tmp_path / "cache").candidates("CT", ["CHESTABDPELVIS"])

    assert sum(level is Level.STUDY for level, _ in archive.finds) <= 12


def test_a_descriptor_is_fetched_once_and_only_the_descriptor(shelf: Path, tmp_path: Path) -> None:
    archive = archive_of(shelf)
    for _ in range(2):
        found = Catalogue(archive, tmp_path / "cache").candidates("MR", ["HEAD"])

    assert len(archive.fetches) == 1
    assert archive.fetches[0].series is not None
    candidate = found[0]
    assert isinstance(candidate, Candidate)
    assert candidate.identity is not None
    assert candidate.total_bytes == 2000


def test_an_altered_descriptor_in_the_archive_is_shown_and_unusable(shelf: Path, tmp_path: Path) -> None:
    archive = archive_of(shelf)
    for file in archive.files:
        if b'"Brain extraction"' in file.read_bytes():
            file.write_bytes(file.read_bytes().replace(b'"Brain extraction"', b'"Brain extraktion"'))

    found = Catalogue(archive, tmp_path / "cache").candidates("MR", ["HEAD"])

    assert len(found) == 1
    assert isinstance(found[0], UnusableModel)
    assert "altered" in found[0].reason


def test_a_release_without_its_descriptor_is_shown_and_unusable(shelf: Path, tmp_path: Path) -> None:
    archive = archive_of(shelf)
    archive.files = [file for file in archive.files if int(dcmread(file).SeriesNumber) >= 1_000_000]

    found = Catalogue(archive, tmp_path / "cache").candidates("MR", ["HEAD"])

    assert isinstance(found[0], UnusableModel)
    assert "no descriptor" in found[0].reason


def test_a_model_under_another_models_token_is_unusable(shelf: Path, tmp_path: Path) -> None:
    archive = archive_of(shelf)
    for file in archive.files:
        dataset = dcmread(file)
        if dataset.PatientID.startswith("AIM1.CT.LIVER"):
            dataset.PatientID = "AIM1.MR.HEAD.ANY.LIVERCT"
            dataset.save_as(file)

    found = Catalogue(archive, tmp_path / "cache").candidates("MR", ["HEAD"])

    assert sorted(isinstance(candidate, UnusableModel) for candidate in found) == [False, True]


def test_the_list_is_filtered_by_modality_anatomy_disease_and_name(shelf: Path, tmp_path: Path) -> None:
    packed(shelf / "glioma", make_card("Glioma", "MR", "BRAIN", conditions=["Glioma"]))
    archive = archive_of(shelf)
    cache = tmp_path / "cache"

    assert [row.name for row in list_models(archive, cache)] == [
        "Brain extraction",
        "Fusion",
        "Glioma",
        "Liver CT",
        "Organs CT",
    ]
    assert [row.name for row in list_models(archive, cache, modality="CT")] == ["Liver CT", "Organs CT"]
    assert [row.name for row in list_models(archive, cache, modality="PT")] == ["Fusion"]
    assert [row.name for row in list_models(archive, cache, anatomy="head")] == ["Brain extraction", "Glioma"]
    assert [row.name for row in list_models(archive, cache, disease="glioma")] == ["Glioma"]
    assert [row.name for row in list_models(archive, cache, name="organ")] == ["Organs CT"]


def test_an_anatomy_that_is_no_defined_term_is_an_error(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Annex L"):
        list_models(archive_of(shelf), tmp_path / "cache", anatomy="TUMMY")


def test_a_kept_list_saves_asking_until_it_is_too_old(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_of(shelf)
    catalogue = Catalogue(archive, tmp_path / "cache", max_age_s=600)
    assert catalogue.refresh() == 4
    asked = len(archive.finds)

    assert names(catalogue.candidates("CT", ["LIVER"])) == {"Liver CT 1.0.2", "Organs CT 1.0.2"}
    assert names(Catalogue(archive, tmp_path / "cache", max_age_s=600).candidates("MR", ["BRAIN"])) == {
        "Brain extraction 1.0.2"
    }
    assert len(archive.finds) == asked

    monkeypatch.setattr("iodeep.selection.release_index.time.time", lambda: time.time_ns() / 1e9 + 601)
    catalogue.candidates("CT", ["LIVER"])
    assert len(archive.finds) == asked + 1


def test_a_refreshed_list_forgets_what_was_taken_out_and_reads_only_what_is_new(shelf: Path, tmp_path: Path) -> None:
    archive = archive_of(shelf)
    catalogue = Catalogue(archive, tmp_path / "cache", max_age_s=600)
    catalogue.refresh()
    fetched = len(archive.fetches)
    packed(shelf / "knee", make_card("Knee", "MR", "KNEE"))
    archive.files = archive_of(shelf).files
    archive.files = [file for file in archive.files if not dcmread(file).PatientID.startswith("AIM1.CT.LIVER")]

    assert catalogue.refresh() == 4
    assert len(archive.fetches) == fetched + 1
    assert names(catalogue.candidates()) == {"Brain extraction 1.0.2", "Organs CT 1.0.2", "Fusion 1.0.2", "Knee 1.0.2"}
