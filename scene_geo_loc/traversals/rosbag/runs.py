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

"""Runs of a recording whose clock jumps back, as where a simulation was started again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.rosbag.bag import BagMessage
from scene_geo_loc.traversals.rosbag.index import ImageTopic
from scene_geo_loc.traversals.sources import PassedOver, Reason, Role, SensorSource

RESTART_NS = 1_000_000_000
"""A stamp further back than this begins another run; nearer, the message is late."""
LASTING = 3
"""Images that must follow each other after the clock jumped back; fewer are stray ones."""


@dataclass(frozen=True)
class _Run:
    """Images between two jumps of the clock.

    Attributes:
        images: number of images.
        log_times_ns: times of recording of the first and the last one.
        stamps_ns: their stamps.
    """

    images: int
    log_times_ns: tuple[int, int]
    stamps_ns: tuple[int, int]


class Runs:
    """Runs of a recording by the stamps of its images, of which one is taken.

    Args:
        path: of the recording, for messages.
        wanted: number of the run, from 1; None for the one with the most images.

    Raises:
        TraversalError: there is no such run.
    """

    def __init__(self, path: Path, topic: ImageTopic, wanted: int | None) -> None:
        self._runs = [
            _Run(
                end - start,
                (topic.log_times_ns[start], topic.log_times_ns[end - 1]),
                (topic.stamps_ns[start], topic.stamps_ns[end - 1]),
            )
            for start, end in _parts(topic.stamps_ns)
        ]
        if wanted is not None and not 1 <= wanted <= len(self._runs):
            raise TraversalError(
                f"{path}: there is no run {wanted}; the clock of the images on {topic.topic} jumps back "
                f"{len(self._runs) - 1} times, so the runs are 1 to {len(self._runs)}."
            )
        self._is_named = wanted is not None
        most = max(range(len(self._runs)), key=lambda number: self._runs[number].images)
        self._taken = most if wanted is None else wanted - 1
        self._starts = [run.log_times_ns[0] for run in self._runs]

    def __len__(self) -> int:
        return len(self._runs)

    def is_taken(self, message: BagMessage) -> bool:
        """Returns whether a message is of the run that is taken.

        Its time of recording decides; between two runs its stamp does.
        """
        before = max(bisect_right(self._starts, message.log_time_ns) - 1, 0)
        run = self._runs[before]
        if before + 1 < len(self._runs) and message.log_time_ns > run.log_times_ns[1]:
            stamp_ns, later = message.stamp_ns, self._runs[before + 1]
            before += abs(stamp_ns - later.stamps_ns[0]) < abs(stamp_ns - run.stamps_ns[1])
        return before == self._taken

    def source(self) -> SensorSource:
        """Returns the record of the run that is taken, and of the others."""
        return SensorSource(
            Role.RUN,
            str(self._taken + 1),
            messages=self._runs[self._taken].images,
            reason=(Reason.NAMED if self._is_named else Reason.MOST_IMAGES).of(),
            passed_over=tuple(
                PassedOver(str(number + 1), run.images, Reason.OTHER_RUN.of())
                for number, run in enumerate(self._runs)
                if number != self._taken
            ),
        )


def _parts(stamps_ns: Sequence[int]) -> list[tuple[int, int]]:
    """Returns begin and end of each run among the images, in the order of recording."""
    stamps = np.asarray(stamps_ns, np.int64)
    if not (np.diff(stamps) < -RESTART_NS).any():
        return [(0, len(stamps))]
    starts, newest = [0], int(stamps[0])
    for i, stamp_ns in enumerate(stamps.tolist()):
        following = stamps[i : i + LASTING]
        has_restarted = stamp_ns < newest - RESTART_NS and len(following) == LASTING
        if has_restarted and following[-1] < newest and (np.diff(following) > 0).all():
            starts.append(i)
            newest = stamp_ns
        newest = max(newest, stamp_ns)
    parts = zip(starts, [*starts[1:], len(stamps)], strict=True)
    return [(start, end) for start, end in parts if end - start >= LASTING] or [(0, len(stamps))]
