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

"""`scene-geo-loc map info`: shows the contents of a reference map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.common import MapFolder

if TYPE_CHECKING:
    from scene_geo_loc.localization.statistics.keyframe_statistics import KeyframeStatistics
    from scene_geo_loc.mapping.reference_map import AnyMap


def info(
    map_folder: MapFolder,
    *,
    statistics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Statistics of the keyframes to show as well.")
    ] = None,
) -> None:
    """Show the contents of a map, its settings and where it comes from.

    With statistics it says how many keyframes of each drive were candidates, helped to localize, and were of
    no use.

    Example:  scene-geo-loc map info street_map --statistics street_map.parquet
    """
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from scene_geo_loc.cli.results.sources import print_sources
    from scene_geo_loc.localization.statistics.keyframe_statistics import read_statistics
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.traversals.skipped import Skipped

    reference_map = AnyMap.open(map_folder)
    found = None if statistics is None else read_statistics([statistics], reference_map)
    record = reference_map.info
    positions = reference_map.T_map_camera[:, :3, 3]
    length_m = np.linalg.norm(np.diff(positions, axis=0), axis=1).sum()
    size_bytes = sum(file.bytes for file in record.files.values())
    sources, counts = np.unique(reference_map.depth_source.to_pylist(), return_counts=True)
    extents = np.ptp(positions, axis=0) if len(positions) else np.zeros(3)
    rows = {
        "localizer": record.localizer,
        "keyframes": f"{len(reference_map)} along {length_m:.0f} m",
        "extent": " x ".join(f"{extent:.1f}" for extent in extents) + " m",
        "map frame": reference_map.map_frame,
        "cameras": ", ".join(f"{c.width}x{c.height} {c.model}" for c in reference_map.cameras),
        "depth": ", ".join(f"{count} {name}" for name, count in zip(sources, counts, strict=True)),
        "size": f"{size_bytes / 1e6:.1f} MB",
        "built": f"{record.built:%Y-%m-%d %H:%M} UTC by scene_geo_loc {record.package_version}",
        "source": record.source,
        "settings": ", ".join(f"{key} {value}" for key, value in record.settings.items()),
        "skipped": str(Skipped(record.skipped)) or "nothing",
        "accuracy": "not measured" if record.accuracy is None else str(record.accuracy),
        "geo-tags": "none" if record.geo_tags is None else str(record.geo_tags),
        "look-alikes": "not looked for" if record.look_alikes is None else str(record.look_alikes),
        "datum": "unknown" if record.georeference is None else str(record.georeference),
        "network": record.network_digest[:16],
        **{
            f"{name.replace('_', ' ')} by": f"{network.file}, SHA-256 {network.sha256[:16]}"
            for name, network in record.user_networks.items()
        },
        **({} if record.vocabulary is None else {"visual words": str(record.vocabulary)}),
        "format": str(record.format_version),
    }
    table = Table(show_header=False, box=None)
    for key, value in rows.items():
        table.add_row(key, value)
    console = Console()
    console.print(table)
    drives = Table("drive", "keyframes", "made", box=None, title="Drives", title_justify="left")
    for name in () if found is None else ("candidates", "helped", "of no use", "last confirmed"):
        drives.add_column(name)
    for row in drive_rows(reference_map, found):
        drives.add_row(*row)
    if len(record.all_drives) > 1 or found is not None:
        console.print(drives)
    if found is not None:
        console.print(
            f"statistics: {found}.", *([found.other_version] if found.other_version else []), sep="\n"
        )
    print_sources(record.source, record.sources)


def drive_rows(reference_map: AnyMap, statistics: KeyframeStatistics | None) -> list[list[str]]:
    """Returns the cells of the table of a map's drives, a row each."""
    import numpy as np

    from scene_geo_loc.localization.statistics.counts import NEVER

    rows = []
    for number, drive in enumerate(reference_map.info.all_drives):
        row = [drive.source, str(drive.keyframes), f"{drive.built:%Y-%m-%d %H:%M} UTC"]
        if statistics is not None:
            counts = statistics.counts.take(np.flatnonzero(statistics.counts.drive == number))
            last_ns = int(counts.last_confirmed_ns.max(initial=NEVER))
            row += [str(len(counts)), str((counts.helped > 0).sum()), str((counts.usefulness <= 0).sum())]
            row.append(
                "never" if last_ns == NEVER else f"{np.datetime64(last_ns, 'ns'):.16}".replace("T", " ")
            )
        rows.append(row)
    return rows
