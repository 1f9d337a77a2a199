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

"""Limit on the rate of images that are localized."""

from __future__ import annotations


class RateLimit:
    """Selects images by their stamps, so that a given rate is kept on average."""

    def __init__(self) -> None:
        self._due_ns: int | None = None

    def admits(self, stamp_ns: int, max_rate: float) -> bool:
        """Returns whether an image is to be localized; stamps rise from call to call.

        Args:
            max_rate: images a second; 0 admits all.
        """
        if max_rate <= 0:
            return True
        period_ns = round(1e9 / max_rate)
        if self._due_ns is None or stamp_ns >= self._due_ns + period_ns:
            self._due_ns = stamp_ns  # the first image, or the first after a gap
        if stamp_ns < self._due_ns:
            return False
        self._due_ns += period_ns
        return True

    def reset(self) -> None:
        """Admits the next image, whatever its stamp."""
        self._due_ns = None
