"""Work on images, several at a time, with the results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from scene_geo_loc.core.parallel import available_cores, in_order

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ReadAhead:
    """Threads that decode and encode images, for OpenCV does not hold Python's lock; a context manager.

    Args:
        workers: how many threads; None for as many as this process has cores.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or available_cores()
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
        return in_order(self._pool, work, items, 2 * self._workers)
