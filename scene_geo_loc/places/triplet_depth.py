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

"""The training depth maps of the images of triplets: finds them, and makes the missing ones.

A folder holds those of each camera in <run>/<camera>, as written by `scene_geo_loc.depth.make_depth_maps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.depth.depth_maps import INDEX, DepthMaps
from scene_geo_loc.depth.lidar_views import choose_window
from scene_geo_loc.depth.make_depth_maps import make_depth_maps
from scene_geo_loc.places.triplets import Sample, Triplet, Triplets, relative
from scene_geo_loc.places.views import Cameras
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.skipped import Skipped


def make_missing_depth(
    triplets: Triplets,
    runs: Mapping[str, Cameras],
    folder: Path,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Skipped:
    """Makes the depth maps of all images of triplets from the runs' lidar; existing ones are kept.

    Args:
        runs: the cameras of the runs of the triplets.
        folder: of the depth maps, which are written to <run>/<camera> in it.
        workers: processes; by default one for each core.

    Returns:
        What was left out, by reason.

    Raises:
        TraversalError: a run has no lidar.
        SceneGeoLocError: a folder holds other depth maps or cannot be written.
    """
    done, total, skipped = 0, len(triplets.images), Skipped()

    def on_images(here: int, _: int) -> None:
        on_progress(done + here, total)

    for run, camera, traversal in _chosen(triplets, runs):
        window = choose_window(traversal)
        made = make_depth_maps(
            traversal, folder / run / camera, window, workers=workers, on_progress=on_images
        )
        done += len(traversal)
        skipped.add_all(made.skipped)
    return skipped


def attach_depth(triplets: Triplets, folder: Path) -> Triplets:
    """Returns the triplets with the existing depth maps. Raises SceneGeoLocError if an index is damaged."""
    files = {}
    for run, camera in {(sample.run, sample.camera) for sample in triplets.images.values()}:
        here = folder / run / camera
        if (here / INDEX).is_file():
            for each in DepthMaps.load(here).maps:
                files[run, camera, each.stamp_ns] = relative(here / each.png, triplets.root)

    def named(sample: Sample) -> Sample:
        return replace(sample, depth=files.get((sample.run, sample.camera, sample.stamp_ns)))

    items = []
    for triplet in triplets.items:
        positives = [named(sample) for sample in triplet.positives]
        negatives = [named(sample) for sample in triplet.negatives]
        items.append(Triplet(named(triplet.anchor), positives, negatives))
    return replace(triplets, items=items)


def _chosen(triplets: Triplets, runs: Mapping[str, Cameras]) -> Iterator[tuple[str, str, FolderTraversal]]:
    """Yields each camera of each run, reduced to the frames of the triplets."""
    stamps: dict[tuple[str, str], set[int]] = {}
    for sample in triplets.images.values():
        stamps.setdefault((sample.run, sample.camera), set()).add(sample.stamp_ns)
    for (run, camera), of in sorted(stamps.items()):
        traversal = runs[run][camera]
        frames = [files for files in traversal.frame_files if files.stamp_ns in of]
        yield run, camera, replace(traversal, frame_files=frames)
