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

"""Statistics of the map's keyframes, kept while the node localizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from std_srvs.srv import Trigger

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.localization.statistics.recorder import StatisticsRecorder
from scene_geo_loc.ros.common.managed_node import LOG_PERIOD_S, ManagedNode

if TYPE_CHECKING:
    from scene_geo_loc.localization.session import Answer
    from scene_geo_loc.mapping.reference_map import AnyMap


def statistics_file(folder: str, map_folder: Path) -> Path | None:
    """Returns the file of a map's statistics in `statistics_dir`; None where that is empty."""
    return Path(folder) / f"{map_folder.name}.parquet" if folder else None


class Statistics:
    """Counts what the answers say about the keyframes of the open map, and serves `~/save_statistics`.

    Where the file cannot be used or written, the log and the service say why, and the node goes on without.

    Args:
        folder: `statistics_dir`; the file in it has the name of the map's folder.  Empty: nothing is counted.
    """

    def __init__(self, node: ManagedNode, folder: str, reference_map: AnyMap) -> None:
        self._node = node
        self._recorder: StatisticsRecorder | None = None
        self._problem = "No statistics are kept: set the parameter statistics_dir to a folder."
        path = statistics_file(folder, reference_map.path)
        if path is not None:
            self._open(path, reference_map)
        self._service = node.create_service(Trigger, "~/save_statistics", self._on_save)

    def _open(self, path: Path, reference_map: AnyMap) -> None:
        try:
            self._recorder = StatisticsRecorder(path, reference_map)
        except SceneGeoLocError as error:
            self._problem = f"No statistics are kept: {error}"
            self._node.get_logger().error(self._problem)
            return
        if self._recorder.other_version:
            self._node.get_logger().info(self._recorder.other_version)

    def add(self, stamp_ns: int, answer: Answer) -> None:
        """Counts the answer to an image."""
        if self._recorder is None:
            return
        self._recorder.add(stamp_ns, answer)
        if self._recorder.problem:
            self._node.get_logger().warning(self._recorder.problem, throttle_duration_sec=LOG_PERIOD_S)

    def _on_save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = False
        response.message = self._problem
        if self._recorder is not None:
            try:
                self._recorder.save()
                response.success, response.message = True, f"The statistics are in {self._recorder.path}."
            except SceneGeoLocError as error:
                response.message = str(error)
        return response

    def close(self) -> None:
        """Saves, and stops serving."""
        self._node.destroy_service(self._service)
        if self._recorder is not None:
            try:
                self._recorder.close()
            except SceneGeoLocError as error:
                self._node.get_logger().error(str(error))
            self._recorder = None
