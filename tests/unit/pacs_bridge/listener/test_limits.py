"""A full disk, too long an instance, too many associations: answered with the right words, and the listener lives on."""

from __future__ import annotations

from pathlib import Path

import pytest

from iodeep.errors import ArchiveUnreachableError
from pacs_bridge.listener import Room
from tests.synthetic import CT_IMAGE
from tests.unit.pacs_bridge.listener.harness import (
    associate,
    connection,
    ct_slices,
    data_set,
    echo,
    running,
    store,
    store_bytes,
)

MIB = 1 << 20


def test_below_the_watermark_c_store_is_out_of_resources_and_c_echo_goes_on(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    free = [100 * MIB]
    with running(tmp_path, least_free=50 * MIB, free=lambda: free[0]) as run, associate(run.port) as association:
        free[0] = 10 * MIB
        status, comment = store(association, path)

        assert status == 0xA700
        assert "disk is full" in comment
        assert echo(association) == 0
        assert run.files() == []


def test_room_that_comes_back_is_used(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    with running(tmp_path, most=(1 << 16) + 100) as run, associate(run.port) as association:
        assert store(association, path)[0] == 0
        assert store(association, ct_slices(tmp_path / "more", 1, name="more")[0])[0] == 0xA700
        kept = run.told.instances[0].path
        run.room.give(kept.stat().st_size)
        assert store(association, ct_slices(tmp_path / "more", 1, name="more")[0])[0] == 0


def test_a_spool_that_fills_in_the_middle_of_an_instance_leaves_nothing_of_it(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    header, content = data_set(path)
    with running(tmp_path, most=3 * MIB) as run, associate(run.port) as association:
        assert store_bytes(association, CT_IMAGE, str(header.SOPInstanceUID), content + bytes(5 * MIB))[0] == 0xA700
        assert run.files() == []
        assert run.room.held == 0
        assert store(association, path)[0] == 0


def test_what_was_counted_is_what_lies_there(tmp_path: Path) -> None:
    with running(tmp_path) as run, associate(run.port) as association:
        for path in ct_slices(tmp_path / "sent"):
            store(association, path)
            store(association, path)
        assert run.room.held == sum(path.stat().st_size for path in run.files())


def test_an_instance_longer_than_allowed_is_refused_and_the_next_one_taken(tmp_path: Path) -> None:
    path = ct_slices(tmp_path / "sent", 1)[0]
    header, content = data_set(path)
    with running(tmp_path, max_instance_bytes=MIB) as run, associate(run.port) as association:
        status, comment = store_bytes(association, CT_IMAGE, str(header.SOPInstanceUID), content + bytes(2 * MIB))

        assert status == 0x0124
        assert "max_instance_bytes" in comment
        assert run.files() == []
        assert store(association, path)[0] == 0


def test_more_associations_than_allowed_are_rejected_for_now(tmp_path: Path) -> None:
    with running(tmp_path, max_associations=2) as run:
        with associate(run.port) as first, associate(run.port) as second:
            with pytest.raises(ArchiveUnreachableError, match="for now") as rejected:
                associate(run.port)
            assert "as many associations as it takes" in str(rejected.value)  # result 2, source 3, reason 2
            assert echo(first) == echo(second) == 0
        run.no_associations()
        with associate(run.port) as again:
            assert echo(again) == 0


@pytest.mark.parametrize(
    ("calling", "called", "words"),
    [("STRANGER", "IODEEP", "calling AE title"), ("MODALITY", "OTHER", "called AE title")],
)
def test_an_unknown_ae_title_is_rejected_for_good(tmp_path: Path, calling: str, called: str, words: str) -> None:
    with running(tmp_path, allowed_aets=("MODALITY",)) as run:
        with pytest.raises(ArchiveUnreachableError, match=f"(?i){words}") as rejected:
            associate(run.port, calling=calling, called=called)
        assert "for now" not in str(rejected.value)
        run.told.wait_for(lambda told: len(told.refusals) == 1)
        with associate(run.port) as known:
            assert echo(known) == 0


def test_an_address_that_is_not_listed_gets_no_word(tmp_path: Path) -> None:
    with running(tmp_path, allowed_addresses=("10.0.0.0/8",)) as run, connection(run.port) as opened:
        assert opened.recv(1) == b""
        run.told.wait_for(lambda told: any("address" in each[2] for each in told.refusals))
    with running(tmp_path / "other", allowed_addresses=("127.0.0.0/8",)) as run, associate(run.port) as known:
        assert echo(known) == 0


def test_the_disk_is_not_asked_for_every_instance() -> None:
    asked, moment = [], [0.0]

    def free(_: Path) -> int:
        asked.append(1)
        return 1000

    room = Room(Path(), 100, None, free=free, clock=lambda: moment[0])
    assert [room.take(300) for _ in range(3)] == ["", "", ""]
    assert room.take(300)  # what was taken meanwhile is counted
    assert len(asked) == 1
    moment[0] = 1.0
    assert not room.take(300)
