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

"""Counts of the items that a reader or a map builder left out, by reason."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum


class SkipReason(str, Enum):
    """Reason for leaving something out of a traversal.

    The value names what is counted, in the plural, as shown to the user and stored in files; `{}` stands
    for a file or a sensor.
    """

    IMAGE_MISSING = "missing images"
    IMAGE_UNREADABLE = "images that cannot be read"
    IMAGE_UNDECODABLE = "images that cannot be decoded"
    IMAGE_SIZE = "images of another size than the camera's"
    IMAGE_SIZE_OF_INFO = "images of another size than camera_info says"
    CAMERA_INFO_UNUSABLE = "images without a usable camera_info"
    IMAGE_OUT_OF_ORDER = "images with a stamp not after the one before"
    IMAGE_WITHOUT_POSE = "images without a pose"
    IMAGE_WITHOUT_SCANS = "images without scans around them"
    IMAGE_WITHOUT_POINTS = "images with no lidar point in view"
    PANORAMA_WITHOUT_ROW = "images without a row in the index"
    PANORAMA_WITHOUT_POSITION = "images without a position"
    PANORAMA_WITHOUT_HEADING = "panoramas without a heading"
    PANORAMA_WITHOUT_DEPTH = "panoramas without depth, which have no virtual views"
    VIRTUAL_POSITION_INSIDE = "positions of virtual views inside of something"
    VIRTUAL_POSITION_NEARER = "positions of virtual views nearer to another panorama"
    PANORAMA_INCOMPLETE = "panoramas that are not twice as wide as high and do not say which part they show"
    PANORAMA_TOO_LARGE = "panoramas of more than 268 million pixels when decoded"
    PANORAMA_NOT_SPHERICAL = "images that are no panoramas"
    PANORAMA_TWICE = "panoramas listed twice or within 5 cm of another one"
    VIEW_OUTSIDE = "views of which a panorama shows less than half"
    DEPTH_MISSING = "missing depth maps"
    DEPTH_TOO_LARGE = "depth maps of more than 67 million pixels"
    DEPTH_INCOMPLETE = "depth maps that are not twice as wide as high"
    DEPTH_EMPTY = "depth maps without any distance"
    DEPTH_UNREADABLE = "depth images that cannot be read"
    DEPTH_UNDECODABLE = "depth images that cannot be decoded"
    DEPTH_SIZE = "depth images of another size than the image"
    SCAN_MISSING = "missing scans of {}"
    SCAN_UNREADABLE = "scans that cannot be read"
    SCAN_UNDECODABLE = "scans that cannot be decoded"
    SCAN_EMPTY = "scans without a valid point"
    SCAN_WITHOUT_POSE = "scans without a pose"
    SCAN_AT_TIME_WITHOUT_POSE = "scans at times without a pose"
    LIDAR_INCOMPLETE = "lidars without {}"
    POSE_INVALID = "transforms and poses with invalid numbers"
    ROW_DAMAGED = "damaged rows of {}"
    ROW_NOT_FINITE = "rows of {} without numbers"
    ROW_WITHOUT_POSITION = "rows of {} without a position"
    ROW_OF_BAD_SOLUTION = "rows of {} of a bad solution"
    ROW_OUT_OF_ORDER = "rows of {} out of order"
    ROW_BEYOND_BREAK = "rows of {} beyond a break"
    ROW_TIME_UNREADABLE = "times of {} that cannot be read"
    ROW_SWAPPED = "rows of {} whose latitude and longitude seem to be swapped"
    ROW_FAR = "rows of {} more than 100 km from the others"
    ROW_JUMP = "rows of {} that jump"
    LINE_DAMAGED = "damaged lines of {}"
    LINE_OUT_OF_ORDER = "lines of {} out of order"
    TABLE_UNREADABLE = "tables of {} that cannot be read"
    RECORD_UNREADABLE = "{} that cannot be read"


_counting = threading.Lock()


@dataclass
class Skipped:
    """Counts of items left out, by reason; `str` gives one line for the user.

    Attributes:
        counts: number of items by reason, a value of an enumeration such as `SkipReason`.
    """

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, count: int = 1, subject: str = "") -> None:
        """Counts items left out for one reason; thread-safe.

        Args:
            subject: file or sensor that replaces `{}` in the reason.
        """
        text = reason.value if isinstance(reason, Enum) else reason
        with _counting:
            key = text.format(subject)
            self.counts[key] = self.counts.get(key, 0) + count

    def add_all(self, other: Skipped) -> None:
        """Adds all counts of another."""
        with _counting:
            for reason, count in other.counts.items():
                self.counts[reason] = self.counts.get(reason, 0) + count

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in sorted(self.counts.items()))
