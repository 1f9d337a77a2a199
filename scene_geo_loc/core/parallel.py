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

"""Work spread over processes or threads, with results in order and few jobs in flight."""

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
"""Jobs in flight per worker."""


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    pool: Executor, work: Callable[[Job], Result], jobs: Iterable[Job], ahead: int
) -> Iterator[Result]:
    """Yields the results of jobs in order; a job is taken from the iterable when an earlier one is done.

    Args:
        ahead: most jobs in flight; jobs and results that wait take memory.
    """
    in_flight: deque[Future[Result]] = deque()
    for job in jobs:
        if len(in_flight) == ahead:
            yield in_flight.popleft().result()
        in_flight.append(pool.submit(work, job))
    while in_flight:
        yield in_flight.popleft().result()


@contextmanager
def process_pool(workers: int, start: Literal["fork", "spawn"]) -> Iterator[ProcessPoolExecutor]:
    """Yields a pool of worker processes that end with this process, however it ends.

    Args:
        workers: number of processes.
        start: "spawn" starts new interpreters; "fork" shares the memory of this process.

    Raises SceneGeoLocError where a worker was killed.
    """
    others = set(multiprocessing.active_children())
    threads = cv2.getNumThreads()
    if start == "fork":
        # A forked process lacks OpenCV's threads and would wait for them forever.
        cv2.setNumThreads(1)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(start), initializer=_start_worker)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise SceneGeoLocError(
            "A worker process was killed, most likely for lack of memory; use fewer workers."
        ) from error
    except BaseException:
        # A job may take a minute: jobs in flight are not waited for.
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
    """Yields an iterator over the results of jobs, in order, from new worker processes.

    Args:
        work: a function of a module, called in the workers.
        jobs: its arguments.
        workers: number of processes; default: one per core.  With 1 the work is done in this process.

    Raises SceneGeoLocError where a worker was killed.
    """
    count = workers or available_cores()
    if count == 1:
        yield map(work, jobs)
        return
    with process_pool(count, "spawn") as pool:
        yield in_order(pool, work, jobs, _AHEAD * count)


@contextmanager
def read_ahead(items: Iterable[Job], count: int) -> Iterator[Iterator[Job]]:
    """Yields an iterator over items that a thread takes from the iterable before they are asked for.

    Args:
        count: most items that wait; they take memory.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        waiting = deque(pool.submit(next, source, end) for _ in range(count))

        def taken() -> Iterator[Job]:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, source, end))
                yield item  # type: ignore[misc]

        try:
            yield taken()
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches every process of the terminal: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # If the parent is killed, its workers would wait for jobs forever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class ReadAhead:
    """Threads that do work ahead of its use; a context manager.

    OpenCV, NumPy and hashlib release Python's lock while they work on large arrays.

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
