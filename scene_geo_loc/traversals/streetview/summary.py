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

"""Numbers of a set of panoramas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scene_geo_loc.traversals.streetview.panorama import Panorama


@dataclass(frozen=True)
class SetSummary:
    """Numbers of a set.

    Attributes:
        panoramas, with_depth, with_links: numbers of panoramas.
        spacing_m, largest_spacing_m: median and largest distance to the nearest other panorama; None for a
            single panorama.
        extent_m: (3,) extent of their positions along the map's axes.
        position_std_m: median of the stated standard deviations of positions; None where none is stated.
    """

    panoramas: int
    with_depth: int
    with_links: int
    spacing_m: float | None
    largest_spacing_m: float | None
    extent_m: tuple[float, ...]
    position_std_m: float | None


def summarize(panoramas: Sequence[Panorama]) -> SetSummary:
    """Returns the numbers of one or more panoramas."""
    positions = np.array([panorama.T_map_panorama[:3, 3] for panorama in panoramas])
    nearest = []
    for i, position in enumerate(positions):
        away = np.linalg.norm(np.delete(positions, i, axis=0) - position, axis=1)
        nearest += [away.min()] if len(away) else []
    stated = [panorama.position_std_m for panorama in panoramas if panorama.position_std_m is not None]
    return SetSummary(
        len(panoramas),
        sum(panorama.depth is not None for panorama in panoramas),
        sum(bool(panorama.links) for panorama in panoramas),
        float(np.median(nearest)) if nearest else None,
        float(max(nearest)) if nearest else None,
        tuple(np.ptp(positions, axis=0).tolist()),
        float(np.median(stated)) if stated else None,
    )
