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

"""Sets of panoramas inside of the room, as another car would have taken them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from room import Room

from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.traversals.streetview.index import IndexRow, write_index

DATUM = Datum(52.0, 5.0, 40.0)
VIEW_CAMERA = "160x120@67.4"
"""The camera of the room."""


@dataclass
class Panoramic:
    """Takes the place of the room's camera: its rays go everywhere."""

    width: int = 1024
    height: int = 512

    def rays(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        return Equirectangular(self.width, self.height).rays(pixels)


def write_panoramas(
    folder: Path, room: Room, places: Sequence[tuple[float, float]], errors: NDArray[np.float64] | None = None
) -> Path:
    """Writes a set with depth that looks along the room at each place; the first one should be its middle.

    With errors (N, 3) in east, north and up the tags have these, and the true poses are in `truth.csv`.
    """
    (folder / "images").mkdir(parents=True)
    (folder / "depth").mkdir()
    pinhole, room.camera = room.camera, Panoramic()  # type: ignore[assignment]
    rows = []
    for i, (x, y) in enumerate(places):
        frame = room.frame(x, y, 0.0)
        cv2.imwrite(str(folder / f"images/{i}.png"), frame.image[..., ::-1])
        assert frame.depth is not None
        small = cv2.resize(frame.depth, (256, 128), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"depth/{i}.png"), np.round(100 * small).astype(np.uint16))
        latitude, longitude, altitude = DATUM.geodetic_of((x, y, 0.0))
        time = 1_700_000_000 * 10**9 + i * 10**9
        row = IndexRow(f"images/{i}.png", latitude, longitude, altitude, 90.0, time=time)
        rows.append(replace(row, depth=f"depth/{i}.png"))
    room.camera = pinhole
    order = np.argsort([x for x, _ in places])
    for a, b in pairwise(order):
        for one, other in ((a, b), (b, a)):
            rows[one] = replace(rows[one], links=(*rows[one].links, rows[other].file))
    if errors is not None:
        write_index(folder / "truth.csv", rows)
        for i, (x, y) in enumerate(places):
            latitude, longitude, altitude = DATUM.geodetic_of(np.array([x, y, 0.0]) + errors[i])
            rows[i] = replace(
                rows[i],
                latitude=latitude,
                longitude=longitude,
                altitude=altitude,
                heading=92.0,
                position_std=0.1,
                heading_std=2.0,
            )
    write_index(folder / "panoramas.csv", rows)
    return folder
