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

"""The node that builds a reference map while the robot drives, or from a recording."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from std_srvs.srv import Trigger

from scene_geo_loc.core.errors import GeodesyError, SceneGeoLocError
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.ros.common import parameters
from scene_geo_loc.ros.common.counters import Event
from scene_geo_loc.ros.common.diagnostics import DiagnosticsPublisher, Level, Report, rejected_values
from scene_geo_loc.ros.common.managed_node import LOG_PERIOD_S, ManagedNode
from scene_geo_loc.ros.common.running import autostart, run, spin
from scene_geo_loc.ros.common.settings import MapBuilderNodeSettings, bond_period_s
from scene_geo_loc.ros.map_builder.input import BuilderInput
from scene_geo_loc.ros.map_builder.live_sources import LiveSources
from scene_geo_loc.ros.map_builder.satellite_positions import SatellitePositions
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.satellite import georeference_of
from scene_geo_loc.traversals.sources import sources_of, summary_of


def make_builder(settings: MapBuilderNodeSettings, map_frame: str, source: str) -> MapBuilder:
    """Returns the builder of some settings. Raises SceneGeoLocError."""
    if not settings.out:
        raise SceneGeoLocError("No map is named; set the parameter `out` to the folder of the map.")
    return MapBuilder(
        Path(settings.out),
        settings.builder,
        map_frame=map_frame,
        source=source,
        network=Path(settings.network) if settings.network else None,
        device=settings.device,
        measure=measure_map,
    )


class MapBuilderNode(ManagedNode):
    """Builds a reference map from images, poses and scans; docs/nodes.md describes its interface.

    Args:
        make: makes the builder when the node is configured.
    """

    def __init__(
        self,
        make: Callable[[MapBuilderNodeSettings, str, str], MapBuilder] = make_builder,
        **node_arguments: Any,
    ) -> None:
        super().__init__("map_builder_node", **node_arguments)
        parameters.declare(self, MapBuilderNodeSettings)
        self.settings = parameters.read(self, MapBuilderNodeSettings)
        self.bond_period_s = bond_period_s(self.settings)
        self.map_frame = self.settings.map_frame or "map"
        self._make = make
        self._input: BuilderInput | None = None
        self._builder: MapBuilder | None = None

    def configure(self) -> None:
        """Prepares the build, or continues an unfinished one. Raises SceneGeoLocError."""
        close = self.while_configured.callback
        self._saved: Path | None = None
        self._last_image_at = time.monotonic()
        self._builder = self._make(self.settings, self.map_frame, f"live: {self.settings.image_topic}")
        close(self._abandon)
        self._live_sources = LiveSources(self, self.settings)
        self._positions = SatellitePositions(self.settings.gps_topic)
        if self._builder.resumed_keyframes:
            self.get_logger().info(f"Continuing after {self._builder.resumed_keyframes} keyframes.")
            # Live frames come once: earlier ones, as of a simulation that began again, are others.
            self._builder.start_over()
        close(DiagnosticsPublisher(self, "map", self._report).close)
        close(self.destroy_service, self.create_service(Trigger, "~/save", self._on_save))
        jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False),
            post_callback=lambda _: self._on_clock_jump(),
        )
        close(jumps.unregister)

    def activate(self) -> None:
        """Subscribes to the sensors and builds from now on."""
        if self._builder is None:
            raise SceneGeoLocError("The map is saved already: clean up and configure for another one.")
        self.while_active.callback(self._stop)
        self._listen(self._builder)
        self.get_logger().info(f"Building {self.settings.out}; call ~/save when the drive is over.")

    def _abandon(self) -> None:
        """Leaves an unfinished build to be continued."""
        builder, self._builder = self._builder, None
        if builder is None:
            return
        keyframes = builder.progress.keyframes
        builder.abandon()
        if keyframes:
            print(f"Not saved: start again with the same `out` to continue after {keyframes} keyframes.")

    def _listen(self, builder: MapBuilder) -> None:
        self._input = BuilderInput(
            self,
            self.settings,
            self.map_frame,
            builder,
            self.counters,
            self._on_defect,
            self._live_sources,
            self._positions,
        )

    def _on_clock_jump(self) -> None:
        if self._input is not None:
            self._input.on_clock_jump()

    def _stop(self) -> None:
        builder_input, self._input = self._input, None
        if builder_input is not None:
            builder_input.close()

    def _on_save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._builder is None:
            response.message = f"{self._saved} is saved already."
            return response
        was_active = self._input is not None
        self._stop()
        self._builder.sources = self._live_sources.sources()
        self._builder.georeference = self._georeference()
        try:
            self._saved = self._builder.finish()
        except SceneGeoLocError as error:
            response.message = str(error)
            self.get_logger().error(str(error))
            if was_active:
                self._listen(self._builder)
            return response
        response.success = True
        response.message = f"{self._saved}: {self._builder.progress.keyframes} keyframes."
        self._builder = None
        self.get_logger().info(response.message)
        return response

    def _georeference(self) -> Georeference | None:
        """Returns the datum by the positions; None, with a warning, where they give none."""
        if not self.settings.gps_topic:
            return None
        try:
            return self._positions.georeference()
        except GeodesyError as error:
            self.get_logger().warning(f"The map gets no datum. {error}")
            return None

    def _on_defect(self, error: Exception) -> None:
        self.counters.add(Event.FAILED)
        report = (
            str(error) if isinstance(error, SceneGeoLocError) else "".join(traceback.format_exception(error))
        )
        self.get_logger().error(f"A message failed: {report}", throttle_duration_sec=LOG_PERIOD_S)

    def _report(self) -> Report:
        """Returns the report that docs/nodes.md describes under Diagnostics."""
        report, recent, totals = Report(), self.counters.take_recent(), self.counters.totals()
        builder, builder_input = self._builder, self._input
        if recent[Event.RECEIVED]:
            self._last_image_at = time.monotonic()
        report.find_failed_callbacks(recent)
        if builder is None:
            report.find(Level.OK, f"Saved as {self._saved}.")
        elif builder_input is None:
            report.find(Level.WARN, "Inactive: activate the node to build, or call ~/save.")
        else:
            silent_s = time.monotonic() - self._last_image_at
            if recent[Event.FAILED]:
                report.find(
                    Level.ERROR, f"{recent[Event.FAILED]} messages failed with a defect, see the log."
                )
            if builder_input.camera.problem:
                report.find(Level.ERROR, builder_input.camera.problem)
            elif silent_s > LOG_PERIOD_S:
                report.find(
                    Level.ERROR, f"No image on {builder_input.camera.image_topic} for {silent_s:.0f} s."
                )
            if not builder_input.camera.has_camera_info:
                report.find(Level.ERROR, f"No camera_info on {self.settings.camera_info_topic} yet.")
            if builder_input.problem:
                report.find(Level.WARN, builder_input.problem)
            report.find_rejected(recent, self.counters.details())
            if recent[Event.DROPPED]:
                report.find(Level.WARN, f"The builder is too slow: {recent[Event.DROPPED]} messages dropped.")
        values: dict[str, object] = {
            "out": self.settings.out,
            "images": totals[Event.RECEIVED],
            "scans": totals[Event.SCAN_RECEIVED],
            "dropped": totals[Event.DROPPED],
            "failed": totals[Event.FAILED],
            "callbacks_failed": totals[Event.CALLBACK_FAILED],
            "pending": len(builder_input) if builder_input else 0,
            "pending_mb": f"{builder_input.size / 1e6 if builder_input else 0:.1f}",
        }
        if builder is not None:
            progress = builder.progress
            values |= {
                "frames": progress.frames,
                "keyframes": progress.keyframes,
                "keyframes_waiting_for_lidar": progress.waiting,
                "keyframes_without_depth": progress.without_depth,
            }
            values |= {f"skipped: {reason}": count for reason, count in progress.skipped.counts.items()}
            if report.level is Level.OK:
                report.find(Level.OK, f"Building: {progress.keyframes} keyframes.")
        report.values = {key: str(value) for key, value in values.items()} | rejected_values(totals)
        return report


def build_from_bag(node: MapBuilderNode) -> int:
    """Builds from the recording `bag` as fast as it can be read; returns the exit code."""
    settings, logger = node.settings, node.get_logger()
    traversal = open_traversal(
        Path(settings.bag),
        poses=None if settings.pose_source == "tf" else settings.pose_topic,
        points=settings.points_topic or settings.scan_topic or None,
        depth_topic=settings.depth_topic or None,
        camera_info=settings.calibration_file or None,
        image_frame=None if settings.image_frame == "auto" else settings.image_frame,
        bits=settings.image_bits,
        readout_time=settings.readout_time,
    )
    builder = make_builder(settings, settings.map_frame or traversal.map_frame, traversal.name)
    builder.sources = sources_of(traversal)
    builder.georeference = georeference_of(traversal)
    logger.info(f"{traversal.name}: {summary_of(builder.sources)}")

    def on_progress(done: int, total: int) -> None:
        if not node.context.ok():
            raise ExternalShutdownException
        logger.info(
            f"{done} of {total} frames, {builder.progress.keyframes} keyframes",
            throttle_duration_sec=LOG_PERIOD_S,
        )

    try:
        builder.add_traversal(traversal, on_progress)
        logger.info(f"{builder.finish()}: {builder.progress.keyframes} keyframes.")
    except (KeyboardInterrupt, ExternalShutdownException):
        builder.abandon()
        print("Stopped: start again with the same `out` to continue.")
        return 130
    return 0


def main(args: list[str] | None = None) -> int:
    """The console script map_builder_node."""
    return run(MapBuilderNode, _work, args)


def _work(node: MapBuilderNode) -> int:
    if node.settings.bag:
        return build_from_bag(node)
    return spin(node, (lambda: autostart(node)) if node.settings.autostart else None)
