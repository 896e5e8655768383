"""The catalogue of models on real archives: found, narrowed, refreshed, and what was altered shown as unusable."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from iodeep.card import ModelCard, read_card
from iodeep.selection import Candidate, Catalogue, UnusableModel
from iodeep.settings import Retrieve
from pacs_bridge import open_archive
from tests.peers.servers import Peer
from tests.unit.selection.support import BRAIN_CARD, make_card, packed

pytestmark = pytest.mark.peers


def files_of(card: ModelCard, folder: Path) -> list[Path]:
    packed(folder, card)
    return sorted(path for path in (folder / "packed").rglob("*") if path.is_file())


def altered(files: list[Path], folder: Path) -> list[Path]:
    """The same release's files as someone's archive migration left them: under another Patient ID."""
    folder.mkdir()
    for file in files:
        dataset = dcmread(file)
        dataset.PatientID = "AIM1.MR.HEAD.ANY.MOVED"
        dataset.save_as(folder / file.name)
    return sorted(folder.iterdir())


def names(found: list[Candidate | UnusableModel]) -> list[str]:
    return sorted(candidate.name for candidate in found if isinstance(candidate, Candidate))


@pytest.mark.parametrize("method", [Retrieve.GET, Retrieve.MOVE])
def test_models_are_found_narrowed_and_refreshed(fresh_peer: Peer, tmp_path: Path, method: Retrieve) -> None:
    cards = (
        read_card(BRAIN_CARD),
        make_card("Liver CT", "CT", "LIVER"),
        make_card("Organs CT", "CT", "CHEST", "ABDOMEN"),
    )
    with open_archive(fresh_peer.settings(method)) as archive:
        for number, card in enumerate(cards):
            archive.store(files_of(card, tmp_path / str(number)))
        catalogue = Catalogue(archive, tmp_path / "cache", max_age_s=3600)
        assert catalogue.refresh() == 3
        assert names(catalogue.candidates()) == ["Brain extraction 1.0.2", "Liver CT 1.0.2", "Organs CT 1.0.2"]
        assert names(catalogue.candidates("MR", ["HEAD"])) == ["Brain extraction 1.0.2"]
        assert names(catalogue.candidates("CT", ["ABDOMEN"])) == ["Liver CT 1.0.2", "Organs CT 1.0.2"]

        archive.store(files_of(make_card("Knee MR", "MR", "KNEE"), tmp_path / "knee"))
        assert names(catalogue.candidates("MR", ["KNEE"])) == []
        assert catalogue.refresh() == 4
        assert names(catalogue.candidates("MR", ["KNEE"])) == ["Knee MR 1.0.2"]


def test_many_models_are_read_together_or_one_by_one(
    fresh_peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iodeep.selection.descriptor_reader._MANY", 5)
    with open_archive(fresh_peer.settings()) as archive:
        for number in range(7):
            archive.store(files_of(make_card(f"Model {number}", "CT", "LIVER"), tmp_path / str(number)))
        archive.store(
            [file for file in files_of(make_card("Knee MR", "MR", "KNEE"), tmp_path / "knee") if is_part(file)]
        )

        found = Catalogue(archive, tmp_path / "cache", max_age_s=3600).candidates()

    assert names(found) == [f"Model {number} 1.0.2" for number in range(7)]
    assert [one.name for one in found if isinstance(one, UnusableModel)] == ["Knee MR"]


def test_an_altered_and_an_incomplete_release_are_shown_and_never_chosen(fresh_peer: Peer, tmp_path: Path) -> None:
    brain = files_of(read_card(BRAIN_CARD), tmp_path / "brain")
    moved = altered(files_of(make_card("Spine MR", "MR", "SPINE"), tmp_path / "spine"), tmp_path / "moved")
    parts = [file for file in files_of(make_card("Knee MR", "MR", "KNEE"), tmp_path / "knee") if is_part(file)]
    with open_archive(fresh_peer.settings()) as archive:
        archive.store([*brain, *moved, *parts])
        found = Catalogue(archive, tmp_path / "cache").candidates()

    unusable = {one.reason for one in found if isinstance(one, UnusableModel)}
    assert names(found) == ["Brain extraction 1.0.2"]
    assert len(unusable) == 2
    assert any("PatientID" in reason for reason in unusable)
    assert any("no descriptor" in reason for reason in unusable)


def is_part(file: Path) -> bool:
    return int(dcmread(file, stop_before_pixels=True).SeriesNumber) >= 1_000_000
