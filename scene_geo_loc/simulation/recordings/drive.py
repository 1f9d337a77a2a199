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

"""Simulation of a drive through the town, recorded as rosbag2."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.parallel import available_cores, in_order, process_pool
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.simulation.conditions import CONDITIONS, Condition, check_town
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.render import Scene
from scene_geo_loc.simulation.town.city import SIGHT_M, City
from scene_geo_loc.simulation.vehicle.motion import Motion
from scene_geo_loc.simulation.vehicle.satellite import GpsSettings, gps
from scene_geo_loc.simulation.vehicle.sensors import (
    CameraView,
    Rig,
    line_scan,
    odometry,
    sweep,
)
from scene_geo_loc.simulation.vehicle.traffic import Traffic
from scene_geo_loc.traversals.rosbag.writer import BagWriter

_ODOMETRY_HZ = 50.0
_EPOCH_NS = 1_700_000_000 * 10**9
_DAY_NS = 86_400 * 10**9
_AHEAD = 12
"""Measurements under way for each worker: a frame with both lidars has seven."""


@dataclass(frozen=True)
class DriveSettings:
    """Settings of a drive and its recording.

    Attributes:
        condition: a name of CONDITIONS.
        seed: of the town.
        drive_seed: of the line, the speed and the noise; None for the condition's default.
        start, length: part of the loop in metres.
        speed: metres per second.
        rig: the sensors.
        gps: the satellite receiver, at the vehicle's origin.
        compressed: records JPEG images instead of raw ones.
        depth: records the true depth of each image.
        sight: distance from the drive within which the town is built, in metres.
    """

    condition: str = "overcast"
    seed: int = 7
    drive_seed: int | None = None
    start: float = 0.0
    length: float = 320.0
    speed: float = 8.0
    rig: Rig = field(default_factory=Rig)
    gps: GpsSettings = field(default_factory=GpsSettings)
    compressed: bool = True
    depth: bool = False
    sight: float = SIGHT_M

    def __post_init__(self) -> None:
        check_town(self.condition, self.seed, self.drive_seed)
        if not (self.length >= 5 and self.speed > 0 and self.rig.camera_rate_hz > 0):
            raise SceneGeoLocError(
                f"A drive of {self.length:g} m at {self.speed:g} m/s with {self.rig.camera_rate_hz:g} images "
                "per second cannot be simulated: give at least 5 m, and a positive speed and rate."
            )


@dataclass(frozen=True)
class DriveSummary:
    """Size of a recording."""

    frames: int
    duration_s: float
    length_m: float


@dataclass(frozen=True)
class _Shot:
    """One ray-cast measurement of a sensor: "camera" (with its index), "lidar" or "pushbroom"."""

    stamp_ns: int
    sensor: str
    index: int
    number: int


class Drive:
    """The town, the vehicle and its sensors, which can measure at any time of the drive."""

    def __init__(self, settings: DriveSettings, city: City | None = None) -> None:
        self.settings = settings
        self.condition: Condition = CONDITIONS[settings.condition]
        self.city = city or City(settings.seed)
        default_seed = 1 + list(CONDITIONS).index(settings.condition)
        self.drive_seed = default_seed if settings.drive_seed is None else settings.drive_seed
        self.name = f"{settings.condition} {self.drive_seed}"
        self.motion = Motion(self.city.plan, settings.start, settings.length, settings.speed, self.drive_seed)
        self.traffic = Traffic(self.city.plan, self.motion, self.drive_seed)
        self.start_ns = _EPOCH_NS + self.condition.day * _DAY_NS

    @cached_property
    def scene(self) -> Scene:
        """The town in the drive's condition, built at first use."""
        settings = self.settings
        return self.city.scene(self.condition, settings.start, settings.length, self.name, settings.sight)

    @cached_property
    def views(self) -> list[CameraView]:
        """The cameras."""
        return [CameraView(self.scene, m.camera, self.drive_seed) for m in self.settings.rig.cameras]

    def prepare(self) -> None:
        """Builds the town before the first measurement, so that forked workers share it."""
        _ = self.views

    def stamps(self, rate_hz: float) -> list[int]:
        """Returns the stamps in nanoseconds of a sensor with this rate, over the whole drive."""
        count = int(self.motion.duration * rate_hz) + 1
        return [self.start_ns + round(k * 1e9 / rate_hz) for k in range(count)]

    def seconds(self, stamp_ns: int) -> float:
        """Returns seconds from the start of the drive."""
        return (stamp_ns - self.start_ns) / 1e9

    def shots(self) -> list[_Shot]:
        """Returns all ray-cast measurements, in order of time."""
        rig = self.settings.rig
        shots = [
            _Shot(stamp, "camera", index, number)
            for index in range(len(rig.cameras))
            for number, stamp in enumerate(self.stamps(rig.camera_rate_hz))
        ]
        for sensor, device in (("lidar", rig.lidar), ("pushbroom", rig.pushbroom)):
            if device is not None:
                shots += [
                    _Shot(stamp, sensor, 0, number)
                    for number, stamp in enumerate(self.stamps(device.rate_hz))
                ]
        return sorted(shots, key=lambda shot: shot.stamp_ns)

    def measure(self, shot: _Shot) -> tuple[Any, ...]:
        """Returns a measurement; it depends neither on earlier measurements nor on the process."""
        rig, seconds = self.settings.rig, self.seconds(shot.stamp_ns)
        rng = stream(self.drive_seed, shot.sensor, shot.number)
        if shot.sensor == "lidar":
            assert rig.lidar is not None
            return sweep(self.scene, rig.lidar, self.motion, seconds, rng)
        T_map_base = self.motion.poses(seconds)[0]
        if shot.sensor == "pushbroom":
            assert rig.pushbroom is not None
            return line_scan(self.scene, rig.pushbroom, T_map_base, rng)
        view = self.views[shot.index]
        row_times = view.row_times_s
        if len(row_times) > 1:  # a rolling shutter
            T_map_base = self.motion.poses(np.minimum(seconds + row_times, self.motion.duration))
            seconds += view.camera.readout_s / 2
        T_map_camera = T_map_base @ rig.cameras[shot.index].T_base_camera
        moment = self.traffic.moment(seconds) if self.condition.is_night else None
        picture = view.take(T_map_camera, shot.number, moment)
        return picture, view.depth(T_map_camera) if self.settings.depth else None


def simulate(
    out: Path,
    settings: DriveSettings | None = None,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> DriveSummary:
    """Simulates a drive and records it as rosbag2 at `out`; the same settings give the same messages.

    Args:
        workers: processes that cast rays; None for one per core.
        on_progress: receives the camera frames done and their total.

    Raises TraversalError where `out` exists or cannot be written.
    """
    settings = settings or DriveSettings()
    with BagWriter(out) as bag:
        drive = Drive(settings)
        recorder = _Recorder(bag, drive)
        with _measurements(drive, recorder.shots, workers or available_cores()) as results:
            for result in results:
                if recorder.record(result):
                    on_progress(recorder.done, recorder.frames)
        recorder.finish()
    return DriveSummary(recorder.frames, drive.motion.duration, settings.length)


def simulate_drives(
    drives: Mapping[Path, DriveSettings], on_progress: ProgressCallback = ignore_progress
) -> None:
    """Simulates several drives at once, each in a process of its own, and records each as rosbag2.

    The messages are those of `simulate`.

    Args:
        drives: settings by the path of the bag.
        on_progress: receives the camera frames of all drives done and their total.

    Raises TraversalError where a bag exists or cannot be written; then no bag is left of those at work.
    """
    with ExitStack() as stack:
        recorders, prepared = list[_Recorder](), list[Future[None]]()
        waiting: dict[Future[Any], tuple[_Recorder, _Ahead]] = {}
        for out, settings in drives.items():
            bag = stack.enter_context(BagWriter(out))
            pool = stack.enter_context(process_pool(1, "fork"))
            prepared.append(pool.submit(_prepare, settings))
            recorder = _Recorder(bag, Drive(settings))
            ahead = _Ahead(pool, recorder.shots)
            recorders.append(recorder)
            if (first := ahead.next()) is not None:
                waiting[first] = recorder, ahead
        for built in prepared:
            built.result()
        frames = sum(recorder.frames for recorder in recorders)
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                recorder, ahead = waiting.pop(future)
                recorder.record(future.result())
                if (following := ahead.next()) is not None:
                    waiting[following] = recorder, ahead
                else:
                    recorder.finish()
            on_progress(sum(recorder.done for recorder in recorders), frames)


class _Ahead:
    """Measurements in order, of which some are under way in a pool."""

    def __init__(self, pool: ProcessPoolExecutor, shots: Iterable[_Shot]) -> None:
        self._pool, self._shots = pool, iter(shots)
        self._futures: deque[Future[Any]] = deque()

    def next(self) -> Future[Any] | None:
        """Returns the next measurement, or None after the last."""
        for shot in islice(self._shots, _AHEAD - len(self._futures)):
            self._futures.append(self._pool.submit(_measure, shot))
        return self._futures.popleft() if self._futures else None


class _Recorder:
    """Writes a drive's messages in order of time, as its measurements come in.

    Attributes:
        shots: the measurements to make, in order.
        frames, done: camera frames, and those recorded.
    """

    def __init__(self, bag: BagWriter, drive: Drive) -> None:
        self._bag, self._drive = bag, drive
        self.shots = drive.shots()
        self.frames = sum(shot.sensor == "camera" for shot in self.shots)
        self.done = 0
        self._left = iter(self.shots)
        self._light = _light_messages(bag, drive)
        self._waiting = next(self._light, None)

    def record(self, result: tuple[Any, ...]) -> bool:
        """Records the next measurement, and the messages without ray casting that come before it.

        Returns True for a camera frame.
        """
        shot = next(self._left)
        self._record_light(shot.stamp_ns)
        _record(self._bag, self._drive, shot, result)
        is_frame = shot.sensor == "camera"
        self.done += is_frame
        return is_frame

    def finish(self) -> None:
        """Records the messages after the last measurement."""
        self._record_light(None)

    def _record_light(self, until_ns: int | None) -> None:
        while self._waiting and (until_ns is None or self._waiting[0] <= until_ns):
            self._waiting[1]()
            self._waiting = next(self._light, None)


_drive: Drive | None = None
"""Drive that forked workers inherit, since its scene is too large to send, or that a worker has prepared."""


@contextmanager
def _measurements(drive: Drive, shots: list[_Shot], workers: int) -> Iterator[Iterator[tuple[Any, ...]]]:
    """Yields the results of all shots, in order, from forked workers that share the scene's memory."""
    global _drive
    if workers == 1:
        yield map(drive.measure, shots)
        return
    drive.prepare()
    _drive = drive
    try:
        with process_pool(workers, "fork") as pool:
            yield in_order(pool, _measure, shots, _AHEAD * workers)
    finally:
        _drive = None


def _prepare(settings: DriveSettings) -> None:
    """Builds a drive in a worker of its own."""
    global _drive
    _drive = Drive(settings)
    _drive.prepare()


def _measure(shot: _Shot) -> tuple[Any, ...]:
    assert _drive is not None
    return _drive.measure(shot)


def _record(bag: BagWriter, drive: Drive, shot: _Shot, result: tuple[Any, ...]) -> None:
    rig, stamp = drive.settings.rig, shot.stamp_ns
    if shot.sensor == "lidar":
        points, intensity, times = result
        bag.points("/lidar/points", stamp, "lidar_link", points, intensity, times)
    elif shot.sensor == "pushbroom":
        assert rig.pushbroom is not None
        ranges, intensity = result
        angles = rig.pushbroom.angles
        step = float(angles[1] - angles[0])
        bag.laser_scan(
            "/lidar_front/scan", stamp, "lidar_front_link", ranges, intensity,
            angles[0], step, 0.0, 0.05, rig.pushbroom.max_range_m,
        )  # fmt: skip
    else:
        mounted = rig.cameras[shot.index]
        picture, depth = result
        write, topic = (
            (bag.compressed_image, "image_raw/compressed")
            if drive.settings.compressed
            else (bag.image, "image_raw")
        )
        # The intrinsics come first, so that a node knows them when the first image arrives.
        bag.camera_info(f"/{mounted.name}/camera_info", stamp, mounted.frame_id, mounted.camera)
        write(f"/{mounted.name}/{topic}", stamp, mounted.frame_id, picture)
        if depth is not None:
            bag.depth_image(f"/{mounted.name}/depth/image_raw", stamp, mounted.frame_id, depth)


def _light_messages(bag: BagWriter, drive: Drive) -> Iterator[tuple[int, Callable[[], None]]]:
    """Yields stamps and writers of the messages without ray casting, in order of time."""
    rig, motion = drive.settings.rig, drive.motion
    mounts = {("base_link", m.frame_id): m.T_base_camera for m in rig.cameras}
    if rig.lidar is not None:
        mounts["base_link", "lidar_link"] = rig.lidar.T_base_lidar
    if rig.pushbroom is not None:
        mounts["base_link", "lidar_front_link"] = rig.pushbroom.T_base_lidar
    messages: list[tuple[int, Callable[[], None]]] = [
        (drive.start_ns, partial(bag.static_transforms, drive.start_ns, mounts))
    ]
    stamps = drive.stamps(_ODOMETRY_HZ)
    seconds = np.array([drive.seconds(stamp) for stamp in stamps])
    track = odometry(motion, seconds, stream(drive.drive_seed, "odometry"))
    for i, stamp in enumerate(stamps):
        report = partial(
            bag.odometry,
            "/odom",
            stamp,
            "odom",
            "base_link",
            track.poses[i],
            track.linear[i],
            track.angular[i],
            tuple(track.pose_variances[i]),
            track.TWIST_VARIANCES,
        )
        messages.append((stamp, report))
        messages.append((stamp, partial(bag.transform, stamp, "odom", "base_link", track.poses[i])))
    truth = sorted({*stamps, *drive.stamps(rig.camera_rate_hz)})
    for stamp, T in zip(truth, motion.poses([drive.seconds(stamp) for stamp in truth]), strict=True):
        messages.append((stamp, partial(bag.pose, "/ground_truth/pose", stamp, "map", T)))
    receiver = drive.settings.gps
    fixes = drive.stamps(receiver.rate_hz)
    seconds = np.array([drive.seconds(stamp) for stamp in fixes])
    measured = gps(motion, seconds, stream(drive.drive_seed, "gps"), receiver)
    for stamp, place, has_fix in zip(fixes, *measured, strict=True):
        latitude, longitude, height = place.tolist() if has_fix else [np.nan] * 3
        fix = partial(
            bag.nav_sat_fix,
            "/gps/fix",
            stamp,
            "base_link",
            latitude,
            longitude,
            height,
            receiver.variances,
            has_fix=bool(has_fix),
        )
        messages.append((stamp, fix))
    yield from sorted(messages, key=lambda message: message[0])
