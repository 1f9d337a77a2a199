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

from scene_geo_loc.cli.options.common import MapFolder


def info(map_folder: MapFolder) -> None:
    """Show the contents of a map, its settings and where it comes from.

    Example:  scene-geo-loc map info street_map
    """
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from scene_geo_loc.cli.results.sources import print_sources
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.traversals.skipped import Skipped

    reference_map = AnyMap.open(map_folder)
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
    print_sources(record.source, record.sources)
