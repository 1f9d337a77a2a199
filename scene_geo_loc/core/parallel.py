"""Work spread over processes or threads, with results in order and little of it under way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, TypeVar

import cv2

from scene_geo_loc.core.errors import SceneGeoLocError

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 2
"""Jobs a worker that are under way or wait."""


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    pool: Executor, work: Callable[[Job], Result], jobs: Iterable[Job], ahead: int
) -> Iterator[Result]:
    """The results of jobs, in order; jobs are taken from the iterable as earlier ones are done.

    Args:
        ahead: how many jobs are under way or wait at most: what is read ahead takes memory.
    """
    under_way: deque[Future[Result]] = deque()
    for job in jobs:
        if len(under_way) == ahead:
            yield under_way.popleft().result()
        under_way.append(pool.submit(work, job))
    while under_way:
        yield under_way.popleft().result()


@contextmanager
def process_pool(workers: int, start: Literal["fork", "spawn"]) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that end with this one, however it ends.

    Args:
        start: "spawn" starts workers afresh; "fork" lets them share what this process has in memory.

    Raises SceneGeoLocError where a worker was killed.
    """
    others = set(multiprocessing.active_children())
    threads = cv2.getNumThreads()
    if start == "fork":
        # OpenCV's threads do not live on in a forked process, which would wait for them for ever.
        cv2.setNumThreads(1)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(start), initializer=_start_worker)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise SceneGeoLocError(
            "A worker process was killed, most likely for lack of memory; use fewer workers."
        ) from error
    except BaseException:
        # A job may take a minute: what is begun is not waited for.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


@contextmanager
def ordered_map(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int | None = None
) -> Iterator[Iterator[Result]]:
    """Gives the results of jobs, in order, from worker processes that are started afresh.

    Args:
        work: a function of a module, called in the workers.
        workers: processes; by default one for each core.  With 1 the work is done in this process.

    Raises SceneGeoLocError where a worker was killed.
    """
    count = workers or available_cores()
    if count == 1:
        yield map(work, jobs)
        return
    with process_pool(count, "spawn") as pool:
        yield in_order(pool, work, jobs, _AHEAD * count)


def _start_worker() -> None:
    # Ctrl-C reaches every process of the terminal: the parent alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Where the parent is killed, its workers would wait for jobs for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class ReadAhead:
    """Threads that decode or encode images ahead of their use; a context manager.

    OpenCV releases Python's lock meanwhile.

    Args:
        workers: number of threads; None for one for each core that this process may use.
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

    def map(self, work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Returns the results of `work` in the order of the jobs, a few of which run ahead."""
        return in_order(self._pool, work, jobs, 2 * self._workers)
