# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Work that threads do ahead of its use."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from scene_geo_loc.core.parallel import ReadAhead, read_ahead


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


def test_items_are_read_ahead_in_their_order_and_no_more_than_asked_for() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(20):
            taken.append(i)
            yield i

    with read_ahead(items(), 3) as ahead:
        for i in range(20):
            assert next(ahead) == i
            assert len(taken) <= i + 4
        assert list(ahead) == []


def test_an_error_of_the_source_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    with read_ahead(items(), 4) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ValueError, match="damaged"):
            next(ahead)


def test_a_reader_that_stops_early_does_not_wait_for_the_rest() -> None:
    with read_ahead(itertools.count(), 2) as ahead:
        assert next(ahead) == 0
