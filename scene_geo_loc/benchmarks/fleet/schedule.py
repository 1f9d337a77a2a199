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

"""Model of a build on more workers than a machine has: events in time, from times that were measured."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BuildTimes:
    """Times of a build on one worker, in seconds.

    Attributes:
        start_s: until the workers are there.
        drives_s: of the drives, in their order.
        merge_s: of the merge, which one process does.
    """

    start_s: float
    drives_s: Sequence[float]
    merge_s: float


def build_seconds(
    times: BuildTimes, workers: int, *, is_like_another: bool = False, lost_s: float | None = None
) -> float:
    """Returns how long a build takes on some workers that do not slow each other down.

    The first drive is mapped alone, since the others are built like it; then each worker that is free takes
    the next drive.  The times of files, network and memory that workers share are not modelled.

    Args:
        times: of a build on one worker.
        workers: number of workers.
        is_like_another: whether all drives are built like another map, so that none has to be first.
        lost_s: how long after the start of the second drive its worker is lost, which then starts again and
            continues behind what is on the disk; None: no worker is lost.
    """
    alone = 0 if is_like_another else 1
    begin = times.start_s + sum(times.drives_s[:alone])
    free = [begin] * workers
    heapq.heapify(free)
    for number, seconds in enumerate(times.drives_s[alone:], start=alone):
        begins = heapq.heappop(free)
        is_lost = lost_s is not None and number == 1 and lost_s < seconds
        heapq.heappush(free, begins + seconds + (times.start_s if is_lost else 0.0))
    return max(free) + times.merge_s
