"""The log holds what was recorded, in one chain, whoever writes, and any hand on it is found."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iodeep.errors import LocalStorageError
from iodeep.service.audit import AuditEvent, AuditFilter, EventKind, Outcome, read_events
from iodeep.service.audit.chain import seal
from iodeep.service.audit.files import file_of_today, log_files
from iodeep.service.audit.head import HEAD
from tests.unit.service.audit.logs import Place

LINES = 12


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def written() -> Iterator[Place]:
    """A log of a dozen lines that tests copy and don't change."""
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.write(LINES)
        yield place


def _copied(written: Place, folder: str) -> Place:
    shutil.copytree(written.root, folder, dirs_exist_ok=True)
    return Place(Path(folder))


def test_what_was_recorded_is_read_back_newest_first(place: Place) -> None:
    event = AuditEvent(
        EventKind.EXPORT,
        Outcome.MINOR_FAILURE,
        user="Müller",
        patient_id="1",
        study_instance_uids=("1.2", "1.3"),
        instances=3,
    )
    place.write(1)
    place.open("worker-1").record(event)

    newest, oldest = read_events(place.folder)

    assert newest.event == event
    assert newest.sequence == 2
    assert newest.process.startswith("worker-1@")
    assert oldest.event.user == "user 0"


def test_a_filter_lets_through_what_is_asked_for(place: Place) -> None:
    place.write(3)
    place.open().record(AuditEvent(EventKind.EXPORT, user="user 1", patient_id="5", study_instance_uids=("1.2",)))

    def users(wanted: AuditFilter, limit: int = 100) -> list[str]:
        return [each.event.user for each in read_events(place.folder, wanted, limit)]

    assert users(AuditFilter(user="user 1")) == ["user 1", "user 1"]
    assert users(AuditFilter(patient_id="4711"), limit=2) == ["user 2", "user 1"]
    assert users(AuditFilter(study_instance_uid="1.2")) == ["user 1"]
    assert users(AuditFilter(kinds=frozenset({EventKind.EXPORT}))) == ["user 1"]
    first = read_events(place.folder)[-1].event.when
    assert users(AuditFilter(until=first)) == []
    assert len(users(AuditFilter(since=first))) == 4


def test_a_log_that_nobody_touched_is_whole(written: Place) -> None:
    check = written.check()

    assert check.whole
    assert check.lines == check.last_sequence == LINES


def test_key_and_log_are_for_their_owner_alone(place: Place) -> None:
    place.write(1)

    assert {path.stat().st_mode & 0o077 for path in (place.key, place.file, place.folder)} == {0}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_byte_that_is_changed_is_found(written: Place, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        place = _copied(written, folder)
        path = data.draw(st.sampled_from([place.file, place.folder / HEAD]))
        content = bytearray(path.read_bytes())
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)

        assert not place.check().whole


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_byte_that_is_put_in_or_taken_out_is_found(written: Place, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        place = _copied(written, folder)
        content = place.file.read_bytes()
        at = data.draw(st.integers(0, len(content) - 1))
        into = data.draw(
            st.sampled_from([content[:at] + content[at + 1 :], content[:at] + b" " + content[at:], content[:at]])
        )
        place.file.write_bytes(into)

        assert not place.check().whole


@pytest.mark.parametrize("number", range(LINES))
def test_any_line_that_is_removed_is_found_where_it_was(written: Place, tmp_path: Path, number: int) -> None:
    place = _copied(written, str(tmp_path))
    lines = place.lines()
    place.file.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))

    check = place.check()

    found = check.breaks[0]
    assert (found.file, found.line) == ((HEAD, 0) if number == LINES - 1 else (place.file.name, number + 1))


def test_lines_that_changed_places_are_found(written: Place, tmp_path: Path) -> None:
    place = _copied(written, str(tmp_path))
    lines = place.lines()
    lines[3], lines[4] = lines[4], lines[3]
    place.file.write_bytes(b"".join(lines))

    assert [each.line for each in place.check().breaks] == [4, 5, 6]


def test_a_line_in_the_place_of_another_with_a_seal_of_its_own_is_found(place: Place) -> None:
    """The log set back, gone on with, and the old tail put behind it: every seal holds, and every number follows."""
    place.write(2)
    anchor = place.folder / HEAD
    before = place.file.read_bytes(), anchor.read_bytes()
    place.write(2)
    tail, last = place.lines()[3], anchor.read_bytes()
    place.file.write_bytes(before[0])
    anchor.write_bytes(before[1])
    place.write(1)
    place.file.write_bytes(place.file.read_bytes() + tail)
    anchor.write_bytes(last)

    assert [str(each) for each in place.check().breaks] == [
        f"{place.file.name}, line 4: number 4 does not follow from the line before it"
    ]


def test_a_line_that_was_written_twice_is_found(written: Place, tmp_path: Path) -> None:
    place = _copied(written, str(tmp_path))
    lines = place.lines()
    place.file.write_bytes(b"".join([*lines[:5], lines[4], *lines[5:]]))

    assert place.check().breaks[0].line == 6


def test_a_log_that_is_written_anew_without_the_key_is_found(written: Place, tmp_path: Path) -> None:
    place = _copied(written, str(tmp_path))
    forged, previous = b"", "0" * 64
    for sequence in range(1, LINES + 1):
        line, previous = seal(b"guessed", sequence, previous, {"event": {"kind": "query", "user": "nobody"}})
        forged += line
    place.file.write_bytes(forged)

    check = place.check()

    assert len(check.breaks) == LINES + 1


def test_an_anchor_that_is_gone_is_found(written: Place, tmp_path: Path) -> None:
    place = _copied(written, str(tmp_path))
    (place.folder / HEAD).unlink()

    assert "anchor" in str(place.check().breaks[0])


def test_a_tail_cut_off_with_its_anchor_set_back_is_found_by_what_a_receiver_keeps(place: Place) -> None:
    """The one edit that the log alone can't show: an older state of log and anchor together."""
    place.write(2)
    before = {path: path.read_bytes() for path in (place.file, place.folder / HEAD)}
    place.write(2)
    kept = read_events(place.folder, limit=1)[0]
    assert place.check((kept.sequence, kept.hash)).whole
    for path, content in before.items():
        path.write_bytes(content)

    assert place.check().whole
    assert not place.check((kept.sequence, kept.hash)).whole


def test_a_tail_that_was_cut_off_is_told_by_the_next_line_and_stays_a_gap(place: Place) -> None:
    place.write(3)
    place.file.write_bytes(b"".join(place.lines()[:2]))
    place.write(1)

    alert = read_events(place.folder, AuditFilter(kinds=frozenset({EventKind.SECURITY_ALERT})))[0]

    assert "shorter than its anchor" in alert.event.detail
    assert [each.line for each in place.check().breaks] == [3]


def test_an_anchor_that_vanished_is_told_by_the_next_line(place: Place) -> None:
    place.write(2)
    (place.folder / HEAD).unlink()
    place.write(1)

    assert "anchor" in read_events(place.folder)[1].event.detail
    assert place.check().whole


def test_a_folder_that_was_emptied_is_told_by_the_first_line(place: Place) -> None:
    place.write(2)
    shutil.rmtree(place.folder)
    place.write(1)

    assert "gone" in read_events(place.folder)[1].event.detail


def test_a_key_that_was_taken_away_costs_no_line(place: Place) -> None:
    place.write(2)
    before = place.file.read_bytes()
    place.key.unlink()
    place.write(1)

    assert place.file.read_bytes().startswith(before)
    assert len(place.check().breaks) >= 2


def test_a_crash_between_line_and_anchor_loses_nothing(place: Place) -> None:
    place.write(2)
    anchor = (place.folder / HEAD).read_bytes()
    place.write(2)
    (place.folder / HEAD).write_bytes(anchor)
    assert place.check().whole

    place.write(1)

    assert place.check().whole
    assert len(read_events(place.folder)) == 5


def test_a_line_that_a_crash_left_unfinished_is_set_aside_and_told(place: Place) -> None:
    place.write(2)
    with place.file.open("ab") as file:
        file.write(b'{"sequence":3,"previ')
    assert "ends in the middle" in str(place.check().breaks[0])

    place.write(1)

    assert place.check().whole
    assert "never finished" in read_events(place.folder)[1].event.detail
    assert [path.read_bytes() for path in place.folder.glob("*.part")] == [b'{"sequence":3,"previ']


def test_a_disk_that_is_full_leaves_no_half_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(2)
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, bytes(data)[: len(data) - 50])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(LocalStorageError, match="No space left"):
            place.write(1)
    place.write(1)

    assert place.check().whole
    assert len(read_events(place.folder)) == 3


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file")

    with pytest.raises(LocalStorageError, match="audit log cannot be written"):
        Place(tmp_path).open()


def test_threads_write_one_chain(place: Place) -> None:
    log = place.open()
    start = threading.Barrier(8)

    def write() -> None:
        start.wait()
        for _ in range(10):
            log.record(AuditEvent(EventKind.QUERY))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert place.check().whole
    assert place.check().lines == 80


def test_processes_write_one_chain(place: Place) -> None:
    fork = multiprocessing.get_context("spawn")
    processes = [fork.Process(target=place.write, args=(20,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert place.check().whole
    assert place.check().lines == 60


def test_a_new_day_begins_a_new_file_and_goes_on_with_the_chain(place: Place) -> None:
    place.write(2)
    place.file.rename(place.folder / "audit-2026-01-01.jsonl")
    head = place.folder / HEAD
    head.unlink()  # it named the file that the test gave another date
    place.write(1)

    assert len(log_files(place.folder)) == 2
    assert place.check().whole
    assert [each.sequence for each in read_events(place.folder)] == [4, 3, 2, 1]


def test_a_day_that_is_removed_is_found(place: Place) -> None:
    place.write(2)
    place.file.rename(place.folder / "audit-2026-01-01.jsonl")
    (place.folder / HEAD).unlink()
    place.write(1)
    log_files(place.folder)[0].unlink()

    assert "where 1 follows" in str(place.check().breaks[0])


def test_a_clock_that_goes_back_does_not_reorder_the_files(tmp_path: Path) -> None:
    assert file_of_today([tmp_path / "audit-9999-01-01.jsonl"]) == "audit-9999-01-01.jsonl"
