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

"""Positions of a satellite receiver during a live build, which give the map its datum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.messages.satellite import SatelliteFix
from scene_geo_loc.traversals.satellite import SatelliteFixes


@dataclass(frozen=True)
class Position:
    """A position that waits for the pose at its stamp.

    Attributes:
        frame: of the antenna.
    """

    stamp_ns: int
    frame: str
    fix: SatelliteFix


class SatellitePositions:
    """Measured positions with the antenna's poses in the map, in order of time."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._found: list[tuple[Position, Pose]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, position: Position, T_map_antenna: Pose) -> None:
        """Adds a position."""
        self._found.append((position, T_map_antenna))

    def clear(self) -> None:
        """Drops all positions, as those of another time line."""
        self._found.clear()

    def georeference(self) -> Georeference:
        """Returns the datum of the map by all positions. Raises GeodesyError, see `fit_datum`."""
        fixes = SatelliteFixes(
            self._topic,
            np.array([position.stamp_ns for position, _ in self._found], np.int64),
            np.array([position.fix.geodetic for position, _ in self._found]).reshape(-1, 3),
            np.array([position.fix.sigmas_m for position, _ in self._found]).reshape(-1, 2),
            np.eye(4),
        )
        return fixes.georeference(np.array([T for _, T in self._found]).reshape(-1, 4, 4))
