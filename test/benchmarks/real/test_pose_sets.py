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

"""Pose sets in their published layouts, their scores, and the poses that another site scores."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import cambridge, colmap, kitti_odometry, pose, rgbd, seven_scenes, tum_rgbd, twelve_scenes

from scene_geo_loc.benchmarks.poses.errors import Place
from scene_geo_loc.benchmarks.real.aachen import Aachen, read_queries, write_poses
from scene_geo_loc.benchmarks.real.experiment import Tools
from scene_geo_loc.benchmarks.real.pose_sets import PoseSet, pose_part
from scene_geo_loc.benchmarks.real.results import Kind, Part, mean_part
from scene_geo_loc.benchmarks.real.sets import find_sets, named_sets
from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.geometry.pose import from_quaternion, inverse, make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord


@pytest.mark.parametrize(
    ("make", "name", "mapped", "localized"),
    [
        (rgbd, "rgbd", 2, 2),
        (seven_scenes, "7scenes", None, None),
        (twelve_scenes, "12scenes", 4, 2),
        (cambridge, "cambridge", 3, None),
        (kitti_odometry, "kitti", None, None),
        (tum_rgbd, "tum-rgbd", 1, 0),
    ],
)
def test_a_scene_is_found_whatever_its_folder_is_called(
    tmp_path: Path, make: Any, name: str, mapped: int | None, localized: int | None
) -> None:
    folder = tmp_path / "some name"
    folder.mkdir(parents=True)
    made = make(folder)
    ((entry, found),) = find_sets(tmp_path)
    assert entry.name == name
    assert found == made
    experiment = entry.open(found)
    assert isinstance(experiment, PoseSet)
    first = experiment.maps[0]
    if mapped is not None:
        assert len(first.reference) == mapped
    if localized is not None:
        assert len(next(iter(first.queries.values()))) == localized


def test_unknown_sets_are_refused_with_the_known_ones() -> None:
    with pytest.raises(SceneGeoLocError, match=r"no set 'moon'; name .*gardens-point"):
        named_sets(["moon"])


def record(metres: float | None, degrees: float = 0.0, ms: float = 10.0) -> QueryRecord:
    """A query at the origin that is localized so far off, or not at all."""
    turn = np.radians(degrees)
    R = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    estimated = None if metres is None else make_pose(R, [metres, 0, 0])
    return QueryRecord(0, Status.LOST if metres is None else Status.LOCALIZED, np.eye(4), estimated, ms)


def test_numbers_of_poses_are_over_all_queries() -> None:
    records = [record(0.01, 1.0), record(0.08, 4.0), record(0.6, 1.0), record(None), record(0.02, 8.0)]
    part = pose_part("room", records, 7, Place.INDOORS)
    assert (part.queries, part.references) == (5, 7)
    values = part.values
    assert values["localized"] == 4
    assert values["median_m"] == pytest.approx(0.08)
    assert values["median_deg"] == pytest.approx(4.0)
    assert values["5 cm 5°"] == pytest.approx(0.2)
    assert values["10 cm 5°"] == pytest.approx(0.4)
    assert values["wrong"] == 1
    assert values["ms"] == 10.0


def test_there_is_no_median_where_half_of_the_queries_have_no_pose() -> None:
    part = pose_part("", [record(0.01), record(None), record(None)], 7, Place.OUTDOORS)
    assert part.values["median_m"] is None
    assert part.values["0.25 m 2°"] == pytest.approx(1 / 3)


def test_a_mean_leaves_out_what_a_part_lacks() -> None:
    parts = [Part(queries=2, values={"a": 1.0, "b": 3.0}), Part(queries=3, values={"a": 2.0, "b": None})]
    mean = mean_part("all", parts)
    assert (mean.name, mean.queries, mean.values) == ("all", 5, {"a": 1.5, "b": None})


def test_poses_are_written_from_the_map_to_the_camera_by_the_name_of_the_file(tmp_path: Path) -> None:
    write_poses(
        tmp_path / "out" / "aachen.txt", [("query/night/a.jpg", pose(3)), ("query/day/b.jpg", pose(5))]
    )
    lines = (tmp_path / "out" / "aachen.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["a.jpg", "b.jpg"]
    for line, number in zip(lines, (3, 5), strict=True):
        w, x, y, z, *translation = (float(word) for word in line.split()[1:])
        T_camera_map = from_quaternion(translation, (x, y, z, w))
        np.testing.assert_allclose(T_camera_map, inverse(pose(number)), atol=1e-8)


def test_queries_are_read_with_their_cameras(tmp_path: Path) -> None:
    path = tmp_path / "night_time_queries_with_intrinsics.txt"
    path.write_text("query/night/a.jpg SIMPLE_RADIAL 1600 1200 1469.2 800 600 -0.01\n\n")
    (query,) = read_queries(path)
    assert query.name == "query/night/a.jpg"
    assert (query.camera.width, query.camera.fx, query.camera.cx) == (1600, 1469.2, 799.5)
    assert query.camera.distortion[0] == -0.01
    path.write_text("query/night/a.jpg MAGIC 1600 1200 1469.2\n")
    with pytest.raises(TraversalError, match=r"line 1: expected `NAME MODEL WIDTH HEIGHT PARAMS"):
        list(read_queries(path))


def test_aachen_needs_its_images_a_text_model_and_a_folder_for_poses(tmp_path: Path) -> None:
    lists = tmp_path / "aachen" / "queries"
    lists.mkdir(parents=True)
    (lists / "day_time_queries_with_intrinsics.txt").write_text("query/day/a.jpg PINHOLE 32 24 50 50 16 12\n")
    ((entry, folder),) = find_sets(tmp_path)
    assert entry.name == "aachen"
    with pytest.raises(SceneGeoLocError, match="images_upright is missing"):
        entry.open(folder)
    (folder / "images" / "images_upright").mkdir(parents=True)
    with pytest.raises(SceneGeoLocError, match="model_converter"):
        entry.open(folder)
    colmap(tmp_path / "model")
    model = next(path.parent for path in (tmp_path / "model").rglob("images.txt"))
    shutil.copytree(model, folder / "3D-models" / "text")
    aachen = Aachen.open(folder)
    assert aachen.kind is Kind.SUBMISSION
    assert [query.name for query in aachen.queries] == ["query/day/a.jpg"]
    assert len(aachen.database) > 0
    assert aachen.database.frame_files[0].image.parent.is_relative_to(folder / "images" / "images_upright")
    with pytest.raises(SceneGeoLocError, match="name a folder for the poses"):
        aachen.run("sift", Tools(tmp_path))
