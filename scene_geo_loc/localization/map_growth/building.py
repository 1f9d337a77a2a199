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

"""Builds images that wait into a new version of their map."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.localization.keyframe_queries.keyframe_reach import reach_of
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.map_growth.waiting import WaitingImage, frames_of
from scene_geo_loc.localization.statistics.keyframe_statistics import read_statistics
from scene_geo_loc.localization.statistics.statistics_file import has_statistics
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import MapBuilder, remove_partial
from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
from scene_geo_loc.mapping.editing.compatibility import settings_like
from scene_geo_loc.mapping.editing.pruning import keyframes_in_bytes, keyframes_within
from scene_geo_loc.mapping.reference_map import ReferenceMap

PART, WHOLE = "part", "whole"
"""Folders beside the images for the map of these, and for the map before it is made smaller."""


@dataclass(frozen=True)
class GrownMap:
    """A new version of a map.

    Attributes:
        added: keyframes built of the images; those whose files were damaged are missing.
        keyframes: keyframes of the new version.
        left_out: keyframes, old and new, that the budget has no room for.
    """

    added: int
    keyframes: int
    left_out: int = 0

    def __str__(self) -> str:
        text = f"{self.added} keyframes added, {self.keyframes} in all"
        return text + (f"; {self.left_out} left out by the budget" if self.left_out else "")


def build_waiting(
    map_folder: Path,
    images: Sequence[WaitingImage],
    folder: Path,
    source: str,
    *,
    out: Path | None = None,
    overwrite: bool = True,
    megabytes: float | None = None,
    statistics: Path | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> GrownMap:
    """Builds images into a new version of a map, which takes the place of the old one when it is complete.

    Args:
        map_folder: the map.
        images: images with poses.
        folder: where their files are; other files of this build are written there too.
        source: name of their drive, for the map's provenance.
        out: folder of the new version; default: that of the map.
        overwrite: whether a map at `out` is replaced.
        megabytes: largest size of the map; None: any.
        statistics: file of the map's statistics, by which keyframes are kept within that size; None, or where
            nothing was counted yet: by what they support.
        on_progress: receives the images described and their number.

    Raises MapError where there is no image, where a map cannot be read, written or made so small, or where
    the statistics are damaged or of another map.
    """
    out = map_folder if out is None else out
    part, whole = folder / PART, folder / WHOLE
    with changing(out, "adding keyframes", MapError):
        reference_map = ReferenceMap.open(map_folder)
        try:
            _remove(part, whole)
            new = _build(reference_map, images, folder, source, on_progress)
            parts = [MapPart.whole(reference_map), MapPart.whole(new)]
            total = sum(len(one.keyframes) for one in parts)
            if megabytes is not None:
                combined = write_combination(parts, whole)
                budget = keyframes_in_bytes(combined, round(megabytes * 1e6))
                usefulness = None
                if statistics is not None and has_statistics(statistics):
                    usefulness = read_statistics([statistics], combined).usefulness
                reach_m = reach_of(Localizer(combined, device="cpu")) if budget < len(combined) else 0.0
                parts = [MapPart(combined, keyframes_within(combined, budget, usefulness, reach_m)[0])]
            written = write_combination(parts, out, overwrite=overwrite, measure=measure_map)
            return GrownMap(len(new), len(written), total - len(written))
        finally:
            _remove(part, whole)


def _build(
    reference_map: ReferenceMap,
    images: Sequence[WaitingImage],
    folder: Path,
    source: str,
    on_progress: ProgressCallback,
) -> ReferenceMap:
    """Builds a map of the images alone, whose keyframes can stand in the other."""
    # Each image that waits becomes a keyframe, as they are chosen already.
    settings = settings_like(reference_map).model_copy(update={"keyframe_distance_m": 0.0})
    builder = MapBuilder(
        folder / PART,
        settings,
        map_frame=reference_map.map_frame,
        source=source,
        like=reference_map,
        device="cpu",
    )
    try:
        for done, frame in enumerate(frames_of(images, folder), start=1):
            builder.add_frame(frame)
            on_progress(done, len(images))
        return ReferenceMap.open(builder.finish())
    finally:
        builder.abandon()


def _remove(part: Path, whole: Path) -> None:
    for path in (part, whole):
        remove_partial(path)
        shutil.rmtree(path, ignore_errors=True)
