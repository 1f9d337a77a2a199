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

"""`scene-geo-loc depth compare`: compares the depth that networks infer with depth maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile


def compare(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT", help="Networks with a depth decoder.")
    ],
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of depth maps written by `depth make`, or a folder of such folders. May be "
            "repeated; "
            "each is reported as a condition of its own.",
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Image without a depth map, for the pictures only. May be repeated."
        ),
    ] = None,
    rendering: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Depth picture from another program, shown beside the --image of the same position. "
            "May be repeated.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write pictures of examples to.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, help="Compare at most this many pairs of each condition, spread over all.")
    ] = 500,
    examples: Annotated[
        int, typer.Option(min=1, help="Number of pairs of each condition in the pictures.")
    ] = 2,
    json: JsonFile = None,
    device: Annotated[str, typer.Option(help="Where the networks run: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Compare the depth that networks infer from images with depth maps, in metres, by condition.

    To see what a fine-tuning changed, give the checkpoints from before and after it, and pairs by night and
    by day.

    Example:  scene-geo-loc depth compare day.safetensors night.safetensors --pairs night \
--pairs day --pictures depth.jpg
    """
    from tempfile import TemporaryDirectory

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.depth import print_depth_comparison
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.metrics.learned_depth import DepthEstimator, PackedPairs, compare_depth
    from scene_geo_loc.packs.sources import distinct_names, pack_pairs
    from scene_geo_loc.plots.learned_depth_pictures import (
        check_suffix,
        image_rows,
        pair_rows,
        write_depth_pictures,
    )

    folders, images, renderings = pairs or [], image or [], rendering or []
    if not folders and not (images and pictures):
        raise SceneGeoLocError("Nothing to compare: give --pairs, or --image together with --pictures.")
    if renderings and len(renderings) != len(images):
        raise SceneGeoLocError(
            f"{len(renderings)} renderings for {len(images)} images: give one --rendering for each --image, "
            "in the same order, or none."
        )
    if pictures is not None:
        check_suffix(pictures)
    names = distinct_names([path.with_suffix("") for path in checkpoints])
    estimators = [
        DepthEstimator.load(path, device, name) for name, path in zip(names, checkpoints, strict=True)
    ]
    with TemporaryDirectory() as scratch:
        conditions: dict[str, PackedPairs] = {}
        for name, folder in distinct_names(folders).items():
            with progress(f"reading {name}", "images") as on_progress:
                pack = pack_pairs([folder], Path(scratch) / name, count=most, on_progress=on_progress)
            conditions[name] = PackedPairs(pack)
        if conditions:
            with progress("comparing depth", "images") as on_progress:
                comparison = compare_depth(estimators, conditions, on_progress)
            print_depth_comparison(comparison)
            if json is not None:
                write_json(json, comparison.to_dict())
        if pictures is not None:
            rows = [
                row
                for name, condition in conditions.items()
                for row in pair_rows(name, condition, estimators, examples)
            ]
            write_depth_pictures(pictures, rows + image_rows(images, renderings, estimators))
            typer.echo(f"The pictures are in {pictures}.")
