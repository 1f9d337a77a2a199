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

"""Views of a small map and of an estimate with known geometry, as messages of a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, from_quaternion, inverse, make_pose, transform
from scene_geo_loc.localization.estimate import CameraEstimate, Candidate, Matches, PoseEstimate, Status
from scene_geo_loc.localization.view.messages import ADD, DELETE, DELETE_ALL, LINE_LIST, TEXT, ViewMessages
from scene_geo_loc.localization.view.scene import (
    ELLIPSOID_SIGMAS,
    MOST_KEYFRAME_VIEWS,
    MOST_MATCH_LINES,
    camera_size,
    keyframe_views,
    nearest_keyframe,
    position_ellipsoid,
    pyramid,
)
from scene_geo_loc.mapping.search.tiles import Tiles

TYPES = get_typestore(Stores.ROS2_JAZZY)
SQUARE = Camera(101, 101, 50.5, 50.5, 50.0, 50.0)
"""A camera that sees 45 degrees to each side."""
AHEAD = OPTICAL_FROM_BODY.T
"""Orientation of a camera that looks along x, with the image's top towards z."""


def street(count: int) -> Any:
    """A map of cameras that look ahead, 2 m apart along x."""
    poses = np.array([make_pose(AHEAD, (2.0 * i, 0.0, 1.0)) for i in range(count)]).reshape(-1, 4, 4)

    class Street:
        T_map_camera = poses
        names = tuple(f"image_{i}.png" for i in range(count))

        def camera_of(self, keyframe: int) -> Camera:
            return SQUARE

        def name_of(self, keyframe: int) -> str:
            return self.names[keyframe]

        def nearest(self, point: np.ndarray) -> tuple[int | None, float]:
            return Tiles.of(poses[:, :3, 3]).nearest(point, poses[:, :3, 3])

        def __len__(self) -> int:
            return count

    return Street()


def make(kind: str, **fields: Any) -> Any:
    return TYPES.types[kind](**fields)


def estimate(T_map_camera: Any, points: Any, inlier: Any, candidates: list[Candidate]) -> PoseEstimate:
    count = len(points)
    matches = Matches(
        np.zeros((count, 2)),
        np.arange(count),
        np.zeros((count, 2)),
        np.asarray(points, float),
        np.tile([0.0, 0.3, 0.4], (count, 1)),
        np.asarray(inlier, bool),
    )
    cameras = [CameraEstimate(candidates=candidates, matches=matches)]
    status = Status.LOST if T_map_camera is None else Status.LOCALIZED
    return PoseEstimate(status, T_map_camera, np.eye(6), cameras=cameras)


def read(cloud: Any) -> np.ndarray:
    """Columns of a cloud, as its fields say."""
    kinds = {7: "<f4", 6: "<u4"}
    layout = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [kinds[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    assert cloud.row_step == cloud.point_step * cloud.width == len(cloud.data)
    return np.frombuffer(cloud.data.tobytes(), layout)


def rgb(colour: Any) -> tuple[int, int, int]:
    return tuple(round(255 * value) for value in (colour.r, colour.g, colour.b))  # type: ignore[return-value]


@pytest.fixture
def messages() -> ViewMessages:
    return ViewMessages(make, street(5), "map")


def serialized(message: Any) -> bytes:
    """The message as DDS and recordings carry it; fails where a field is missing or of another type."""
    return bytes(TYPES.serialize_cdr(message, message.__msgtype__))


def test_keyframes_are_a_cloud_with_rows_and_viewing_directions(messages: ViewMessages) -> None:
    cloud = messages.keyframes(3_000_000_007)
    assert (cloud.header.frame_id, cloud.header.stamp.sec, cloud.header.stamp.nanosec) == ("map", 3, 7)
    table = read(cloud)
    np.testing.assert_allclose(table["x"], [0, 2, 4, 6, 8])
    np.testing.assert_allclose(table["z"], 1)
    np.testing.assert_allclose(table["view_x"], 1, atol=1e-6)
    np.testing.assert_array_equal(table["keyframe"], range(5))
    assert serialized(cloud)


def test_a_hundred_thousand_keyframes_are_a_few_megabytes() -> None:
    big = street(1)
    big.T_map_camera = np.tile(make_pose(AHEAD, (0, 0, 0)), (100_000, 1, 1))
    type(big).__len__ = lambda _: 100_000
    assert len(ViewMessages(make, big, "map").keyframes(0).data) == 2_800_000
    assert len(keyframe_views(big, 1.0).ends) <= MOST_KEYFRAME_VIEWS


def test_a_camera_is_as_long_as_half_the_spacing_of_the_keyframes_within_limits() -> None:
    assert camera_size(street(5)) == pytest.approx(1.0)
    assert camera_size(street(1)) > 0
    assert camera_size(street(0)) > 0


def test_the_pyramid_of_a_camera_opens_along_its_axis_with_the_image_upright() -> None:
    edges = pyramid(SQUARE, make_pose(AHEAD, (10, 0, 1)), np.sqrt(3.0))
    assert edges.shape == (8, 2, 3)
    np.testing.assert_allclose(edges[:4, 0], np.tile([10, 0, 1], (4, 1)))
    # The rays of the corners are (±1, ±1, 1) in the optical frame; the first is the image's top left.
    np.testing.assert_allclose(edges[0, 1], [11, 1, 2])
    np.testing.assert_allclose(edges[2, 1], [11, -1, 0])
    # The other edges close the ring of corners.
    np.testing.assert_allclose(edges[4:, 0], edges[:4, 1])
    np.testing.assert_allclose(edges[7, 1], edges[0, 1])


def test_candidates_are_cameras_with_labels_that_replace_those_of_the_last_image(
    messages: ViewMessages,
) -> None:
    found = [Candidate(3, 0.8, matches=40, inliers=40), Candidate(1, 0.7, matches=20), Candidate(0, 0.6)]
    array = messages.candidates(0, estimate(None, np.zeros((0, 3)), [], found))
    clear, lines, *labels = array.markers
    assert clear.action == DELETE_ALL
    assert (lines.type, lines.action, len(lines.points), len(lines.colors)) == (LINE_LIST, ADD, 48, 48)
    assert (lines.points[0].x, lines.points[16].x, lines.points[32].x) == (6.0, 2.0, 0.0)
    assert [label.type for label in labels] == [TEXT, TEXT]
    assert labels[0].text == "1: 0.80, 40 of 40"
    assert labels[0].pose.position.z > 1.0
    # Confirmed by all matches: green; by none: amber.
    assert rgb(lines.colors[0]) == (38, 222, 178)
    assert rgb(lines.colors[16]) == (240, 180, 41)
    assert len({(marker.ns, marker.id) for marker in array.markers[1:]}) == 3
    assert serialized(array)


def test_candidates_that_were_not_matched_are_labelled_by_their_rank(messages: ViewMessages) -> None:
    found = [Candidate(i % 5, 0.5) for i in range(9)]
    array = messages.candidates(0, estimate(None, np.zeros((0, 3)), [], found))
    assert [marker.text for marker in array.markers[2:]] == [f"{i}: 0.50" for i in range(1, 6)]


def test_matches_are_points_of_the_map_coloured_by_agreement(messages: ViewMessages) -> None:
    cloud = messages.matches(0, estimate(np.eye(4), [[1, 2, 3], [4, 5, 6]], [True, False], []))
    table = read(cloud)
    np.testing.assert_allclose(table["y"], [2, 5])
    np.testing.assert_allclose(table["inlier"], [1, 0])
    np.testing.assert_allclose(table["sigma"], 0.5)
    assert [hex(packed) for packed in table["rgb"].view("<u4")] == ["0x26deb2", "0xec486e"]
    assert serialized(cloud)


def test_without_matches_the_cloud_is_empty_so_that_the_last_one_disappears(messages: ViewMessages) -> None:
    cloud = messages.matches(0, PoseEstimate(Status.LOST))
    assert cloud.width == 0
    assert len(cloud.fields) == 7
    assert serialized(cloud)


def test_lines_go_from_each_camera_of_a_rig_to_its_inliers(messages: ViewMessages) -> None:
    found = estimate(make_pose(np.eye(3), (10, 0, 0)), [[1, 2, 3], [4, 5, 6]], [False, True], [])
    rear = CameraEstimate(make_pose(np.eye(3), (0, 0, 2)), matches=found.cameras[0].matches)
    found.cameras.append(rear)
    marker = messages.match_lines(0, found)
    ends = [(point.x, point.y, point.z) for point in marker.points]
    assert ends == [(10, 0, 0), (4, 5, 6), (10, 0, 2), (4, 5, 6)]
    assert serialized(marker)


def test_the_number_of_lines_is_bounded(messages: ViewMessages) -> None:
    found = estimate(np.eye(4), np.ones((5000, 3)), np.ones(5000), [])
    assert len(messages.match_lines(0, found).points) <= 2 * MOST_MATCH_LINES


def test_without_a_pose_the_last_lines_and_the_last_ellipsoid_are_deleted(messages: ViewMessages) -> None:
    lines = messages.match_lines(0, estimate(None, [[1, 2, 3]], [True], []))
    ellipsoid = messages.ellipsoid(0, None)
    assert (lines.action, ellipsoid.action) == (DELETE, DELETE)
    assert serialized(lines)
    assert serialized(ellipsoid)


def test_the_ellipsoid_has_the_axes_of_the_covariance_and_holds_95_percent(messages: ViewMessages) -> None:
    turn = from_quaternion((5, 6, 7), (0.1, 0.2, 0.3, 0.9))
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = turn[:3, :3] @ np.diag([0.01, 0.04, 0.25]) @ turn[:3, :3].T
    ellipsoid = position_ellipsoid(turn, covariance)
    assert np.linalg.det(ellipsoid.T_map_axes[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(ellipsoid.diameters_m, 2 * ELLIPSOID_SIGMAS * np.array([0.1, 0.2, 0.5]))
    samples = np.random.default_rng(0).multivariate_normal((5, 6, 7), covariance[:3, :3], 40_000)
    local = transform(inverse(ellipsoid.T_map_axes), samples) / (ellipsoid.diameters_m / 2)
    assert (np.linalg.norm(local, axis=1) < 1).mean() == pytest.approx(0.95, abs=0.005)
    marker = messages.ellipsoid(0, ellipsoid)
    assert marker.scale.z == pytest.approx(ellipsoid.diameters_m[2])
    assert serialized(marker)


def test_the_path_has_the_stamps_and_poses_of_the_track(messages: ViewMessages) -> None:
    path = messages.path(9, [(5, np.eye(4)), (7, make_pose(AHEAD, (1, 2, 3)))])
    assert [pose.header.stamp.nanosec for pose in path.poses] == [5, 7]
    assert path.poses[1].pose.position.y == 2
    quaternion = path.poses[1].pose.orientation
    turned = from_quaternion((0, 0, 0), (quaternion.x, quaternion.y, quaternion.z, quaternion.w))
    np.testing.assert_allclose(turned[:3, :3], AHEAD, atol=1e-9)
    assert serialized(path)
    assert messages.path(9, []).poses == []


def test_a_point_selects_the_nearest_keyframe_which_is_named(messages: ViewMessages) -> None:
    assert nearest_keyframe(street(5), np.array([4.9, 30.0, 0.0])) == 2
    assert nearest_keyframe(street(0), np.zeros(3)) is None
    array = messages.selected(0, 2)
    assert array.markers[-1].text == "2 image_2.png"
    assert serialized(array)


def test_the_messages_of_rclpy_have_the_same_fields() -> None:
    pytest.importorskip("rclpy")
    from scene_geo_loc.ros.common.messages import make_message

    ours = ViewMessages(make_message, street(5), "map")
    theirs = ViewMessages(make, street(5), "map")
    found = estimate(np.eye(4), [[1, 2, 3], [4, 5, 6]], [True, False], [Candidate(3, 0.8, matches=4)])
    from rclpy.serialization import serialize_message

    for live, recorded in (
        (ours.keyframes(1), theirs.keyframes(1)),
        (ours.keyframe_views(1), theirs.keyframe_views(1)),
        (ours.candidates(1, found), theirs.candidates(1, found)),
        (ours.matches(1, found), theirs.matches(1, found)),
        (ours.match_lines(1, found), theirs.match_lines(1, found)),
        (ours.path(1, [(5, np.eye(4))]), theirs.path(1, [(5, np.eye(4))])),
    ):
        # Read and written again: the padding between the fields is not the same in both.
        received = TYPES.deserialize_cdr(serialize_message(live), recorded.__msgtype__)
        assert serialized(received) == serialized(recorded)


def test_views_of_an_empty_map_are_empty() -> None:
    messages = ViewMessages(make, street(0), "map")
    assert messages.keyframes(0).width == 0
    assert messages.keyframe_views(0).action == DELETE
    (clear,) = messages.candidates(0, PoseEstimate(Status.LOST)).markers
    assert clear.action == DELETE_ALL
