"""Associations are kept between uses, opened again in silence, and not left lying."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from pydicom import dcmread
from pydicom.uid import MRImageStorage, generate_uid

from iodeep.errors import ArchiveError, ArchiveUnreachableError, CancelledError
from iodeep.ports import Wanted
from iodeep.settings import Retrieve
from pacs_bridge.dimse import DimseArchive
from pacs_bridge.dimse.association import Association
from pacs_bridge.dimse.kept import Kept
from pacs_bridge.dimse.negotiation import Proposal, request
from pacs_bridge.dimse.watch import Watch
from tests.unit.pacs_bridge.dimse_peer import Peer, raw_data, running, written

STUDY, SERIES = generate_uid(), generate_uid()


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    parts = [raw_data(study=STUDY, series=SERIES, number=number, payload=bytes(5000)) for number in (1, 2)]
    return Peer(held=[dcmread(written(part, tmp_path / "held")) for part in parts])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Proposal]]:
    """What each association that the archive's client opens proposes."""
    seen: list[Sequence[Proposal]] = []

    def counted(parties: Any, proposals: Sequence[Proposal], *more: Any) -> Association:
        seen.append(proposals)
        return request(parties, proposals, *more)

    monkeypatch.setattr("pacs_bridge.dimse.archive.request", counted)
    return seen


def fetched(client: DimseArchive, into: Path) -> int:
    return len(client.fetch(Wanted(STUDY, SERIES), into))


def test_retrieves_share_one_association(peer: Peer, opened: list[Sequence[Proposal]], tmp_path: Path) -> None:
    with running(peer), DimseArchive(peer.settings(Retrieve.GET)) as client:
        assert [fetched(client, tmp_path / str(number)) for number in range(3)] == [2, 2, 2]
    assert len(opened) == 2  # one for queries, one for C-GET


def test_a_lost_association_is_opened_again_once_in_silence(
    peer: Peer, opened: list[Sequence[Proposal]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(peer), DimseArchive(peer.settings(Retrieve.GET)) as client:
        fetched(client, tmp_path / "first")
        monkeypatch.setattr(Association, "is_usable", lambda _: True)  # as if the end were still on its way to us
        assert client._gets._idle is not None
        client._gets._idle.wire.close()
        assert fetched(client, tmp_path / "second") == 2
    assert len(opened) == 3


def test_a_retrieve_in_the_middle_of_another_gets_an_association_of_its_own(
    peer: Peer, opened: list[Sequence[Proposal]], tmp_path: Path
) -> None:
    together = threading.Barrier(2, timeout=20)
    peer.during = lambda: (together.wait(), None)[1]
    counts: list[int] = []
    with running(peer), DimseArchive(peer.settings(Retrieve.GET)) as client:
        threads = [
            threading.Thread(target=lambda into=tmp_path / name: counts.append(fetched(client, into))) for name in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [2, 2]


def test_an_error_and_a_cancellation_end_the_association(peer: Peer, tmp_path: Path) -> None:
    cancel = threading.Event()
    with running(peer), DimseArchive(peer.settings(Retrieve.GET)) as client:
        fetched(client, tmp_path / "first")
        peer.held[1].SOPClassUID = MRImageStorage  # on which this peer cannot send
        with pytest.raises(ArchiveError, match="1 sub-operations failed"):
            fetched(client, tmp_path / "none")
        assert client._gets._idle is None
        peer.held.pop()
        fetched(client, tmp_path / "second")
        peer.during = cancel.set
        with pytest.raises(CancelledError):
            client.fetch(Wanted(STUDY, SERIES), tmp_path / "third", cancel=cancel)
        assert client._gets._idle is None


class Told:
    """Stands for an association: notes its end."""

    def __init__(self) -> None:
        self.wire = self
        self.watch = Watch(1)
        self.released, self.aborted = threading.Event(), threading.Event()

    def is_usable(self) -> bool:
        return not self.released.is_set()

    def release(self) -> None:
        self.released.set()

    def abort(self) -> None:
        self.aborted.set()


def kept(given: list[Told], idle_s: float) -> Kept:
    return Kept(lambda *_: cast("Association", given.pop(0)), (), idle_s)


def test_an_idle_association_is_released_by_itself() -> None:
    lying = Told()
    kept([lying], 0.01).use(Watch(1), lambda _: None)
    assert lying.released.wait(10)


def test_closing_releases_what_lies_idle() -> None:
    lying = Told()
    associations = kept([lying], 3600)
    associations.use(Watch(1), lambda _: None)
    assert not lying.released.is_set()
    associations.close()
    assert lying.released.is_set()


def test_work_that_was_begun_is_not_done_twice() -> None:
    lying, other = Told(), Told()
    associations = kept([lying, other], 3600)
    associations.use(Watch(1), lambda _: None)

    def broken(_: Association) -> None:
        raise ArchiveUnreachableError("broken")

    with pytest.raises(ArchiveUnreachableError):
        associations.use(Watch(1), broken, untouched=lambda: False)
    assert lying.aborted.is_set()
    assert not other.aborted.is_set()
