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

"""Writes a small Oxford RobotCar run in the official layout: twelve seconds along a bend, every sensor."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

RUN = "2014-06-26-09-31-18"
START_US = 1_403_774_720_000_000
SECONDS = 12.0

SIZES = {"stereo": (64, 48), "mono_left": (64, 64), "mono_right": (64, 64), "mono_rear": (64, 64)}
PATTERNS = {"stereo": "gbrg", "mono_left": "rggb", "mono_right": "rggb", "mono_rear": "rggb"}
CAMERAS = ("stereo/left", "stereo/centre", "stereo/right", "mono_left", "mono_right", "mono_rear")
LIDARS = ("lms_front", "lms_rear", "ldmrs")
MODELS = {
    "stereo_narrow_left": (48.2, 48.2, 32.2, 24.2, 0.0),
    "stereo_wide_left": (49.2, 49.2, 32.1, 24.6, 0.0),
    "stereo_wide_right": (49.2, 49.2, 32.1, 24.6, 0.239983),
    "mono_left": (25.0, 25.0, 31.3, 32.0, 0.0),
    "mono_right": (25.0, 25.0, 31.4, 30.6, 0.0),
    "mono_rear": (25.0, 25.0, 31.8, 31.1, 0.0),
}
"""fx, fy, cx, cy, and how far to the right of its unit's frame the lens is."""

EXTRINSICS = {
    "stereo": (0, 0, 0, 0, 0, 0),
    "mono_left": (-0.0905, 1.6375, 0.2803, 0.2079, -0.2339, 1.2321),
    "mono_right": (-0.2587, -1.6810, 0.3226, -0.1961, -0.2469, -1.2675),
    "mono_rear": (-2.0582, 0.0894, 0.3675, -0.0119, -0.2498, 3.1283),
    "lms_front": (1.7589, 0.2268, 1.0411, -0.0437, -1.4572, 0.0356),
    "lms_rear": (-2.5850, 0.2852, 1.0885, -2.8405, -1.5090, -0.3614),
    "ldmrs": (1.5349, 0.0090, 1.3777, 0.0205, 0.0767, -0.0299),
    "ins": (-1.7132, 0.1181, 1.1948, -0.0125, 0.0400, 0.0050),
}
"""Those of the real car: x, y, z, roll, pitch, yaw."""

ORIGIN = (5_735_000.0, 620_000.0)
"""Northing and easting of the map's origin."""


def stamp_us(seconds: float) -> int:
    """A stamp in microseconds."""
    return START_US + round(seconds * 1e6)


def rigid(numbers: tuple[float, ...] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The 4x4 matrix of x, y, z, roll, pitch, yaw."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("xyz", numbers[3:]).as_matrix()
    T[:3, 3] = numbers[:3]
    return T


def numbers_of(T: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `rigid`."""
    return np.concatenate([T[:3, 3], Rotation.from_matrix(T[:3, :3]).as_euler("xyz")])


def unit_at(seconds: float) -> NDArray[np.float64]:
    """Northing, easting, down, roll, pitch, yaw of the inertial unit: a bend at 10 m/s."""
    heading = 0.4 + 0.09 * seconds
    return np.array(
        [
            ORIGIN[0] + 300.0 + 10.0 / 0.09 * np.sin(heading),
            ORIGIN[1] + 200.0 - 10.0 / 0.09 * np.cos(heading),
            -110.0 + 0.05 * seconds,
            0.02 * np.sin(seconds),
            0.015 * np.cos(0.7 * seconds),
            heading,
        ]
    )


def vehicle_at(seconds: float) -> NDArray[np.float64]:
    """The vehicle's pose (x forward, y right, z down) in north, east, down."""
    return rigid(unit_at(seconds)) @ np.linalg.inv(rigid(EXTRINSICS["ins"]))


def scan_at(lidar: str, seconds: float) -> NDArray[np.float64]:
    """Three numbers for each of 40 beams: x, y and reflectance, or x, y and z."""
    angles = np.linspace(-2.3, 2.3, 40)
    ranges = 8.0 + 3.0 * np.sin(5 * angles + seconds)
    third = 2.0 * np.cos(angles) if lidar == "ldmrs" else 100.0 + 50.0 * np.sin(angles)
    return np.stack([ranges * np.cos(angles), ranges * np.sin(angles), third], axis=1)


def distorted(x: NDArray, y: NDArray, width: int, height: int) -> NDArray[np.float64]:
    """Positions (2, ...) in the raw image of pixels of the undistorted one: a barrel distortion."""
    dx, dy = x - width / 2, y - height / 2
    bend = 1 - 0.1 * (dx**2 + dy**2) / (width**2 + height**2)
    return np.stack([width / 2 + dx * bend, height / 2 + dy * bend])


def look_up_table(width: int, height: int) -> NDArray[np.float64]:
    """Lookup table (2, H, W) of the raw positions of all pixels, x before y."""
    return distorted(*np.meshgrid(np.arange(width), np.arange(height)), width, height)


def raw_image(unit: str) -> NDArray[np.uint8]:
    """A Bayer image of colours that grow with x (red: 3 a pixel) and y (green: 4 a pixel); blue is 40."""
    width, height = SIZES[unit]
    y, x = np.mgrid[:height, :width]
    colours = {"r": 3 * x, "g": 4 * y, "b": np.full_like(x, 40)}
    raw = np.zeros((height, width), np.uint8)
    for place, colour in enumerate(PATTERNS[unit]):
        row, column = divmod(place, 2)
        raw[row::2, column::2] = colours[colour][row::2, column::2]
    return raw


def write_calibration(root: Path) -> None:
    """Writes `extrinsics/` and `models/`."""
    (root / "extrinsics").mkdir(parents=True)
    for sensor, numbers in EXTRINSICS.items():
        (root / "extrinsics" / f"{sensor}.txt").write_text(" ".join(f"{number:.4f}" for number in numbers))
    (root / "models").mkdir()
    for model, (fx, fy, cx, cy, right) in MODELS.items():
        (root / "models" / f"{model}.txt").write_text(
            f"{fx:.6f} {fy:.6f} {cx:.6f} {cy:.6f}\n"
            "0.000000 -0.000000 1.000000 0.000000\n"
            f"1.000000 0.000000 -0.000000 {right:.6f}\n"
            "0.000000 1.000000 0.000000 0.000000\n"
            "0.000000 0.000000 0.000000 1.000000\n"
        )
        unit = model.partition("_")[0] if model.startswith("stereo") else model
        look_up_table(*SIZES[unit]).astype("<f8").tofile(root / "models" / f"{model}_distortion_lut.bin")


def times(period: float, first: float = 0.0) -> NDArray[np.float64]:
    """Seconds at which a sensor measures."""
    return np.arange(first, SECONDS, period)


def write_stamps(path: Path, seconds: NDArray[np.float64]) -> None:
    """Writes a `.timestamps` file; the owners cut runs into chunks of 6000 images."""
    path.write_text("".join(f"{stamp_us(t)} 1\n" for t in seconds))


def write_run(root: Path, run: str = RUN, cameras: tuple[str, ...] = CAMERAS) -> Path:
    """Writes ROOT/`run`, ROOT/rtk/`run`, ROOT/models and ROOT/extrinsics, and returns the run's folder."""
    folder = root / run
    folder.mkdir(parents=True)
    if not (root / "models").exists():
        write_calibration(root)
    for camera in cameras:
        unit = camera.partition("/")[0]
        seconds = times(0.5, 0.25)
        write_stamps(folder / f"{unit}.timestamps", seconds)
        (folder / camera).mkdir(parents=True)
        _, png = cv2.imencode(".png", raw_image(unit))
        for t in seconds:
            (folder / camera / f"{stamp_us(t)}.png").write_bytes(png.tobytes())
    for place, lidar in enumerate(LIDARS):
        seconds = times(0.1, 0.01 * (place + 1))
        write_stamps(folder / f"{lidar}.timestamps", seconds)
        (folder / lidar).mkdir()
        for t in seconds:
            scan_at(lidar, t).astype("<f8").tofile(folder / lidar / f"{stamp_us(t)}.bin")
    write_ins(folder / "gps" / "ins.csv")
    write_gps(folder / "gps" / "gps.csv")
    write_vo(folder / "vo" / "vo.csv")
    write_rtk(root / "rtk" / run / "rtk.csv")
    return folder


def latitude_longitude(seconds: float) -> tuple[float, float]:
    """About where the unit is, as a receiver has it."""
    northing, easting = unit_at(seconds)[:2]
    return 51.7527 + (northing - ORIGIN[0]) / 111_250.0, -1.2613 + (easting - ORIGIN[1]) / 69_000.0


def write_ins(path: Path) -> None:
    """The inertial navigation's solution, 50 a second."""
    lines = [
        "timestamp,ins_status,latitude,longitude,altitude,northing,easting,down,utm_zone,"
        "velocity_north,velocity_east,velocity_down,roll,pitch,yaw"
    ]
    for t in times(0.02):
        n, e, d, roll, pitch, yaw = unit_at(t)
        latitude, longitude = latitude_longitude(t)
        lines.append(
            f"{stamp_us(t)},INS_SOLUTION_GOOD,{latitude:.8f},{longitude:.8f},{-d:.6f},{n:.6f},{e:.6f},{d:.6f},"
            f"30U,{10 * np.cos(yaw):.6f},{10 * np.sin(yaw):.6f},0.050000,{roll:.6f},{pitch:.6f},{yaw:.6f}"
        )
    _write(path, lines)


def write_gps(path: Path) -> None:
    """The receiver's fixes, 5 a second."""
    lines = [
        "timestamp,num_satellites,latitude,longitude,altitude,latitude_sigma,longitude_sigma,altitude_sigma,"
        "northing,easting,down,utm_zone"
    ]
    for t in times(0.2):
        n, e, d = unit_at(t)[:3]
        latitude, longitude = latitude_longitude(t)
        lines.append(
            f"{stamp_us(t)},9,{latitude:.8f},{longitude:.8f},{-d:.6f},1.5,1.2,3.0,{n:.6f},{e:.6f},{d:.6f},30U"
        )
    _write(path, lines)


def write_vo(path: Path) -> None:
    """Visual odometry between images: the pose at the source stamp, seen from the destination, before it."""
    lines = ["source_timestamp,destination_timestamp,x,y,z,roll,pitch,yaw"]
    seconds = times(0.0625)
    for before, t in pairwise(seconds):
        motion = np.linalg.inv(vehicle_at(before)) @ vehicle_at(t)
        lines.append(
            f"{stamp_us(t)},{stamp_us(before)}," + ",".join(f"{number:.9f}" for number in numbers_of(motion))
        )
    _write(path, lines)


def write_rtk(path: Path) -> None:
    """The RTK ground truth, 10 a second."""
    lines = [
        "timestamp,latitude,longitude,altitude,northing,easting,down,utm_zone,velocity_north,velocity_east,"
        "velocity_down,roll,pitch,yaw,latitude_sigma,longitude_sigma,altitude_sigma,northing_sigma,"
        "easting_sigma,down_sigma,roll_sigma,pitch_sigma,yaw_sigma"
    ]
    for t in times(0.1):
        n, e, d, roll, pitch, yaw = unit_at(t)
        latitude, longitude = latitude_longitude(t)
        lines.append(
            f"{stamp_us(t)},{latitude:.8f},{longitude:.8f},{-d:.6f},{n:.6f},{e:.6f},{d:.6f},30U,"
            f"{10 * np.cos(yaw):.6f},{10 * np.sin(yaw):.6f},0.050000,{roll:.6f},{pitch:.6f},{yaw:.6f},"
            + ",".join(["0.01"] * 9)
        )
    _write(path, lines)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
