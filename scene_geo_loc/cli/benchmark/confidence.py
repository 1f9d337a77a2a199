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

"""`scene-geo-loc benchmark confidence`: whether the probabilities of poses are right, and a model of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.common import Device, JsonFile

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.confidence import ScoredPose


def confidence(
    maps: Annotated[
        list[str], typer.Option("--map", metavar="PLACE=MAP", help="Map of a place. May be repeated.")
    ],
    sources: Annotated[
        list[str],
        typer.Option(
            "--source",
            metavar="PLACE=SOURCE",
            help="Images of a place, with poses in the frame of its maps; of a place without a map, without "
            "poses. May be repeated.",
        ),
    ],
    every: Annotated[int, typer.Option(min=1, help="Take every n-th image of the sources.")] = 1,
    json: JsonFile = None,
    picture: Annotated[
        Path | None, typer.Option(help="File for the reliability diagram, .png or .svg.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Fit the probability that a pose is right, and test it on places that it was not fitted on.

    Every source is localized in every map, so that there are poses of images of other places, which are
    wrong. The probability of each pose is by a model fitted without the maps of its place: at least two
    places need maps. Maps of one matcher share a model; poses whose matches were looked for near them have
    one of their own.

    Example:  scene-geo-loc benchmark confidence --map street=street_map --map office=office_map
    --source street=night.bag --source office=walk.bag --source tower=photos --picture reliability.png
    """
    from scene_geo_loc.benchmarks.confidence import benchmark_confidence, scored_poses
    from scene_geo_loc.cli.options.progress import track
    from scene_geo_loc.cli.results.confidence import print_confidence_benchmark
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.localization.estimate import LocalizerSettings
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.opening import open_traversal

    found: dict[str, list[ScoredPose]] = {}
    for place, map_folder in map(_named, maps):
        # Accepted by the other limits: the confidence is what is tested.
        settings = LocalizerSettings(min_confidence=0.0)
        localizer = Localizer(ReferenceMap.open(map_folder), settings, device)
        for other, source in map(_named, sources):
            traversal = open_traversal(source, every=every)
            frames = track(traversal.frames(), len(traversal), f"{source.name} in {map_folder.name}")
            poses = scored_poses(localizer, place, frames, is_same_place=other == place)
            for pose in poses:
                name = localizer.matcher.name + (", near a pose" if pose.is_guided else "")
                found.setdefault(name, []).append(pose)
    results = {matcher: benchmark_confidence(poses) for matcher, poses in found.items()}
    for matcher, result in results.items():
        print_confidence_benchmark(matcher, result)
    if json is not None:
        write_json(json, {matcher: result.to_dict() for matcher, result in results.items()})
    if picture is not None:
        from scene_geo_loc.plots.reliability import reliability_figure
        from scene_geo_loc.plots.style import write_figure

        write_figure(picture, lambda: reliability_figure({name: run.bins for name, run in results.items()}))


def _named(text: str) -> tuple[str, Path]:
    """Returns the place and the path of an option."""
    place, separator, path = text.partition("=")
    if not separator or not place or not path:
        raise typer.BadParameter(f"{text!r} is not of the form PLACE=PATH.")
    return place, Path(path)
