"""The node that localizes a camera's images in a reference map."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from sensor_msgs.msg import Image

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.transform_tree import TransformTree
from scene_geo_loc.localization.estimate import PoseEstimate
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.tracker import TrackedPose, Tracker
from scene_geo_loc.networks.runtime.extractor import has_contrast
from scene_geo_loc.ros.common import parameters
from scene_geo_loc.ros.common.camera_input import CameraInput, StampOrder
from scene_geo_loc.ros.common.counters import BadMessage, BadReason, Event
from scene_geo_loc.ros.common.diagnostics import DiagnosticsPublisher, LatencyWindow, Report
from scene_geo_loc.ros.common.managed_node import LOG_PERIOD_S, ManagedNode
from scene_geo_loc.ros.common.messages import image_message, stamp_to_ns
from scene_geo_loc.ros.common.running import autostart, run, spin
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.common.transforms import TransformListener
from scene_geo_loc.ros.localization.initial_pose import InitialPoses
from scene_geo_loc.ros.localization.pose_publisher import FixPublisher
from scene_geo_loc.ros.localization.report import LocalizationFacts
from scene_geo_loc.ros.localization.rig import FurtherCameras
from scene_geo_loc.ros.localization.state import State, StatePublisher
from scene_geo_loc.ros.localization.worker import NewestWorker

if TYPE_CHECKING:
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.reference_map import ReferenceMap

TF_CACHE_S = 30.0
"""Transforms are kept this long for images that are still being localized."""


@dataclass(frozen=True)
class Arrival:
    """An image message, when it came, and which run of the source it belongs to."""

    message: Any
    at: float
    generation: int


def open_localizer(settings: LocalizationNodeSettings) -> tuple[Localizer, ReferenceMap]:
    """The localizer and its map. Raises SceneGeoLocError."""
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    if not settings.map:
        raise SceneGeoLocError("No map is given; set the parameter `map` to the folder of a reference map.")
    reference_map = ReferenceMap.open(Path(settings.map))
    reference_map.verify()
    return Localizer(reference_map, settings.localizer, settings.device), reference_map


class LocalizationNode(ManagedNode):
    """Newest image in, pose of the robot out; docs/nodes.md describes the interface.

    Args:
        make_localizer: makes the localizer and its map when the node is configured.
    """

    def __init__(
        self,
        make_localizer: Callable[[LocalizationNodeSettings], tuple[Localizer, ReferenceMap]] = open_localizer,
        **node_arguments: Any,
    ) -> None:
        super().__init__("localization_node", **node_arguments)
        parameters.declare(self, LocalizationNodeSettings)
        self.settings = parameters.read(self, LocalizationNodeSettings)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._make_localizer = make_localizer
        self._lock = threading.Lock()
        self._camera_input: CameraInput | None = None

    def configure(self) -> None:
        """Opens the map and prepares everything but the camera. Raises SceneGeoLocError."""
        close = self.while_configured.callback
        self._localizer, self._map = self._make_localizer(self.settings)
        self.map_frame = self.settings.map_frame or self._map.map_frame
        self._latency, self._order = LatencyWindow(), StampOrder()
        self._generation = 0
        self._estimate: PoseEstimate | None = None
        self._newest_stamp_ns: int | None = None
        self._last_fix_at: float | None = None
        self._last_image_at = time.monotonic()
        self._tree = TransformTree(TF_CACHE_S)
        listener = TransformListener(
            self, self._tree, on_invalid=lambda: self.counters.add(BadReason.INVALID_TRANSFORM)
        )
        close(listener.close)
        self._fixes = FixPublisher(self, self.settings, self.map_frame, self._tree)
        close(self._fixes.close)
        self._initial_poses = InitialPoses(self, self.settings, self.map_frame, self.counters)
        self._tracker = Tracker(self.settings.tracker) if self.settings.tracking else None
        self._debug_publisher = self.create_publisher(Image, "localization/debug_image", 1)
        close(self.destroy_publisher, self._debug_publisher)
        self._state = StatePublisher(self, self._on_asked)
        close(self._state.close)
        close(DiagnosticsPublisher(self, "localization", self._report).close)
        jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False),
            post_callback=lambda _: self._start_over("The clock jumped back."),
        )
        close(jumps.unregister)
        self.get_logger().info(
            f"{self._map.path}: {len(self._map)} keyframes; poses are in the frame {self.map_frame}."
        )

    def activate(self) -> None:
        """Subscribes to the camera and localizes its images from now on."""
        close = self.while_active.callback
        self._last_image_at = time.monotonic()
        close(self._on_stopped)
        self._worker: NewestWorker[Arrival] = NewestWorker(self._localize, self._on_defect)
        close(self._worker.close)
        close(self._drop_frames_under_way)
        self._further_cameras = FurtherCameras(self, self.settings, self.counters, self._fixes)
        close(self._further_cameras.close)
        initial_poses = self.create_subscription(
            PoseWithCovarianceStamped, "initialpose", self._on_initial_pose, 1
        )
        close(self.destroy_subscription, initial_poses)
        rate = self.settings.transform_rate
        if rate:
            close(self.destroy_timer, self.create_timer(1.0 / rate, self._fixes.repeat))
        self._camera_input = CameraInput(self, self.settings, self.counters, self._on_image)
        close(self._camera_input.close)
        self._state.set(State.INITIALIZING, "No image was localized yet.")

    def _drop_frames_under_way(self) -> None:
        self._camera_input = None
        with self._lock:
            self._generation += 1

    def _on_stopped(self) -> None:
        self._forget()
        self._state.set(State.SUSPENDED, "The node is inactive.")

    # Messages, in the executor's thread.

    def _on_image(self, message: Any) -> None:
        self._last_image_at = time.monotonic()
        self.counters.add(Event.RECEIVED)
        if self._state.state is State.SUSPENDED:
            return
        stamp_ns = stamp_to_ns(message.header.stamp)
        try:
            if self._order.check(stamp_ns):
                self._start_over("The images' stamps jumped back.")
        except BadMessage as bad:
            self._count_bad(bad)
            return
        self._newest_stamp_ns = stamp_ns
        if self._worker.submit(Arrival(message, self._last_image_at, self._generation)):
            self.counters.add(Event.DROPPED)

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        if self._initial_poses.take(message) and self._tracker is not None:
            with self._lock:
                self._tracker.reset()

    def _on_parameters(self, changed: list[Any]) -> SetParametersResult:
        """Takes over live parameters; all others are read-only."""
        live = {p.name for p in parameters.parameters_of(LocalizationNodeSettings) if p.live}
        values = {parameter.name: parameter.value for parameter in changed if parameter.name in live}
        try:
            self.settings = parameters.from_values(
                LocalizationNodeSettings, parameters.values_of(self.settings) | values
            )
        except SceneGeoLocError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if hasattr(self, "_initial_poses"):
            self._fixes.settings = self._initial_poses.settings = self.settings
        return SetParametersResult(successful=True)

    def _on_asked(self, state: State, text: str) -> bool:
        """Goes to a state that a service asked for, dropping what is under way."""
        if self._camera_input is None:
            return False
        with self._lock:
            self._generation += 1
            if state is State.INITIALIZING:
                self._forget()
            self._state.set(state, text)
        return True

    def _start_over(self, why: str) -> None:
        """Forgets all that belongs to a time that has not come yet."""
        with self._lock:
            self._generation += 1
            self._tree.clear()
            self._order.reset()
            self._forget()
            if self._camera_input is not None:
                self._further_cameras.forget()
                if self._state.state is not State.SUSPENDED:
                    self._state.set(State.INITIALIZING, f"{why} Starting over.")

    def _forget(self) -> None:
        """Drops the prior and all fixes: map -> odom is withheld until the next one."""
        self._initial_poses.forget()
        if self._tracker is not None:
            self._tracker.reset()
        self._last_fix_at = None
        self._newest_stamp_ns = None
        self._estimate = None
        self._fixes.forget()

    def _count_bad(self, bad: BadMessage) -> None:
        self.counters.add(bad.reason)
        self.get_logger().warning(f"Rejected an image: {bad}.", throttle_duration_sec=LOG_PERIOD_S)

    # Frames, in the worker's thread.

    def _localize(self, arrival: Arrival) -> None:
        camera_input, message = self._camera_input, arrival.message
        if camera_input is None or arrival.generation != self._generation:
            return
        try:
            image, camera = camera_input.decode(message)
        except BadMessage as bad:
            self._count_bad(bad)
            return
        if not has_contrast(image):
            self._count_bad(BadMessage(BadReason.NO_CONTRAST))
        stamp_ns, frame = stamp_to_ns(message.header.stamp), camera_input.frame_id(message)
        prior = self._initial_poses.prior(lambda: self._fixes.base_T_camera(frame, stamp_ns))
        if prior is None and self._tracker is not None:
            prior = self._tracker.prior(stamp_ns)
        # The first camera is the rig's base: its pose is estimated.
        images = [CameraImage(image, camera), *self._further_cameras.beside(frame, stamp_ns)]
        estimate = self._localizer.localize(images, prior)
        T_odom_camera = self._fixes.odom_T_camera(frame, stamp_ns) if self._tracker is not None else None
        with self._lock:
            if arrival.generation != self._generation:
                return
            self._estimate = estimate
            if self._tracker is None:
                self._take(TrackedPose.of(estimate), stamp_ns, frame)
            else:
                self._take(self._tracker.update(stamp_ns, estimate, T_odom_camera, prior), stamp_ns, frame)
        self.counters.add(Event.PROCESSED)
        self._latency.add((time.monotonic() - arrival.at) * 1e3)
        if self._debug_publisher.get_subscription_count():
            self._publish_debug_image(stamp_ns, frame, image, estimate)

    def _take(self, pose: TrackedPose, stamp_ns: int, camera_frame: str) -> None:
        """Publishes what is known, a pose only where there is one to be sure of."""
        if not pose.status.has_pose:
            self._state.set(State(pose.status.value), pose.reason)
            return
        assert pose.T_map_base is not None
        assert pose.covariance is not None
        if not self._fixes.publish(stamp_ns, camera_frame, pose.T_map_base, pose.covariance):
            self._state.set(State.LOST, self._fixes.problem)
            return
        self._initial_poses.forget()
        self._last_fix_at = time.monotonic()
        self._state.set(State(pose.status.value), pose.reason)

    def _publish_debug_image(
        self, stamp_ns: int, frame: str, image: NDArray[np.uint8], estimate: PoseEstimate
    ) -> None:
        from scene_geo_loc.localization.match_picture import match_picture

        picture = match_picture(image, estimate, self._map)
        self._debug_publisher.publish(image_message(stamp_ns, frame, picture))

    def _on_defect(self, error: Exception) -> None:
        if not self.context.ok():
            return  # Nothing can be published any more: Ctrl-C came in the middle of this frame.
        self.counters.add(Event.FAILED)
        report = (
            str(error) if isinstance(error, SceneGeoLocError) else "".join(traceback.format_exception(error))
        )
        self.get_logger().error(f"A frame failed: {report}", throttle_duration_sec=LOG_PERIOD_S)

    def _report(self) -> Report:
        now, settings = time.monotonic(), self.settings
        with self._lock:
            fix_age_s = None if self._last_fix_at is None else now - self._last_fix_at
            if (
                self._state.state in (State.LOCALIZED, State.DEAD_RECKONED)
                and fix_age_s is not None
                and fix_age_s > settings.fix_timeout
            ):
                self._state.set(State.LOST, f"No pose for {settings.fix_timeout:g} s.")
            estimate, camera_input = self._estimate, self._camera_input
        stamp_age_s = None
        if self._newest_stamp_ns is not None:
            stamp_age_s = (self.get_clock().now().nanoseconds - self._newest_stamp_ns) / 1e9
        return LocalizationFacts(
            active=camera_input is not None,
            state=self._state.state.value,
            reason=self._state.reason,
            camera_problem=(camera_input.problem or self._further_cameras.problem) if camera_input else "",
            transform_problem=self._fixes.problem,
            image_topic=camera_input.image_topic if camera_input else "",
            info_topic=settings.camera_info_topic,
            has_camera_info=camera_input is not None and camera_input.has_camera_info,
            since_image_s=now - self._last_image_at,
            since_fix_s=fix_age_s,
            stamp_age_s=stamp_age_s,
            fix_timeout_s=settings.fix_timeout,
            recent=self.counters.take_recent(),
            totals=self.counters.totals(),
            latency_p50_ms=self._latency.percentile(50),
            latency_p95_ms=self._latency.percentile(95),
            inlier_ratio=estimate.inlier_ratio if estimate else None,
            inliers=estimate.inliers if estimate else None,
            map_path=str(self._map.path),
            map_frame=self.map_frame,
            keyframes=len(self._map),
            device=str(self._localizer.extractor.device),
            backend=self._localizer.extractor.backend_name,
        ).report()


def main(args: list[str] | None = None) -> int:
    """The console script localization_node."""
    return run(LocalizationNode, _serve, args)


def _serve(node: LocalizationNode) -> int:
    return spin(node, (lambda: autostart(node)) if node.settings.autostart else None)
