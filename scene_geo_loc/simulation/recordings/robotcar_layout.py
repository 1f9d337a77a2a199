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

"""Writers of the files of the Oxford RobotCar dataset, in its published formats.

Images are PNG files of the sensor's raw Bayer pattern, scans are float64 x, y (metres, in the plane of the
scanner) and reflectance, stamps are microseconds since 1970.  See the readers in
scene_geo_loc.traversals.robotcar for the rest.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.simulation.vehicle.navigation import GPS_SIGMAS_M
from scene_geo_loc.simulation.vehicle.robotcar_rig import EXTRINSICS, RobotcarView, model_text
from scene_geo_loc.traversals.robotcar.poses import ORIGIN, ZONE

_BAND = "U"

_PLACE = ("latitude", "longitude", "altitude")
_GRID = ("northing", "easting", "down", "utm_zone")
_MOTION = ("velocity_north", "velocity_east", "velocity_down", "roll", "pitch", "yaw")
_INS_HEADER = ("timestamp", "ins_status", *_PLACE, *_GRID, *_MOTION)
_RTK_HEADER = ("timestamp", *_PLACE, *_GRID, *_MOTION)
_GPS_HEADER = (
    "timestamp", "num_satellites", *_PLACE, "latitude_sigma", "longitude_sigma", "altitude_sigma", *_GRID,
)  # fmt: skip
_VO_HEADER = ("source_timestamp", "destination_timestamp", "x", "y", "z", "roll", "pitch", "yaw")


def bayer_mosaic(rgb: NDArray[np.uint8], pattern: str) -> NDArray[np.uint8]:
    """Returns the raw image (H, W) of a sensor with a colour filter for an RGB image (H, W, 3).

    Args:
        pattern: colours of the first four pixels, row by row, such as "rggb".
    """
    raw = np.empty(rgb.shape[:2], np.uint8)
    for colour, (row, column) in zip(pattern, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        raw[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return raw


def write_image(path: Path, rgb: NDArray[np.uint8], pattern: str) -> None:
    """Writes a raw image.

    Raises SceneGeoLocError where the file cannot be written.
    """
    if not cv2.imwrite(str(path), bayer_mosaic(rgb, pattern)):
        raise SceneGeoLocError(f"{path} cannot be written: free disk space, or name another folder.")


def write_scan(
    path: Path, angles: NDArray[np.float64], ranges: NDArray[np.float32], intensity: NDArray[np.float32]
) -> None:
    """Writes the beams of a scan that have an echo."""
    back = np.isfinite(ranges)
    x, y = ranges[back] * np.cos(angles[back]), ranges[back] * np.sin(angles[back])
    np.stack([x, y, intensity[back]], 1).astype("<f8").tofile(path)


def write_timestamps(path: Path, stamps_us: Iterable[int]) -> None:
    """Writes the stamps of a sensor's files, all in the first chunk."""
    path.write_text("".join(f"{stamp} 1\n" for stamp in stamps_us))


def write_ins(path: Path, stamps_us: Sequence[int], rows: NDArray[np.float64]) -> None:
    """Writes the inertial navigation solution, rows (N, 9) of `navigation.inertial`."""
    _write_table(
        path,
        _INS_HEADER,
        ([stamp, "INS_SOLUTION_GOOD", *row] for stamp, row in zip(stamps_us, _inertial(rows), strict=True)),
    )


def write_rtk(path: Path, stamps_us: Sequence[int], rows: NDArray[np.float64]) -> None:
    """Writes the RTK ground truth, rows (N, 9) of `navigation.inertial`."""
    _write_table(
        path, _RTK_HEADER, ([stamp, *row] for stamp, row in zip(stamps_us, _inertial(rows), strict=True))
    )


def write_gps(path: Path, stamps_us: Sequence[int], ned: NDArray[np.float64]) -> None:
    """Writes GPS positions: north, east, down (N, 3) in metres from the map's origin."""
    sigmas = [f"{sigma:.3f}" for sigma in GPS_SIGMAS_M]
    rows = (
        [stamp, 9, *place, *sigmas, *grid]
        for stamp, place, grid in zip(stamps_us, *_positions(ned), strict=True)
    )
    _write_table(path, _GPS_HEADER, rows)


def write_vo(path: Path, stamps_us: Sequence[int], steps: NDArray[np.float64]) -> None:
    """Writes visual odometry: steps (N - 1, 6) from each of the stamps (N,) to the next one."""
    _write_table(
        path,
        _VO_HEADER,
        (
            [later, earlier, *(f"{number:.9f}" for number in step)]
            for earlier, later, step in zip(stamps_us[:-1], stamps_us[1:], steps, strict=True)
        ),
    )


def write_calibration(root: Path, views: Iterable[RobotcarView]) -> None:
    """Writes the folders `extrinsics/` and `models/` beside the runs."""
    extrinsics, models = root / "extrinsics", root / "models"
    for folder in (extrinsics, models):
        folder.mkdir(parents=True, exist_ok=True)
    for sensor, numbers in EXTRINSICS.items():
        (extrinsics / f"{sensor}.txt").write_text(" ".join(f"{number:.4f}" for number in numbers) + "\n")
    for view in views:
        (models / f"{view.kind.model}.txt").write_text(model_text(view))
        view.undistortion().astype("<f8").tofile(models / f"{view.kind.model}_distortion_lut.bin")


def _inertial(rows: NDArray[np.float64]) -> Iterable[list[str]]:
    for row, place, grid in zip(rows, *_positions(rows[:, :3]), strict=True):
        yield [*place, *grid, *(f"{number:.6f}" for number in row[3:])]


def _positions(ned: NDArray[np.float64]) -> tuple[list[list[str]], list[list[str]]]:
    """Returns the columns _PLACE and _GRID of positions (N, 3) from the map's origin."""
    northing, easting, down = (ned + ORIGIN).T
    geodetic = ZONE.geodetic_of_grid(np.stack([easting, northing, -down], axis=-1))
    place = [[f"{a:.9f}", f"{b:.9f}", f"{c:.4f}"] for a, b, c in geodetic]
    grid = [
        [f"{n:.6f}", f"{e:.6f}", f"{d:.6f}", f"{ZONE.number}{_BAND}"]
        for n, e, d in zip(northing, easting, down, strict=True)
    ]
    return place, grid


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
