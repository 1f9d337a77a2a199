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

"""A robot with a camera and a localization_node, with a fake localizer."""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.geometry.transform_tree import TransformUnavailable
from scene_geo_loc.localization.estimate import LocalizerSettings, PoseEstimate, Status
from scene_geo_loc.localization.retrieval.image_sequence import no_images
from scene_geo_loc.ros.common.counters import BadReason, Event
from scene_geo_loc.ros.common.messages import (
    camera_info_message,
    image_message,
    ns_to_stamp,
    pose_from_transform,
    stamp_to_ns,
    transform_message,
)
from scene_geo_loc.ros.localization.node import LocalizationNode

SECOND = 10**9
START = 1_700_000_000 * SECOND
TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])

CAMERA = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)
T_BASE_CAMERA = make_pose([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (1.5, 0.0, 1.2))
T_ODOM_BASE = make_pose(TURN, (10.0, 0.0, 0.0))
T_MAP_BASE = make_pose(np.eye(3), (100.0, 50.0, 0.0))


class FakeLocalizer:
    """Answers with the camera's pose on the robot at T_MAP_BASE, or with `answer` where that is set."""

    device, backend_name = "cpu", "torch"
    settings = LocalizerSettings()

    def __init__(self) -> None:
        self.answer: PoseEstimate | Exception | None = None
        self.priors: list[Any] = []
        self.earlier: list[Any] = []
        self.images: list[np.ndarray] = []
        self.cameras: list[Camera] = []
        self.depths: list[np.ndarray | None] = []

    def localize(self, images: Any, prior: Any = None, earlier: Any = no_images) -> PoseEstimate:
        self.priors.append(prior)
        self.earlier.append(earlier())
        self.images.append(images[0].image)
        self.cameras.append(images[0].camera)
        self.depths.append(images[0].depth)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or PoseEstimate(
            Status.LOCALIZED,
            T_map_base=T_MAP_BASE @ T_BASE_CAMERA,
            covariance=np.diag([0.01] * 3 + [0.0001] * 3),
            inlier_ratio=0.6,
            inliers=120,
        )


class FakeMap:
    map_frame = "map"
    large_files = ()
    georeference: Any = None
    T_map_camera = np.array([make_pose(T_BASE_CAMERA[:3, :3], (i, 0.0, 1.2)) for i in range(7)])
    names = tuple(f"image_{i}" for i in range(7))

    def nearest(self, point: np.ndarray) -> tuple[int, float]:
        distances = np.linalg.norm(self.T_map_camera[:, : len(point), 3] - point, axis=1)
        return int(distances.argmin()), float(distances.min())

    def name_of(self, keyframe: int) -> str:
        return self.names[keyframe]

    def camera_of(self, keyframe: int) -> Camera:
        return CAMERA

    def thumbnail(self, keyframe: int) -> np.ndarray:
        return np.full((12, 16, 3), keyframe, np.uint8)

    def __init__(self, path: str = "street") -> None:
        self.path = Path(path)

    def verify(self, names: Any, after_block: Any) -> None:
        """Finds no damage."""

    def __len__(self) -> int:
        return 7


class Robot:
    """A robot with a camera beside a localization_node, all of whose outputs are kept."""

    def __init__(
        self,
        world: Any,
        picture: np.ndarray,
        localizer: Any = None,
        camera: Camera = CAMERA,
        **parameters: Any,
    ) -> None:
        """`localizer` is a FakeLocalizer, if none is given."""
        self.world, self.picture, self.camera = world, picture, camera
        self.localizer = localizer or FakeLocalizer()
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.broken: set[str] = set()
        self.node = LocalizationNode(self.open, parameter_overrides=overrides)
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        world.spin(self.node)
        topics = {
            "localization/state": String,
            "localization/pose": PoseStamped,
            "localization/pose_with_covariance": PoseWithCovarianceStamped,
            "/tf": TFMessage,
            "/diagnostics": DiagnosticArray,
        }
        self.states, self.poses, self.poses_with_covariance, self.transforms, self.diagnostics = (
            world.listen_to(topics, latched=["localization/state"])
        )
        self.tracked = (
            world.listen(PoseWithCovarianceStamped, "localization/tracked/pose_with_covariance")
            if parameters.get("tracking")
            else []
        )
        self.stamps = itertools.count(START, SECOND // 10)
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        if not self.node.settings.calibration_file:
            self.send_camera_info()

    def open(self, settings: Any) -> Any:
        """Localizer and map of the settings, unless that map is broken."""
        if settings.map in self.broken:
            raise MapError(f"{settings.map} is broken.")
        return self.localizer, getattr(self.localizer, "map", FakeMap(settings.map or "street"))

    @property
    def pipeline(self) -> Any:
        return self.node.pipeline

    def send_camera_info(self) -> None:
        self.world.publish("camera/camera_info", camera_info_message(0, "", self.camera))
        self.world.wait(lambda: self.pipeline.inputs.camera.has_camera_info, "the camera_info to arrive")

    def mount_camera(
        self, frame: str = "camera_optical_frame", T_base_camera: np.ndarray = T_BASE_CAMERA
    ) -> None:
        mounting = transform_message(0, "base_link", frame, T_base_camera)
        self.world.publish("/tf_static", TFMessage(transforms=[mounting]), latched=True)
        self.world.wait(lambda: self.pipeline.transforms.tree.knows(frame), "the mounting to arrive")

    def send_odometry(self, stamp_ns: int, T_odom_base: np.ndarray = T_ODOM_BASE) -> None:
        """Sends odometry on TF until the node has it."""
        moved = transform_message(stamp_ns, "odom", "base_link", T_odom_base)

        def arrives() -> bool:
            self.world.publish("/tf", TFMessage(transforms=[moved]))
            with suppress(TransformUnavailable):
                self.pipeline.transforms.tree.lookup("odom", "base_link", stamp_ns)
                return True
            return False

        self.world.wait(arrives, "the odometry to arrive")

    def publish_image(self, stamp_ns: int) -> None:
        """Sends an image and does not wait for the node."""
        image = image_message(stamp_ns, "camera_optical_frame", self.picture)
        self.world.publish("camera/image_raw", image)

    def send(self, message: Any = None, stamp_ns: int | None = None) -> int:
        """Sends an image and waits until the node is done with it; returns its stamp."""
        if message is None:
            message = image_message(0, "camera_optical_frame", self.picture)
        stamp_ns = next(self.stamps) if stamp_ns is None else stamp_ns
        message.header.stamp = ns_to_stamp(stamp_ns)
        message.header.frame_id = "camera_optical_frame"
        before = self.seen()
        topic = "camera/image_raw/compressed" if isinstance(message, CompressedImage) else "camera/image_raw"
        self.world.publish(topic, message)
        self.world.wait(lambda: self.seen() > before, "the node to see the image")
        return stamp_ns

    def seen(self) -> int:
        totals = self.node.counters.totals()
        bad = sum(count for what, count in totals.items() if isinstance(what, BadReason))
        return totals[Event.PROCESSED] + totals[Event.FAILED] + bad

    def bad(self, reason: BadReason) -> int:
        return self.node.counters.totals()[reason]

    def state_becomes(self, state: str) -> None:
        self.states_end_with(state)

    def states_end_with(self, *states: str) -> None:
        def end() -> bool:
            return tuple(state.data for state in self.states[-len(states) :]) == states

        self.world.wait(end, f"the states {', '.join(states)}")

    def call(self, service: str) -> Any:
        return self.world.call(Trigger, f"localization_node/{service}", Trigger.Request())

    def corrections(self) -> list[tuple[int, np.ndarray]]:
        """Stamps and poses of map -> odom so far."""
        return [
            (stamp_to_ns(item.header.stamp), pose_from_transform(item.transform))
            for message in self.transforms
            for item in message.transforms
            if item.header.frame_id == "map"
        ]

    def diagnosed(self, text: str) -> Any:
        """The first report whose message has this text."""

        def find() -> Any:
            return next((m.status[0] for m in self.diagnostics if text in m.status[0].message), None)

        return self.world.wait(find, f"a diagnosis with {text!r}")
