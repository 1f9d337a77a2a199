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

"""Mini-batches: what the training loop draws from, and how samples are drawn ahead of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scene_geo_loc.core.parallel import in_order

Job = TypeVar("Job")
Result = TypeVar("Result")


class Batches(Protocol):
    """The mini-batches of a training. The same epoch has the same batches whenever it is drawn."""

    def __len__(self) -> int:
        """Batches of an epoch."""
        ...

    def epoch(self, number: int, first: int = 0) -> Iterable[Any]:
        """Yields the batches of an epoch, from batch `first` on."""
        ...


def drawn_ahead(
    draw: Callable[[Job], Result], jobs: Iterable[Job], threads: int, ahead: int
) -> Iterator[Result]:
    """Yields what `draw` returns for each job, in order, while threads draw the next ones.

    Threads are enough: OpenCV and NumPy's large operations release Python's lock.

    Args:
        ahead: largest number of jobs that are drawn or wait to be used.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="draw")
    try:
        yield from in_order(pool, draw, jobs, ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def stacked(samples: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> tuple[Tensor, Tensor]:
    """Stacks images and depth maps of samples along a new first axis, as tensors."""
    images, depth = zip(*samples, strict=True)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(depth))
