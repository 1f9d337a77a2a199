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

"""Counts of what happens to messages, by enumerated event and reason."""

from __future__ import annotations

import threading
from collections import Counter
from enum import Enum


class Event(str, Enum):
    """Something that a node counts."""

    RECEIVED = "received"
    """An image arrived."""
    SCAN_RECEIVED = "scans"
    """A lidar scan arrived."""
    PROCESSED = "processed"
    """An image went through the localizer."""
    SECOND_LOOK = "second_looks"
    """The localizer looked at an image a second time."""
    SKIPPED = "skipped"
    """An image was not localized because the rate is limited."""
    DROPPED = "dropped"
    """A message was dropped because the node was busy or its memory was full."""
    FAILED = "failed"
    """A frame or scan raised an exception."""
    CALLBACK_FAILED = "callbacks_failed"
    """Another callback of the node raised an exception."""


class BadReason(str, Enum):
    """Why a message was rejected."""

    NO_CAMERA_INFO = "no camera_info yet"
    UNUSABLE_CAMERA_INFO = "unusable camera_info"
    UNDECODABLE_IMAGE = "undecodable image"
    IMAGE_SIZE = "size other than camera_info's"
    NO_CONTRAST = "black or saturated image"
    INVALID_STAMP = "invalid stamp"
    INVALID_CLOCK = "time on /clock before 1970"
    DUPLICATE_STAMP = "duplicate stamp"
    STAMP_OUT_OF_ORDER = "stamp out of order"
    INVALID_TRANSFORM = "invalid transform"
    INVALID_POSE = "invalid pose"
    INITIAL_POSE = "initial pose"
    SATELLITE = "satellite position"
    NO_DEPTH_IMAGE = "no depth image with the stamp of the image"
    NO_RIG_IMAGE = "no image of a rig camera"
    NO_RIG_MOUNTING = "no mounting of a rig camera on TF"
    NO_READOUT_MOTION = "no odometry on TF at the last row of a rolling shutter"
    UNDECODABLE_SCAN = "undecodable scan"
    EMPTY_SCAN = "scan without a valid point"
    UNDECODABLE_DEPTH = "undecodable depth image"
    UNREGISTERED_DEPTH = "depth image of a camera whose mounting or camera_info is unknown"
    IMAGE_TIMED_OUT = "image whose pose or depth did not arrive in time"
    SCAN_TIMED_OUT = "scan whose poses did not arrive in time"


Counted = Event | BadReason


class BadMessage(Exception):
    """A message that cannot be used.

    Attributes:
        reason: reason that it is counted by.
        detail: one sentence with what was wrong, or "" where the reason is enough.
    """

    def __init__(self, reason: BadReason, detail: str = "") -> None:
        super().__init__(f"{reason.value} ({detail})" if detail else reason.value)
        self.reason, self.detail = reason, detail


class Counters:
    """Counts since the start and since the last report; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total: Counter[Counted] = Counter()
        self._recent: Counter[Counted] = Counter()
        self._details: dict[Counted, str] = {}

    def add(self, what: Counted) -> None:
        """Counts one occurrence."""
        with self._lock:
            self._total[what] += 1
            self._recent[what] += 1

    def add_bad(self, bad: BadMessage) -> None:
        """Counts a message that cannot be used, and keeps what was wrong with it."""
        with self._lock:
            self._details[bad.reason] = bad.detail
        self.add(bad.reason)

    def details(self) -> dict[Counted, str]:
        """Returns what was wrong with the last message of each reason."""
        with self._lock:
            return self._details.copy()

    def totals(self) -> Counter[Counted]:
        """Returns all counts since the start."""
        with self._lock:
            return self._total.copy()

    def take_recent(self) -> Counter[Counted]:
        """Returns the counts since the last call."""
        with self._lock:
            recent, self._recent = self._recent, Counter()
            return recent


def rejected(counts: Counter[Counted]) -> dict[str, int]:
    """Returns the counts of rejected messages by reason, in alphabetical order."""
    reasons = {what.value: count for what, count in counts.items() if isinstance(what, BadReason) and count}
    return dict(sorted(reasons.items()))
