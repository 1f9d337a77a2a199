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

"""A set of panoramas of the benchmark: the whole set, or panoramas about a distance apart, and what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scene_geo_loc.benchmarks.streetview.results import SetInfo, VirtualViewCount
from scene_geo_loc.benchmarks.streetview.streets import neighbours, spaced
from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.streetview.index import index_file, read_index_file
from scene_geo_loc.traversals.streetview.placement import place
from scene_geo_loc.traversals.streetview.traversal import StreetViewTraversal
from scene_geo_loc.traversals.streetview.writer import TRUTH_NAME


@dataclass(frozen=True)
class PanoramaSet:
    """A set of panoramas, and how views are taken of it.

    Attributes:
        folder: folder of the set.
        spacing_m: distance between the panoramas to take along the streets; None for all panoramas.
        views, view_camera: of the reader, see `SourceOptions`.
    """

    folder: Path
    spacing_m: float | None = None
    views: int | None = None
    view_camera: str | None = None

    @property
    def name(self) -> str:
        """Name of the set in the tables."""
        name = self.folder.resolve().name
        return name if self.spacing_m is None else f"{name}, every {self.spacing_m:g} m"

    def open(self, virtual_m: float | None = None) -> StreetViewTraversal:
        """Returns its views.

        Args:
            virtual_m: distance of virtual views ahead and behind; None for none.

        Raises TraversalError where it cannot be opened.
        """
        traversal = open_traversal(
            self.folder,
            "streetview",
            views=self.views,
            view_camera=self.view_camera,
            virtual_views=virtual_m,
        )
        assert isinstance(traversal, StreetViewTraversal)
        if self.spacing_m is None:
            return traversal
        return replace(traversal, panoramas=spaced(traversal.panoramas, self.spacing_m))

    def origin(self) -> dict[str, Any]:
        """Returns what its views depend on, for the key in a cache. Raises TraversalError."""
        index = index_file(self.folder)
        if index is None:
            raise TraversalError(f"{self.folder}: there is no index of panoramas.")
        return {
            "set": str(self.folder.resolve()),
            "index": hashlib.sha256(index.read_bytes()).hexdigest(),
            "spacing_m": self.spacing_m,
            "views": self.views,
            "view_camera": self.view_camera,
        }

    def info(self) -> SetInfo:
        """Returns its numbers. Raises TraversalError where it cannot be opened."""
        traversal = self.open()
        panoramas = traversal.panoramas
        gaps = np.array([gap for near in neighbours(panoramas).values() for gap in near.values()])
        errors = self._tag_errors(traversal)
        stds = {
            name: _mean([getattr(panorama, name) for panorama in panoramas])
            for name in ("position_std_m", "heading_std_deg")
        }
        return SetInfo(
            name=self.name,
            panoramas=len(panoramas),
            spacing_m=round(float(np.median(gaps)), 2) if len(gaps) else 0.0,
            street_m=round(float(gaps.sum()) / 2, 1),
            position_error_m=None if errors is None else round(errors[0], 3),
            heading_error_deg=None if errors is None else round(errors[1], 3),
            **stds,
        )

    def count_virtual_views(self, distances_m: Sequence[float]) -> list[VirtualViewCount]:
        """Returns how many virtual views at each distance are possible, and how much of them is empty.

        Raises TraversalError where the set cannot be opened.
        """
        return [
            VirtualViewCount(
                set=self.name,
                distance_m=found.distance_m,
                positions=found.positions,
                inside=found.inside,
                nearer=found.nearer,
                views=found.views,
                views_with_empty=round(found.with_empty_pixels, 4) if found.views else None,
                empty=round(found.empty_pixels, 4) if found.views else None,
            )
            for found in self.open().virtual_summaries(distances_m)
        ]

    def _tag_errors(self, traversal: StreetViewTraversal) -> tuple[float, float] | None:
        """Returns the mean errors of the geo-tags in metres and degrees; None where there is no truth."""
        path = self.folder / TRUTH_NAME
        if not path.is_file():
            return None
        truth = place(self.folder, read_index_file(path))
        if traversal.georeference is None or truth.georeference is None:
            return None
        # In Earth-centred axes: the two may have other origins.
        T_ecef_truth, T_ecef_map = (
            truth.georeference.datum.T_ecef_map,
            traversal.georeference.datum.T_ecef_map,
        )
        true = {panorama.name: T_ecef_truth @ panorama.T_map_panorama for panorama in truth.panoramas}
        pairs = [
            (T_ecef_map @ panorama.T_map_panorama, true[panorama.name])
            for panorama in traversal.panoramas
            if panorama.name in true
        ]
        if not pairs:
            return None
        tags, poses = (np.stack(one) for one in zip(*pairs, strict=True))
        return (
            float(np.mean(position_error_m(poses, tags))),
            float(np.mean(rotation_error_deg(poses, tags))),
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 3) if known else None
