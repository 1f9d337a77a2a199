"""Work on images, several at a time, with the results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ReadAhead:
    """Threads that decode and encode images, for OpenCV does not hold Python's lock; a context manager.

    Args:
        workers: how many threads; None for as many as this process has cores.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="read-ahead")

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """The results of `work` in the order of the items, a few of which are worked on ahead."""
        under_way: deque[Future[_Result]] = deque()
        for item in items:
            under_way.append(self._pool.submit(work, item))
            if len(under_way) > 2 * self._workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
