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

"""Sensors of the vehicle: ray-cast cameras and lidars; odometry with realistic errors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, make_pose
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.blur import MotionBlur
from scene_geo_loc.simulation.rendering.glare import add_glints
from scene_geo_loc.simulation.rendering.lattice import PixelLattice
from scene_geo_loc.simulation.rendering.night import Moment
from scene_geo_loc.simulation.rendering.photo import Photographer
from scene_geo_loc.simulation.rendering.pixel_rays import PixelRays
from scene_geo_loc.simulation.rendering.render import Scene
from scene_geo_loc.simulation.vehicle.motion import Motion

F32 = NDArray[np.float32]


def pinhole(width: int = 640, height: int = 480, fov_deg: float = 75.0) -> Camera:
    """Returns a camera without distortion, with a horizontal field of view in degrees."""
    f = width / 2 / float(np.tan(np.radians(fov_deg) / 2))
    return Camera(width, height, f, f, (width - 1) / 2, (height - 1) / 2)


@dataclass(frozen=True)
class MountedCamera:
    """A camera on the vehicle.  Its topics start with /NAME, its frame is NAME_optical_frame."""

    camera: Camera = field(default_factory=pinhole)
    name: str = "camera"
    T_base_camera: Pose = field(default_factory=lambda: make_pose(OPTICAL_FROM_BODY.T, (0.9, 0.0, 1.6)))

    @property
    def frame_id(self) -> str:
        """Name of its optical frame."""
        return f"{self.name}_optical_frame"


@dataclass(frozen=True)
class SpinningLidar:
    """A lidar on the roof that turns clockwise, seen from above, and fires one column of beams at a time."""

    beams: int = 32
    columns: int = 900
    lowest_deg: float = -25.0
    highest_deg: float = 15.0
    rate_hz: float = 10.0
    max_range_m: float = 80.0
    noise_m: float = 0.02
    T_base_lidar: Pose = field(default_factory=lambda: make_pose(np.eye(3), (0.2, 0.0, 2.0)))


@dataclass(frozen=True)
class PushbroomLidar:
    """A 2D scanner at the front whose plane is vertical and across the road, like RobotCar's LMS-151.

    Angle 0 points down, the left is positive; the blind 90 degrees are above.
    """

    count: int = 541
    field_deg: float = 270.0
    rate_hz: float = 50.0
    max_range_m: float = 50.0
    noise_m: float = 0.012
    T_base_lidar: Pose = field(
        default_factory=lambda: make_pose(
            [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], (2.1, 0.0, 0.7)
        )
    )

    @property
    def angles(self) -> NDArray[np.float64]:
        """Angle of each range in radians, (count,)."""
        half = np.radians(self.field_deg) / 2
        return np.linspace(-half, half, self.count)


@dataclass(frozen=True)
class Rig:
    """Sensors of the vehicle; None leaves a lidar out."""

    cameras: tuple[MountedCamera, ...] = (MountedCamera(),)
    camera_rate_hz: float = 10.0
    lidar: SpinningLidar | None = field(default_factory=SpinningLidar)
    pushbroom: PushbroomLidar | None = field(default_factory=PushbroomLidar)


BAND_ROWS = 8
"""Rows of a rolling shutter that are rendered from one pose: 0.5 ms of a readout of 30 ms at 480 rows."""


class CameraView:
    """Renders the images of a camera, with its distortion.

    The images of a rolling shutter are rendered in bands of `BAND_ROWS` rows, each at the time of its middle
    row.  Glare, reflections of headlights and the motion blur of long exposures are those of the middle of
    the readout.
    """

    def __init__(self, scene: Scene, camera: Camera, seed: int = 0) -> None:
        self.scene, self.camera, self.seed = scene, camera, seed
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        pixels = np.stack([u.ravel(), v.ravel()], 1).astype(np.float64)
        directions, self._cosine = _unit(camera.rays(pixels))
        corners, _ = _unit(camera.rays(pixels + 0.5))
        self._bands = _bands(camera, directions, corners)
        exposure_s = scene.condition.exposure_s
        self._blur = MotionBlur(camera, exposure_s) if exposure_s > 0 else None
        self._photographer = Photographer(scene.condition, camera.width, camera.height, seed)

    @property
    def row_times_s(self) -> NDArray[np.float64]:
        """Times (B,) in seconds after the first row at which the bands of an image are rendered."""
        height = self.camera.height
        middles = [(band.rows.start + band.rows.stop - 1) / 2 for band in self._bands]
        return self.camera.readout_s * np.array(middles) / max(height - 1, 1) * (len(self._bands) > 1)

    def take(self, T_map_camera: Pose, number: int, moment: Moment | None = None) -> NDArray[np.uint8]:
        """Returns the image (H, W, 3).

        Rays are saved where the pixels around see one surface: details narrower than two pixels may lack in
        places. `depth` has them all.

        Args:
            T_map_camera: pose (4, 4), or of a rolling shutter poses (B, 4, 4) at `row_times_s`.
            number: of the frame; seeds its noise.
            moment: the vehicle, with headlights at night and a motion that blurs long exposures; None for
                neither.
        """
        rng = stream(self.seed, "dither", number)
        dither = rng.random(self.camera.width * self.camera.height, dtype=np.float32)
        poses = _of_bands(T_map_camera, len(self._bands))
        width = self.camera.width
        parts = [
            band.rays.light(
                self.scene, *_eye(T), dither[band.rows.start * width : band.rows.stop * width], moment
            )
            for band, T in zip(self._bands, poses, strict=True)
        ]
        light, distance = (np.concatenate(images) for images in zip(*parts, strict=True))
        T_map_camera = poses[len(poses) // 2]
        if self.scene.condition.is_night:
            add_glints(light, self.scene, self.camera, T_map_camera, moment)
        if self._blur is not None and moment is not None:
            flow = self._blur.flow(distance, T_map_camera, moment)
            light = self._blur.smear(light, flow, dither.reshape(distance.shape))
        return self._photographer.develop(light, number)

    def depth(self, T_map_camera: Pose) -> F32:
        """Returns the true depth (H, W) in metres along the optical axis, NaN for the sky."""
        distances = []
        for band, T in zip(self._bands, _of_bands(T_map_camera, len(self._bands)), strict=True):
            eye, R_map_camera = _eye(T)
            directions = band.rays.directions @ R_map_camera.T
            distances.append(self.scene.cast(np.broadcast_to(eye, directions.shape), directions).distance)
        distance = np.concatenate(distances)
        depth = np.where(np.isfinite(distance), distance * self._cosine, np.float32(np.nan))
        return depth.reshape(self.camera.height, self.camera.width).astype(np.float32)


@dataclass(frozen=True)
class _Band:
    """Rows of an image that are exposed at one time, and the rays through their pixels."""

    rows: slice
    rays: PixelRays


def _bands(camera: Camera, directions: F32, corners: F32) -> list[_Band]:
    """Returns the bands of a camera's image: a single one of a global shutter."""
    step = BAND_ROWS if camera.readout_s else camera.height
    bands, lattices = list[_Band](), dict[int, PixelLattice]()
    for start in range(0, camera.height, step):
        rows = slice(start, min(start + step, camera.height))
        height = rows.stop - rows.start
        pixels = slice(rows.start * camera.width, rows.stop * camera.width)
        if height not in lattices:
            lattices[height] = PixelLattice(camera.width, height)
        rays = PixelRays(
            camera.width, height, directions[pixels], corners[pixels], 1 / camera.fx, lattices[height]
        )
        bands.append(_Band(rows, rays))
    return bands


def _of_bands(T_map_camera: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Returns the poses (B, 4, 4) of an image's bands; one pose is that of all."""
    return np.broadcast_to(T_map_camera, (count, 4, 4))


def _eye(T_map_camera: Pose) -> tuple[F32, F32]:
    """Returns a camera's position (3,) and rotation (3, 3)."""
    return T_map_camera[:3, 3].astype(np.float32), T_map_camera[:3, :3].astype(np.float32)


def _unit(rays: NDArray) -> tuple[F32, F32]:
    """Returns unit directions of rays with z = 1, and the cosine of each to the optical axis."""
    length = np.linalg.norm(rays, axis=1)
    return (rays / length[:, None]).astype(np.float32), (1 / length).astype(np.float32)


def sweep(
    scene: Scene, lidar: SpinningLidar, motion: Motion, start_s: float, rng: np.random.Generator
) -> tuple[F32, F32, F32]:
    """Returns one sweep of a spinning lidar: points (N, 3), intensities (N,), seconds after the start (N,).

    Each column is cast from the vehicle's pose at the column's time, and its points are in the lidar's frame
    at that time: the sweep is not de-skewed.
    """
    offset = np.arange(lidar.columns) / (lidar.columns * lidar.rate_hz)
    T = motion.poses(np.minimum(start_s + offset, motion.duration)) @ lidar.T_base_lidar
    azimuth = np.pi - np.arange(lidar.columns) * 2 * np.pi / lidar.columns
    elevation = np.radians(np.linspace(lidar.lowest_deg, lidar.highest_deg, lidar.beams))
    ce, se = np.cos(elevation), np.sin(elevation)
    directions = np.stack(
        [
            np.outer(np.cos(azimuth), ce),
            np.outer(np.sin(azimuth), ce),
            np.broadcast_to(se, (lidar.columns, lidar.beams)),
        ],
        2,
    )  # (columns, beams, 3)
    world = np.einsum("cij,cbj->cbi", T[:, :3, :3], directions).reshape(-1, 3)
    origins = np.repeat(T[:, :3, 3], lidar.beams, axis=0)
    distance, intensity = _measure(scene, origins, world, lidar.max_range_m, lidar.noise_m, rng)
    seen = np.isfinite(distance)
    points = directions.reshape(-1, 3)[seen] * distance[seen, None]
    times = np.repeat(offset, lidar.beams)
    return points.astype(np.float32), intensity[seen], times[seen].astype(np.float32)


def line_scan(
    scene: Scene, lidar: PushbroomLidar, T_map_base: Pose, rng: np.random.Generator
) -> tuple[F32, F32]:
    """Returns one line of the push-broom lidar: ranges (N,), inf without an echo, and intensities (N,)."""
    T = T_map_base @ lidar.T_base_lidar
    flat = np.stack([np.cos(lidar.angles), np.sin(lidar.angles), np.zeros(lidar.count)], 1)
    origins = np.broadcast_to(T[:3, 3], flat.shape)
    return _measure(scene, origins, flat @ T[:3, :3].T, lidar.max_range_m, lidar.noise_m, rng)


def _measure(
    scene: Scene,
    origins: NDArray,
    directions: NDArray,
    max_range_m: float,
    noise_m: float,
    rng: np.random.Generator,
) -> tuple[F32, F32]:
    """Returns noisy ranges and intensities; grazing and far beams return an echo less often."""
    d = np.ascontiguousarray(directions, np.float32)
    hits = scene.cast(np.ascontiguousarray(origins, np.float32), d)
    cosine = np.abs(np.einsum("ij,ij->i", scene.mesh.normal[hits.surface], d))
    reflectivity = np.clip(scene.mesh.tint[hits.surface].mean(1), 0.05, 1)
    intensity = (100 * reflectivity * cosine).astype(np.float32)
    ranges = hits.distance + rng.normal(0, noise_m, len(d)).astype(np.float32)
    lost = 0.01 + 0.5 * np.square(np.minimum(hits.distance, 1e4) / max_range_m) * (1 - cosine)
    lost = lost + (0.04 if scene.condition.has_snow else 0.0)
    ranges[(hits.distance > max_range_m) | (rng.random(len(d)) < lost)] = np.inf
    intensity[~np.isfinite(ranges)] = 0
    return ranges.astype(np.float32), intensity


@dataclass(frozen=True)
class OdometryTrack:
    """Wheel and gyro odometry: T_odom_base (N, 4, 4), twist (N, 3) each, pose variances (N, 6)."""

    poses: NDArray[np.float64]
    linear: NDArray[np.float64]
    angular: NDArray[np.float64]
    pose_variances: NDArray[np.float64]

    TWIST_VARIANCES = (0.02**2, 0.01**2, 1e-4, 1e-6, 1e-6, 0.004**2)


def odometry(motion: Motion, seconds: NDArray, rng: np.random.Generator) -> OdometryTrack:
    """Returns odometry from a noisy twist; its error grows to about 1 % and one degree in 200 m.

    Height, pitch and roll are the true ones, since gravity makes them observable.
    """
    linear, angular = motion.velocities(seconds)
    true = motion.poses(seconds)
    steps = np.diff(seconds, prepend=seconds[0])
    scale, bias = 1 + rng.normal(0, 0.008), rng.normal(0, 0.0006)
    speed = linear[:, 0] * scale + rng.normal(0, 0.02, len(seconds)) * (np.abs(linear[:, 0]) > 0.05)
    rate = angular[:, 2] + bias + rng.normal(0, 0.004, len(seconds))
    yaw = np.cumsum(rate * steps)
    middle = yaw - rate * steps / 2
    x, y = np.cumsum(speed * steps * np.cos(middle)), np.cumsum(speed * steps * np.sin(middle))
    true_yaw = np.arctan2(true[:, 1, 0], true[:, 0, 0])
    poses = true.copy()
    turn = yaw - true_yaw
    c, s = np.cos(turn), np.sin(turn)
    spin = np.zeros((len(seconds), 3, 3))
    spin[:, 0, 0], spin[:, 0, 1], spin[:, 1, 0], spin[:, 1, 1], spin[:, 2, 2] = c, -s, s, c, 1.0
    poses[:, :3, :3] = spin @ true[:, :3, :3]
    poses[:, 0, 3], poses[:, 1, 3] = x, y
    way = np.cumsum(np.abs(speed) * steps)
    variances = np.stack(
        [
            (0.01 * way) ** 2 + 1e-6,
            (0.01 * way) ** 2 + 1e-6,
            0 * way + 1e-4,
            0 * way + 1e-6,
            0 * way + 1e-6,
            (0.0006 * (seconds - seconds[0])) ** 2 + 1e-6,
        ],
        1,
    )
    measured = np.stack([speed, 0 * speed, 0 * speed], 1), np.stack([0 * rate, 0 * rate, rate], 1)
    return OdometryTrack(poses, *measured, variances)
