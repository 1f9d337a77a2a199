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

"""Makes a dense depth map, as a file, for each image of a traversal with lidar."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.folder_lock import OutputLock
from scene_geo_loc.core.journal import Journal
from scene_geo_loc.core.parallel import ordered_map
from scene_geo_loc.core.partial import MARKER
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.depth.depth_maps import FORMAT, INDEX, JOURNAL, DepthMap, DepthMaps, encode_depth
from scene_geo_loc.depth.lidar_views import LidarView, lidar_views
from scene_geo_loc.depth.window import ScanWindow
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.skipped import Skipped


@dataclass(frozen=True)
class MadeMaps:
    """Counts of what `make_depth_maps` did.

    Attributes:
        made, kept: numbers of depth maps made now and by earlier runs.
        known: mean share of pixels with a depth, over all of them.
        skipped: images and scans left out, by reason.
    """

    made: int
    kept: int
    known: float
    skipped: Skipped


def make_depth_maps(
    traversal: Traversal,
    out: Path,
    window: ScanWindow,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> MadeMaps:
    """Makes the depth maps of all images of a traversal that have scans around them.

    Each file is complete before it is listed, so that an interrupted run continues when it is started
    again; existing depth maps are kept.

    Args:
        window: scans to use, see `scene_geo_loc.depth.lidar_views.choose_window`.
        workers: number of processes; by default one for each core.

    Raises:
        SceneGeoLocError: `out` has other depth maps or cannot be written, or no depth map can be made.
        TraversalError: the source cannot be read.
    """
    skipped = Skipped()
    with _Journal(Path(out), window) as journal:
        kept = dict(journal.maps)
        _check_same_images(traversal, kept, journal.folder)
        remaining = _remaining(traversal, kept, window)
        jobs = _jobs(remaining, kept, window, skipped, journal.folder)
        done = len(kept)
        with ordered_map(_make, jobs, workers) as results:
            for depth_map in results:
                journal.add(depth_map)
                done += 1
                on_progress(done, len(traversal))
        skipped.add_all(remaining.skipped)
        if not journal.maps:
            raise SceneGeoLocError(f"{traversal.name}: no depth map can be made ({skipped or 'no images'}).")
        journal.finish(traversal.name)
    known = float(np.mean([depth_map.known for depth_map in journal.maps.values()]))
    return MadeMaps(len(journal.maps) - len(kept), len(kept), known, skipped)


@dataclass(frozen=True)
class _Job:
    view: LidarView
    window: ScanWindow
    folder: Path
    image: str


def _make(job: _Job) -> DepthMap:
    """Makes one depth map and writes its file."""
    frame = job.view.frame
    assert frame.T_map_camera is not None
    depth = job.view.dense(job.window)
    png = f"{frame.stamp_ns}.png"
    write_aside(job.folder / png, encode_depth(depth))
    known = float(np.isfinite(depth).mean())
    return DepthMap(frame.stamp_ns, job.image, frame.T_map_camera, frame.camera, png, known)


def _jobs(
    traversal: Traversal, kept: dict[int, DepthMap], window: ScanWindow, skipped: Skipped, folder: Path
) -> Iterator[_Job]:
    paths: dict[int, str] = {}
    if isinstance(traversal, FolderTraversal):
        for files in traversal.frame_files:
            below = files.image.is_relative_to(traversal.name)
            paths[files.stamp_ns] = str(files.image.relative_to(traversal.name) if below else files.image)
    for view in lidar_views(traversal, window, skipped, kept.keys()):
        yield _Job(view, window, folder, paths.get(view.frame.stamp_ns, view.frame.name))


def _remaining(traversal: Traversal, kept: dict[int, DepthMap], window: ScanWindow) -> Traversal:
    """Returns a traversal without the finished frames and the scans that only they need."""
    if not isinstance(traversal, FolderTraversal) or not kept:
        return traversal
    frames = [files for files in traversal.frame_files if files.stamp_ns not in kept]
    first = frames[0].stamp_ns - round(window.before_s * 1e9) if frames else 0
    skip = bisect_left(traversal.scan_files, first, key=attrgetter("stamp_ns"))
    return replace(traversal, frame_files=frames, scan_files=traversal.scan_files[skip:])


def _check_same_images(traversal: Traversal, kept: dict[int, DepthMap], folder: Path) -> None:
    """Raises where the existing depth maps are of another camera with the same stamps, or of other poses."""
    first = next(traversal.frames(), None) if kept else None
    there = kept.get(first.stamp_ns) if first else None
    if first is None or there is None or first.T_map_camera is None:
        return
    if first.camera != there.camera or not np.allclose(first.T_map_camera, there.T_map_camera, atol=1e-6):
        raise SceneGeoLocError(
            f"{folder} has depth maps of another camera or of other poses: name another folder."
        )


class _Journal:
    """The list of the depth maps of a folder while they are made; other processes are locked out.

    Attributes:
        folder: where they are.
        maps: those that are complete, by stamp.
    """

    def __init__(self, folder: Path, window: ScanWindow) -> None:
        self.folder = folder
        self.maps: dict[int, DepthMap] = {}
        self._window = asdict(window)
        has_list = (folder / JOURNAL).is_file() or (folder / INDEX).is_file()
        if not has_list and folder.is_dir() and any(entry.name != MARKER for entry in folder.iterdir()):
            raise SceneGeoLocError(f"{folder} is not empty and holds no depth maps: name another folder.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = OutputLock.acquire(folder / MARKER)
        except BlockingIOError:
            raise SceneGeoLocError(
                f"{folder} is being written by another process: wait for it, or name another folder."
            ) from None
        except OSError as error:
            raise SceneGeoLocError(
                f"{folder} cannot be written: {error.strerror}; name another folder."
            ) from error
        try:
            self._open()
        except BaseException:
            self._lock.release(remove=True)
            raise

    def _open(self) -> None:
        self._journal = Journal(self.folder / JOURNAL, DepthMap.from_dict)
        if self._journal.path.is_file():
            self._check(self._journal.head)
        elif (self.folder / INDEX).is_file():
            self._journal.records = list(DepthMaps.load(self.folder).maps)
            self._check(json.loads((self.folder / INDEX).read_text()))
        listed = [depth_map for depth_map in self._journal.records if (self.folder / depth_map.png).is_file()]
        self._journal.records = listed
        self.maps = {depth_map.stamp_ns: depth_map for depth_map in listed}
        self._journal.open({"version": FORMAT.version, "window": self._window}, DepthMap.to_dict)

    def __enter__(self) -> _Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        if not self.maps:
            self._journal.remove()
        self._lock.release(remove=True)

    def add(self, depth_map: DepthMap) -> None:
        """Lists a depth map whose file is complete."""
        self.maps[depth_map.stamp_ns] = depth_map
        self._journal.append(depth_map)

    def finish(self, source: str) -> None:
        """Writes the index, which takes the journal's place."""
        maps = sorted(self.maps.values(), key=attrgetter("stamp_ns"))
        head = json.dumps({"version": FORMAT.version, "window": self._window, "source": source})
        lines = ",\n".join(json.dumps(depth_map.to_dict()) for depth_map in maps)
        write_aside(self.folder / INDEX, f'{head[:-1]}, "maps": [\n{lines}\n]}}\n'.encode())
        self._journal.remove()

    def _check(self, head: Any) -> None:
        """Refuses depth maps that were made with another window or by another version."""
        try:
            same = head["version"] == FORMAT.version and head["window"] == self._window
        except (TypeError, KeyError) as error:
            raise SceneGeoLocError(
                f"The list of depth maps in {self.folder} is damaged: remove it."
            ) from error
        if not same:
            raise SceneGeoLocError(
                f"{self.folder} holds depth maps made with another window ({head['window']}): name another "
                "folder, or remove it."
            )
