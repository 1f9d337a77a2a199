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

"""Jobs of a fleet on Ray (P. Moritz et al., Ray, OSDI 2018): on local workers or on a cluster."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.core.parallel import available_cores
from scene_geo_loc.core.progress import ProgressDisplay
from scene_geo_loc.mapping.fleet.drive_job import DriveJob, DriveResult, run_job_text

RETRIES = 3
"""Times that a job is done again whose worker was lost."""
_LOCAL = re.compile(r"local(?::(\d+))?")
_HOST_AND_PORT = re.compile(r"(?:ray://)?(.+):(\d+)")
_PATIENCE_S = 10.0
_STORE_BYTES = 100 * 2**20
"""Shared memory of local workers: only short texts are sent."""


class RayCluster:
    """Workers of Ray that do a job each at a time; a context manager.

    Only text goes to the workers and back: paths, settings and numbers, by the release of this package that
    each worker has installed.  Drives and maps have the same paths on all machines.
    """

    def __init__(self, address: str) -> None:
        """Takes the address of a cluster, such as "10.0.0.1:6379" or "auto", or starts workers here.

        Args:
            address: "local" for a worker on each core of this machine, "local:2" for two workers.

        Raises SceneGeoLocError where Ray is not installed, or where `address` names no number of workers.
        """
        # Read when Ray starts: nothing is reported to its makers.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ModuleNotFoundError as error:
            raise SceneGeoLocError(
                "Ray is not installed: `pip install 'scene_geo_loc[fleet]'`, or build "
                "without `ray`, one drive after the other."
            ) from error
        local = _LOCAL.fullmatch(address)
        if address.startswith("local") and (local is None or local[1] == "0"):
            raise SceneGeoLocError(
                f"{address!r} is no number of local workers: name `local` for one on each core, or for "
                "example `local:2`."
            )
        self._ray: Any = ray
        self._address = address
        self._workers = None if local is None else int(local[1] or available_cores())
        self._has_started = False

    def __enter__(self) -> RayCluster:
        options: dict[str, Any] = {"address": self._address}
        if self._workers is not None:
            options = {
                "address": "local",
                "num_cpus": self._workers,
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
            }
        if not self._ray.is_initialized():
            self._check_reachable()
            try:
                self._ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
            except Exception as error:  # of many classes, some of them private
                raise SceneGeoLocError(
                    f"No Ray cluster can be used at {self._address} ({reason_of(error)}): start one with "
                    "`ray start --head`, or name `local`."
                ) from error
            self._has_started = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._has_started:
            self._ray.shutdown()

    def _check_reachable(self) -> None:
        """Raises SceneGeoLocError where nobody answers at an address: Ray would try for minutes."""
        found = _HOST_AND_PORT.fullmatch(self._address)
        if found is None or self._workers is not None:
            return
        try:
            socket.create_connection((found[1].strip("[]"), int(found[2])), _PATIENCE_S).close()
        except (OSError, OverflowError) as error:
            raise SceneGeoLocError(
                f"No Ray cluster answers at {self._address} ({reason_of(error)}): start one with "
                "`ray start --head`, or name `local`."
            ) from error

    def run(
        self, jobs: Sequence[DriveJob], display: ProgressDisplay
    ) -> Iterator[tuple[DriveJob, DriveResult]]:
        """See `DriveExecutor.run`; a job whose worker was lost is done again, `RETRIES` times at most."""
        task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(run_job_text)
        waiting = {task.remote(job.model_dump_json()): job for job in jobs}
        try:
            with display("building", "drives") as on_progress:
                on_progress(0, len(jobs))
                while waiting:
                    (done, *_), _ = self._ray.wait(list(waiting), num_returns=1)
                    yield waiting.pop(done), self._result(done)
                    on_progress(len(jobs) - len(waiting), len(jobs))
        finally:
            for reference in waiting:
                self._ray.cancel(reference, force=True)

    def _result(self, reference: Any) -> DriveResult:
        errors = self._ray.exceptions
        try:
            return DriveResult.model_validate_json(self._ray.get(reference))
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            return DriveResult(
                error=f"its worker was lost {RETRIES + 1} times ({reason_of(error)}): give the workers more "
                "memory, or map a part of the drive."
            )
        except errors.RuntimeEnvSetupError as error:
            return DriveResult(error=f"no worker could be started ({reason_of(error)}).")
