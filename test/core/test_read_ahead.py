"""Work that threads do ahead of its use."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from scene_geo_loc.core.parallel import ReadAhead


def test_results_come_in_the_order_of_the_items() -> None:
    first_may_end = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert first_may_end.wait(10)
        if item == 1:
            first_may_end.set()
        return 10 * item

    with ReadAhead(2) as ahead:
        assert list(ahead.map(work, range(30))) == [10 * i for i in range(30)]


def test_no_more_is_worked_on_than_a_few_items_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    with ReadAhead(2) as ahead:
        results = ahead.map(abs, items())
        for done in range(1, 50):
            next(results)
            assert len(taken) - done <= 4


def test_an_error_is_raised_where_its_result_is_due() -> None:
    def work(item: int) -> float:
        return 1 / (3 - item)

    with ReadAhead(2) as ahead:
        results = ahead.map(work, range(10))
        assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_one_stage_can_feed_the_next() -> None:
    with ReadAhead(1) as ahead:
        assert list(ahead.map(abs, ahead.map(int, "123456789"))) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
