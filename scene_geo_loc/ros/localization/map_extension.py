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

"""Mapping while localizing: the node adds what it sees to the map that it has open."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType
from std_srvs.srv import Trigger

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock
from scene_geo_loc.localization.map_growth.growth import MapGrowth
from scene_geo_loc.localization.map_growth.process import BuildProcess
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.ros.common.managed_node import LOG_PERIOD_S
from scene_geo_loc.ros.localization.map_changes import CHECK_S, MapChange, MapChanges
from scene_geo_loc.ros.localization.outputs.statistics import statistics_file

if TYPE_CHECKING:
    from scene_geo_loc.geometry.pose import Pose
    from scene_geo_loc.localization.estimate import PoseEstimate
    from scene_geo_loc.localization.query import Query
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.ros.common.managed_node import ManagedNode
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

RETRY_S = 60.0
"""Time after a build that failed before the next one begins by itself."""


class MapExtension:
    """Collects images, and has them built into a new version of the map; serves `~/save`.

    The build is a process of the lowest priority.  Nobody else can change the map meanwhile.

    Args:
        node: the node.
        settings: returns the node's settings, of which some change while it runs.
        reference_map: the open map.
        changes: runs the builds; it holds the lock on the map until `close`.

    Raises MapError where the map cannot be extended, or where another process changes it.
    """

    def __init__(
        self,
        node: ManagedNode,
        settings: Callable[[], LocalizationNodeSettings],
        reference_map: AnyMap,
        changes: MapChanges,
    ) -> None:
        if not isinstance(reference_map, ReferenceMap):
            raise MapError(
                f"{reference_map.path} is a map of another kind than of keyframes, so no keyframes can be "
                'added: set the parameter mapping to "off".'
            )
        self._node, self._settings, self._path = node, settings, reference_map.path
        self._changes = changes
        self._lock = changes.lock = FolderLock.acquire(reference_map.path, node.get_name(), MapError)
        try:
            self._growth = MapGrowth(reference_map, settings().growth, settings().tracker, node.get_name())
        except BaseException:
            self._lock.release()
            raise
        self.problem = ""
        self.builds_at_close = True
        self._last_try_s = -RETRY_S
        counts = self._growth.counts
        if counts.waiting or counts.unplaced:
            node.get_logger().info(
                f"{counts.waiting + counts.unplaced} images of an earlier run wait to be added to the map."
            )
        self._service = node.create_service(Trigger, "~/save", self._on_save)
        # Of wall time: a simulated clock may stand still.
        self._timer = node.create_timer(CHECK_S, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def add(self, stamp_ns: int, query: Query, estimate: PoseEstimate, T_odom_base: Pose | None) -> None:
        """Takes an image that was localized, or not; arguments as of `MapGrowth.add`."""
        self._growth.add(stamp_ns, query, estimate, T_odom_base)

    def interrupt(self) -> None:
        """Drops what waits for a pose, as time jumped back."""
        self._growth.interrupt()

    @property
    def values(self) -> dict[str, object]:
        """Values of the diagnostics."""
        counts = self._growth.counts
        values: dict[str, object] = {
            "images_without_pose": counts.unplaced,
            "images_waiting": counts.waiting,
            "keyframes_added": counts.added,
        }
        return values | {
            f"images_dropped_{reason.name.lower()}": count for reason, count in counts.dropped.items()
        }

    def _on_save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._growth.settle()
        waiting = self._growth.counts.waiting
        refusal = self._changes.refusal
        response.success = not refusal
        if refusal:
            response.message = refusal
        elif not waiting:
            response.message = "No image with a pose waits to be added to the map."
        else:
            self._begin()
            response.message = f"{waiting} images are being added to the map."
        return response

    def _check(self) -> None:
        """Begins a build that is due."""
        is_rested = time.monotonic() - self._last_try_s >= RETRY_S or not self.problem
        if not self._changes.refusal and is_rested and self._growth.is_due:
            self._begin()

    def _begin(self) -> None:
        self._last_try_s = time.monotonic()
        self._changes.begin(MapChange("adding keyframes", True, self._build, self._on_end))

    def _on_end(self, problem: str) -> None:
        self.problem = problem
        if problem:
            self._node.get_logger().error(problem, throttle_duration_sec=LOG_PERIOD_S)

    def _build(self) -> bool:
        """Builds what waits into the map. Raises SceneGeoLocError, and everything stays as it was."""
        growth = self._growth
        growth.settle()
        images = growth.placed
        settings = self._settings()
        grown = BuildProcess(
            self._path,
            images,
            growth.folder,
            growth.source,
            self._lock,
            settings.map_budget,
            statistics_file(settings.statistics_dir, self._path),
        ).result()
        growth.built(images)
        self._node.get_logger().info(f"{self._path}: {grown}.")
        return True

    def close(self) -> None:
        """Builds what waits into the map, unless `builds_at_close` is unset, and unlocks the map."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_service(self._service)
        self._changes.join()
        if self.builds_at_close:
            try:
                self._growth.settle()
                if self._growth.counts.waiting:
                    self._build()
            except SceneGeoLocError as error:
                self._on_end(str(error))
        self._growth.close()
        self._changes.lock = None
        self._lock.release()
