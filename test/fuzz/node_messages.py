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

"""Sends wild messages and requests to the running nodes: each must live on and work again.

python -m fuzz.node_messages --minutes 20 --seed 7                    # as `make fuzz` does
python -m fuzz.node_messages --node map_builder --seed 120 --rounds 8 # a session again

A session is a node's process with some rounds.  In each round any messages arrive on the node's topics, and
any requests at its services.  Then it must answer, be brought back to work by good messages and requests, and
have logged no traceback.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from fuzz import wild_messages as wild
from fuzz.inputs import read_map, write_map
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from room import Room
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.ros.common.messages import (
    camera_info_message,
    image_message,
    ns_to_stamp,
    pose_from_message,
    pose_stamped,
    pose_to_message,
    pose_with_covariance,
    stamp_to_ns,
    transform_message,
)
from scene_geo_loc.ros.common.parameters import parameters_of
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.harness.node_process import check_alive, own_domain, running_program, spinning_node
from scene_geo_loc.traversals.frame import Frame

CAMERA_FRAME = "camera_optical_frame"
MAP_FRAME = "fuzzed_map"
"""No wild transform has this name, so that those of the node can be told."""
ANSWER_S = 90.0
"""Longest time of an answer, and until a node works again, on a busy machine."""
PATIENCE_S = 10.0
"""Time after which a node that was sent static transforms may be configured anew: those stay."""
PERIOD_S = 0.1
LOOP_NS = 300 * 10**9
OF_AN_IMAGE = (PoseStamped, PoseWithCovarianceStamped, Odometry)
"""Messages with the stamp of an image; others have the time of the clock."""
RIGHT_M = 0.3
"""Largest error of a right pose in the room."""


class Fault(Exception):
    """A node that died, does not answer or work again, published what is no pose, or logged a defect."""


class Target(ABC):
    """A node's process under test, and what is sent to it."""

    program: ClassVar[str]
    rounds_of_session: ClassVar[int]

    def __init__(
        self, node: Node, process: subprocess.Popen[bytes], log: Path, parameters: dict[str, Any]
    ) -> None:
        self.node, self.process, self.log, self.given = node, process, log, parameters
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.stamp_ns = 1000 * 10**9
        self.forbidden: set[int] = set()
        self._heard: set[str] = set()
        self.values: dict[str, str] = {}
        self.diagnosis = ""
        self._frames = Room().drive()
        self._number = 0
        self._has_stray_static = False
        self._read = 0
        self._publishers: dict[str, Any] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    @classmethod
    @abstractmethod
    def parameters(cls, folder: Path, random: Random) -> dict[str, Any]:
        """Returns the parameters of a session's node."""

    # What arrives of the node.

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self.program):
                self.values = {value.key: value.value for value in status.values}
                self.diagnosis = status.message
                for name in ("failed", "callbacks_failed"):
                    if self.values.get(name, "0") != "0":
                        self.faults.append(f"diagnostics: {name} {self.values[name]}")

    def listen(self) -> None:
        """Listens to all topics that the node publishes on now."""
        begin = time.monotonic()
        # Of a node, its services may be discovered before its name.
        while (self.program, "/") not in self.node.get_node_names_and_namespaces():
            self.check_alive()
            if time.monotonic() > begin + ANSWER_S:
                raise Fault(f"{self.program} was not discovered within {ANSWER_S:g} s")
            time.sleep(PERIOD_S)
        for topic, kinds in self.node.get_publisher_names_and_types_by_node(self.program, "/"):
            if topic in self._heard or topic in ("/rosout", "/parameter_events"):
                continue
            self._heard.add(topic)
            package, _, name = kinds[0].split("/")
            of_kind = getattr(import_module(f"{package}.msg"), name)
            self.node.create_subscription(
                of_kind, topic, partial(self._check_message, topic), qos_profile_sensor_data
            )

    def _check_message(self, topic: str, message: Any) -> None:
        """Notes a fault where numbers are not finite, or the message is of a time when nothing may come."""
        if isinstance(message, TFMessage):  # of which others publish as well
            items = [item for item in message.transforms if item.header.frame_id == MAP_FRAME]
        else:
            items = [message]
        for item in items:
            if not all(map(math.isfinite, _numbers_in(item))):
                self.faults.append(f"{topic} has numbers that are not finite: {item}"[:500])
            if isinstance(item, OF_AN_IMAGE) and stamp_to_ns(item.header.stamp) in self.forbidden:
                self.faults.append(f"{topic} has a pose of an image that came to an inactive node")
            covariance = getattr(getattr(item, "pose", None), "covariance", None)
            if covariance is not None:
                matrix = np.asarray(covariance).reshape(6, 6)
                least = np.linalg.eigvalsh((matrix + matrix.T) / 2)[0]
                if least < -1e-9 * abs(matrix).max():
                    self.faults.append(f"{topic} has a covariance with the eigenvalue {least:g}")

    # What is sent.

    def publish(self, topic: str, message: Any) -> None:
        """Publishes on a topic, on which the first message may be lost."""
        if topic not in self._publishers:
            latched = topic == "/tf_static"
            qos = QoSProfile(depth=1 if latched else 10)
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
            self._publishers[topic] = self.node.create_publisher(type(message), topic, qos)
        self._publishers[topic].publish(message)

    def next_frame(self) -> Frame:
        """Returns the next frame of a drive up and down the room, and advances the time."""
        self._number += 1
        self.stamp_ns += int(PERIOD_S * 1e9)
        there = len(self._frames) - 1
        return self._frames[there - abs(there - self._number % (2 * there))]

    @abstractmethod
    def send_good(self) -> int:
        """Sends all that the node needs of a moment of the drive; returns the stamp."""

    def wild_message(self, random: Random) -> None:
        """Sends a wild message on one of the topics that the node listens to."""
        topics = dict(self.node.get_subscriber_names_and_types_by_node(self.program, "/"))
        if not topics:
            return
        topic = random.choice(sorted(topics))
        if topic == "/tf_static" and random.random() < 0.7:
            return  # they stay, and most make recovery slow
        message = self._wild(topics[topic][0], random)
        self.counts["messages"] += 1
        self._has_stray_static |= topic == "/tf_static"
        try:
            self.publish(topic, message)
        except RuntimeError:
            self.counts["messages that ROS refuses"] += 1

    def _wild(self, kind: str, random: Random) -> Any:
        frame, now = random.choice(self._frames), self.stamp_ns
        stamp_ns = now + random.choice((0, 0, 10**7, -(10**7), -(10**10), 10**10))
        makers: dict[type, Callable[[], Any]] = {
            Image: lambda: wild.image(random, frame, stamp_ns, CAMERA_FRAME),
            CompressedImage: lambda: wild.compressed(random, frame, stamp_ns, CAMERA_FRAME),
            PointCloud2: lambda: wild.cloud(random, stamp_ns, "base_link"),
            TFMessage: lambda: wild.transforms(random, stamp_ns),
            Clock: lambda: wild.clock(random, now),
        }
        good: dict[type, Callable[[], Any]] = {
            Image: lambda: image_message(stamp_ns, CAMERA_FRAME, frame.image),
            CameraInfo: lambda: camera_info_message(stamp_ns, CAMERA_FRAME, frame.camera),
            PoseWithCovarianceStamped: lambda: pose_with_covariance(
                stamp_ns, MAP_FRAME, frame.T_map_camera, np.eye(6)
            ),
            PoseStamped: lambda: pose_stamped(stamp_ns, MAP_FRAME, frame.T_map_camera),
            Odometry: lambda: _odometry(stamp_ns, frame.T_map_camera),
            LaserScan: lambda: _laser_scan(stamp_ns),
        }
        package, _, name = kind.split("/")
        of_kind = getattr(import_module(f"{package}.msg"), name)
        if of_kind in makers and (of_kind not in good or random.random() < 0.7):
            return makers[of_kind]()
        return wild.change(good.get(of_kind, of_kind)(), random)

    def wild_request(self, random: Random) -> None:
        """Sends a wild request to one of the services that the node offers now."""
        services = dict(self.node.get_service_names_and_types_by_node(self.program, "/"))
        if not services:
            return
        name = random.choice(sorted(services))
        service, request = wild.request_of(services[name][0], random)
        if service is ChangeState and random.random() < 0.8:
            request = ChangeState.Request(transition=Transition(id=random.choice((1, 2, 3, 4))))
        if hasattr(request, "parameters"):
            self._wild_parameters(request, random)
        elif hasattr(request, "names") and random.random() < 0.7:
            request.names = random.sample(self._names(), 3)
        self.counts["requests"] += 1
        self.call(service, name, request, may_vanish=True)

    def _names(self) -> list[str]:
        return ["use_sim_time", "start_type_description_service", *self.parameter_names]

    parameter_names: ClassVar[list[str]] = [p.name for p in parameters_of(LocalizationNodeSettings)]

    def _wild_parameters(self, request: Any, random: Random) -> None:
        values: tuple[Any, ...] = (
            *wild.NUMBERS,
            *wild.HUGE,
            *wild.TEXTS,
            0,
            1,
            -1,
            2**63 - 1,
            True,
            [1.0],
            ["a"],
            [],
        )
        for _ in range(random.choice((1, 3))):
            value = random.choice(values)
            kind = Parameter.Type.DOUBLE_ARRAY if value == [] else None
            parameter = Parameter(random.choice(self._names()), kind, value).to_parameter_msg()
            request.parameters.append(parameter)

    # Requests and states.

    def call(self, service: Any, name: str, request: Any, *, may_vanish: bool = False) -> Any:
        """Returns the answer of a service, or None where it is gone. Raises Fault."""
        client = self.node.create_client(service, name)
        end = time.monotonic() + ANSWER_S
        try:
            if not client.wait_for_service(5.0 if may_vanish else ANSWER_S):
                if may_vanish:
                    return None
                raise Fault(f"{name} is not there")
            future = client.call_async(request)
            while not future.done():
                self.check_alive()
                if may_vanish and time.monotonic() > end - ANSWER_S + 10.0 and not client.service_is_ready():
                    return None
                if time.monotonic() > end:
                    raise Fault(f"{name} does not answer {request}")
                time.sleep(0.01)
            return future.result()
        finally:
            self.node.destroy_client(client)

    def check_alive(self) -> None:
        """Raises Fault where the process has ended."""
        try:
            check_alive(self.process, self.log)
        except SceneGeoLocError as error:
            raise Fault(str(error)) from error

    def state(self) -> int:
        """Returns the node's state of the lifecycle. Raises Fault where it does not answer."""
        answer = self.call(GetState, f"/{self.program}/get_state", GetState.Request())
        return int(answer.current_state.id)

    def transition(self, number: int) -> None:
        """Makes a transition that must succeed. Raises Fault."""
        request = ChangeState.Request(transition=Transition(id=number))
        if not self.call(ChangeState, f"/{self.program}/change_state", request).success:
            raise Fault(f"the transition {number} failed")

    def activate(self) -> None:
        """Brings the node to work from any state but the final one. Raises Fault."""
        while (state := self.state()) != State.PRIMARY_STATE_ACTIVE:
            self.transition(
                Transition.TRANSITION_CONFIGURE
                if state == State.PRIMARY_STATE_UNCONFIGURED
                else Transition.TRANSITION_ACTIVATE
            )

    def configure_anew(self) -> None:
        """Lets the node release everything and start again. Raises Fault."""
        state = self.state()
        if state == State.PRIMARY_STATE_ACTIVE:
            self.transition(Transition.TRANSITION_DEACTIVATE)
        if state != State.PRIMARY_STATE_UNCONFIGURED:
            self.transition(Transition.TRANSITION_CLEANUP)
        self.mount_camera()
        self._has_stray_static = False

    def mount_camera(self) -> None:
        """Publishes the mounting of the camera, in place of the last static transforms."""
        mounting = transform_message(0, "base_link", CAMERA_FRAME, np.eye(4))
        self.publish("/tf_static", TFMessage(transforms=[mounting]))

    # A round.

    def fire(self, random: Random) -> None:
        """Sends wild messages and requests, among good ones. Raises Fault."""
        if random.random() < 0.2:  # as a bag that is played in a loop
            self.stamp_ns = max(10 * 10**9, self.stamp_ns - LOOP_NS) + random.randrange(1000)
        for _ in range(random.randint(5, 40)):
            if random.random() < 0.4:
                self.send_good()
            else:
                self.wild_message(random)
            time.sleep(random.choice((0.0, 0.0, 0.005, 0.03)))
        for _ in range(random.randrange(7)):
            self.wild_request(random)
            if self.state() != State.PRIMARY_STATE_ACTIVE:
                self.while_inactive()
            self.wild_message(random)

    def while_inactive(self) -> None:
        """Sends good messages to which an inactive node must not react."""
        self.send_good()

    @abstractmethod
    def recover(self) -> None:
        """Brings the node back to work by good messages and requests. Raises Fault."""

    def check(self) -> None:
        """Raises Fault where the log holds a traceback, or a message of the node was wrong."""
        self.check_alive()
        data = self.log.read_bytes()
        new, self._read = data[self._read :].decode(errors="replace"), len(data)
        at = new.find("Traceback")
        if at >= 0:
            raise Fault(f"the log holds a traceback:\n{new[max(0, at - 200) : at + 3000]}")
        if self.faults:
            raise Fault("; ".join(self.faults[:3]))


class LocalizationTarget(Target):
    """A localization_node in the map of a room: it must publish right poses again."""

    program = "localization_node"
    rounds_of_session = 20

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._truth: dict[int, Pose] = {}
        self._right_ns = 0
        self._wrong = ""
        self.node.create_subscription(PoseStamped, "localization/pose", self._on_pose, 10)

    @classmethod
    def parameters(cls, folder: Path, random: Random) -> dict[str, Any]:
        """Returns the parameters of a session's node."""
        path = folder / "map"
        if not path.exists():
            write_map(path)
        given = {
            "map": str(path),
            "map_frame": MAP_FRAME,
            "tracking": random.random() < 0.5,
            "image_transport": random.choice(("raw", "compressed")),
            "publish_tf": random.choice(("map_to_odom", "map_to_base", "none")),
        }
        rig = {"rig_image_topics": ["rear/image_raw"]}
        return given | rig if random.random() < 0.3 else given

    def _on_pose(self, message: PoseStamped) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        try:
            T = pose_from_message(message.pose)
        except ValueError as error:
            self.faults.append(f"a pose is none: {error}")
            return
        if stamp_ns in self._truth:
            error_m = float(np.linalg.norm(T[:3, 3] - self._truth[stamp_ns][:3, 3]))
            if error_m < RIGHT_M:
                self._right_ns = stamp_ns
            else:
                self._wrong = f"a pose off by {error_m:.2f} m"

    def send_good(self) -> int:
        """Sends clock, odometry, intrinsics and an image."""
        frame = self.next_frame()
        now = self.stamp_ns
        self.publish("/clock", Clock(clock=ns_to_stamp(now)))
        moved = transform_message(now, "odom", "base_link", frame.T_map_camera)
        self.publish("/tf", TFMessage(transforms=[moved]))
        self.publish("/camera/camera_info", camera_info_message(now, CAMERA_FRAME, frame.camera))
        self._truth[now] = frame.T_map_camera
        self.publish("/camera/image_raw", image_message(now, CAMERA_FRAME, frame.image))
        self.publish("/camera/image_raw/compressed", _compressed(now, frame))
        return now

    def while_inactive(self) -> None:
        """Sends an image of which no pose may come."""
        self.forbidden.add(self.send_good())

    def recover(self) -> None:
        """Resets what a request may have changed, and sends the drive until there are right poses."""
        self.activate()
        self.listen()
        defaults = [Parameter("use_sim_time", value=True)] + [
            Parameter(p.name, value=self.given.get(p.name, p.default))
            for p in parameters_of(LocalizationNodeSettings)
            if p.live
        ]
        request = SetParameters.Request(parameters=[p.to_parameter_msg() for p in defaults])
        answer = self.call(SetParameters, f"/{self.program}/set_parameters", request)
        if not all(result.successful for result in answer.results):
            raise Fault(f"the defaults of the parameters are refused: {answer.results}")
        self.call(Trigger, f"/{self.program}/resume", Trigger.Request())  # fails where nobody suspended it
        if not self.call(Trigger, f"/{self.program}/relocalize", Trigger.Request()).success:
            raise Fault("~/relocalize failed")
        self.mount_camera()
        begin, began_ns, is_anew, self._wrong = time.monotonic(), self.stamp_ns, False, ""
        while self._right_ns <= began_ns:
            self.send_good()
            time.sleep(PERIOD_S)
            self.check_alive()
            waited_s = time.monotonic() - begin
            if waited_s > PATIENCE_S and self._has_stray_static and not is_anew:
                is_anew = True
                self.counts["configured anew"] += 1
                self.configure_anew()
                self.activate()
            if waited_s > ANSWER_S:
                problem = self._wrong or "none at all"
                raise Fault(f"no right pose for {ANSWER_S:.0f} s, {problem}: {self.diagnosis} {self.values}")
        self.counts["longest recovery [s]"] = max(
            self.counts["longest recovery [s]"], round(time.monotonic() - begin)
        )


class MapBuilderTarget(Target):
    """A map_builder_node with all its sensors: it must take in frames again, and save maps that open."""

    program = "map_builder_node"
    rounds_of_session = 6

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.out = self.log.parent / "built"
        self._ahead_m = 0.0

    @classmethod
    def parameters(cls, folder: Path, random: Random) -> dict[str, Any]:
        """Returns the parameters of a session's node."""
        for left in folder.glob("built*"):
            shutil.rmtree(left)
        return {
            "out": str(folder / "built"),
            "map_frame": MAP_FRAME,
            "image_transport": random.choice(("raw", "compressed")),
            "pose_source": random.choice(("tf", "odometry", "pose")),
            "points_topic": "points",
            "scan_topic": "scan",
            "depth_topic": random.choice(("", "camera/depth/image")),
            "builder.keyframe_distance_m": 0.2,
            "builder.lidar": "spinning",
        }

    def send_good(self) -> int:
        """Sends clock, poses, intrinsics, depth, a cloud and an image."""
        frame = self.next_frame()
        now, T = self.stamp_ns, frame.T_map_camera.copy()
        self._ahead_m += 0.3  # else the builder leaves out places that it has
        T[0, 3] += self._ahead_m
        self.publish("/clock", Clock(clock=ns_to_stamp(now)))
        moved = transform_message(now, MAP_FRAME, "base_link", T)
        self.publish("/tf", TFMessage(transforms=[moved]))
        topic, kinds = next(
            (
                (name, kinds)
                for name, kinds in self.node.get_subscriber_names_and_types_by_node(self.program, "/")
                if name == "/odom"
            ),
            ("", [""]),
        )
        if topic:
            is_odometry = kinds[0].endswith("Odometry")
            self.publish(topic, _odometry(now, T) if is_odometry else pose_stamped(now, MAP_FRAME, T))
        self.publish("/camera/camera_info", camera_info_message(now, CAMERA_FRAME, frame.camera))
        assert frame.depth is not None
        depth = Image(width=160, height=120, step=640, encoding="32FC1", data=_bytes(frame.depth))
        depth.header.stamp, depth.header.frame_id = ns_to_stamp(now), CAMERA_FRAME
        self.publish("/camera/depth/image", depth)
        self.publish("/camera/image_raw", image_message(now, CAMERA_FRAME, frame.image))
        self.publish("/camera/image_raw/compressed", _compressed(now, frame))
        self.publish("/scan", _laser_scan(now))
        return now

    def recover(self) -> None:
        """Sends the drive until there are more keyframes."""
        if self.out.exists():
            self._check_map()
        self.activate()
        self.listen()
        self.mount_camera()
        use_sim_time = Parameter("use_sim_time", value=True).to_parameter_msg()
        request = SetParameters.Request(parameters=[use_sim_time])
        self.call(SetParameters, f"/{self.program}/set_parameters", request)
        begin, is_anew, least = time.monotonic(), False, self._keyframes() + 2
        while self._keyframes() < least:
            self.send_good()
            time.sleep(PERIOD_S)
            self.check_alive()
            waited_s = time.monotonic() - begin
            if waited_s > PATIENCE_S and self._has_stray_static and not is_anew:
                is_anew, least = True, 2
                self.counts["configured anew"] += 1
                self.configure_anew()
                self.activate()
            if waited_s > ANSWER_S:
                raise Fault(f"no keyframe for {ANSWER_S:.0f} s: {self.diagnosis} {self.values}")
        self.counts["longest recovery [s]"] = max(
            self.counts["longest recovery [s]"], round(time.monotonic() - begin)
        )

    def _keyframes(self) -> int:
        return int(self.values.get("keyframes", "0"))

    def _check_map(self) -> None:
        """Reads the map that was saved, and makes room for the next one. Raises Fault."""
        self.configure_anew()
        try:
            read_map(self.out)
        except Exception as error:
            raise Fault(f"a saved map cannot be read: {error}") from error
        shutil.rmtree(self.out)
        self.values = {}
        self.counts["maps saved"] += 1

    def check(self) -> None:
        """Checks the log, and sometimes saves the map."""
        super().check()
        if self.stamp_ns % 3 == 0:
            answer = self.call(Trigger, f"/{self.program}/save", Trigger.Request())
            if not answer.success:
                raise Fault(f"~/save failed: {answer.message}")
            super().check()


TARGETS: dict[str, type[Target]] = {"localization": LocalizationTarget, "map_builder": MapBuilderTarget}


def _numbers_in(message: Any) -> Iterator[float]:
    """Yields the floating-point numbers in a message, at any depth."""
    for name, kind in message.get_fields_and_field_types().items():
        value = getattr(message, name)
        if hasattr(value, "get_fields_and_field_types"):
            yield from _numbers_in(value)
        elif kind in ("double", "float"):
            yield value
        elif "/" in kind:
            for item in value:
                yield from _numbers_in(item)
        elif kind.startswith(("double", "float", "sequence<double", "sequence<float")):
            yield from map(float, value)


def _bytes(values: Any) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def _compressed(stamp_ns: int, frame: Frame) -> CompressedImage:
    import cv2

    data = cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    message = CompressedImage(format="jpeg", data=data)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), CAMERA_FRAME
    return message


def _odometry(stamp_ns: int, T: Pose) -> Odometry:
    message = Odometry(child_frame_id="base_link")
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), MAP_FRAME
    message.pose.pose = pose_to_message(T)
    return message


def _laser_scan(stamp_ns: int) -> LaserScan:
    message = LaserScan(angle_min=-1.0, angle_max=1.0, angle_increment=0.02, range_max=30.0)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), "base_link"
    message.ranges = [3.0] * 100
    return message


@contextmanager
def running_target(kind: type[Target], folder: Path, random: Random) -> Iterator[Target]:
    """Runs a node of a kind in a process and a domain of its own."""
    log = folder / "node.log"
    parameters = kind.parameters(folder, random)
    with (
        own_domain() as domain,
        running_program(kind.program, parameters, log) as process,
        spinning_node("fuzz", domain) as node,
    ):
        yield kind(node, process, log, parameters)


def run_session(kind: type[Target], folder: Path, seeds: list[int], counts: Counter[str]) -> int:
    """Runs rounds with a node of its own until the node is final; returns their number. Raises Fault."""
    with running_target(kind, folder, Random(seeds[0])) as target:
        target.counts = counts
        target.recover()
        for done, seed in enumerate(seeds):
            try:
                target.fire(Random(seed))
                if target.state() == State.PRIMARY_STATE_FINALIZED:
                    target.while_inactive()
                    target.check()
                    counts["shut down by request"] += 1
                    return done + 1
                target.recover()
                target.check()
            except Fault as fault:
                raise Fault(f"session from {seeds[0]}, round {seed}: {fault}") from fault
    return len(seeds)


def main(arguments: list[str] | None = None) -> int:
    """Runs sessions of the nodes in turn, prints faults as they come, and returns their number."""
    parser = argparse.ArgumentParser(description="Sends wild messages and requests to the running nodes.")
    parser.add_argument("--node", choices=TARGETS, action="append", help="only this one")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--rounds", type=int, default=sys.maxsize, help="how many of each node")
    parser.add_argument("--minutes", type=float, default=1e9, help="when to stop, whatever is left")
    options = parser.parse_args(arguments)
    names, end = options.node or list(TARGETS), time.monotonic() + 60 * options.minutes
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    seeds, faults = dict.fromkeys(names, options.seed), 0
    with tempfile.TemporaryDirectory(prefix="nodes-") as folder:
        while time.monotonic() < end and min(seeds.values()) < options.seed + options.rounds:
            for name in names:
                kind = TARGETS[name]
                last = min(seeds[name] + kind.rounds_of_session, options.seed + options.rounds)
                session = list(range(seeds[name], last))
                try:
                    done = run_session(kind, Path(folder), session, counts[name])
                except Fault as fault:
                    faults, done = faults + 1, len(session)
                    print(f"{name} FAULT {fault}", flush=True)
                seeds[name] += done
                counts[name]["rounds"] += done
    for name in names:
        print(f"{name}: {', '.join(f'{count} {what}' for what, count in sorted(counts[name].items()))}")
    print(f"{faults} faults")
    return min(faults, 99)


if __name__ == "__main__":
    sys.exit(main())
