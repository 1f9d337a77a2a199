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

"""Makes a map smaller without losing places, and asks what is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.localization.keyframe_queries.keyframe_reach import reach_of
from scene_geo_loc.localization.keyframe_queries.keyframe_recall import KeyframeRecall, recall_without
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.statistics.keyframe_statistics import read_statistics
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
from scene_geo_loc.mapping.editing.pruning import keyframes_in_bytes, keyframes_within
from scene_geo_loc.mapping.map_info import check_output
from scene_geo_loc.mapping.reference_map import ReferenceMap


@dataclass(frozen=True)
class PrunedMap:
    """A smaller map.

    Attributes:
        map: the smaller map.
        before: number of keyframes of the whole one.
        reach_m: distance within which a keyframe alone localizes others of its drive.
        farthest_m: largest distance from a keyframe that is left out to a kept one; 10° count as a metre.
        recall: keyframes that are left out, localized by the whole map and by what is kept.
        useless: number of keyframes that were of no use, and number of these that are kept; None: there are
            no statistics.
    """

    map: ReferenceMap
    before: int
    reach_m: float
    farthest_m: float
    recall: KeyframeRecall
    useless: tuple[int, int] | None

    def __str__(self) -> str:
        by = "" if self.useless is None else ", and {1} of {0} that were of no use".format(*self.useless)
        return (
            f"{self.map.path}: {len(self.map)} of {self.before} keyframes, which reach {self.reach_m:.1f} m; "
            f"none that is left out is farther than {self.farthest_m:.1f} m from a kept one (10° count as a "
            f"metre){by};\n{self.recall}"
        )


def prune_map(
    reference_map: Path | str,
    out: Path | str,
    *,
    keyframes: int | None = None,
    megabytes: float | None = None,
    statistics: Sequence[Path | str] = (),
    overwrite: bool = False,
    display: ProgressDisplay = no_display,
    say: Callable[[str], None] = lambda sentence: None,
) -> PrunedMap:
    """Keeps those of a map's keyframes, within a budget, that support most of what it shows.

    Args:
        reference_map: folder of the map; it is opened here, once `out` is locked.
        out: folder of the smaller map; it may be that of the map.
        keyframes: most keyframes to keep; either this or `megabytes` is the budget.
        megabytes: largest size of the map, with its networks.
        statistics: files of the keyframes' statistics, the oldest first, by which those that help stay.
        overwrite: whether a map at `out` is replaced.
        display: shows the progress of each step.
        say: receives a sentence on the statistics.

    Raises SceneGeoLocError unless one budget is named; MapError where the budget is too small for the map's
    places, where statistics are damaged or of another map, where `out` exists and may not be replaced, where
    another process changes it, or where it cannot be written.
    """
    out = Path(out)
    if (keyframes is None) == (megabytes is None):
        raise SceneGeoLocError("Name the budget: either --keyframes or --megabytes.")
    with changing(out, "map prune", MapError):
        check_output(out, overwrite)
        opened = ReferenceMap.open(reference_map)
        if megabytes is not None:
            keyframes = keyframes_in_bytes(opened, round(megabytes * 1e6))
        assert keyframes is not None
        usefulness = useless = None
        if statistics:
            found = read_statistics([Path(path) for path in statistics], opened)
            if found.other_version:
                say(found.other_version)
            say(f"statistics: {found}.")
            usefulness = found.usefulness
        localizer = Localizer(opened, device="cpu")
        with display("measuring the reach", "keyframes") as on_progress:
            reach_m = reach_of(localizer, on_progress)
        kept, farthest_m = keyframes_within(opened, keyframes, usefulness, reach_m)
        if usefulness is not None:
            is_useless = usefulness <= 0
            useless = (int(is_useless.sum()), int(is_useless[kept].sum()))
        with display("asking what is left out", "keyframes") as on_progress:
            recall = recall_without(localizer, kept, on_progress)
        with display("writing", "rows") as on_progress:
            pruned = write_combination(
                [MapPart(opened, kept)],
                out,
                overwrite=overwrite,
                measure=measure_map,
                on_progress=on_progress,
            )
    return PrunedMap(pruned, len(opened), reach_m, farthest_m, recall, useless)
