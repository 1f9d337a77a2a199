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

import threading
from collections.abc import Callable
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
    What takes seconds in a large map is done in a thread.

    Args:
        folder: `statistics_dir`; the file in it has the name of the map's folder.  Empty: nothing is counted.
    """

    def __init__(self, node: ManagedNode, folder: str, reference_map: AnyMap) -> None:
        self._node, self._folder, self._map = node, folder, reference_map
        self._recorder: StatisticsRecorder | None = None
        self._thread: threading.Thread | None = None
        self._problem = "No statistics are kept: set the parameter statistics_dir to a folder."
        self._open(reference_map)
        self._service = node.create_service(Trigger, "~/save_statistics", self._on_save)

    def _open(self, reference_map: AnyMap) -> None:
        path = statistics_file(self._folder, reference_map.path)
        if path is None:
            return
        try:
            recorder = StatisticsRecorder(path, reference_map)
        except SceneGeoLocError as error:
            self._problem = f"No statistics are kept: {error}"
            self._node.get_logger().error(self._problem)
            return
        if recorder.other_version:
            self._node.get_logger().info(recorder.other_version)
        self._recorder = recorder

    def add(self, stamp_ns: int, answer: Answer) -> None:
        """Counts the answer to an image."""
        recorder = self._recorder
        if recorder is None:
            return
        recorder.add(stamp_ns, answer)
        if recorder.problem:
            self._node.get_logger().warning(recorder.problem, throttle_duration_sec=LOG_PERIOD_S)

    def exchange_map(self, reference_map: AnyMap) -> None:
        """Saves, and counts for a new version of the map; images that come meanwhile are not counted."""
        if not self._folder:
            return
        recorder, self._recorder, self._map = self._recorder, None, reference_map
        self._problem = "The statistics are being made those of the new version of the map: ask again."
        self._begin(lambda: self._exchange(recorder, reference_map))

    def _exchange(self, recorder: StatisticsRecorder | None, reference_map: AnyMap) -> None:
        if recorder is not None:
            self._save_by(recorder.close)
        if reference_map is self._map:  # else there is a newer version already
            self._open(reference_map)

    def _on_save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = False, self._problem
        recorder = self._recorder
        if recorder is None:
            return response
        try:
            recorder.flush()
        except SceneGeoLocError as error:
            response.message = str(error)
            return response
        self._begin(lambda: self._save(recorder))
        response.success = True
        response.message = f"The statistics are being written to {recorder.path}; the log says when they are."
        return response

    def _save(self, recorder: StatisticsRecorder) -> None:
        if self._save_by(recorder.save):
            self._node.get_logger().info(f"The statistics are in {recorder.path}.")

    def _save_by(self, save: Callable[[], None]) -> bool:
        try:
            save()
        except SceneGeoLocError as error:
            self._node.get_logger().error(str(error))
            return False
        return True

    def _begin(self, work: Callable[[], None]) -> None:
        """Does work in a thread, after what it does already."""
        before = self._thread

        def run() -> None:
            if before is not None:
                before.join()
            work()

        self._thread = threading.Thread(target=run, name="statistics")
        self._thread.start()

    def close(self) -> None:
        """Saves, and stops serving."""
        self._node.destroy_service(self._service)
        if self._thread is not None:
            self._thread.join()
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            self._save_by(recorder.close)
