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
"""Writes sets of panoramas: images, depth maps and index (docs/datasets/streetview.md)."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_aside, write_json
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.traversals.streetview.datum import write_datum
from scene_geo_loc.traversals.streetview.index import CSV_NAME, IndexRow, write_index

TRUTH_NAME = "truth.csv"
"""Index with the true poses of a simulated set; readers do not take it."""
_SETTINGS_NAME = "simulation.json"
_JPEG_QUALITY = 90
_MAX_CM = 65535
MAX_PLANES = 255
"""Planes of a depth map in the planes-and-indices form, besides the sky."""


class PanoramaSetWriter:
    """Writes a set of panoramas beside its final name; what an earlier process left is continued.

    Attributes:
        folder: where the images are written until `publish`.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        """Prepares a set; nothing is written yet.

        Args:
            settings: what the images depend on; an unfinished set of other settings is not continued.
        """
        self._output = PartialFolder(out, "set of panoramas")
        self._settings = settings
        self.folder = self._output.folder

    def begin(self) -> None:
        """Creates or continues the folder.

        Raises SceneGeoLocError where the set exists, cannot be written, or was begun with other settings.
        """
        if self._output.out.exists():
            raise SceneGeoLocError(f"{self._output.out} exists already: name another folder.")
        self._output.begin()
        path = self.folder / _SETTINGS_NAME
        if path.exists():
            self._refuse_others(path)
        write_json(path, self._settings)

    def _refuse_others(self, path: Path) -> None:
        try:
            found = json.loads(path.read_text())
        except (ValueError, UnicodeDecodeError):
            found = {}
        for name, value in json.loads(json.dumps(self._settings)).items():
            if found.get(name) != value:
                self._output.release()
                raise SceneGeoLocError(
                    f"{self.folder} holds unfinished panoramas with {name} {found.get(name)}, not {value}: "
                    "give the same settings, remove it, or name another folder."
                )

    def release(self) -> None:
        """Leaves an unfinished set, to be continued later."""
        self._output.release()

    def publish(self, rows: Iterable[IndexRow], truth: Iterable[IndexRow], datum: Datum) -> None:
        """Writes the index, the true poses and the datum, and gives the set its name.

        Raises SceneGeoLocError where the set cannot be written.
        """
        write_index(self.folder / CSV_NAME, rows)
        write_index(self.folder / TRUTH_NAME, truth)
        write_datum(self.folder, datum)
        self._output.publish()


def write_panorama(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Writes an image (H, W, 3) as JPEG. Raises SceneGeoLocError where it cannot be written."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    write_aside(path, data.tobytes())


def write_depth_png(path: Path, distance: NDArray[np.floating]) -> None:
    """Writes distances (H, W) in metres along the rays as PNG in centimetres.

    The sky (inf) and what is farther than 655 m become 0, unknown.

    Raises SceneGeoLocError where it cannot be written.
    """
    centimetres = np.round(distance * 100)
    known = np.isfinite(centimetres) & (centimetres <= _MAX_CM)
    _, data = cv2.imencode(".png", np.where(known, centimetres, 0).astype(np.uint16))
    write_aside(path, data.tobytes())


def planes_text(planes: NDArray[np.floating], index: NDArray[np.integer]) -> str:
    """Returns a depth map of planes and indices as base64: header, index of each pixel, planes.

    The header has 8 bytes: its size, the number of planes (with number 0, the sky), width, height, and the
    offset of the indices.  A plane is its normal n and its distance d in float32; the axes are x to the
    right, y towards the centre column and z up.

    Args:
        planes: (P, 4) normals in the panorama's optical axes, and distances in metres: n . p = d.
        index: (H, W) plane of each pixel, -1 for the sky.

    Raises ValueError where there are more than MAX_PLANES planes.
    """
    if len(planes) > MAX_PLANES:
        raise ValueError(f"{len(planes)} planes; a byte numbers {MAX_PLANES}")
    height, width = index.shape
    x, y, z, d = np.asarray(planes, np.float64).T
    rows = np.concatenate([np.zeros((1, 4)), np.stack([x, z, -y, d], 1)]).astype("<f4")
    header = struct.pack("<BHHHB", 8, len(rows), width, height, 8)
    data = header + (index + 1).astype(np.uint8).tobytes() + rows.tobytes()
    return base64.urlsafe_b64encode(zlib.compress(data)).decode()


def write_depth_planes(path: Path, planes: NDArray[np.floating], index: NDArray[np.integer]) -> None:
    """Writes a depth map of planes and indices, see `planes_text`.

    Raises SceneGeoLocError where it cannot be written.
    """
    write_aside(path, planes_text(planes, index).encode())
