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

"""Places that are built alike: a corridor of equal doors, and a car park of equal cars in numbered bays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from room import Room

from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame

PERIOD_M = 3.0


class RowOfPlaces(Room):
    """A hall whose walls, floor and ceiling repeat along x; with numbers, each place has its own.

    The vehicle drives along x and looks at one of the long walls.
    """

    HALF = np.array([12.0, 1.8, 1.5])

    def __init__(self, with_numbers: bool, numbers_seed: int = 1) -> None:
        super().__init__()
        rng = np.random.default_rng(numbers_seed)
        tile = round(PERIOD_M * self.TEXELS_PER_M)
        for side in range(2, 6):
            wall = self.walls[side]
            self.walls[side] = np.tile(wall[:, :tile], (1, -(-wall.shape[1] // tile), 1))[:, : wall.shape[1]]
        if with_numbers:
            for column in range(0, len(self.walls[3]), tile):
                self._number(self.walls[3], rng, column)

    def _number(self, wall: NDArray[np.uint8], rng: np.random.Generator, column: int) -> None:
        middle = len(wall) // 2
        for row in (middle - 40, middle + 10):
            text = "".join(str(digit) for digit in rng.integers(0, 10, 4))
            wall[row : row + 34, column : column + 100] = rng.integers(0, 256, 3)
            cv2.putText(wall, text, (column + 4, row + 26), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 3)

    def at(self, x: float, stamp_ns: int = 0) -> Frame:
        return self.frame(x, -0.4, 90.0, stamp_ns)

    def localizer(self, folder: Path) -> Localizer:
        """Localizer in a map of the whole hall."""
        settings = BuilderSettings(keyframe_distance_m=0.0)
        builder = MapBuilder(folder / "map", settings, device="cpu", measure=measure_map)
        for i, x in enumerate(np.arange(-10.0, 10.1, 0.75)):
            builder.add_frame(self.at(x, 10**8 * (i + 1)))
        return Localizer(ReferenceMap.open(builder.finish()), device="cpu")


PLACES = (-6.3, -3.7, -1.1, 1.5, 4.1, 6.7)


def test_equal_doors_are_ambiguous(tmp_path: Path) -> None:
    corridor = RowOfPlaces(with_numbers=False)
    localizer = corridor.localizer(tmp_path)
    for x in PLACES:
        frame = corridor.at(x)
        estimate = localizer.localize(frame)
        assert (estimate.status, estimate.kind) == (Status.RETRIEVED_ONLY, RejectionKind.AMBIGUOUS)
        for T in estimate.alternatives:
            doors = position_error_m(T, frame.T_map_camera) / PERIOD_M
            assert abs(doors - round(float(doors))) < 0.1


def test_equal_cars_in_numbered_bays_are_told_apart_by_the_numbers(tmp_path: Path) -> None:
    car_park = RowOfPlaces(with_numbers=True)
    localizer = car_park.localizer(tmp_path)
    estimates = [(localizer.localize(frame), frame) for frame in map(car_park.at, PLACES)]
    found = [(estimate, frame) for estimate, frame in estimates if estimate.status is Status.LOCALIZED]
    assert len(found) >= 4
    for estimate, frame in found:
        assert position_error_m(estimate.T_map_base, frame.T_map_camera) < 0.3


def test_bays_with_other_numbers_are_not_taken_for_mapped_ones(tmp_path: Path) -> None:
    localizer = RowOfPlaces(with_numbers=True).localizer(tmp_path)
    not_mapped = RowOfPlaces(with_numbers=True, numbers_seed=2)
    for x in PLACES:
        assert localizer.localize(not_mapped.at(x)).status is not Status.LOCALIZED
