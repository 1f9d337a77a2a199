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

"""Builds waiting images into a map in a process of its own, so that localization goes on beside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from scene_geo_loc.core.background_process import BackgroundProcess, Request, answer_parent
from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock
from scene_geo_loc.localization.map_growth.building import GrownMap, build_waiting
from scene_geo_loc.localization.map_growth.waiting import WaitingImage


class BuildProcess:
    """A process that builds waiting images into their map.

    Args:
        map_folder: the map.
        images: images with poses.
        folder: where their files are.
        source: name of their drive.
        lock: lock on the map, which the process inherits.
        megabytes: largest size of the map; None: any.
        statistics: file of the map's statistics, see `build_waiting`.
    """

    def __init__(
        self,
        map_folder: Path,
        images: Sequence[WaitingImage],
        folder: Path,
        source: str,
        lock: FolderLock,
        megabytes: float | None = None,
        statistics: Path | None = None,
    ) -> None:
        request = {
            "map": str(map_folder),
            "images": [image.to_dict() for image in images],
            "folder": str(folder),
            "source": source,
            "megabytes": megabytes,
            "statistics": None if statistics is None else str(statistics),
        }
        self._process = BackgroundProcess(__name__, request, lock, "adding keyframes")

    def result(self) -> GrownMap:
        """Waits for the process and returns the new version.

        Raises MapError where there is none; the images wait for the next attempt.
        """
        try:
            return GrownMap(**self._process.result())
        except SceneGeoLocError as error:
            raise MapError(str(error)) from error

    def stop(self) -> None:
        """Ends the process; the map stays as it is, or is the new version already."""
        self._process.stop()


def _build(request: Request) -> Request:
    grown = build_waiting(
        Path(request["map"]),
        [WaitingImage.from_dict(values) for values in request["images"]],
        Path(request["folder"]),
        request["source"],
        megabytes=request["megabytes"],
        statistics=None if request["statistics"] is None else Path(request["statistics"]),
    )
    return asdict(grown)


if __name__ == "__main__":
    sys.exit(answer_parent(_build))
