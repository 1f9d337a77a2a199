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

"""Folders of training depth maps, and the file format of a depth map.

A folder has `<stamp>.png` for each image, 16 bits, in centimetres, 0 for unknown, and `index.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.depth.lidar import MAX_DEPTH_M
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose

FORMAT = FileFormat("scene_geo_loc depth maps", 1, again="make the depth maps again")
"""The version counts the ways in which depth maps are made, too."""

INDEX = "index.json"
JOURNAL = "index.partial.jsonl"
"""File that lists the depth maps, one on each line, until all are made."""


@dataclass(frozen=True)
class DepthMap:
    """Entry of a depth map in the index.

    Attributes:
        stamp_ns: time of the image.
        image: name of the image in the source: a path in its folder, or a topic and a time.
        T_map_camera: pose of the optical frame in the map.
        camera: camera of the image; the depth map has its size.
        png: file name of the depth map.
        known: share of pixels with a depth.
    """

    stamp_ns: int
    image: str
    T_map_camera: Pose
    camera: Camera
    png: str
    known: float

    def to_dict(self) -> dict[str, Any]:
        """Returns plain numbers and strings, for JSON."""
        return {
            "stamp_ns": self.stamp_ns,
            "image": self.image,
            "T_map_camera": self.T_map_camera.tolist(),
            "camera": self.camera.to_dict(),
            "png": self.png,
            "known": round(self.known, 4),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DepthMap:
        """Inverse of `to_dict`. Raises ValueError, TypeError or KeyError."""
        pose = np.array(values["T_map_camera"], np.float64).reshape(4, 4)
        camera = Camera.from_dict(values["camera"])
        png = Path(str(values["png"])).name  # never outside the folder
        return cls(int(values["stamp_ns"]), str(values["image"]), pose, camera, png, float(values["known"]))


class DepthMaps:
    """Folder of training depth maps.

    Attributes:
        maps: entries of the depth maps, in order of time.
        source: source of the images, as given when the depth maps were made.
    """

    def __init__(self, folder: Path, maps: list[DepthMap], source: Path) -> None:
        self.folder = folder
        self.maps = maps
        self.source = source
        self._places = {depth_map.stamp_ns: i for i, depth_map in enumerate(maps)}

    @classmethod
    def load(cls, folder: Path) -> DepthMaps:
        """Opens a folder by its index. Raises SceneGeoLocError where it is missing or damaged."""
        folder = Path(folder)
        if not (folder / INDEX).is_file():
            unfinished = (
                " but an unfinished one: make them again to complete it"
                if (folder / JOURNAL).is_file()
                else ""
            )
            raise SceneGeoLocError(f"{folder} has no {INDEX} of depth maps{unfinished}.")
        try:
            index = json.loads((folder / INDEX).read_text())
            FORMAT.check_version(index["version"], folder / INDEX)
            maps = [DepthMap.from_dict(values) for values in index["maps"]]
            source = Path(index["source"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SceneGeoLocError(
                f"{folder / INDEX} is damaged or of another format ({reason_of(error)}): make the depth maps "
                "again."
            ) from error
        return cls(folder, sorted(maps, key=attrgetter("stamp_ns")), source)

    def __len__(self) -> int:
        return len(self.maps)

    def find(self, stamp_ns: int) -> int | None:
        """Returns the index of the depth map of the image with this stamp, or None."""
        return self._places.get(stamp_ns)

    def depth(self, i: int) -> NDArray[np.float32]:
        """Reads a depth map (H, W) in metres, NaN where unknown.

        Raises SceneGeoLocError where its file is missing, damaged, or of another size than the camera.
        """
        depth_map = self.maps[i]
        path = self.folder / depth_map.png
        depth = decode_depth(path.read_bytes() if path.is_file() else b"")
        if depth is None:
            raise SceneGeoLocError(f"{path} is missing or is no grey 16-bit PNG: make the depth maps again.")
        camera = depth_map.camera
        if depth.shape != (camera.height, camera.width):
            raise SceneGeoLocError(
                f"{path} has {depth.shape[1]} x {depth.shape[0]} pixels, its camera {camera.width} x "
                f"{camera.height}: make the depth maps again."
            )
        return depth


def encode_depth(depth: NDArray[np.float32]) -> bytes:
    """Encodes a depth map (H, W) in metres as a 16-bit PNG in centimetres; 0 for NaN and above 100 m."""
    centimetres = np.nan_to_num(np.rint(depth * np.float32(100)), nan=0.0, posinf=0.0, neginf=0.0)
    centimetres[(centimetres < 0) | (centimetres > 100 * MAX_DEPTH_M)] = 0
    _, data = cv2.imencode(".png", centimetres.astype(np.uint16))
    return data.tobytes()


def decode_depth(data: bytes) -> NDArray[np.float32] | None:
    """Inverse of `encode_depth`; None where the data are no such PNG."""
    if not data:
        return None
    centimetres = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if centimetres is None or centimetres.dtype != np.uint16 or centimetres.ndim != 2:
        return None
    return np.where(centimetres > 0, centimetres / np.float32(100), np.float32(np.nan)).astype(np.float32)
