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

import threading
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
from scene_geo_loc.ros.localization.outputs.statistics import statistics_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scene_geo_loc.geometry.camera import Camera
    from scene_geo_loc.geometry.pose import Pose
    from scene_geo_loc.localization.estimate import PoseEstimate
    from scene_geo_loc.localization.pose_localizer import PoseLocalizer
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.ros.common.managed_node import ManagedNode
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

RETRY_S = 60.0
"""Time after a build that failed before the next one begins by itself."""


class MapExtension:
    """Collects images, has them built into a new version of the map, and opens that; serves `~/save`.

    The build is a process of the lowest priority.  The new version is opened in a thread and exchanged for
    the old one in the executor's.  Nobody else can change the map meanwhile.

    Args:
        node: the node.
        settings: returns the node's settings, of which some change while it runs.
        reference_map: the open map.
        open_again: opens the map's folder in its new version.
        on_build: called in the executor's thread when a build begins.
        on_opened: called there with the new version, or with None where there is none.

    Raises MapError where the map cannot be extended, or where another process changes it.
    """

    def __init__(
        self,
        node: ManagedNode,
        settings: Callable[[], LocalizationNodeSettings],
        reference_map: AnyMap,
        open_again: Callable[[], tuple[PoseLocalizer, AnyMap]],
        on_build: Callable[[], None],
        on_opened: Callable[[tuple[PoseLocalizer, AnyMap] | None], None],
    ) -> None:
        if not isinstance(reference_map, ReferenceMap):
            raise MapError(
                f"{reference_map.path} is a map of another kind than of keyframes, so no keyframes can be "
                'added: set the parameter mapping to "off".'
            )
        self._node, self._settings, self._path = node, settings, reference_map.path
        self._open_again, self._on_build, self._on_opened = open_again, on_build, on_opened
        self._lock = FolderLock.acquire(reference_map.path, node.get_name(), MapError)
        try:
            self._growth = MapGrowth(reference_map, settings().growth, settings().tracker, node.get_name())
        except BaseException:
            self._lock.release()
            raise
        self.problem = ""
        self.builds_at_close = True
        self._last_try_s = -RETRY_S
        self._process: BuildProcess | None = None
        self._thread: threading.Thread | None = None
        self._opened: tuple[PoseLocalizer, AnyMap] | None = None
        counts = self._growth.counts
        if counts.waiting or counts.unplaced:
            node.get_logger().info(
                f"{counts.waiting + counts.unplaced} images of an earlier run wait to be added to the map."
            )
        self._service = node.create_service(Trigger, "~/save", self._on_save)
        # Of wall time: a simulated clock may stand still.
        self._timer = node.create_timer(0.5, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def add(
        self,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        estimate: PoseEstimate,
        T_odom_camera: Pose | None,
        depth: NDArray[np.float32] | None = None,
    ) -> None:
        """Takes an image that was localized, or not; arguments as of `MapGrowth.add`."""
        self._growth.add(stamp_ns, image, camera, estimate, T_odom_camera, depth)

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
        response.success = self._thread is None
        if self._thread is not None:
            response.message = "Images are being added to the map already."
        elif not waiting:
            response.message = "No image with a pose waits to be added to the map."
        else:
            self._begin()
            response.message = f"{waiting} images are being added to the map."
        return response

    def _check(self) -> None:
        """Ends a build that is complete, and begins one that is due."""
        if self._thread is not None and not self._thread.is_alive():
            self._thread, opened = None, self._opened
            self._opened = None
            self._on_opened(opened)
        is_rested = time.monotonic() - self._last_try_s >= RETRY_S or not self.problem
        if self._thread is None and is_rested and self._growth.is_due:
            self._begin()

    def _begin(self) -> None:
        self._last_try_s = time.monotonic()
        self._on_build()
        self._thread = threading.Thread(target=self._build_and_open, name="map-extension", daemon=True)
        self._thread.start()

    def _build_and_open(self) -> None:
        try:
            self._build()
            self._opened = self._open_again()
        except SceneGeoLocError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(f"The map could not be extended: {error!r}.")

    def _build(self) -> None:
        """Builds what waits into the map. Raises SceneGeoLocError, and everything stays as it was."""
        growth = self._growth
        growth.settle()
        images = growth.placed
        settings = self._settings()
        self._process = BuildProcess(
            self._path,
            images,
            growth.folder,
            growth.source,
            self._lock,
            settings.map_budget,
            statistics_file(settings.statistics_dir, self._path),
        )
        try:
            grown = self._process.result()
        finally:
            self._process = None
        growth.built(images)
        self.problem = ""
        self._node.get_logger().info(f"{self._path}: {grown}.")

    def _fail(self, sentence: str) -> None:
        self.problem = sentence
        self._node.get_logger().error(sentence, throttle_duration_sec=LOG_PERIOD_S)

    def close(self) -> None:
        """Builds what waits into the map, unless `builds_at_close` is unset, and unlocks the map."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_service(self._service)
        if self._thread is not None:
            self._thread.join()
        if self.builds_at_close:
            try:
                self._growth.settle()
                if self._growth.counts.waiting:
                    self._build()
            except SceneGeoLocError as error:
                self._fail(str(error))
        self._growth.close()
        self._lock.release()
