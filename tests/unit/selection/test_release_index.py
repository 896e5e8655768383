"""The local index only saves work: the same decisions with and without it, shared or damaged, and nothing forged passes."""

from __future__ import annotations

import random
import re
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iodeep.card import read_card
from iodeep.errors import IntegrityError, LocalStorageError
from iodeep.selection import Candidate, Catalogue, UnusableModel, candidates_in_folder, decide, list_models
from iodeep.selection.index_rows import Release, Row, decoded_rows, encoded_rows
from iodeep.selection.release_index import ReleaseIndex
from tests.unit.selection.support import BRAIN_CARD, MemoryArchive, make_card, packed, series

ASKED = (
    series("1.1", Modality="MR", StudyDescription="MR BRAIN", SeriesDescription="T1 AX"),
    series("1.2", Modality="CT", StudyDescription="CT LIVER", SeriesDescription="venous"),
    series("1.3", Modality="MR", StudyDescription="MR PROSTATE", SeriesDescription="t2 tse", PatientSex="M"),
    series("1.4", Modality="MR", StudyDescription="MR KNEE", SeriesDescription="pd"),
    series("1.5", Modality="MG"),
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shelf = tmp_path_factory.mktemp("shelf")
    t2 = {"name": "t2", "modality": "MR", "sequences": ["T2"]}
    adc = {"name": "adc", "modality": "MR", "sequences": ["ADC"], "eligibility": {"derived": True}}
    cards = (
        read_card(BRAIN_CARD),
        make_card("Glioma", "MR", "BRAIN", conditions=["Glioma"]),
        make_card("Brain thin", "MR", "BRAIN", eligibility={"slice_spacing_mm": {"max": 2.0}, "planes": ["AXIAL"]}),
        make_card("Liver CT", "CT", "LIVER", eligibility={"slice_count": {"min": 20}}),
        make_card("Liver CT", "CT", "LIVER", version="2.0.0"),
        make_card("Organs CT", "CT", "CHEST", "ABDOMEN"),
        make_card("Prostate", "MR", "PROSTATE", inputs=[t2, adc]),
        make_card("Left knee", "MR", "KNEE", laterality="L"),
    )
    for number, card in enumerate(cards):
        packed(shelf / str(number), card)
    return shelf


@pytest.fixture
def archive(shelf: Path) -> MemoryArchive:
    return MemoryArchive(*shelf.glob("*/packed"))


@pytest.fixture
def index(archive: MemoryArchive, tmp_path: Path) -> Path:
    """The file of a whole index, no writer's leftovers beside it."""
    Catalogue(archive, tmp_path, max_age_s=3600).refresh()
    file = next((tmp_path / "releases").glob("*.sqlite"))
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file


def decisions(candidates: Sequence[Candidate | UnusableModel], where: str = "memory") -> list[dict[str, Any]]:
    told = [decide(asked, candidates).as_document() for asked in ASKED]
    return [{**each, "candidates": [{**one, "where": where} for one in each["candidates"]]} for each in told]


def catalogue(archive: MemoryArchive, file: Path) -> Catalogue:
    return Catalogue(archive, file.parent.parent, max_age_s=3600)


def test_decisions_are_the_same_with_and_without_the_index(archive: MemoryArchive, shelf: Path, index: Path) -> None:
    plain = [
        candidate
        for candidate in candidates_in_folder(shelf)
        if isinstance(candidate, Candidate) and candidate.identity
    ]
    asked = len(archive.finds)

    kept = catalogue(archive, index).candidates()

    assert len(archive.finds) == asked
    assert decisions(kept) == decisions(plain)
    assert any(each["chosen"] for each in decisions(kept))


def test_a_kept_candidate_is_all_that_a_read_one_is(archive: MemoryArchive, shelf: Path, index: Path) -> None:
    read = {candidate.uid: candidate for candidate in candidates_in_folder(shelf) if isinstance(candidate, Candidate)}

    for kept in catalogue(archive, index).candidates():
        assert isinstance(kept, Candidate)
        plain = read[kept.uid]
        assert (kept.card, kept.identity, kept.total_bytes, kept.study_instance_uid, kept.name) == (
            plain.card, plain.identity, plain.total_bytes, plain.study_instance_uid, plain.name
        )  # fmt: skip


def test_a_decision_by_the_index_reads_no_card(
    archive: MemoryArchive, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReleaseIndex, "card", lambda *_: pytest.fail("a card was read"))

    decision = decide(ASKED[0], catalogue(archive, index).candidates("MR", ["HEAD"]))

    assert decision.chosen is not None
    assert decision.as_document()["chosen_uid"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32), changes=st.integers(1, 4))
def test_bytes_altered_anywhere_never_change_a_decision(
    archive: MemoryArchive, index: Path, seed: int, changes: int
) -> None:
    expected = decisions(catalogue(archive, index).candidates())
    content = bytearray(index.read_bytes())
    chance = random.Random(seed)
    for _ in range(changes):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    index.write_bytes(content)

    candidates = catalogue(archive, index).candidates()

    assert decisions(candidates) == expected
    assert all(candidate.card.name for candidate in candidates if isinstance(candidate, Candidate))


def test_a_header_that_is_altered_never_stops_a_decision(archive: MemoryArchive, index: Path) -> None:
    expected = decisions(catalogue(archive, index).candidates())
    whole = index.read_bytes()
    for place in range(16, 64):  # page size, file format and schema format are here
        for suffix in ("-wal", "-shm"):
            index.with_name(index.name + suffix).unlink(missing_ok=True)
        index.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])

        assert decisions(catalogue(archive, index).candidates()) == expected, place


def test_a_name_that_differs_between_a_table_and_its_index_never_loses_a_model(
    archive: MemoryArchive, index: Path
) -> None:
    expected = decisions(catalogue(archive, index).candidates())
    whole = index.read_bytes()
    places = [found.start() for found in re.finditer(rb"AIM1\.MR\.BRAIN", whole)]
    for place in places:
        index.write_bytes(whole[:place] + b"Q" + whole[place + 1 :])

        assert decisions(catalogue(archive, index).candidates()) == expected, place
    assert len(places) > 2


def edited(sql: str) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute(sql)


def forged(connection: sqlite3.Connection) -> None:
    """Another region in a shelf's content, of the same length."""
    rows = connection.execute("SELECT name, content FROM shelf").fetchall()
    for name, content in rows:
        changed = content.replace(b'"LIVER"', b'"BRAIN"')
        connection.execute("UPDATE shelf SET content = ? WHERE name = ?", (changed, name))


@pytest.mark.parametrize(
    "change",
    [
        forged,
        edited("DELETE FROM shelf WHERE name LIKE 'AIM1.CT%'"),
        edited("DELETE FROM state"),
        edited("UPDATE state SET listed_at = listed_at + 1"),
        edited("UPDATE state SET written_by = 'another version'"),
        edited("UPDATE shelf SET name = 'AIM1.MR.LIVER' WHERE name = 'AIM1.CT.LIVER'"),
        edited("UPDATE shelf SET content = 'text'"),
        edited("INSERT INTO shelf SELECT 'AIM1.MR.LIVER', sha256, content FROM shelf WHERE name = 'AIM1.CT.LIVER'"),
        edited("DROP TABLE shelf"),
        edited("UPDATE card SET content = replace(content, 'Brain', 'Liver')"),
        edited("DELETE FROM card"),
    ],
)
def test_an_index_that_was_tampered_with_never_changes_a_decision(
    archive: MemoryArchive, index: Path, change: Callable[[sqlite3.Connection], object]
) -> None:
    expected = decisions(catalogue(archive, index).candidates())
    with sqlite3.connect(index) as connection:
        change(connection)
    connection.close()

    candidates = catalogue(archive, index).candidates()

    assert decisions(candidates) == expected
    cards = {candidate.name: candidate.card for candidate in candidates if isinstance(candidate, Candidate)}
    assert all(f"{card.name} {card.version}" == name for name, card in cards.items())


@pytest.mark.parametrize("content", [b"", b"{}", b"not a database at all" * 100])
def test_a_file_that_is_no_index_is_built_anew(archive: MemoryArchive, index: Path, content: bytes) -> None:
    expected = decisions(catalogue(archive, index).candidates())
    index.write_bytes(content)

    assert decisions(catalogue(archive, index).candidates()) == expected
    assert index.read_bytes().startswith(b"SQLite format 3")


def test_a_model_that_was_replaced_under_the_same_uids_is_not_given_another_ones_card(
    archive: MemoryArchive, index: Path, tmp_path: Path
) -> None:
    kept = catalogue(archive, index).candidates("CT", ["LIVER"])[0]
    with sqlite3.connect(index) as connection:
        connection.execute("DELETE FROM card")
    connection.close()
    archive.files = [file for file in archive.files if file.name != "descriptor.dcm"]

    with pytest.raises(IntegrityError, match="not what it was"):
        _ = kept.card  # type: ignore[union-attr]


def test_processes_that_share_an_index_build_one(archive: MemoryArchive, tmp_path: Path) -> None:
    failures: list[BaseException] = []
    together = threading.Barrier(4, timeout=60)

    def build() -> None:
        try:
            together.wait()
            assert Catalogue(archive, tmp_path, max_age_s=3600).refresh() == 8
        except BaseException as error:  # told to the test
            failures.append(error)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    asked = len(archive.finds)
    assert len(Catalogue(archive, tmp_path, max_age_s=3600).candidates()) == 8
    assert len(archive.finds) == asked


def test_an_interrupted_first_reading_is_not_taken_for_the_whole_archive(
    archive: MemoryArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iodeep.selection.catalogue._KEPT_TOGETHER", 2)
    fetch, left = archive.fetch, iter(range(5))

    def interrupted(*arguments: Any, **more: Any) -> list[Path]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return fetch(*arguments, **more)

    monkeypatch.setattr(archive, "fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Catalogue(archive, tmp_path, max_age_s=3600).refresh()
    monkeypatch.setattr(archive, "fetch", fetch)
    fetched = len(archive.fetches)

    assert len(Catalogue(archive, tmp_path, max_age_s=3600).candidates()) == 8
    assert len(archive.fetches) == fetched + 4  # those two times two that were kept are not read again


def test_a_cache_that_cannot_be_written_is_told(archive: MemoryArchive, tmp_path: Path) -> None:
    (tmp_path / "releases").write_text("a file where a folder should be")

    with pytest.raises(LocalStorageError, match="cannot be kept"):
        Catalogue(archive, tmp_path, max_age_s=3600).candidates()


def test_rows_come_back_as_they_were_written() -> None:
    unusable = Row(Release("1.2", "AIM1.MR.HEAD.ANY.X", "X"), problem="it was altered")

    assert decoded_rows(encoded_rows([unusable])) == [unusable]


def test_a_kept_candidate_is_copied_with_something_replaced_like_any_other(
    archive: MemoryArchive, tmp_path: Path
) -> None:
    candidates = Catalogue(archive, tmp_path, max_age_s=3600).candidates("MR", ["HEAD"])
    kept = next(each for each in candidates if isinstance(each, Candidate))

    retired = replace(kept, retired="withdrawn by its developer")

    assert (retired.retired, kept.retired) == ("withdrawn by its developer", "")
    assert (retired.name, retired.uid, retired.where) == (kept.name, kept.uid, kept.where)
    assert (retired.card, retired.identity, retired.total_bytes) == (kept.card, kept.identity, kept.total_bytes)
    assert decide(ASKED[0], [retired]).chosen is None


def test_a_list_of_models_may_be_as_old_as_the_site_allows(archive: MemoryArchive, tmp_path: Path) -> None:
    everything = list_models(archive, tmp_path, max_age_s=3600)
    archive.files.clear()

    assert list_models(archive, tmp_path, max_age_s=3600) == everything
    assert list_models(archive, tmp_path) == []
