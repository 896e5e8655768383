"""Instances of many studies by one C-GET: what comes is checked, and whatever goes wrong is silence, never an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage, generate_uid
from pynetdicom import evt

from iodeep.errors import ArchiveUnreachableError
from iodeep.ports import Wanted
from iodeep.settings import Retrieve
from pacs_bridge.dimse import DimseArchive
from pacs_bridge.server_process import free_port
from tests.unit.pacs_bridge.dimse_peer import FIND, MOVE, Peer, raw_data, running, written

COUNT = 4


class Relational(Peer):
    """An archive that finds series by lists of their UIDs alone, as many do; ``gets`` are the requests."""

    refused_with: int | None = None
    sends_everything: bool = False
    gets: list[Dataset]

    def _wanted(self, identifier: Dataset) -> list[Dataset]:
        self.gets.append(identifier)
        uids = identifier.SeriesInstanceUID
        asked = [uids] if isinstance(uids, str) else list(uids)
        return [held for held in self.held if self.sends_everything or held.SeriesInstanceUID in asked]

    def on_get(self, event: evt.Event) -> Iterator[Any]:
        if self.refused_with is not None:
            yield 0
            yield self.refused_with, None
            return
        yield from super().on_get(event)


def peer_with(count: int, folder: Path, **more: Any) -> Relational:
    """An archive of ``count`` studies of one instance each."""
    made = [raw_data(study=generate_uid(), series=generate_uid(), number=n + 1) for n in range(count)]
    peer = Relational(held=[dcmread(written(each, folder)) for each in made], **more)
    peer.gets = []
    return peer


def named(held: list[Dataset]) -> list[Wanted]:
    return [Wanted(each.StudyInstanceUID, each.SeriesInstanceUID, (each.SOPInstanceUID,)) for each in held]


def uids(paths: list[Path]) -> set[str]:
    assert all(dcmread(path).SOPInstanceUID == path.stem for path in paths)
    return {path.stem for path in paths}


@pytest.fixture
def peer(tmp_path: Path) -> Relational:
    return peer_with(COUNT, tmp_path / "made")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def test_instances_of_many_studies_come_by_one_request(peer: Relational, into: Path) -> None:
    with running(peer), DimseArchive(peer.settings()) as archive:
        paths = archive.fetch_across(named(peer.held[1:]), into)

    assert uids(paths) == {each.SOPInstanceUID for each in peer.held[1:]}
    (asked,) = peer.gets
    assert asked.QueryRetrieveLevel == "SERIES"
    assert list(asked.SeriesInstanceUID) == [each.SeriesInstanceUID for each in peer.held[1:]]
    assert "StudyInstanceUID" not in asked
    assert {*into.iterdir()} == {*paths}


def test_what_the_archive_lacks_is_left_out_and_the_rest_comes(peer: Relational, into: Path) -> None:
    lacking = Wanted(generate_uid(), generate_uid(), (generate_uid(),))
    with running(peer), DimseArchive(peer.settings()) as archive:
        paths = archive.fetch_across([*named(peer.held), lacking], into)

    assert uids(paths) == {each.SOPInstanceUID for each in peer.held}


def moved(keyword: str) -> Any:
    """An archive that sends the second instance with another UID."""

    def alter(dataset: Dataset) -> Dataset:
        if dataset.InstanceNumber != 2:
            return dataset
        altered = Dataset(dataset)
        altered.file_meta = dataset.file_meta
        setattr(altered, keyword, generate_uid())
        return altered

    return alter


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_an_instance_that_is_another_or_lies_elsewhere_is_refused_and_the_rest_kept(
    peer: Relational, into: Path, keyword: str
) -> None:
    peer.alter = moved(keyword)
    with running(peer), DimseArchive(peer.settings()) as archive:
        paths = archive.fetch_across(named(peer.held), into)

    assert uids(paths) == {each.SOPInstanceUID for each in peer.held if each.InstanceNumber != 2}
    assert {*into.iterdir()} == {*paths}


def test_what_else_lies_in_a_series_is_not_kept(peer: Relational, tmp_path: Path, into: Path) -> None:
    first = peer.held[0]
    beside = raw_data(study=first.StudyInstanceUID, series=first.SeriesInstanceUID, number=9)
    peer.held.append(dcmread(written(beside, tmp_path / "beside")))
    with running(peer), DimseArchive(peer.settings()) as archive:
        paths = archive.fetch_across(named(peer.held[:COUNT]), into)

    assert uids(paths) == {each.SOPInstanceUID for each in peer.held[:COUNT]}
    assert {*into.iterdir()} == {*paths}


def test_instances_whose_series_is_unknown_are_not_asked_for(peer: Relational, into: Path) -> None:
    with running(peer), DimseArchive(peer.settings()) as archive:
        assert archive.fetch_across([Wanted(peer.held[0].StudyInstanceUID, None, ("1.2.3",))], into) == []
    assert peer.gets == []


def test_what_nobody_asked_for_is_not_kept(peer: Relational, into: Path) -> None:
    peer.sends_everything = True
    with running(peer), DimseArchive(peer.settings()) as archive:
        paths = archive.fetch_across(named(peer.held[:1]), into)

    assert uids(paths) == {peer.held[0].SOPInstanceUID}
    assert {*into.iterdir()} == {*paths}


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0xA701])
def test_a_refusal_is_silence_and_the_archive_stays_usable(peer: Relational, into: Path, status: int) -> None:
    peer.refused_with = status
    with running(peer), DimseArchive(peer.settings()) as archive:
        assert archive.fetch_across(named(peer.held), into) == []
        peer.refused_with = None
        assert len(archive.fetch_across(named(peer.held), into)) == COUNT


def test_an_archive_without_c_get_answers_nothing(tmp_path: Path, into: Path) -> None:
    peer = peer_with(1, tmp_path / "made", services=(FIND, MOVE))
    with running(peer), DimseArchive(peer.settings()) as archive:
        assert archive.fetch_across(named(peer.held), into) == []


def test_an_archive_that_sends_no_such_class_answers_nothing(tmp_path: Path, into: Path) -> None:
    peer = peer_with(1, tmp_path / "made", storage=(MRImageStorage,))
    with running(peer), DimseArchive(peer.settings()) as archive:
        assert archive.fetch_across(named(peer.held), into) == []


def test_where_instances_come_by_c_move_nothing_is_asked(peer: Relational, into: Path) -> None:
    with running(peer), DimseArchive(peer.settings(Retrieve.MOVE)) as archive:
        assert archive.fetch_across(named(peer.held), into) == []
    assert peer.gets == []


def test_an_archive_that_is_not_there_is_told(into: Path) -> None:
    peer = Peer(port=free_port())
    with (
        DimseArchive(peer.settings()) as archive,
        pytest.raises(ArchiveUnreachableError, match="nothing answers"),
    ):
        archive.fetch_across([Wanted("1.2", "1.3", ("1.4",))], into)
