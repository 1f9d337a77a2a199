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

"""Builds a map of a recording whose keyframes are described like those of another map."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.progress import ProgressDisplay
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.finishing import MeasureMap
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.sources import sources_of


def build_drive_map(
    traversal: Traversal,
    like: ReferenceMap,
    folder: Path,
    settings: BuilderSettings,
    map_frame: str,
    display: ProgressDisplay,
    measure: MeasureMap | None = None,
) -> ReferenceMap:
    """Builds a map of a recording, like another, and opens it; other arguments as of `MapBuilder`.

    Args:
        map_frame: name of the frame of the recording's poses.
        display: shows the progress of each step.
    """
    builder = MapBuilder(
        folder,
        settings,
        map_frame=map_frame,
        source=traversal.name,
        sources=sources_of(traversal),
        like=like,
        measure=measure,
    )
    try:
        with display("building", "frames") as on_progress:
            builder.add_traversal(traversal, on_progress)
        with display("finishing", "steps") as on_progress:
            return ReferenceMap.open(builder.finish(on_progress))
    finally:
        builder.abandon()
