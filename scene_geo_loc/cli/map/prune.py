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

"""`scene-geo-loc map prune`: makes a map smaller without losing places."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import MapFolder


def prune(
    map_folder: MapFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the smaller map; it may be MAP.")],
    *,
    keyframes: Annotated[int | None, typer.Option(min=1, help="Most keyframes to keep.")] = None,
    megabytes: Annotated[
        float | None, typer.Option(min=0.1, help="Largest size of the map, with its networks.")
    ] = None,
    statistics: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Statistics of the keyframes, by which those that help stay: written by a node "
            "(`statistics_dir`), `localize` or `evaluate`. The option can be repeated, the oldest first.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
) -> None:
    """Keep those of a map's keyframes, within a budget, that support most of what it shows.

    Each place counts once in each drive, and a keyframe supports those within its reach, which is measured by
    the map's own features. No place is dropped. With statistics the keyframes that helped to localize most
    are preferred, and those that were of no use go first: they never helped although images were taken near
    them, or contradict later images. Prints how many of the keyframes that are left out are still localized
    by those that are kept.

    Example:  scene-geo-loc map prune year_map small_map --megabytes 50 --statistics year_map.parquet
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import MapError, SceneGeoLocError
    from scene_geo_loc.core.folder_lock import changing
    from scene_geo_loc.localization.keyframe_queries.keyframe_reach import reach_of
    from scene_geo_loc.localization.keyframe_queries.keyframe_recall import recall_without
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.statistics.keyframe_statistics import read_statistics
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
    from scene_geo_loc.mapping.editing.pruning import keyframes_in_bytes, keyframes_within
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    if (keyframes is None) == (megabytes is None):
        raise SceneGeoLocError("Name the budget: either --keyframes or --megabytes.")
    with changing(out, "map prune", MapError):
        reference_map = ReferenceMap.open(map_folder)
        if megabytes is not None:
            keyframes = keyframes_in_bytes(reference_map, round(megabytes * 1e6))
        assert keyframes is not None
        usefulness, by = None, ""
        if statistics:
            found = read_statistics(statistics, reference_map)
            typer.echo("\n".join(filter(None, [found.other_version, f"statistics: {found}."])))
            usefulness = found.usefulness
        localizer = Localizer(reference_map, device="cpu")
        with progress("measuring the reach", "keyframes") as on_progress:
            reach_m = reach_of(localizer, on_progress)
        kept, farthest_m = keyframes_within(reference_map, keyframes, usefulness, reach_m)
        if usefulness is not None:
            is_useless = usefulness <= 0
            by = f", and {is_useless[kept].sum()} of {is_useless.sum()} that were of no use"
        with progress("asking what is left out", "keyframes") as on_progress:
            recall = recall_without(localizer, kept, on_progress)
        with progress("writing", "rows") as on_progress:
            pruned = write_combination(
                [MapPart(reference_map, kept)],
                out,
                overwrite=overwrite,
                measure=measure_map,
                on_progress=on_progress,
            )
    typer.echo(
        f"{out}: {len(pruned)} of {len(reference_map)} keyframes, which reach {reach_m:.1f} m; none that is "
        f"left out is farther than {farthest_m:.1f} m from a kept one (10° count as a metre){by};\n{recall}."
    )
