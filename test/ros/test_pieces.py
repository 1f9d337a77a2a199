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

"""The smaller parts of the nodes."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.geometry.transform_tree import TransformTree
from scene_geo_loc.localization.verification.focal_scale import LensEstimate
from scene_geo_loc.ros.common.camera_input import StampOrder
from scene_geo_loc.ros.common.counters import BadMessage, BadReason, Counters, Event
from scene_geo_loc.ros.common.diagnostics import Level, Report
from scene_geo_loc.ros.common.managed_node import LibraryLog
from scene_geo_loc.ros.common.messages import (
    camera_info_message,
    image_message,
    ns_to_stamp,
    pose_from_message,
    pose_to_message,
    stamp_to_ns,
)
from scene_geo_loc.ros.common.pose_synchronizer import NotYet, PoseSynchronizer
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.localization.inputs.rig import known_motion
from scene_geo_loc.ros.localization.inputs.robot_transforms import RobotTransforms
from scene_geo_loc.ros.localization.outputs.report import LocalizationFacts
from scene_geo_loc.ros.localization.outputs.state import State
from scene_geo_loc.ros.localization.worker import NewestWorker
from scene_geo_loc.traversals.messages.camera_info import camera_of
from scene_geo_loc.traversals.messages.images import image_of

SECOND = 10**9


@given(st.integers(-(2**31) * SECOND, 2**31 * SECOND - 1))
def test_a_stamp_keeps_its_nanoseconds(stamp_ns: int) -> None:
    assert stamp_to_ns(ns_to_stamp(stamp_ns)) == stamp_ns


def test_an_image_message_is_read_back_as_it_was(picture: np.ndarray) -> None:
    message = image_message(7, "camera", picture[:, ::-1])
    np.testing.assert_array_equal(image_of(message), picture[:, ::-1])
    assert message.header.frame_id == "camera"


@pytest.mark.parametrize(
    ("model", "distortion"),
    [("none", ()), ("plumb_bob", (0.1, -0.02, 0.001, 0.002, 0.0)), ("equidistant", (0.1, 0.0, 0.0, 0.01))],
)
def test_a_camera_info_message_is_read_back_as_it_was(model: str, distortion: tuple[float, ...]) -> None:
    camera = Camera(64, 48, 50.0, 51.0, 32.0, 24.0, model, distortion)
    message = camera_info_message(7, "camera", camera)
    assert camera_of(message) == camera
    assert (message.header.frame_id, stamp_to_ns(message.header.stamp)) == ("camera", 7)


def test_a_pose_message_is_read_back_as_it_was() -> None:
    T = make_pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (1.0, 2.0, 3.0))
    np.testing.assert_allclose(pose_from_message(pose_to_message(T)), T, atol=1e-12)


def test_a_worker_takes_the_newest_and_says_what_it_replaces() -> None:
    release, done, items = threading.Event(), threading.Event(), []

    def process(item: int) -> None:
        items.append(item)
        release.wait(10.0)
        if item == 3:
            done.set()

    worker = NewestWorker(process, on_error=lambda error: None)
    while not items:
        worker.submit(1)
    worker.clear()
    assert [worker.submit(item) for item in (2, 3)] == [False, True]
    release.set()
    assert done.wait(10.0)
    worker.close()
    assert items == [1, 3]


def test_a_worker_survives_what_its_work_raises() -> None:
    errors: list[Exception] = []
    failed = threading.Event()

    def on_error(error: Exception) -> None:
        errors.append(error)
        failed.set()

    worker = NewestWorker(lambda item: 1 // item, on_error)  # type: ignore[arg-type,var-annotated]
    worker.submit(0)
    assert failed.wait(10.0)
    worker.close()
    assert isinstance(errors[0], ZeroDivisionError)


def test_stamps_show_duplicates_late_images_and_restarts() -> None:
    order = StampOrder()
    assert not order.check(10 * SECOND)
    with pytest.raises(BadMessage, match="duplicate stamp"):
        order.check(10 * SECOND)
    with pytest.raises(BadMessage, match="stamp out of order"):
        order.check(10 * SECOND - 1)
    assert not order.check(11 * SECOND)
    assert order.check(5 * SECOND)
    assert not order.check(6 * SECOND)


def test_items_are_released_in_order_of_time_once_later_ones_are_there() -> None:
    synchronizer: PoseSynchronizer[str] = PoseSynchronizer(timeout_s=100.0, capacity=100)
    used: list[str] = []
    for stamp_ns, item in ((2, "b"), (1, "a"), (SECOND, "c")):
        synchronizer.add(stamp_ns, item, 1)
    while synchronizer.take(used.append, pytest.fail):  # type: ignore[arg-type]
        pass
    assert used == ["a", "b"]
    assert synchronizer.take(used.append, pytest.fail, drain=True)  # type: ignore[arg-type]
    assert used == ["a", "b", "c"]


def test_a_stray_stamp_of_the_future_counts_only_until_it_times_out() -> None:
    synchronizer: PoseSynchronizer[str] = PoseSynchronizer(timeout_s=0.05, capacity=100)
    used: list[str] = []
    synchronizer.add(3600 * SECOND, "stray", 1)
    time.sleep(0.1)
    assert synchronizer.take(used.append, pytest.fail)  # type: ignore[arg-type]
    synchronizer.add(SECOND + 1, "b", 1)
    assert not synchronizer.take(used.append, pytest.fail)  # type: ignore[arg-type]
    synchronizer.add(SECOND, "a", 1)
    synchronizer.add(2 * SECOND, "c", 1)
    while len(used) < 3 and synchronizer.take(used.append, pytest.fail):  # type: ignore[arg-type]
        pass
    assert used == ["stray", "a", "b"]


def test_an_item_waits_for_what_it_needs_until_it_times_out() -> None:
    given_up: list[tuple[str, str]] = []

    def use(item: str) -> None:
        raise NotYet("no pose")

    for timeout_s, expected in ((100.0, []), (0.0, [("a", "no pose")])):
        synchronizer: PoseSynchronizer[str] = PoseSynchronizer(timeout_s, capacity=100)
        synchronizer.add(0, "a", 1)
        synchronizer.add(SECOND, "b", 1)
        synchronizer.take(use, lambda item, reason: given_up.append((item, reason)))
        assert given_up == expected


def test_an_item_waits_longer_for_what_is_late() -> None:
    synchronizer: PoseSynchronizer[str] = PoseSynchronizer(0.05, capacity=100)
    synchronizer.add(0, "a", 1)

    def use(item: str) -> None:
        raise NotYet("the pose is late", lagging=True)

    time.sleep(0.1)
    assert not synchronizer.take(use, pytest.fail)  # type: ignore[arg-type]
    assert len(synchronizer) == 1


def test_an_item_that_fails_is_not_released_again() -> None:
    synchronizer: PoseSynchronizer[int] = PoseSynchronizer(timeout_s=100.0, capacity=100)
    synchronizer.add(0, 0, 1)
    with pytest.raises(ZeroDivisionError):
        synchronizer.take(lambda item: 1 // item, pytest.fail, drain=True)  # type: ignore[arg-type]
    assert len(synchronizer) == 0


def test_waiting_items_take_a_bounded_memory_that_released_ones_free() -> None:
    synchronizer: PoseSynchronizer[int] = PoseSynchronizer(timeout_s=100.0, capacity=100)
    assert [synchronizer.add(i, i, 40) for i in range(3)] == [True, True, False]
    assert synchronizer.size == 80
    assert synchronizer.take(lambda _: None, pytest.fail, drain=True)  # type: ignore[arg-type]
    assert synchronizer.add(3, 3, 40)
    synchronizer.clear()
    assert synchronizer.size == 0


def test_some_items_may_use_only_a_share_of_the_memory() -> None:
    synchronizer: PoseSynchronizer[str] = PoseSynchronizer(timeout_s=100.0, capacity=100)
    assert synchronizer.add(0, "image", 40, share=0.5)
    assert not synchronizer.add(1, "image", 40, share=0.5)
    assert synchronizer.add(2, "scan", 40)


def test_the_worst_finding_leads_a_report() -> None:
    report = Report()
    report.find(Level.WARN, "Slow.")
    report.find(Level.ERROR, "Broken.")
    report.find(Level.WARN, "Dim.")
    assert (report.level, report.message) == (Level.ERROR, "Broken. Slow. Dim.")


CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
HEALTHY: dict[str, Any] = {
    "active": True,
    "state": State.LOCALIZED,
    "reason": "",
    "camera_problem": "",
    "transform_problem": "",
    "image_topic": "image",
    "info_topic": "info",
    "has_camera_info": True,
    "image_age_s": 0.1,
    "pose_age_s": 0.1,
    "stamp_age_s": 0.1,
    "fix_timeout_s": 2.0,
    "recent": Counter(),
    "totals": Counter(),
    "details": {},
    "broadcast_problem": "",
    "gps_problem": "",
    "gps": "off",
    "latency_p50_ms": None,
    "latency_p95_ms": None,
    "inlier_ratio": None,
    "inliers": None,
    "confidence": None,
    "lens": None,
    "map_path": "map",
    "map_frame": "map",
    "map_check": "passed",
    "map_problem": "",
    "keyframes": 1,
    "extension_problem": "",
    "extension_values": {},
    "edit_values": {},
    "device": "cpu",
    "backend": "torch",
    "pnp_solver": "PoseLib",
}


@pytest.mark.parametrize(
    ("facts", "level", "message"),
    [
        ({}, Level.OK, "Localized."),
        ({"active": False}, Level.WARN, "Inactive"),
        ({"state": State.SUSPENDED}, Level.WARN, "call ~/resume"),
        ({"state": State.LOST, "reason": "Too dark."}, Level.WARN, "Not localized (lost). Too dark."),
        ({"has_camera_info": False}, Level.ERROR, "No camera_info on info yet."),
        ({"image_age_s": 5.0}, Level.ERROR, "No image on image for 5 s."),
        ({"camera_problem": "Wrong QoS.", "image_age_s": 5.0}, Level.ERROR, "Wrong QoS."),
        ({"extension_problem": "The disk is full."}, Level.WARN, "The disk is full."),
        ({"map_problem": "depth.npy has changed."}, Level.ERROR, "depth.npy has changed."),
        ({"transform_problem": "No odometry."}, Level.WARN, "No odometry."),
        ({"gps_problem": "The positions are wrong."}, Level.WARN, "The positions are wrong."),
        ({"recent": Counter({Event.FAILED: 2})}, Level.ERROR, "2 frames failed with a defect"),
        ({"recent": Counter({BadReason.NO_CONTRAST: 3})}, Level.WARN, "3 x black or saturated image."),
        (
            {
                "recent": Counter({BadReason.UNDECODABLE_IMAGE: 2}),
                "details": {BadReason.UNDECODABLE_IMAGE: "It is cut short."},
            },
            Level.WARN,
            "2 x undecodable image (It is cut short).",
        ),
        ({"stamp_age_s": 1e6}, Level.WARN, "set use_sim_time"),
        ({"lens": LensEstimate(1.12, 0.01, CAMERA)}, Level.WARN, "1.12 times the focal length"),
        ({"lens": LensEstimate(1.01, 0.01, CAMERA)}, Level.OK, "Localized."),
    ],
)
def test_the_report_of_localization_says_what_is_wrong(
    facts: dict[str, Any], level: Level, message: str
) -> None:
    report = LocalizationFacts(**(HEALTHY | facts)).report()
    assert report.level is level
    assert message in report.message


def test_the_report_of_localization_names_what_runs_the_network() -> None:
    values = LocalizationFacts(**(HEALTHY | {"device": "cpu", "backend": "openvino"})).report().values
    assert (values["device"], values["backend"], values["pnp_solver"]) == ("cpu", "openvino", "PoseLib")


def test_a_node_logs_what_the_library_logs() -> None:
    class Logger:
        def __init__(self) -> None:
            self.lines: list[tuple[str, str]] = []

        def info(self, line: str) -> None:
            self.lines.append(("info", line))

        def warning(self, line: str) -> None:
            self.lines.append(("warning", line))

    logger, library = Logger(), logging.getLogger("scene_geo_loc.test_pieces")
    library.setLevel(logging.DEBUG)
    library.addHandler(LibraryLog(logger))
    library.debug("detail")
    library.info("images are read at %dx%d", 448, 352)
    library.warning("a backend does not start")
    assert logger.lines == [
        ("info", "images are read at 448x352"),
        ("warning", "a backend does not start"),
    ]


def test_the_motion_during_a_rolling_shutter_is_by_odometry_on_tf_and_missing_odometry_is_counted() -> None:
    tree, counters = TransformTree(30.0), Counters()
    for i in range(4):  # 8 m/s ahead, at 50 Hz
        tree.add("odom", "base_link", i * 20_000_000, (0.16 * i, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    mounting = [1.0, 0.0, 1.5, -0.5, 0.5, -0.5, 0.5]  # looks ahead
    settings = LocalizationNodeSettings(base_T_camera=mounting, transform_timeout=0.0)
    transforms = RobotTransforms(tree, lambda: settings)
    motion = known_motion(counters, transforms, "camera", 10_000_000, 0.03)()
    assert motion is not None
    assert motion.by_odometry
    assert motion.T_image_last[:3, 3] == pytest.approx([0.0, 0.0, 0.24], abs=1e-6)
    assert known_motion(counters, transforms, "camera", 10_000_000, 0.0)() is None  # a global shutter
    assert counters.totals() == {}
    assert known_motion(counters, transforms, "camera", 50_000_000, 0.03)() is None
    assert counters.totals()[BadReason.NO_READOUT_MOTION] == 1
