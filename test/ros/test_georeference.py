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

"""localization_node in a map that knows where on the Earth it is, over DDS with a fake localizer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from camera_robot import SECOND, START, T_MAP_BASE, FakeLocalizer, FakeMap, Robot
from geo_bags import DATUM
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import NavSatFix
from tf2_msgs.msg import TFMessage

from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry.datum import Datum, DatumFit, Georeference
from scene_geo_loc.geometry.pose import from_quaternion, transform
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.retrieval.image_sequence import no_images
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.ros.common.counters import BadReason
from scene_geo_loc.ros.common.messages import ns_to_stamp, pose_from_transform, stamp_to_ns
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.localization.node import LocalizationNode
from scene_geo_loc.ros.localization.outputs import geo_publisher
from scene_geo_loc.ros.localization.outputs.geo_publisher import check_datum, geo_pose, nav_sat_fix

FIT = DatumFit(100, 2, 0.5, 0.8, 0.3, 0.4, 0.1, (100.0, 50.0, 0.0))


class PlacedMap(FakeMap):
    """A map with a datum."""

    georeference = Georeference(DATUM, "/gps/fix", FIT)


class PlacedLocalizer(FakeLocalizer):
    """Localizes at T_MAP_BASE in the whole map, or where the place is in what is searched."""

    map = PlacedMap()

    def localize(self, images: Any, prior: Any = None, earlier: Any = no_images) -> PoseEstimate:
        found = super().localize(images, prior, earlier)
        if prior is None or prior.distances(found.T_map_base[None])[0] <= prior.radius_m:
            return found
        return PoseEstimate(Status.LOST, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, 0.05, 0.1))


def placed_robot(world: Any, picture: np.ndarray, **parameters: Any) -> Robot:
    robot = Robot(world, picture, PlacedLocalizer(), **parameters)
    robot.mount_camera()
    return robot


def fix_at(stamp_ns: int, offset: tuple[float, float, float] = (0.0, 0.0, 0.0), **fields: Any) -> NavSatFix:
    """A receiver's message: the robot's place with an offset in the map."""
    latitude, longitude, altitude = DATUM.geodetic_of(T_MAP_BASE[:3, 3] + offset).tolist()
    message = NavSatFix(latitude=latitude, longitude=longitude, altitude=altitude)
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.position_covariance = np.diag([4.0, 4.0, 9.0]).ravel()
    message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_DIAGONAL_KNOWN
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_the_pose_is_published_by_latitude_and_longitude_and_the_map_is_placed_on_the_earth(
    world: Any, picture: np.ndarray
) -> None:
    robot = placed_robot(world, picture, earth_tf="ecef")
    (static,) = world.listen_to({"/tf_static": TFMessage}, latched=["/tf_static"])
    (fixes,) = world.listen_to({"localization/nav_sat_fix": NavSatFix})
    stamp_ns = robot.send()
    fix = world.wait(lambda: fixes, "a NavSatFix")[-1]
    assert (stamp_to_ns(fix.header.stamp), fix.header.frame_id) == (stamp_ns, "base_link")
    found = DATUM.map_of([fix.latitude, fix.longitude, fix.altitude])
    np.testing.assert_allclose(found, T_MAP_BASE[:3, 3], atol=1e-6)

    def placed() -> Any:
        transforms = [item for message in static for item in message.transforms]
        return next((item for item in transforms if item.header.frame_id == "earth"), None)

    item = world.wait(placed, "earth -> map")
    t, q = item.transform.translation, item.transform.rotation
    T_earth_map = from_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
    np.testing.assert_allclose(T_earth_map, DATUM.T_ecef_map, atol=1e-6)
    assert item.child_frame_id == "map"


def test_the_map_can_be_placed_on_the_utm_grid(world: Any, picture: np.ndarray) -> None:
    placed_robot(world, picture, earth_tf="utm")
    (static,) = world.listen_to({"/tf_static": TFMessage}, latched=["/tf_static"])

    def placed() -> Any:
        transforms = [item for message in static for item in message.transforms]
        return next((item for item in transforms if item.header.frame_id == "utm"), None)

    T_utm_map = pose_from_transform(world.wait(placed, "utm -> map").transform)
    centre = PlacedMap.T_map_camera[:, :3, 3].mean(axis=0)
    _, zone = DATUM.T_utm_map(centre)
    expected = zone.grid_of_geodetic(DATUM.geodetic_of(centre))
    np.testing.assert_allclose(transform(T_utm_map, centre), expected, atol=1e-4)


def test_the_covariance_is_in_east_north_up_and_holds_that_of_the_datum() -> None:
    covariance = np.diag([4.0, 1.0, 0.25, 0, 0, 0])
    exact = nav_sat_fix(START, "base_link", Georeference(Datum(52.0, 5.0, 0.0, 90.0)), T_MAP_BASE, covariance)
    # The map's x axis points north.
    np.testing.assert_allclose(np.diag(exact.position_covariance.reshape(3, 3)), [1.0, 4.0, 0.25], atol=1e-3)
    assert exact.position_covariance_type == NavSatFix.COVARIANCE_TYPE_KNOWN
    fitted = nav_sat_fix(START, "base_link", Georeference(DATUM, "/gps/fix", FIT), T_MAP_BASE, covariance)
    added = np.trace(fitted.position_covariance.reshape(3, 3)) - 5.25
    assert added == pytest.approx(2 * 0.3**2 + 0.4**2)


def test_a_geographic_pose_has_its_orientation_in_east_north_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def message() -> Any:
        position = SimpleNamespace(latitude=0.0, longitude=0.0, altitude=0.0)
        pose = SimpleNamespace(position=position, orientation=None)
        return SimpleNamespace(header=SimpleNamespace(stamp=None, frame_id=""), pose=pose)

    monkeypatch.setattr(geo_publisher, "make_message", lambda kind: message())
    pose = geo_pose(START, Georeference(Datum(52.0, 5.0, 0.0, 90.0)), T_MAP_BASE).pose
    assert pose.position.latitude == pytest.approx(52.0 + 100 / 111_270, abs=1e-6)
    turn = pose.orientation
    assert (turn.x, turn.y, turn.z, turn.w) == pytest.approx((0, 0, np.sqrt(0.5), np.sqrt(0.5)), abs=1e-4)


def test_the_geographic_pose_is_published_where_its_package_is_installed(
    world: Any, picture: np.ndarray
) -> None:
    kind = pytest.importorskip("geographic_msgs.msg").GeoPoseStamped
    robot = placed_robot(world, picture)
    (poses,) = world.listen_to({"localization/geo_pose": kind})
    robot.send()
    position = world.wait(lambda: poses, "a geographic pose")[-1].pose.position
    found = DATUM.map_of([position.latitude, position.longitude, position.altitude])
    np.testing.assert_allclose(found, T_MAP_BASE[:3, 3], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"), [("earth_tf", "ecef"), ("earth_tf", "utm"), ("gps_topic", "gps/fix")]
)
def test_a_map_without_a_datum_is_refused_where_one_is_needed(context: None, name: str, value: str) -> None:
    with pytest.raises(GeodesyError, match=f"street has no datum, which {name} {value} needs"):
        check_datum(LocalizationNodeSettings(**{name: value}), FakeMap())  # type: ignore[arg-type]
    maps = iter([FakeMap(), PlacedMap(), FakeMap()])
    node = LocalizationNode(
        lambda settings: (FakeLocalizer(), next(maps)),  # type: ignore[arg-type,return-value]
        parameter_overrides=[Parameter(name, value=value)],
    )
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        opened = node.pipeline
        with pytest.raises(GeodesyError, match="has no datum"):
            node.load_map(node.settings)
        assert node.pipeline is opened
    finally:
        node.destroy_node()


def test_a_map_at_the_pole_is_not_placed_on_the_grid() -> None:
    polar = FakeMap()
    polar.georeference = Georeference(Datum(89.0, 0.0, 0.0))
    check_datum(LocalizationNodeSettings(earth_tf="ecef"), polar)  # type: ignore[arg-type]
    with pytest.raises(GeodesyError, match="outside of the UTM grid"):
        check_datum(LocalizationNodeSettings(earth_tf="utm"), polar)  # type: ignore[arg-type]


def send_fix(robot: Robot, message: NavSatFix) -> None:
    """Sends a position until the node has it."""
    expected = DATUM.map_of([message.latitude, message.longitude, message.altitude])

    def arrives() -> bool:
        robot.world.publish("gps/fix", message)
        at = robot.pipeline.gps._at
        return at is not None and np.allclose(at.T_map_antenna[:3, 3], expected, atol=1e-3)

    robot.world.wait(arrives, "the position to arrive")


def test_keyframes_are_searched_around_the_receiver(world: Any, picture: np.ndarray) -> None:
    robot = placed_robot(world, picture, gps_topic="gps/fix", prior_min_radius=1.0)
    assert "No usable position on gps/fix" in robot.diagnosed("gps/fix").message
    robot.send(stamp_ns=START)
    assert robot.localizer.priors[-1] is None
    send_fix(robot, fix_at(START + SECOND, offset=(1.0, 0.0, 30.0)))
    robot.send(stamp_ns=START + SECOND)
    prior: Any = robot.localizer.priors[-1]
    np.testing.assert_allclose(prior.T_map_camera[:2, 3], [101.0, 50.0], atol=1e-3)
    # Three standard deviations, 2 m of the receiver and 0.3 m of the datum; the height does not count.
    assert prior.radius_m == pytest.approx(3 * np.hypot(2.0, 0.3), abs=0.01)
    assert not prior.is_height_known
    robot.send(stamp_ns=START + 20 * SECOND)  # the position is old by now
    assert robot.localizer.priors[-1] is None
    send_fix(robot, fix_at(START + 21 * SECOND, position_covariance=np.full(9, np.nan)))
    robot.send(stamp_ns=START + 21 * SECOND)
    prior = robot.localizer.priors[-1]
    assert prior.radius_m > 29
    robot.world.publish("gps/fix", fix_at(START + 22 * SECOND, latitude=np.nan))
    robot.world.wait(lambda: robot.bad(BadReason.SATELLITE) == 1, "the message to be counted")
    assert "gps/fix: latitude, longitude or height is not a number" in robot.diagnosed("not a number").message


def test_a_receiver_that_lies_does_not_stop_localization(world: Any, picture: np.ndarray) -> None:
    robot = placed_robot(world, picture, gps_topic="gps/fix")
    send_fix(robot, fix_at(START, offset=(100.0, 0.0, 0.0)))
    for i in range(8):
        robot.send(stamp_ns=START + i * SECOND // 10)
    searched_whole_map = [prior is None for prior in robot.localizer.priors]
    # Three images near the position, then all in the whole map, which have a pose.
    assert searched_whole_map == [False] * 3 + [True] * 5
    robot.world.wait(lambda: len(robot.poses) == 5, "five poses")
    assert "are 98 m from the poses" in robot.diagnosed("until both agree").message
    send_fix(robot, fix_at(START + 2 * SECOND))
    for i in range(2):
        robot.send(stamp_ns=START + 2 * SECOND + i * SECOND // 10)
    assert robot.localizer.priors[-2] is None
    assert robot.localizer.priors[-1] is not None
