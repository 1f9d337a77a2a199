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

"""Executors of jobs: what does the jobs of a fleet, one after the other in this process or elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from scene_geo_loc.core.progress import ProgressDisplay
from scene_geo_loc.mapping.fleet.drive_job import DriveJob, DriveResult, run_job


class DriveExecutor(Protocol):
    """Does jobs."""

    def run(
        self, jobs: Sequence[DriveJob], display: ProgressDisplay
    ) -> Iterator[tuple[DriveJob, DriveResult]]:
        """Yields each job with its result, in the order in which they are done.

        Args:
            jobs: the jobs; they may be done at the same time.
            display: shows progress.
        """
        ...


class InThisProcess:
    """Does one job after the other in this process."""

    def run(
        self, jobs: Sequence[DriveJob], display: ProgressDisplay
    ) -> Iterator[tuple[DriveJob, DriveResult]]:
        """See `DriveExecutor.run`."""
        for job in jobs:
            yield job, run_job(job, display)
