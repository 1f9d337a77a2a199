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


"""Writes the map of a learned localizer: its networks, and poses of the training as keyframes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scene_geo_loc import __version__
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import to_quaternion
from scene_geo_loc.mapping.map_info import (
    FORMAT,
    KEYFRAME_SCHEMA,
    KEYFRAMES,
    KIND,
    THUMBNAILS,
    WITH_OTHER_FEATURES,
    FileRecord,
    MapAccuracy,
    MapInfo,
    check_output,
    check_replaceable_map,
    sha256_of,
    write_info,
)
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.satellite import georeference_of
from scene_geo_loc.traversals.sources import sources_of

KEYFRAME_SPACING = 0.01
"""Distance between two kept poses of the training, as a share of the extent of the positions."""


@dataclass(frozen=True)
class Keyframes:
    """Keyframes of a map.

    Attributes:
        T_map_camera: (N, 4, 4).
        cameras: of each.
        thumbnails: JPEG picture of each; empty where the map has none.
    """

    T_map_camera: NDArray[np.float64]
    cameras: Sequence[Camera]
    thumbnails: Sequence[bytes] = ()


@dataclass(frozen=True)
class TrainingPoses:
    """Poses and cameras of the images of a training.

    Attributes:
        T_map_camera: (N, 4, 4), in the order of the source.
        K: (N, 4) fx, fy, cx, cy in pixels.
        height, width: of the images, pixels.
    """

    T_map_camera: NDArray[np.float64]
    K: NDArray[np.float64]
    height: int
    width: int

    @property
    def keyframes(self) -> Keyframes:
        """Keyframes at the poses that are `KEYFRAME_SPACING` apart from the last one."""
        positions = self.T_map_camera[:, :3, 3]
        extent_m = float(np.linalg.norm(np.ptp(positions, axis=0)))
        kept = _spread(positions, KEYFRAME_SPACING * extent_m)
        cameras = [Camera(self.width, self.height, *K) for K in self.K[kept].tolist()]
        return Keyframes(self.T_map_camera[kept], cameras)


def new_map_folder(out: Path, overwrite: bool) -> PartialFolder:
    """Returns the unfinished folder of a map. Raises MapError where one exists and is not to be replaced."""
    check_output(out, overwrite)
    return PartialFolder(out, KIND)


def first_frame(traversal: Traversal) -> Frame:
    """Returns the first image of a source. Raises SceneGeoLocError where there is none."""
    first = next(traversal.frames(), None)
    if first is None:
        raise SceneGeoLocError(f"{traversal.name} has no images: name another source.")
    return first


def write_localizer_map(
    output: PartialFolder,
    localizer: str,
    networks: Mapping[str, Callable[[Path], None]],
    poses: TrainingPoses | Keyframes,
    traversal: Traversal,
    settings: Mapping[str, Any],
    overwrite: bool,
    accuracy: MapAccuracy | None = None,
) -> None:
    """Writes the folder of a map, and publishes it once it is complete.

    Args:
        output: the folder.
        localizer: name of the localizer in `map.json`.
        networks: by the name of the file, what writes it; the digest of the map's network is the first's.
        poses: of the training, of which those at a distance from the last one are kept; or the keyframes.
        traversal: the source.
        settings: of the training.
        overwrite: whether a map at the place of the folder is replaced.
        accuracy: of the map; None where it was not measured.
    """
    try:
        output.begin()
        output.restart()
        folder = output.folder
        for name, save in networks.items():
            save(folder / name)
        keyframes = poses.keyframes if isinstance(poses, TrainingPoses) else poses
        cameras = list(dict.fromkeys(keyframes.cameras))
        names = [KEYFRAMES, *networks]
        if keyframes.thumbnails:
            (folder / THUMBNAILS).write_bytes(b"".join(keyframes.thumbnails))
            names.append(THUMBNAILS)
        _write_keyframes(folder / KEYFRAMES, keyframes, [cameras.index(c) for c in keyframes.cameras])
        files = [folder / name for name in names]
        info = MapInfo(
            format=FORMAT.name,
            format_version=WITH_OTHER_FEATURES,
            map_frame=traversal.map_frame,
            keyframes=len(keyframes.T_map_camera),
            cameras=[camera.to_dict() for camera in cameras],
            network_digest=sha256_of(folder / next(iter(networks))),
            matcher="",
            built=datetime.now(timezone.utc),
            source=traversal.name,
            settings=dict(settings),
            skipped=dict(traversal.skipped.counts),
            package_version=__version__,
            files={f.name: FileRecord(bytes=f.stat().st_size, sha256=sha256_of(f)) for f in files},
            localizer=localizer,
            sources=sources_of(traversal),
            accuracy=accuracy,
            georeference=georeference_of(traversal),
        )
        write_info(folder, info)
        output.publish(check_replaceable_map if overwrite else None)
    finally:
        output.discard()


def _write_keyframes(path: Path, keyframes: Keyframes, camera_of: Sequence[int]) -> None:
    T_map_camera, count = keyframes.T_map_camera, len(keyframes.T_map_camera)
    lengths = np.array([len(thumbnail) for thumbnail in keyframes.thumbnails] or np.zeros(count), np.int64)
    columns = [
        np.arange(count),  # the images have no stamps: their order
        *T_map_camera[:, :3, 3].T,
        *np.stack([to_quaternion(T) for T in T_map_camera]).T,
        np.array(camera_of, np.int32),
        [""] * count,
        ["none"] * count,
        np.cumsum(lengths) - lengths,
        lengths.astype(np.int32),
    ]
    arrays = [pa.array(values, entry.type) for values, entry in zip(columns, KEYFRAME_SCHEMA, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=KEYFRAME_SCHEMA), path)


def _spread(positions: NDArray[np.float64], spacing_m: float) -> NDArray[np.intp]:
    """Returns numbers of positions (N, 3) in order that are at least a spacing apart from the last one."""
    kept = [0]
    for i, position in enumerate(positions):
        if np.linalg.norm(position - positions[kept[-1]]) >= spacing_m:
            kept.append(i)
    return np.unique(np.array(kept, np.intp))
