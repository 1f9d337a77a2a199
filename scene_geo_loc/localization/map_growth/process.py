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

"""Builds waiting images into a map in a process of its own, so that localization goes on beside it.

The process has the lowest priority and holds the parent's lock on the map: where the parent is killed, it
completes the new version, and nobody else changes the map until then.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock
from scene_geo_loc.localization.map_growth.building import GrownMap, build_waiting
from scene_geo_loc.localization.map_growth.waiting import WaitingImage

_LOWEST_PRIORITY = 19


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
        self._request = {
            "map": str(map_folder),
            "images": [image.to_dict() for image in images],
            "folder": str(folder),
            "source": source,
            "lock": lock.fileno(),
            "megabytes": megabytes,
            "statistics": None if statistics is None else str(statistics),
        }
        self._lock = lock
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[lock.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def result(self) -> GrownMap:
        """Waits for the process and returns the new version. Raises MapError where there is none."""
        output, _ = self._process.communicate(json.dumps(self._request))
        self._lock.name_holder()
        try:
            values = json.loads(output.splitlines()[-1])
            error = values.pop("error", None)
        except (ValueError, IndexError):
            status = self._process.returncode
            raise MapError(
                f"The process that adds keyframes to {self._request['map']} ended with status {status}: the "
                "images wait for the next attempt."
            ) from None
        if error is not None:
            raise MapError(error)
        return GrownMap(**values)

    def stop(self) -> None:
        """Ends the process; the map stays as it is, or is the new version already."""
        self._process.kill()


def main() -> int:
    """Builds what the request on the standard input names, and prints the result as a line of JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the parent, which waits
    os.nice(_LOWEST_PRIORITY)
    request: dict[str, Any] = json.load(sys.stdin)
    map_folder = Path(request["map"])
    lock = FolderLock.adopt(map_folder, request["lock"], "adding keyframes")
    try:
        with lock.used_here():
            grown = build_waiting(
                map_folder,
                [WaitingImage.from_dict(values) for values in request["images"]],
                Path(request["folder"]),
                request["source"],
                megabytes=request["megabytes"],
                statistics=None if request["statistics"] is None else Path(request["statistics"]),
            )
    except SceneGeoLocError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    finally:
        lock.release(keeps_file=True)
    with suppress(BrokenPipeError):  # the parent was killed, and the map is complete
        print(json.dumps(asdict(grown)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
