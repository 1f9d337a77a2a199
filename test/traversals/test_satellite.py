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

"""Satellite positions in bags: the datum of the map by them, and poses of nothing but them and a heading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import START_NS, base_at, stamp, write_drive
from geo_bags import DATUM, write_compass, write_fix, write_geo_pose, write_imu

from scene_geo_loc.core.errors import GeodesyError, TraversalError
from scene_geo_loc.geometry.pose import rotation_error_deg
from scene_geo_loc.traversals.messages.satellite import fix_of
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rig import one_or_rig
from scene_geo_loc.traversals.rosbag.writer import BagWriter
from scene_geo_loc.traversals.satellite import fixes_of, georeference_of
from scene_geo_loc.traversals.sources import sources_of

IMAGES = 40
WriteAt = Callable[[BagWriter, int], Any]


def bag_of(path: Path, extra: WriteAt, **arguments: Any) -> Path:
    return write_drive(path, images=range(IMAGES), extra=extra, **arguments)


def noise(i: int) -> np.ndarray:
    return np.random.default_rng(i).normal(0, 0.03, 3)


def gps_with_faults(bag: BagWriter, i: int) -> None:
    """A receiver whose messages are sometimes without a fix, wrong, or impossible."""
    faults: dict[int, dict[str, Any]] = {
        3: {"status": -1},
        6: {"latitude": np.nan},
        9: {"error": (80.0, 0.0, 0.0)},
        12: {"latitude": 0.0, "longitude": 0.0},
        15: {"latitude": 123.0},
    }
    write_fix(bag, stamp(i), base_at(i), **{"error": noise(i), **faults.get(i, {})})


def test_the_datum_of_a_drive_is_found_in_spite_of_faults(tmp_path: Path) -> None:
    traversal = open_traversal(bag_of(tmp_path / "bag", gps_with_faults))
    found = georeference_of(traversal)
    assert found.source == "/gps/fix"
    assert (found.fit.fixes + found.fit.outliers, found.fit.outliers >= 1) == (IMAGES - 4, True)
    positions = np.array([base_at(i)[:3, 3] for i in range(IMAGES)])
    off = found.datum.map_of(DATUM.geodetic_of(positions)) - positions
    assert np.linalg.norm(off[:, :2], axis=1).max() < 0.05
    assert found.datum.yaw_deg == pytest.approx(DATUM.yaw_deg, abs=0.2)
    source = {source.role: source for source in sources_of(traversal)}["gps"]
    assert (source.name, source.messages) == ("/gps/fix", IMAGES - 4)
    for phrase in ("no fix (status -1)", "not a number", "latitude and longitude are 0"):
        assert phrase in source.reason
    rig = one_or_rig([traversal, traversal])
    assert georeference_of(rig) == found
    assert len(fixes_of(rig)) == IMAGES - 4


def test_the_antenna_is_where_tf_says(tmp_path: Path) -> None:
    lever = np.array([1.5, 0.1, 1.2])  # of the camera in base_link, see `drive`

    def gps(bag: BagWriter, i: int) -> None:
        T = base_at(i)
        T[:3, 3] += T[:3, :3] @ lever
        write_fix(bag, stamp(i), T, frame="camera_optical_frame")

    found = georeference_of(open_traversal(bag_of(tmp_path / "bag", gps)))
    assert found.datum.altitude_m == pytest.approx(DATUM.altitude_m, abs=0.02)
    assert found.datum.yaw_deg == pytest.approx(DATUM.yaw_deg, abs=0.02)


def test_the_receiver_with_the_smallest_errors_is_taken(tmp_path: Path) -> None:
    def gps(bag: BagWriter, i: int) -> None:
        write_fix(bag, stamp(i), base_at(i), topic="/cheap/fix", error=(5.0, 5.0, 0.0), sigma=3.0)
        write_fix(bag, stamp(i), base_at(i), topic="/rtk/fix", sigma=0.02)
        write_fix(bag, stamp(i), base_at(i), topic="/unsaid/fix", sigma=np.nan)

    traversal = open_traversal(bag_of(tmp_path / "bag", gps))
    assert georeference_of(traversal).source == "/rtk/fix"
    source = {source.role: source for source in sources_of(traversal)}["gps"]
    assert {other.name for other in source.passed_over} == {"/cheap/fix", "/unsaid/fix"}


def test_without_positions_there_is_no_datum(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    traversal = open_traversal(write_drive(tmp_path / "bag"))
    assert georeference_of(traversal) is None
    with pytest.raises(GeodesyError, match="has no satellite positions"):
        fixes_of(traversal)

    def without_fix(bag: BagWriter, i: int) -> None:
        write_fix(bag, stamp(i), base_at(i), status=-1)

    traversal = open_traversal(bag_of(tmp_path / "no_fix", without_fix))
    assert georeference_of(traversal) is None
    with pytest.raises(GeodesyError, match="has no satellite positions"):
        fixes_of(traversal)

    def few(bag: BagWriter, i: int) -> None:
        if i < 5:
            write_fix(bag, stamp(i), base_at(i))

    assert georeference_of(open_traversal(bag_of(tmp_path / "few", few))) is None
    assert "the map gets no datum. 5 satellite positions" in caplog.text


HEADINGS: dict[str, Callable[[BagWriter, int], None]] = {
    "imu": lambda bag, i: write_imu(bag, stamp(i), base_at(i)),
    "compass": lambda bag, i: write_compass(bag, stamp(i), base_at(i)),
}


@pytest.mark.parametrize("heading", HEADINGS)
def test_positions_and_a_heading_are_poses(tmp_path: Path, heading: str) -> None:
    def gps(bag: BagWriter, i: int) -> None:
        HEADINGS[heading](bag, i)
        write_fix(bag, stamp(i), base_at(i))

    traversal = open_traversal(bag_of(tmp_path / "bag", gps, truth=False))
    poses = {source.role: source for source in sources_of(traversal)}["poses"]
    assert (poses.name, poses.frame) == ("/gps/fix", "map")
    check_poses(traversal)


def test_a_first_position_far_off_is_not_the_datum(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def gps(bag: BagWriter, i: int) -> None:
        write_imu(bag, stamp(i), base_at(i))
        write_fix(bag, stamp(i), base_at(i), error=(5000.0, 0.0, 0.0) if i == 0 else (0.0, 0.0, 0.0))

    traversal = open_traversal(bag_of(tmp_path / "bag", gps, truth=False))
    assert "1 of 40 positions on /gps/fix are left out" in caplog.text
    datum = georeference_of(traversal).datum
    assert np.linalg.norm(DATUM.map_of([datum.latitude_deg, datum.longitude_deg, datum.altitude_m])) < 2


def test_geographic_poses_are_poses(tmp_path: Path) -> None:
    def gps(bag: BagWriter, i: int) -> None:
        write_geo_pose(bag, stamp(i), base_at(i))

    check_poses(open_traversal(bag_of(tmp_path / "bag", gps, truth=False), pose_frame="base_link"))


def check_poses(traversal: Any) -> None:
    """The frames are where they are on the Earth, up to the camera's mounting."""
    datum = georeference_of(traversal).datum
    frames = list(traversal.frames())
    assert len(frames) == IMAGES
    with_truth = [(frame, base_at(round((frame.stamp_ns - START_NS) / 1e8))) for frame in frames]
    for frame, T_true_base in with_truth[1:-1]:
        true = DATUM.geodetic_of(T_true_base[:3, 3] + T_true_base[:3, :3] @ [1.5, 0.1, 1.2])
        found = datum.geodetic_of(frame.T_map_camera[:3, 3])
        assert np.linalg.norm(DATUM.map_of(found) - DATUM.map_of(true)) < 0.02
    first, last = with_truth[1], with_truth[-2]
    assert rotation_error_deg(first[0].T_map_camera, last[0].T_map_camera) == pytest.approx(
        float(rotation_error_deg(first[1], last[1])), abs=0.1
    )


def test_other_poses_come_before_those_of_a_satellite_receiver(tmp_path: Path) -> None:
    def gps(bag: BagWriter, i: int) -> None:
        write_imu(bag, stamp(i), base_at(i))
        write_fix(bag, stamp(i), base_at(i), error=noise(i))

    bag = bag_of(tmp_path / "bag", gps)
    by_default = open_traversal(bag)
    named = open_traversal(bag, poses="/gps/fix")
    sources = [{source.role: source for source in sources_of(each)}["poses"] for each in (by_default, named)]
    assert [source.name for source in sources] == ["/ground_truth/pose", "/gps/fix"]
    # Both say where on the Earth the images are.
    places = [
        georeference_of(each).datum.geodetic_of(list(each.frames())[20].T_map_camera[:3, 3])
        for each in (by_default, named)
    ]
    assert np.linalg.norm(np.diff(DATUM.map_of(places), axis=0)) < 0.2


def test_positions_without_a_heading_give_no_poses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def gps(bag: BagWriter, i: int) -> None:
        write_fix(bag, stamp(i), base_at(i))
        write_imu(bag, stamp(i), base_at(i), has_orientation=False)

    bag = bag_of(tmp_path / "bag", gps, truth=False)
    assert all(frame.T_map_camera is None for frame in open_traversal(bag).frames())
    assert "/gps/fix gives no poses: there is no heading" in caplog.text
    with pytest.raises(TraversalError, match="/gps/fix gives no poses: there is no heading"):
        open_traversal(bag, poses="/gps/fix")


def test_a_heading_in_other_axes_is_suspected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def gps(bag: BagWriter, i: int) -> None:
        write_imu(bag, stamp(i), base_at(i), turned_deg=-90.0)
        write_fix(bag, stamp(i), base_at(i))

    open_traversal(bag_of(tmp_path / "bag", gps, truth=False))
    assert "to the left of x: its orientation must be in east, north, up" in caplog.text


class Message:
    """A NavSatFix."""

    def __init__(self, **fields: Any) -> None:
        self.status = type("Status", (), {"status": fields.pop("status", 0)})
        self.latitude, self.longitude, self.altitude = 52.0, 5.0, 10.0
        self.position_covariance, self.position_covariance_type = np.diag([1.0, 4.0, 9.0]).ravel(), 2
        vars(self).update(fields)


@pytest.mark.parametrize(
    "covariance",
    [
        np.full(9, np.nan),
        np.zeros(9),
        -np.eye(3).ravel(),
        np.diag([1e14, 1.0, 1.0]).ravel(),
        np.full(9, 1e308),
        np.array([[1.0, 5, 0], [5, 1, 0], [0, 0, 1]]).ravel(),
    ],
)
def test_an_impossible_covariance_is_unknown(covariance: np.ndarray) -> None:
    assert fix_of(Message(position_covariance=covariance)).covariance_enu is None
    assert np.isnan(fix_of(Message(position_covariance_type=0)).sigmas_m).all()
    assert fix_of(Message()).sigmas_m == (np.sqrt(2.5), 3.0)


def test_a_height_and_a_status_may_be_unknown() -> None:
    assert fix_of(Message(status=-2)).geodetic[0] == 52.0
    assert np.isnan(fix_of(Message(altitude=np.nan)).geodetic[2])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": -1}, "no fix"),
        ({"latitude": 0.0, "longitude": 0.0}, "no fix"),
        ({"latitude": np.nan}, "not a number"),
        ({"longitude": np.inf}, "not a number"),
        ({"latitude": -91.0}, "latitude -91"),
        ({"altitude": 1e7}, "height 1e\\+07"),
    ],
)
def test_messages_without_a_position_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fix_of(Message(**fields))
