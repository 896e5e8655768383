"""Many descriptors are asked for together; what the archive says there is a hint, and whatever is missing is asked for alone."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom import dcmread

from iodeep.errors import ArchiveUnreachableError
from iodeep.ports import Attributes, Level, Wanted
from iodeep.selection import Candidate, Catalogue
from iodeep.selection.catalogue import _release
from iodeep.selection.descriptor_reader import DescriptorReader
from tests.unit.selection.support import MemoryArchive, make_card, packed

COUNT = 6
"""Enough releases to be asked for together."""


class QuickArchive(MemoryArchive):
    """An archive that answers for many studies at once, as truly as ``answers`` and ``sends`` let it."""

    answers: Callable[[list[Attributes]], list[Attributes]] = staticmethod(lambda rows: rows)
    sends: Callable[[list[Wanted]], list[Wanted]] = staticmethod(lambda wanted: wanted)

    def find_across(self, match: Attributes, include: Sequence[str], most: int) -> list[Attributes]:
        uids = ("StudyInstanceUID", "SeriesInstanceUID")
        return self.answers(MemoryArchive(*self.roots).find(Level.IMAGE, {}, (*uids, *include)))[: most + 1]

    def fetch_across(self, wanted: Sequence[Wanted], into: Path) -> list[Path]:
        asked = {uid for each in self.sends(list(wanted)) for uid in each.instances}
        found = [file for file in self.files if dcmread(file, stop_before_pixels=True).SOPInstanceUID in asked]
        return [Path(shutil.copy(file, into / f"{dcmread(file).SOPInstanceUID}.dcm")) for file in found]

    roots: tuple[Path, ...] = ()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shelf = tmp_path_factory.mktemp("shelf")
    for number in range(COUNT):
        packed(shelf / str(number), make_card(f"Model {number}", "CT", "LIVER"))
    return shelf


@pytest.fixture
def archive(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> QuickArchive:
    monkeypatch.setattr("iodeep.selection.descriptor_reader._MANY", COUNT)
    archive = QuickArchive(*shelf.glob("*/packed"))
    archive.roots = tuple(shelf.glob("*/packed"))
    return archive


def found(archive: MemoryArchive, cache: Path) -> set[str]:
    candidates = Catalogue(archive, cache).candidates()
    return {candidate.card.name for candidate in candidates if isinstance(candidate, Candidate)}


EVERYTHING = {f"Model {number}" for number in range(COUNT)}


def test_many_are_fetched_together_and_none_alone(archive: QuickArchive, tmp_path: Path) -> None:
    assert found(archive, tmp_path) == EVERYTHING
    assert not archive.fetches


def exchanged(rows: list[Attributes]) -> list[Attributes]:
    """Every descriptor under the study of the next."""
    studies = [row["StudyInstanceUID"] for row in rows]
    return [{**row, "StudyInstanceUID": study} for row, study in zip(rows, [*studies[3:], *studies[:3]], strict=True)]


@pytest.mark.parametrize(
    "answers",
    [lambda _: [], lambda rows: rows[: len(rows) // 2], exchanged, lambda rows: [*rows, *rows]],
    ids=["refuses", "leaves out", "errs", "repeats"],
)
def test_an_archive_that_answers_wrongly_costs_time_only(
    archive: QuickArchive, tmp_path: Path, answers: Callable[[list[Attributes]], list[Attributes]]
) -> None:
    archive.answers = answers

    assert found(archive, tmp_path) == EVERYTHING
    assert archive.fetches


@pytest.mark.parametrize("sends", [lambda _: [], lambda wanted: wanted[::3]], ids=["nothing", "some"])
def test_what_is_not_sent_together_is_asked_for_alone(
    archive: QuickArchive, tmp_path: Path, sends: Callable[[list[Wanted]], list[Wanted]]
) -> None:
    archive.sends = sends

    assert found(archive, tmp_path) == EVERYTHING
    assert len(archive.fetches) == COUNT - len(sends([Wanted(str(number)) for number in range(COUNT)]))


def test_an_altered_descriptor_is_unusable_however_it_came(archive: QuickArchive, tmp_path: Path) -> None:
    descriptor = next(file for file in archive.files if b'"Model 3"' in file.read_bytes())
    altered = tmp_path / "altered.dcm"
    altered.write_bytes(descriptor.read_bytes().replace(b'"Model 3"', b'"Model X"'))
    archive.files = [altered if file == descriptor else file for file in archive.files]

    assert found(archive, tmp_path / "cache") == EVERYTHING - {"Model 3"}


def test_hints_are_not_asked_for_where_few_are_missing(archive: QuickArchive, tmp_path: Path) -> None:
    found(archive, tmp_path)
    archive.answers = lambda _: pytest.fail("the whole archive was asked about")
    assert found(archive, tmp_path) == EVERYTHING


def test_the_next_are_asked_for_while_these_are_read(
    archive: QuickArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iodeep.selection.descriptor_reader._TOGETHER", 2)
    second_is_asked = threading.Event()
    asked: list[int] = []

    def sends(wanted: list[Wanted]) -> list[Wanted]:
        asked.append(len(wanted))
        if len(asked) == 2:
            second_is_asked.set()
        return wanted

    archive.sends = sends
    reader = DescriptorReader(archive, tmp_path / "cache")
    reading = reader.read([_release(row) for row in archive.find(Level.STUDY, {}, ("PatientID", "PatientName"))])

    first = next(reading)

    assert second_is_asked.wait(timeout=30)
    assert [first.row.problem, *(read.row.problem for read in reading)] == [""] * COUNT
    assert asked == [2] * (COUNT // 2)
    assert not archive.fetches


def test_an_archive_that_goes_away_meanwhile_ends_the_reading(
    archive: QuickArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iodeep.selection.descriptor_reader._TOGETHER", 2)

    def gone(wanted: list[Wanted]) -> list[Wanted]:
        raise ArchiveUnreachableError(f"nothing answers for {len(wanted)}")

    archive.sends = gone

    with pytest.raises(ArchiveUnreachableError, match="nothing answers for 2"):
        found(archive, tmp_path)
    assert not list((tmp_path / "releases").glob("incoming-*"))
