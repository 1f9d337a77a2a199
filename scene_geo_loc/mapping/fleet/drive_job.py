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

"""The job of mapping one drive of a fleet: paths and plain settings, so that any worker can do it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from scene_geo_loc import __version__
from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.depth.point_cloud import PointCloud
from scene_geo_loc.geometry.datum import Georeference, datum_of_text
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.traversals.formats import SourceOptions
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rig import one_or_rig
from scene_geo_loc.traversals.satellite import georeference_of
from scene_geo_loc.traversals.sources import sources_of

_NAME = re.compile(r"[^\w.-]+")


class DriveSource(BaseModel):
    """A drive of a fleet and the part of it that is mapped.

    Attributes:
        path: bag or folder of a dataset.
        format: one of `FORMATS`; None to recognise it.
        cameras: cameras to map; empty for the default one.
        options: further `SourceOptions`.
        every, offset, start, end: see `open_traversal`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    format: str | None = None
    cameras: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    every: int = 1
    offset: int = 0
    start: float | None = None
    end: float | None = None


class DriveJob(BaseModel):
    """Everything that a worker needs to map a drive; it is sent as JSON.

    Attributes:
        source: the drive.
        folder: folder that the map is written into, under `name`.
        settings: settings of the build.
        network: checkpoint of a network; None for the package's, or for that of `like`.
        like: map whose network and fitted parts are used; None: they are fitted to the drive.
        like_digest: digest of that map.
        cloud: file of points that depth is taken from; None for the drive's own lidar.
        datum: of the map, as text; None for that of the drive's satellite positions.
        device: where the network runs.
        package_version: release that has to do the job.
        stamps: number, bytes and last change (nanoseconds) of the files that the paths above name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: DriveSource
    folder: str
    settings: BuilderSettings
    network: str | None = None
    like: str | None = None
    like_digest: str | None = None
    cloud: str | None = None
    datum: str | None = None
    device: str = "auto"
    package_version: str = __version__
    stamps: dict[str, tuple[int, int, int]] = {}

    def stamped(self) -> DriveJob:
        """Returns the job with the stamps of its files."""
        named = (
            *self.source.options.values(),
            self.network,
            self.cloud,
            self.settings.descriptor,
            self.settings.local_features,
            self.settings.matcher,
        )
        files = {str(name) for name in named if name is not None and Path(str(name)).is_file()}
        stamps = {name: _stamp(Path(name)) for name in sorted({self.source.path, *files})}
        return self.model_copy(update={"stamps": stamps})

    @property
    def name(self) -> str:
        """Name of the map: that of the drive, and a digest of all that decides what the map holds.

        A map of that name is the one asked for, even if another process has built it.
        """
        values = self.model_dump(mode="json", exclude={"folder", "like", "device"})
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return f"{_NAME.sub('_', Path(self.source.path).name)}-{digest[:12]}"

    @property
    def out(self) -> Path:
        """Folder of the map."""
        return Path(self.folder) / self.name


class DriveResult(BaseModel):
    """Outcome of a job.

    Attributes:
        keyframes: number of keyframes of the map.
        frames: number of frames that were looked at; 0 for a map that was there before.
        resumed: keyframes that an earlier worker had left, which did not finish.
        is_reused: True if the map was there before.
        without_depth: keyframes without any depth.
        skipped: what the reader and the builder left out.
        seconds: time that the job took.
        host: name of the machine that did it.
        error: why there is no map; None where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyframes: int = 0
    frames: int = 0
    resumed: int = 0
    is_reused: bool = False
    without_depth: int = 0
    skipped: dict[str, str] = {}
    seconds: float = 0.0
    host: str = ""
    error: str | None = None


def run_job(job: DriveJob, display: ProgressDisplay = no_display) -> DriveResult:
    """Builds the map of a drive, unless it is there; resumes a build that was interrupted.

    An error that the user can act on is part of the result.  The map is not measured: the merged one is.
    """
    start = time.perf_counter()
    try:
        result = _build(job, display)
    except SceneGeoLocError as error:
        result = DriveResult(error=str(error))
    return result.model_copy(update={"seconds": time.perf_counter() - start, "host": platform.node()})


def run_job_text(job: str) -> str:
    """Returns the result of a job, both as JSON, for workers in other processes."""
    try:
        read = DriveJob.model_validate_json(job)
    except ValidationError as error:
        return DriveResult(
            error=f"The worker cannot read its job ({error.errors()[0]['msg']}): install release "
            f"{__version__} of scene_geo_loc, which the worker has, on all machines."
        ).model_dump_json()
    return run_job(read).model_dump_json()


def _build(job: DriveJob, display: ProgressDisplay) -> DriveResult:
    if job.package_version != __version__:
        raise MapError(
            f"The worker on {platform.node()} has release {__version__} of scene_geo_loc and the job is of "
            f"{job.package_version}: install the same release on all machines."
        )
    if job.out.is_dir():
        return DriveResult(keyframes=len(ReferenceMap.open(job.out)), is_reused=True)
    traversal = _open(job.source)
    given = None if job.datum is None else Georeference(datum_of_text(job.datum))
    builder = MapBuilder(
        job.out,
        job.settings,
        map_frame=traversal.map_frame,
        source=traversal.name,
        sources=sources_of(traversal),
        georeference=given or georeference_of(traversal),
        network=job.network,
        like=None if job.like is None else ReferenceMap.open(job.like),
        cloud=None if job.cloud is None else PointCloud.read(Path(job.cloud)),
        device=job.device,
    )
    name = Path(job.source.path).name
    try:
        with display(f"building {name}", "frames") as on_progress:
            builder.add_traversal(traversal, on_progress)
        with display(f"finishing {name}", "steps") as on_progress:
            builder.finish(on_progress)
    finally:
        builder.abandon()
    done = builder.progress
    skipped = {"reader": traversal.skipped, "map builder": done.skipped}
    return DriveResult(
        keyframes=done.keyframes,
        frames=done.frames,
        resumed=builder.resumed_keyframes,
        without_depth=done.without_depth,
        skipped={stage: str(counts) for stage, counts in skipped.items() if counts},
    )


def _open(source: DriveSource) -> Any:
    """Opens the cameras of a drive."""
    return one_or_rig(
        [
            open_traversal(
                source.path,
                source.format,
                every=source.every,
                offset=source.offset,
                start=source.start,
                end=source.end,
                **cast(SourceOptions, {**source.options, "camera": camera}),
            )
            for camera in source.cameras or (None,)
        ]
    )


def _stamp(path: Path) -> tuple[int, int, int]:
    """Returns number, bytes and last change of the files of a path."""
    if path.is_dir():
        files = [Path(root, name) for root, _, names in os.walk(path) for name in names]
    else:
        files = [path]
    states = [file.stat() for file in files if file.is_file()]
    last = max((state.st_mtime_ns for state in states), default=0)
    return len(states), sum(state.st_size for state in states), last
