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

"""From image messages to published poses."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from std_msgs.msg import Header

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.transform_tree import TransformTree
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.session import Answer, Session
from scene_geo_loc.localization.solvers.robust_pnp import pnp_solver
from scene_geo_loc.localization.tracking.tracker import Tracker
from scene_geo_loc.networks.runtime.extractor import has_contrast
from scene_geo_loc.ros.common.camera_input import CameraInput, StampOrder
from scene_geo_loc.ros.common.counters import BadMessage, BadReason, Event
from scene_geo_loc.ros.common.depth_input import DepthInput
from scene_geo_loc.ros.common.diagnostics import DiagnosticsPublisher, LatencyWindow, Report
from scene_geo_loc.ros.common.managed_node import LOG_PERIOD_S, ManagedNode
from scene_geo_loc.ros.common.messages import stamp_to_ns
from scene_geo_loc.ros.common.transforms import TransformListener
from scene_geo_loc.ros.localization.inputs.gps_prior import GpsPrior
from scene_geo_loc.ros.localization.inputs.initial_pose import InitialPoses
from scene_geo_loc.ros.localization.inputs.other_broadcasters import OtherBroadcasters
from scene_geo_loc.ros.localization.inputs.rate_limit import RateLimit
from scene_geo_loc.ros.localization.inputs.rig import KEPT, RigCameras, known_motion
from scene_geo_loc.ros.localization.inputs.robot_transforms import RobotTransforms
from scene_geo_loc.ros.localization.map_changes import MapChanges
from scene_geo_loc.ros.localization.map_check import MapCheck
from scene_geo_loc.ros.localization.map_edits import MapEdits
from scene_geo_loc.ros.localization.map_extension import MapExtension
from scene_geo_loc.ros.localization.outputs.failure_snapshots import FailureSnapshots
from scene_geo_loc.ros.localization.outputs.geo_publisher import GeoPublisher
from scene_geo_loc.ros.localization.outputs.pose_publisher import PosePublisher
from scene_geo_loc.ros.localization.outputs.report import LocalizationFacts, status_values
from scene_geo_loc.ros.localization.outputs.state import State, StatePublisher
from scene_geo_loc.ros.localization.outputs.statistics import Statistics
from scene_geo_loc.ros.localization.outputs.view_publisher import ViewPublisher
from scene_geo_loc.ros.localization.services import LocalizationServices
from scene_geo_loc.ros.localization.worker import NewestWorker

if TYPE_CHECKING:
    from scene_geo_loc.localization.pose_localizer import PoseLocalizer
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

TF_CACHE_S = 30.0
"""Transforms are kept this long for images that are still being localized."""


@dataclass(frozen=True)
class Arrival:
    """An image message.

    Attributes:
        arrived_s: time.monotonic() of its arrival.
        generation: number of the time line that it belongs to; those of an earlier one are dropped.
    """

    message: Any
    arrived_s: float
    generation: int


@dataclass
class Progress:
    """Inputs and results since the last start or reset.

    Attributes:
        stamp_ns: stamp of the newest image, or None.
        estimate: of the last image on its own, or None.
        pose_s: time.monotonic() of the last published pose, or None.
    """

    stamp_ns: int | None = None
    estimate: PoseEstimate | None = None
    pose_s: float | None = None


@dataclass(frozen=True)
class Inputs:
    """Resources of an active node: cameras with their depth, and the worker that localizes their images."""

    camera: CameraInput
    depth: DepthInput
    rig: RigCameras
    worker: NewestWorker[Arrival]

    @property
    def problem(self) -> str:
        """Sentence on why no image of one of the cameras, or no depth, can arrive, or ""."""
        return self.camera.problem or self.depth.problem or self.rig.problem


class LocalizationPipeline:
    """Takes images from the executor's thread, localizes the newest in a worker's, and publishes its pose.

    Args:
        settings: returns the node's settings, of which some change while it runs.
        while_open: closed when the map is; what the pipeline creates is released with it, and what it creates
            to localize with the node's `while_active`.
        open_again: opens the folder of the map in a new version.

    Attributes:
        inputs: cameras and worker, or None while the node is inactive.
    """

    def __init__(
        self,
        node: ManagedNode,
        settings: Callable[[], LocalizationNodeSettings],
        localizer: PoseLocalizer,
        reference_map: AnyMap,
        while_open: ExitStack,
        open_again: Callable[[], tuple[PoseLocalizer, AnyMap]],
    ) -> None:
        close = while_open.callback
        self.inputs: Inputs | None = None
        self.map_frame = settings().map_frame or reference_map.map_frame
        self._node, self._settings, self._map = node, settings, reference_map
        self.session = Session(localizer, Tracker(settings().tracker) if settings().tracking else None)
        self._lock = threading.Lock()
        self._generation = 0
        self._progress, self._order, self._latency = Progress(), StampOrder(), LatencyWindow()
        self._rate_limit = RateLimit()
        self._image_s = time.monotonic()
        self.transforms = RobotTransforms(TransformTree(TF_CACHE_S), settings)
        geo = GeoPublisher(node, settings(), reference_map, self.map_frame)
        close(geo.close)
        self.publisher = PosePublisher(node, settings, self.map_frame, self.transforms, geo)
        close(self.publisher.close)
        self._others = OtherBroadcasters(self.publisher.broadcaster)
        listener = TransformListener(
            node,
            self.transforms.tree,
            on_invalid=lambda: node.counters.add(BadReason.INVALID_TRANSFORM),
            on_transform=self._others.take,
        )
        close(listener.close)
        self.initial_poses = InitialPoses(node, settings, self.map_frame)
        self.gps = GpsPrior(node, settings, reference_map)
        self._processed_publisher = node.create_publisher(Header, "localization/processed", 10)
        close(node.destroy_publisher, self._processed_publisher)
        self._view = ViewPublisher(node, reference_map, self.map_frame, self.transforms)
        close(self._view.close)
        self._snapshots = (
            FailureSnapshots(Path(settings().debug_dir), settings().debug_dir_size * 10**6, reference_map)
            if settings().debug_dir
            else None
        )
        self._statistics = Statistics(node, settings().statistics_dir, reference_map)
        close(self._statistics.close)
        self._state = StatePublisher(node)
        close(self._state.close)
        close(LocalizationServices(node, self._state, self._on_request, self._on_initial_pose).close)
        self._map_check = MapCheck(reference_map, node.get_logger().error)
        close(lambda: self._map_check.close())
        changes = MapChanges(
            node, reference_map.path, open_again, lambda: self._map_check.close(), self._exchange_map
        )
        close(changes.close)
        self.extension: MapExtension | None = None
        if settings().mapping == "extend":
            self.extension = MapExtension(node, settings, reference_map, changes)
            close(self.extension.close)
        self._edits = MapEdits(node, settings, changes)
        close(self._edits.close)
        close(DiagnosticsPublisher(node, "localization", self._report).close)
        jumps = node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False),
            post_callback=lambda _: self._on_clock_jump(),
        )
        close(jumps.unregister)

    def activate(self) -> None:
        """Subscribes to the cameras and localizes their images from now on."""
        node, settings = self._node, self._settings()
        close = node.while_active.callback
        self._image_s = time.monotonic()
        close(self._on_stopped)
        worker = NewestWorker(self._localize, self._on_defect)
        close(worker.close)
        close(self._drop_images)
        rig = RigCameras(node, settings, self.transforms)
        close(rig.close)
        initial_poses = node.create_subscription(
            PoseWithCovarianceStamped, "initialpose", self._on_initial_pose, 1
        )
        close(node.destroy_subscription, initial_poses)
        close(self.gps.subscribe())
        if settings.transform_rate:
            timer = node.create_timer(1.0 / settings.transform_rate, self.publisher.repeat)
            close(node.destroy_timer, timer)
        if settings.set_initial_pose:
            start = settings.initial_pose
            self.initial_poses.set(start.x, start.y, start.yaw)
        self._state.set(State.INITIALIZING, "No image was localized yet.")
        camera = CameraInput(node, settings, self._on_image)
        close(camera.close)
        depth = DepthInput(node, settings, self.transforms.tree, KEPT, KEPT)
        close(depth.close)
        self.inputs = Inputs(camera, depth, rig, worker)
        self._map_check.start()

    @property
    def opened(self) -> tuple[PoseLocalizer, AnyMap]:
        """The localizer and the map that are used."""
        return self.session.localizer, self._map

    def _exchange_map(self, opened: tuple[PoseLocalizer, AnyMap] | None) -> None:
        """Goes on with a new version of the map, whose frame is the same: the track stays.

        Args:
            opened: the new version; None where the old one stays.
        """
        if opened is not None:
            with self._lock:
                self._generation += 1  # an image that is being localized names keyframes of the old version
                self.session.exchange_localizer(opened[0])
                self._map = opened[1]
                self._view.exchange_map(opened[1])
                if self._snapshots is not None:
                    self._snapshots.exchange_map(opened[1])
            self._statistics.exchange_map(opened[1])
        self._map_check = MapCheck(self._map, self._node.get_logger().error)
        if self.inputs is not None:
            self._map_check.start()

    def _drop_images(self) -> None:
        self.inputs = None
        with self._lock:
            self._generation += 1

    def _on_stopped(self) -> None:
        self._forget()
        self._state.set(State.SUSPENDED, "The node is inactive.")

    # Messages, in the executor's thread.

    def _on_image(self, message: Any) -> None:
        self._image_s = time.monotonic()
        self._node.counters.add(Event.RECEIVED)
        if self.inputs is None or self._state.state is State.SUSPENDED:
            return
        stamp_ns = stamp_to_ns(message.header.stamp)
        try:
            if self._order.check(stamp_ns):
                self._start_over("The images' stamps jumped back.")
        except BadMessage as bad:
            self._reject(bad)
            return
        self._progress.stamp_ns = stamp_ns
        if not self._rate_limit.admits(stamp_ns, self._settings().max_rate):
            self._node.counters.add(Event.SKIPPED)
            return
        if self.inputs.worker.submit(Arrival(message, self._image_s, self._generation)):
            self._node.counters.add(Event.DROPPED)

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        if self.initial_poses.take(message):
            with self._lock:
                self.session.reset()

    def _on_request(self, state: State, reason: str) -> bool:
        """Goes to the state that a service asked for, and drops images under way; False while inactive."""
        if self.inputs is None:
            return False
        with self._lock:
            self._generation += 1
            if state is State.INITIALIZING:
                # An initial pose that came while the node was suspended is meant for the images to come.
                self._forget(keeps_initial_pose=self._state.state is State.SUSPENDED)
            self._state.set(state, reason)
        return True

    def _on_clock_jump(self) -> None:
        self._order.reset()
        self._start_over("The clock jumped back.")

    def _start_over(self, reason: str) -> None:
        """Forgets everything of a time that is now in the future."""
        with self._lock:
            self._generation += 1
            self.transforms.tree.clear()
            self._rate_limit.reset()
            if self.extension is not None:
                self.extension.interrupt()
            self._forget()
            if self.inputs is not None:
                self.inputs.rig.forget()
                self.inputs.depth.clear()
                if self._state.state is not State.SUSPENDED:
                    self._state.set(State.INITIALIZING, f"{reason} Starting over.")

    def _forget(self, *, keeps_initial_pose: bool = False) -> None:
        """Drops the prior, the track and the last pose: map -> odom is withheld until the next one."""
        if not keeps_initial_pose:
            self.initial_poses.forget()
        self.gps.forget()
        self.session.reset()
        self.publisher.forget()
        self._view.forget()
        self._progress = Progress()

    def _reject(self, bad: BadMessage) -> None:
        self._node.counters.add_bad(bad)
        self._node.get_logger().warning(f"Rejected an image: {bad}.", throttle_duration_sec=LOG_PERIOD_S)

    # Images, in the worker's thread.

    def _localize(self, arrival: Arrival) -> None:
        inputs = self.inputs
        if inputs is None or arrival.generation != self._generation:
            return
        try:
            self._localize_image(arrival, inputs)
        finally:
            self._processed_publisher.publish(arrival.message.header)

    def _localize_image(self, arrival: Arrival, inputs: Inputs) -> None:
        message = arrival.message
        try:
            image, camera = inputs.camera.decode(message)
        except BadMessage as bad:
            self._reject(bad)
            return
        if not has_contrast(image):
            self._reject(BadMessage(BadReason.NO_CONTRAST))
        stamp_ns = stamp_to_ns(message.header.stamp)
        frame = inputs.camera.frame_id(message, self.transforms.tree)
        # The first camera is the rig's base: its pose is estimated.
        depth = None
        try:
            depth = inputs.depth.of(message, camera, frame, self._settings().rig_tolerance)
        except BadMessage as bad:
            self._node.counters.add_bad(bad)
        motion = known_motion(self._node.counters, self.transforms, frame, stamp_ns, camera.readout_s)
        first = CameraImage(image, camera, depth=depth, readout_motion=motion)
        query = [first, *inputs.rig.synchronous(frame, stamp_ns)]
        prior = self.initial_poses.prior(lambda: self.transforms.base_T_camera(frame, stamp_ns))
        odometry = partial(self.transforms.odom_T_camera, frame, stamp_ns)
        measurement = self.session.measure(
            stamp_ns, query, prior, lambda: odometry(waits=False), self.gps.region(stamp_ns)
        )
        # Without tracking and mapping, odometry only helps retrieval, which works without it.
        T_odom_camera = odometry(waits=self.session.is_tracking or self.extension is not None)
        with self._lock:
            if arrival.generation != self._generation:
                return
            self._progress.estimate = measurement.estimate
            self.gps.judge(stamp_ns, measurement.estimate, measurement.region)
            answer = self.session.update(measurement, T_odom_camera)
            self._publish(answer, stamp_ns, frame)
        self._node.counters.add(Event.PROCESSED)
        if measurement.estimate.took_second_look:
            self._node.counters.add(Event.SECOND_LOOK)
        self._latency.add((time.monotonic() - arrival.arrived_s) * 1e3)
        if self.extension is not None:
            self.extension.add(stamp_ns, query, answer.estimate, T_odom_camera)
        self._statistics.add(stamp_ns, answer)
        self._view.show(stamp_ns, frame, image, answer)
        if self._snapshots is not None and answer.pose.status is not Status.LOCALIZED:
            self._add_snapshot(self._snapshots, stamp_ns, frame, query, answer, measurement.prior)

    def _publish(self, answer: Answer, stamp_ns: int, camera_frame: str) -> None:
        """Publishes the state, and the pose where there is one."""
        if answer.estimate.status is not Status.LOCALIZED:
            self.initial_poses.count_miss()
        pose = answer.pose
        state, reason = State(pose.status.value), pose.reason
        if pose.status.has_pose:
            if self.publisher.publish(stamp_ns, camera_frame, answer):
                self.initial_poses.forget()
                self._progress.pose_s = time.monotonic()
            else:
                state, reason = State.LOST, self.publisher.problem
        self._state.set(state, reason, stamp_ns, status_values(answer))

    def _add_snapshot(self, snapshots: FailureSnapshots, *facts: Any) -> None:
        try:
            snapshots.add(*facts)
        except OSError as error:
            self._node.get_logger().warning(
                f"A snapshot cannot be written to debug_dir: {error}.", throttle_duration_sec=LOG_PERIOD_S
            )

    def _on_defect(self, error: Exception) -> None:
        if not self._node.context.ok():
            return  # Ctrl-C came during this image, and nothing can be published any more.
        self._node.counters.add(Event.FAILED)
        report = (
            str(error) if isinstance(error, SceneGeoLocError) else "".join(traceback.format_exception(error))
        )
        self._node.get_logger().error(f"A frame failed: {report}", throttle_duration_sec=LOG_PERIOD_S)

    # Diagnostics, in the executor's thread.

    def _report(self) -> Report:
        now_s, settings, inputs = time.monotonic(), self._settings(), self.inputs
        with self._lock:
            progress, lens = self._progress, self.session.lens
            pose_age_s = None if progress.pose_s is None else now_s - progress.pose_s
            has_pose = self._state.state in (State.LOCALIZED, State.DEAD_RECKONED)
            if has_pose and pose_age_s is not None and pose_age_s > settings.longest_silence_s:
                self._state.set(State.LOST, f"No pose for {settings.longest_silence_s:g} s.")
        stamp_age_s = None
        if progress.stamp_ns is not None:
            stamp_age_s = (self._node.get_clock().now().nanoseconds - progress.stamp_ns) / 1e9
        return LocalizationFacts(
            active=inputs is not None,
            state=self._state.state,
            reason=self._state.reason,
            camera_problem=inputs.problem if inputs else "",
            transform_problem=self.publisher.problem,
            broadcast_problem=self._others.problem,
            gps_problem=self.gps.problem,
            gps=self.gps.use.value,
            image_topic=inputs.camera.image_topic if inputs else "",
            info_topic=settings.camera_info_topic,
            has_camera_info=inputs is not None and inputs.camera.has_camera_info,
            image_age_s=now_s - self._image_s,
            pose_age_s=pose_age_s,
            stamp_age_s=stamp_age_s,
            fix_timeout_s=settings.fix_timeout,
            recent=self._node.counters.take_recent(),
            totals=self._node.counters.totals(),
            details=self._node.counters.details(),
            latency_p50_ms=self._latency.percentile(50),
            latency_p95_ms=self._latency.percentile(95),
            inlier_ratio=progress.estimate.inlier_ratio if progress.estimate else None,
            inliers=progress.estimate.inliers if progress.estimate else None,
            confidence=progress.estimate.confidence if progress.estimate else None,
            lens=lens,
            map_path=str(self._map.path),
            map_frame=self.map_frame,
            map_check=self._map_check.status.value,
            map_problem=self._map_check.problem,
            keyframes=len(self._map),
            extension_problem="" if self.extension is None else self.extension.problem,
            extension_values={} if self.extension is None else self.extension.values,
            edit_values=self._edits.values,
            device=str(self.session.localizer.device),
            backend=self.session.localizer.backend_name,
            pnp_solver=pnp_solver().name,
        ).report()
