"""`scene-geo-loc map verify`: checks a reference map for damage."""

from __future__ import annotations

import typer

from scene_geo_loc.cli.options.common import MapFolder


def verify(map_folder: MapFolder) -> None:
    """Compare every file of a map with its checksum.

    Example:  scene-geo-loc map verify street_map
    """
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    reference_map = ReferenceMap.open(map_folder)
    reference_map.verify()
    typer.echo(
        f"{map_folder}: all {len(reference_map.info.files)} files match their checksums "
        f"({len(reference_map)} keyframes)."
    )
