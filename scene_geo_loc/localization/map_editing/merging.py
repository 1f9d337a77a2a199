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

"""Makes one map of several."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.editing import redescription
from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
from scene_geo_loc.mapping.map_info import check_output
from scene_geo_loc.mapping.reference_map import ReferenceMap


def merge_maps(
    maps: Sequence[Path | str],
    out: Path | str,
    *,
    describe_anew: bool = False,
    drives: Path | str | None = None,
    overwrite: bool = False,
    display: ProgressDisplay = no_display,
    on_described: Callable[[redescription.DescribedDrive], None] = lambda drive: None,
) -> ReferenceMap:
    """Makes one map of the keyframes of several, and opens it.

    Args:
        maps: folders of two maps or more; they are opened here, once `out` is locked.
        out: folder of the new map; it may be one of them.
        describe_anew: whether keyframes of maps with another network or matcher are described anew, as those
            of the first map, from the images of their drives.
        drives: folder of drives that are no longer where they were.
        overwrite: whether a map at `out` is replaced.
        display: shows the progress of each step.
        on_described: receives each drive that is described anew.

    Raises SceneGeoLocError where there are too few maps, or `drives` without `describe_anew`; MapError where
    the keyframes cannot stand in one map, where a drive is missing, where `out` exists and may not be
    replaced, where another process changes it, or where it cannot be written.
    """
    out = Path(out)
    if len(maps) < 2:
        raise SceneGeoLocError("Two maps or more are merged: name them, and then the folder of the new map.")
    if drives is not None and not describe_anew:
        raise SceneGeoLocError("--drives has no effect without --describe-anew: give both.")
    with ExitStack() as held:
        held.enter_context(changing(out, "map merge", MapError))
        check_output(out, overwrite)
        opened = [ReferenceMap.open(folder) for folder in maps]
        first = opened[0]
        parts: list[MapPart] = []
        folder = out.with_name(f".{out.name}.describing")
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        for number, reference_map in enumerate(opened):
            if not describe_anew or redescription.is_described_alike(first, reference_map):
                parts.append(MapPart.whole(reference_map))
                continue
            with display(f"describing {reference_map.path} anew", "keyframes") as on_progress:
                for drive in redescription.describe_anew(
                    reference_map,
                    first,
                    folder / f"{number}",
                    None if drives is None else Path(drives),
                    on_progress,
                ):
                    on_described(drive)
                    parts.append(MapPart.whole(drive.map))
        with display("merging", "rows") as on_progress:
            return write_combination(
                parts, out, overwrite=overwrite, measure=measure_map, on_progress=on_progress
            )
