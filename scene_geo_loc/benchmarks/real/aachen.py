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

"""Aachen Day-Night v1.1: poses of its queries in the file that visuallocalization.net scores.

The set (Zhang et al., IJCV 2021; Sattler et al., CVPR 2018) has `images/images_upright` (or
`images_upright`), a COLMAP model of the database images, and `queries/day_time_queries_with_intrinsics.txt`
and `night_time_queries_with_intrinsics.txt` with a line `NAME MODEL WIDTH HEIGHT PARAMS...` for each query.
The poses of the queries are not public.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scene_geo_loc.benchmarks.real.experiment import Tools
from scene_geo_loc.benchmarks.real.pose_sets import MapAndQueries, make_map
from scene_geo_loc.benchmarks.real.results import Kind, Part
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError, reason_of
from scene_geo_loc.core.progress import tracked
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, to_quaternion
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.traversals.datasets.colmap import camera_of_words, open_model
from scene_geo_loc.traversals.folder import FolderTraversal, read_image

QUERY_LISTS = ("day_time_queries_with_intrinsics.txt", "night_time_queries_with_intrinsics.txt")

PROTOCOL = (
    "The database images of the model are mapped; their depth is found from neighbouring images. The poses "
    "of all queries that are localized are written as visuallocalization.net takes them, one file for each "
    "matcher; it gives the shares within 0.25 m 2°, 0.5 m 5° and 5 m 10°, by day and by night."
)


def is_aachen(folder: Path) -> bool:
    """Returns whether a folder has the lists of queries."""
    return any((folder / "queries" / name).is_file() for name in QUERY_LISTS)


@dataclass(frozen=True)
class Query:
    """A query of a list."""

    name: str
    camera: Camera


@dataclass(frozen=True)
class Aachen:
    """The set; see `Experiment`."""

    folder: Path
    images: Path
    database: FolderTraversal
    queries: Sequence[Query]
    kind: Kind = Kind.SUBMISSION

    @classmethod
    def open(cls, folder: Path) -> Aachen:
        """Opens the set. Raises SceneGeoLocError where the model, the images or the lists cannot be read."""
        images = next(
            (path for path in (folder / "images/images_upright", folder / "images_upright") if path.is_dir()),
            None,
        )
        if images is None:
            raise SceneGeoLocError(f"{folder}: the folder images/images_upright is missing.")
        models = sorted(
            path.parent for path in folder.rglob("images.txt") if (path.parent / "cameras.txt").is_file()
        )
        if not models:
            raise SceneGeoLocError(
                f"{folder}: no model with cameras.txt and images.txt; convert the one in 3D-models to text "
                "by `colmap model_converter`."
            )
        lists = (folder / "queries" / name for name in QUERY_LISTS)
        queries = [query for path in lists if path.is_file() for query in read_queries(path)]
        return cls(folder, images, open_model(models[0], images, str(folder)), queries)

    def methods(self, matchers: Sequence[str]) -> list[str]:
        """See `Experiment.methods`."""
        return list(matchers)

    def run(self, method: str, tools: Tools) -> list[Part]:
        """Writes the poses file of a matcher, and returns the number of queries that are localized.

        Raises SceneGeoLocError where there is no folder for the poses.
        """
        if tools.poses is None:
            raise SceneGeoLocError(f"{self.folder}: name a folder for the poses of the queries.")
        plan = MapAndQueries(self.database, {}, {"keyframe_distance_m": 0.0, "keyframe_angle_deg": 0.0})
        opened = make_map(plan, method, tools, tools.scratch / "map")
        localizer = Localizer(opened, device=tools.device)
        poses: list[tuple[str, Pose]] = []
        ms = []
        with tools.show(f"localizing in Aachen, {method}", "queries") as on_progress:
            for query in tracked(self.queries, len(self.queries), on_progress):
                image = read_image(self.images / query.name)
                estimate = localizer.localize(CameraImage(image, query.camera))
                ms.append(estimate.timings_ms["total"])
                if estimate.T_map_base is not None and estimate.status.has_pose:
                    poses.append((query.name, estimate.T_map_base))
        write_poses(tools.poses / f"aachen_v1_1_{method}.txt", poses)
        values = {"localized": float(len(poses)), "ms": float(np.median(ms)) if ms else None}
        return [Part(queries=len(self.queries), references=len(opened), values=values)]


def read_queries(path: Path) -> Iterator[Query]:
    """Yields the queries of a list. Raises SceneGeoLocError where a line is invalid."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SceneGeoLocError(f"{path}: the list of queries cannot be read ({reason_of(error)}).") from error
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        try:
            yield Query(words[0], camera_of_words(words[1:]))
        except (ValueError, KeyError, IndexError) as error:
            raise TraversalError(
                f"{path}, line {number}: expected `NAME MODEL WIDTH HEIGHT PARAMS...`, found {line[:80]!r}."
            ) from error


def write_poses(path: Path, poses: Sequence[tuple[str, Pose]]) -> None:
    """Writes poses of cameras as lines `NAME qw qx qy qz tx ty tz`, from the map to the camera.

    The name is that of the file, without folders, as visuallocalization.net asks.
    """
    lines = []
    for name, T_map_camera in poses:
        T_camera_map = inverse(T_map_camera)
        x, y, z, w = to_quaternion(T_camera_map)
        numbers = " ".join(f"{value:.9f}" for value in (w, x, y, z, *T_camera_map[:3, 3]))
        lines.append(f"{Path(name).name} {numbers}\n")
    write_aside(path, "".join(lines).encode())
