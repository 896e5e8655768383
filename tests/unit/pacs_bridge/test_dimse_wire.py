"""What happens when a peer falls silent, aborts, closes or talks nonsense; and how data sets are cut into PDUs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from iodeep.errors import ArchiveError, ArchiveUnreachableError, CancelledError, IODeepError
from pacs_bridge.dimse import DimseArchive
from pacs_bridge.dimse.association import Association
from pacs_bridge.dimse.diagnosis import Parties
from pacs_bridge.dimse.negotiation import accept
from pacs_bridge.dimse.pdata import Slab, fragment_size
from pacs_bridge.dimse.watch import Watch
from tests.unit.pacs_bridge.dimse_peer import AET, LOOPBACK, Peer, raw_data, written

Misbehaviour = Callable[[Association], object]


def after_a_request(misbehave: Misbehaviour) -> Misbehaviour:
    """Read one message, then do it."""

    def both(association: Association) -> None:
        association.receive()
        misbehave(association)

    return both


def abort_in_the_middle(association: Association) -> None:
    association.wire.take(1000)
    association.abort()


@contextmanager
def misbehaving(misbehave: Misbehaviour) -> Iterator[int]:
    """A peer that negotiates, and then does what the test says; ends with the block."""
    ours = Parties("us", "IODEEP", AET, LOOPBACK, 0)
    ended = threading.Event()
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                misbehave(accept(connection, ours, Watch(60, ended)))
            except IODeepError:
                pass
            finally:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def archive_at(port: int, timeout_s: float = 0.3) -> DimseArchive:
    return DimseArchive(Peer(port=port).settings(timeout_s=timeout_s))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than the buffers between two sockets take."""
    return written(raw_data(study=generate_uid(), series=generate_uid(), payload=bytes(32 << 20)), tmp_path)


def test_a_peer_that_never_answers_is_given_up() -> None:
    with (
        misbehaving(after_a_request(Association.receive)) as port,
        pytest.raises(ArchiveUnreachableError, match=r"no sign of life for 0\.3 s"),
    ):
        archive_at(port).echo()


def test_a_peer_that_stops_reading_in_the_middle_of_a_store_is_given_up(large: Path) -> None:
    released = threading.Event()
    with misbehaving(lambda _: released.wait(60)) as port:
        try:
            with pytest.raises(ArchiveUnreachableError, match=f"no sign of life.*sending {large.name}"):
                archive_at(port).store([large])
        finally:
            released.set()


def test_an_abort_in_the_middle_of_a_store_names_the_file(large: Path) -> None:
    with (
        misbehaving(abort_in_the_middle) as port,
        pytest.raises(ArchiveUnreachableError, match=large.name),
    ):
        archive_at(port, 5).store([large])


def test_an_abort_instead_of_an_answer_says_what_to_register() -> None:
    with (
        misbehaving(after_a_request(Association.abort)) as port,
        pytest.raises(ArchiveUnreachableError, match="aborted the association") as told,
    ):
        archive_at(port, 5).echo()
    assert "IODEEP" in str(told.value)


def test_a_release_instead_of_an_answer_is_told() -> None:
    with (
        misbehaving(after_a_request(Association.release)) as port,
        pytest.raises(ArchiveError, match="released the association"),
    ):
        archive_at(port, 5).echo()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes([4, 0, 0, 0, 0, 6, 0, 0, 0, 1, 1, 3]),
        bytes([4, 0, 0, 0, 0, 10, 0, 0, 0, 6, 1, 3, 1, 2, 3, 4]),
        bytes([4, 0, 0, 0, 0, 6, 0, 0, 1, 0, 1, 3]),
    ],
)
def test_nonsense_instead_of_an_answer_is_told(nonsense: bytes) -> None:
    with (
        misbehaving(after_a_request(lambda association: association.wire.send(nonsense))) as port,
        pytest.raises(ArchiveError, match="did not keep to the protocol"),
    ):
        archive_at(port, 5).echo()


class _SetOnceAsked:
    """A cancellation that comes while we wait."""

    def __init__(self, after: int) -> None:
        self._left = after

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_a_store_is_cancelled_while_the_peer_does_not_read(large: Path) -> None:
    released = threading.Event()
    with misbehaving(lambda _: released.wait(60)) as port:
        try:
            with pytest.raises(CancelledError, match=large.name):
                archive_at(port, 60).store([large], cancel=_SetOnceAsked(20))
        finally:
            released.set()


def test_silence_counts_from_the_last_sign_of_life() -> None:
    now = 0.0
    watch = Watch(10, clock=lambda: now)
    now = 9.0
    watch.touch()
    now = 18.0
    watch.check("peer", "waiting")
    now = 20.0
    with pytest.raises(ArchiveUnreachableError):
        watch.check("peer", "waiting")


def test_the_failure_of_another_thread_ends_the_wait() -> None:
    watch = Watch(10)
    watch.fail(ArchiveError("disk full"))
    with pytest.raises(ArchiveError, match="disk full"):
        watch.ask("waiting")


def fragments(stream: bytes) -> Iterator[tuple[int, int, bytes]]:
    """PDU length, message control header and content of each PDU."""
    while stream:
        length = int.from_bytes(stream[2:6], "big")
        assert stream[0] == 4
        assert int.from_bytes(stream[6:10], "big") == length - 4
        yield length, stream[11], stream[12 : 6 + length]
        stream = stream[6 + length :]


@given(content=st.binary(min_size=1, max_size=20_000), peer_max=st.sampled_from([64, 1000, 4096, 16384, 0]))
def test_a_data_set_is_cut_into_pdus_that_the_peer_takes(content: bytes, peer_max: int) -> None:
    content += bytes(len(content) % 2)
    slab = Slab(1, fragment_size(peer_max))
    source, left, stream = BytesIO(content), len(content), b""
    while left:
        filled, count = slab.fill(source, left)
        stream += bytes(filled)
        left -= count
    cut = list(fragments(stream))
    assert b"".join(piece for _, _, piece in cut) == content
    assert [control for _, control, _ in cut] == [0] * (len(cut) - 1) + [2]
    assert all(len(piece) % 2 == 0 and (not peer_max or length <= peer_max) for length, _, piece in cut)
