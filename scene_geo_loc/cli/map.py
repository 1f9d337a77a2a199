"""`scene-geo-loc map build|info|verify`: makes reference maps and looks into them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.mapping.settings import BuilderSettings

map_app = typer.Typer(help="Build reference maps, and look into them.", no_args_is_help=True)
MapFolder = Annotated[Path, typer.Argument(metavar="MAP", help="Folder of the reference map.")]


@map_app.command()
@takes_source
@takes_settings()
def build(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the map to be.")],
    *,
    settings: BuilderSettings,
    network: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of a network, such as another map's; else the package's own."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, ...")] = "auto",
    overwrite: Annotated[bool, typer.Option(help="Replace the map that is there, once done.")] = False,
) -> None:
    """Build a reference map from a source with images and poses, and lidar or depth where there is.

    A build that was stopped goes on where it was when the same command is given again. Of several cameras the
    images of all become keyframes.

    Example:  scene-geo-loc map build morning.bag street_map --keyframe-distance 2
    """
    from scene_geo_loc.cli.options.progress import progress, track
    from scene_geo_loc.mapping.builder import MapBuilder, feed

    traversal = source.open_cameras()
    builder = MapBuilder(
        out,
        settings,
        map_frame=traversal.map_frame,
        source=traversal.name,
        network=network,
        device=device,
        overwrite=overwrite,
    )
    if builder.resumed_keyframes:
        typer.echo(f"Going on with {builder.resumed_keyframes} keyframes of an unfinished build.")
    for _ in track(feed(builder, traversal), len(traversal), "building"):
        pass
    with progress("finishing", "steps") as on_progress:
        builder.finish(on_progress)
    done = builder.progress
    typer.echo(f"{out}: {done.keyframes} keyframes of {done.frames} frames.")
    if done.without_depth:
        advice = " `--depth auto` takes what the images tell." if settings.depth == "measured" else ""
        typer.echo(
            f"{done.without_depth} keyframes have no depth: they can be retrieved, but give no pose.{advice}"
        )
    for what, skipped in (("The reader", traversal.skipped), ("The builder", done.skipped)):
        if skipped:
            typer.echo(f"{what} left out: {skipped}.")


@map_app.command()
def info(map_folder: MapFolder) -> None:
    """Show what a map holds and where it comes from.

    Example:  scene-geo-loc map info street_map
    """
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.frame import Skipped

    opened = ReferenceMap.open(map_folder)
    described = opened.info
    positions = opened.T_map_camera[:, :3, 3]
    way = np.linalg.norm(np.diff(positions, axis=0), axis=1).sum()
    size = sum(record.bytes for record in described.files.values())
    sources, counts = np.unique(opened.depth_source.to_pylist(), return_counts=True)
    rows = {
        "keyframes": f"{len(opened)}, {way:.0f} m along them",
        "extent": " x ".join(f"{extent:.1f}" for extent in np.ptp(positions, axis=0)) + " m",
        "map frame": opened.map_frame,
        "cameras": ", ".join(f"{c.width}x{c.height} {c.model}" for c in opened.cameras),
        "depth": ", ".join(f"{count} {name}" for name, count in zip(sources, counts, strict=True)),
        "size": f"{size / 1e6:.1f} MB",
        "built": f"{described.built:%Y-%m-%d %H:%M} UTC by scene_geo_loc {described.package_version}",
        "source": described.source,
        "settings": ", ".join(f"{key} {value}" for key, value in described.settings.items()),
        "left out": str(Skipped(described.skipped)) or "nothing",
        "network": described.network_digest[:16],
        "format": str(described.format_version),
    }
    table = Table(show_header=False, box=None)
    for key, value in rows.items():
        table.add_row(key, value)
    Console().print(table)


@map_app.command()
def verify(map_folder: MapFolder) -> None:
    """Compare every file of a map with its checksum.

    Example:  scene-geo-loc map verify street_map
    """
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    opened = ReferenceMap.open(map_folder)
    opened.verify()
    typer.echo(f"{map_folder} is as it was built: {len(opened)} keyframes, {len(opened.info.files)} files.")
