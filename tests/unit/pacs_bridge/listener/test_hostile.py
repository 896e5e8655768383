"""Peers that stall, lie or talk nonsense hold one bounded place for a bounded time, and harm nobody else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iodeep.errors import ArchiveUnreachableError, CancelledError
from pacs_bridge.dimse import commands
from pacs_bridge.dimse.association import Association
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.pdata import COMMAND, LAST, pdus
from pacs_bridge.listener.pace import SLOWEST, Pace
from tests.synthetic import CT_IMAGE
from tests.unit.pacs_bridge.listener.harness import (
    VERIFICATION,
    Running,
    associate,
    connection,
    ct_slices,
    data_set,
    echo,
    ended_by_peer,
    pdu,
    running,
    store,
    store_command,
)


def lives(run: Running) -> None:
    """The listener still serves who behaves."""
    with associate(run.port) as association:
        assert echo(association) == 0


def not_last(content: bytes) -> bytes:
    """P-DATA whose last fragment does not say so."""
    changed = bytearray(content)
    changed[11] &= ~LAST
    return bytes(changed)


def half_sent(association: Association, path: Path) -> None:
    """The command of a C-STORE, and the first half of its data set."""
    header, content = data_set(path)
    context = association.context_for(CT_IMAGE)
    assert context is not None
    association.send(context, store_command(CT_IMAGE, str(header.SOPInstanceUID)))
    association.wire.send(not_last(b"".join(pdus(context.id, content[: len(content) // 2], 0, 1 << 16))))


@pytest.mark.parametrize("ending", ["abort", "close", "close with unread bytes"])
def test_a_peer_that_ends_in_the_middle_leaves_nothing(tmp_path: Path, ending: str) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    with running(tmp_path) as run:
        association = associate(run.port)
        half_sent(association, path)
        if ending == "close with unread bytes":
            association.wire.send(pdu(4, b"", 1 << 20))
        association.abort() if ending == "abort" else association.wire.close()
        run.no_associations()

        assert run.files() == []
        assert run.room.held == 0
        assert run.told.instances == []
        with associate(run.port) as again:
            assert store(again, path)[0] == 0


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # a TLS ClientHello
        pdu(1, b"", 0xFFFFFFFF),
        pdu(1, bytes(68)),
        pdu(1, b"\x00\x01" + bytes(200)),
        pdu(4, bytes(100)),
        pdu(5, bytes(4)),
        pdu(7, bytes(4)),
        pdu(99, bytes(10)),
    ],
    ids=["http", "tls", "huge request", "empty request", "nonsense", "data first", "release first", "abort", "unknown"],
)
def test_what_is_no_request_ends_the_connection(tmp_path: Path, content: bytes) -> None:
    with running(tmp_path) as run, connection(run.port) as opened:
        opened.sendall(content)
        ended_by_peer(opened)
        lives(run)


@given(st.binary(min_size=1, max_size=300))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_never_ends_the_listener(one_listener: Running, content: bytes) -> None:
    with connection(one_listener.port) as opened:
        opened.sendall(content)
        opened.shutdown(1)
        ended_by_peer(opened)
    lives(one_listener)


@given(st.binary(min_size=1, max_size=300))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_within_an_association_never_ends_the_listener(one_listener: Running, content: bytes) -> None:
    association = associate(one_listener.port)
    context = association.context_for(CT_IMAGE)
    assert context is not None
    association.wire.send(b"".join(pdus(context.id, content, COMMAND, 64)))
    association.wire.close()
    lives(one_listener)
    assert one_listener.files() == []


@pytest.mark.parametrize(
    "content",
    [
        pdu(4, b"\x00\x00\x00\x02\x63\x03"),  # a context that was never accepted
        pdu(4, b"\xff\xff\xff\xff\x01\x03"),  # a fragment longer than its PDU
        pdu(4, b"\x00\x00\x00\x01\x01"),  # one shorter than its own header
        pdu(4, b"\x00\x00\x00\x12\x01\x03" + bytes(16)),  # a command set of zeros
        pdu(4, b"\x00\x00\x00\x12\x01\x02" + bytes(16)),  # a data set before its command
        pdu(1, bytes(100)),
        pdu(5, b"", 0xFFFFFFFF),
    ],
    ids=["context", "long", "short", "zeros", "data", "request", "release"],
)
def test_a_peer_that_breaks_the_protocol_is_aborted(tmp_path: Path, content: bytes) -> None:
    with running(tmp_path) as run:
        association = associate(run.port)
        association.wire.send(content)
        run.no_associations()
        association.wire.close()
        lives(run)


def test_an_operation_that_is_none_of_ours_is_answered_so(tmp_path: Path) -> None:
    with running(tmp_path) as run, associate(run.port) as association:
        context = association.context_for(VERIFICATION)
        assert context is not None
        association.send(context, commands.request(Command.C_FIND_RQ, VERIFICATION, 1, data_set=False))
        assert association.receive().status == 0x0211


def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    with running(tmp_path, idle_s=0.3) as run, connection(run.port) as opened:
        assert ended_by_peer(opened) in (b"", pdu(7, bytes(4)))
        lives(run)


def test_an_idle_association_is_aborted(tmp_path: Path) -> None:
    with running(tmp_path, idle_s=0.3) as run:
        association = associate(run.port)
        with pytest.raises(ArchiveUnreachableError, match="aborted"):
            association.receive()
        assert run.told.instances == []


def test_many_silent_connections_leave_room_for_who_behaves(tmp_path: Path) -> None:
    with running(tmp_path, max_associations=2) as run:
        silent = [connection(run.port) for _ in range(60)]
        lives(run)
        for opened in silent:
            opened.close()


def test_more_connections_than_there_are_places_are_closed_at_once(tmp_path: Path) -> None:
    with running(tmp_path, max_associations=1) as run:
        silent = [connection(run.port) for _ in range(80)]
        run.told.wait_for(lambda told: len(told.refusals) >= 15)
        for opened in silent:
            opened.close()
        run.no_associations()
        lives(run)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_message_that_comes_byte_by_byte_ends_though_it_is_never_silent() -> None:
    clock = Clock()
    pace = Pace(60.0, threading.Event(), clock)
    for _ in range(60):
        clock.now += 1
        pace.touch(1)
        pace.ask("receiving")
    clock.now += 1
    with pytest.raises(ArchiveUnreachableError, match="too slow"):
        pace.ask("receiving")


def test_a_slow_line_may_take_all_the_time_that_it_needs() -> None:
    clock = Clock()
    pace = Pace(60.0, threading.Event(), clock)
    for _ in range(10_000):
        clock.now += 1
        pace.touch(2 * SLOWEST)
        pace.ask("receiving")
        pace.check("peer", "receiving")


def test_closing_lets_a_message_come_to_its_end() -> None:
    closing = threading.Event()
    pace = Pace(60.0, closing)
    pace.touch(100)
    closing.set()
    pace.ask("receiving")
    pace.renew()
    with pytest.raises(CancelledError):
        pace.ask("receiving")


def test_closing_waits_for_an_instance_that_is_on_its_way(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    header, content = data_set(path)
    with running(tmp_path) as run:
        association = associate(run.port)
        half_sent(association, path)
        context = association.context_for(CT_IMAGE)
        assert context is not None
        run.until(lambda: len(run.files()) == 1)
        closing = threading.Thread(target=run.listener.close, args=(20.0,))
        with association:
            closing.start()
            association.wire.send(b"".join(pdus(context.id, content[len(content) // 2 :], 0, 1 << 16)))
            assert association.receive().status == 0
            with pytest.raises(ArchiveUnreachableError):
                association.receive()
        closing.join()
    assert [instance.uid for instance in run.told.instances] == [header.SOPInstanceUID]
