"""When a series is complete: by quiet, by count, by patience; and never while its study still comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from iodeep.serve_settings import ArrivalSettings
from iodeep.service.intake.arriving import SETTLED_S, Arrivals, SeriesKey
from pacs_bridge.listener import Received
from tests.synthetic import CT_IMAGE
from tests.unit.service.intake.doubles import Clock

KEY = SeriesKey("1.2", "1.2.3")


def instance(key: SeriesKey = KEY) -> Received:
    return Received(Path(), CT_IMAGE, "1", key.study, key.series, "CT", "P", "A", 100)


class Coming:
    """Arrivals, and a clock to move."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.arrivals = Arrivals(ArrivalSettings(**{"quiet_s": 30.0, "longest_wait_s": 1800.0} | settings), self.clock)

    def come(self, key: SeriesKey = KEY, count: int = 1) -> None:
        for _ in range(count):
            self.arrivals.arrived(instance(key))

    def after(self, seconds: float) -> list[tuple[SeriesKey, int]]:
        self.clock.now += seconds
        return [(series.key, series.held) for series in self.arrivals.take_complete()]

    def answer(self, expected: int | None, held: int) -> None:
        asked = self.arrivals.to_ask_about()
        assert [series.key for series in asked] == [KEY]
        self.arrivals.answered(KEY, expected, held)


def test_a_series_is_complete_when_nothing_came_for_the_quiet_time() -> None:
    coming = Coming()
    coming.come(count=3)
    assert coming.after(20) == []
    coming.come()
    assert coming.after(29) == []
    assert coming.after(1) == [(KEY, 4)]
    assert coming.after(1000) == []


def test_one_that_comes_later_begins_anew() -> None:
    coming = Coming()
    coming.come()
    assert coming.after(30) == [(KEY, 1)]
    coming.come()
    assert coming.after(30) == [(KEY, 1)]


def test_a_series_that_never_rests_is_taken_as_it_is_after_the_longest_wait() -> None:
    coming = Coming(longest_wait_s=100.0)
    for _ in range(10):
        coming.come()
        taken = coming.after(10)
    assert taken == [(KEY, 10)]


def test_the_archive_is_asked_after_a_lull_and_believed_when_it_says_the_same_twice() -> None:
    coming = Coming()
    coming.come(count=5)
    assert coming.arrivals.to_ask_about() == []
    assert coming.after(SETTLED_S) == []
    coming.answer(5, 5)
    assert coming.after(1) == []
    assert coming.after(SETTLED_S) == []
    coming.answer(5, 5)
    assert coming.after(0) == [(KEY, 5)]


def test_an_archive_that_still_grows_is_not_believed() -> None:
    coming = Coming()
    coming.come(count=5)
    coming.after(SETTLED_S)
    coming.answer(5, 5)
    coming.come()
    coming.after(SETTLED_S)
    coming.answer(8, 6)
    assert coming.after(SETTLED_S) == []


def test_agreeing_begins_anew_with_each_instance() -> None:
    coming = Coming()
    coming.come(count=5)
    coming.after(SETTLED_S)
    coming.answer(5, 5)
    coming.come()
    assert coming.after(SETTLED_S) == []
    coming.answer(6, 6)
    assert coming.after(SETTLED_S) == []
    coming.answer(6, 6)
    assert coming.after(0) == [(KEY, 6)]


def test_what_the_archive_has_more_of_is_waited_for_beyond_the_quiet_time() -> None:
    coming = Coming(longest_wait_s=600.0)
    coming.come(count=5)
    coming.after(SETTLED_S)
    coming.answer(9, 5)
    assert coming.after(500) == []
    assert coming.after(100) == [(KEY, 5)]


def test_an_archive_that_does_not_say_leaves_it_to_the_quiet_time() -> None:
    coming = Coming()
    coming.come()
    coming.after(SETTLED_S)
    coming.answer(None, 1)
    assert coming.after(30) == [(KEY, 1)]


def test_an_answer_on_its_way_is_waited_for() -> None:
    coming = Coming()
    coming.come()
    coming.after(SETTLED_S)
    coming.arrivals.to_ask_about()
    assert coming.after(100) == []
    coming.arrivals.answered(KEY, None, 1)
    assert coming.after(0) == [(KEY, 1)]


def test_an_archive_is_asked_ever_more_rarely() -> None:
    coming = Coming()
    coming.come()
    asked = 0
    for _ in range(600):
        coming.clock.now += 1
        if coming.arrivals.to_ask_about():
            asked += 1
            coming.arrivals.answered(KEY, 9, 1)
    assert asked < 20


def test_a_series_waits_for_its_study_but_not_for_others() -> None:
    coming = Coming()
    sibling, stranger = SeriesKey("1.2", "1.2.4"), SeriesKey("1.9", "1.9.1")
    coming.come(KEY)
    assert coming.after(20) == []
    coming.come(sibling)
    coming.come(stranger)
    assert coming.after(10) == []
    assert {key for key, _ in coming.after(20)} == {KEY, sibling, stranger}


def test_a_sibling_that_is_awaited_for_long_holds_nobody_up() -> None:
    coming = Coming()
    sibling = SeriesKey("1.2", "1.2.4")
    coming.come(KEY)
    coming.come(sibling)
    coming.after(SETTLED_S)
    for series in coming.arrivals.to_ask_about():
        coming.arrivals.answered(series.key, 99 if series.key == sibling else None, 1)
    assert coming.after(30) == [(KEY, 1)]


def test_what_was_found_after_a_restart_is_as_old_as_its_files_and_becomes_quiet_anew() -> None:
    coming = Coming(longest_wait_s=600.0)
    coming.arrivals.arrived(instance(), held=7, age_s=500)
    assert coming.after(20) == []
    assert coming.after(10) == [(KEY, 7)]
    coming.arrivals.arrived(instance(), held=7, age_s=700)
    assert coming.after(0) == [(KEY, 7)]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 40)), max_size=60))
def test_every_instance_is_given_out_once_and_none_is_kept_for_ever(steps: list[tuple[int, float]]) -> None:
    coming = Coming(longest_wait_s=200.0)
    came: dict[SeriesKey, int] = {}
    out: dict[SeriesKey, int] = {}
    for number, pause in [*steps, (0, 0.0), (1, 300.0)]:
        key = SeriesKey("1.2", f"1.2.{number}")
        coming.come(key)
        came[key] = came.get(key, 0) + 1
        for taken, held in coming.after(pause):
            out[taken] = out.get(taken, 0) + held
    assert out == came
    assert len(coming.arrivals) == 0
