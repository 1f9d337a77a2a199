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

"""Runs of a simulated RobotCar dataset: their conditions, areas of the city and measurement times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.simulation.town.city import SIGHT_M, City
from scene_geo_loc.simulation.town.plan import StreetPlan
from scene_geo_loc.simulation.vehicle.motion import Motion
from scene_geo_loc.simulation.vehicle.robotcar_rig import DELAYS_US, LIDARS
from scene_geo_loc.simulation.vehicle.traffic import Traffic
from scene_geo_loc.traversals.robotcar.calibration import CAMERAS

LOOP_M = 6000.0
"""Length of the city's street in metres: enough for all areas at the papers' scale, 2 km across."""

LONGEST_TEST_M = 2110.0
"""Length of the papers' test area in metres: 422 places 5 m apart."""

_LANE_M = -0.4
"""Nearer to the centre line than a lane, so that parked cars do not fill the images to the side."""

PIECE_M = 300.0
"""Length of the street in metres that is built at a time."""

_TRAINING_END_M, _VALIDATION_START_M, _TEST_START_M = 2100.0, 2250.0, 3200.0
_LONGEST_TRAINING_M, _LONGEST_VALIDATION_M = 2000.0, 300.0

_LIDAR_HZ, _INS_HZ, _GPS_HZ, _VO_HZ = 50.0, 50.0, 5.0, 16.0


@dataclass(frozen=True)
class Run:
    """One drive, with the name and date of the real drive that it imitates."""

    name: str
    condition: str
    drive_seed: int
    areas: tuple[str, ...]

    @property
    def start_us(self) -> int:
        """Start of the run in microseconds since 1970, from its name."""
        at = datetime.strptime(self.name, "%Y-%m-%d-%H-%M-%S").replace(tzinfo=timezone.utc)
        return int(at.timestamp()) * 1_000_000


_TEST, _TRAINING = ("test",), ("train", "validation")
RUNS = (
    Run("2014-06-26-09-31-18", "overcast", 101, _TEST),
    Run("2014-06-24-14-47-45", "sunny", 102, _TEST),
    Run("2015-02-10-11-58-05", "long-term", 103, _TEST),
    Run("2015-02-03-08-45-10", "snow", 104, _TEST),
    Run("2014-12-16-18-44-24", "night", 105, _TEST),
    Run("2015-05-19-14-06-38", "overcast", 111, _TRAINING),
    Run("2015-08-28-09-50-22", "sunny", 112, _TRAINING),
    Run("2015-11-10-14-15-57", "long-term", 113, _TRAINING),
    # For fine-tuning at night without known places.
    Run("2014-12-10-18-10-50", "night", 114, _TRAINING),
)
"""The papers' runs: the reference, four of queries, three for training; and one more for fine-tuning."""


@dataclass(frozen=True)
class CampaignSettings:
    """Settings of a campaign.

    Attributes:
        seed: of the city.
        length: of the street in the test area in metres; the other areas scale with it.
        speed: metres per second.
        camera_rate_hz: images per second of each camera.
        width, height: size of the stereo camera's images in pixels; see robotcar_rig.views.
        runs: names of the runs to simulate.
        sight: distance from the drive within which the city is built, in metres.
        lead: metres that a drive starts before its first image and ends after its last one, so that the
            push-broom lidars have scanned what those images show.
    """

    seed: int = 7
    length: float = 300.0
    speed: float = 8.0
    camera_rate_hz: float = 2.5
    width: int = 320
    height: int = 240
    runs: tuple[str, ...] = tuple(run.name for run in RUNS)
    sight: float = SIGHT_M
    lead: float = 60.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SceneGeoLocError(f"seed {self.seed} is negative: give 0 or more.")
        if not 5 <= self.length <= LONGEST_TEST_M:
            raise SceneGeoLocError(
                f"A test area of {self.length:g} m of street cannot be simulated: "
                f"give 5 m to {LONGEST_TEST_M:g} m, the length in the papers."
            )
        if not (self.speed > 0 and 0 < self.camera_rate_hz <= _VO_HZ):
            raise SceneGeoLocError(
                f"A drive at {self.speed:g} m/s with {self.camera_rate_hz:g} images per second cannot be "
                f"simulated: give a positive speed, and a positive rate of at most {_VO_HZ:g} Hz."
            )
        if min(self.width, self.height) < 32 or self.width % 2 or self.height % 2:
            raise SceneGeoLocError(
                f"A Bayer pattern does not fit images of {self.width} x {self.height} pixels: "
                "give an even width and height of at least 32."
            )

    def spans(self) -> dict[str, tuple[float, float]]:
        """Returns the start and end of each area along the loop, in metres."""
        training = min(self.length * 4 / 3, _LONGEST_TRAINING_M)
        validation = min(self.length / 2, _LONGEST_VALIDATION_M)
        return {
            "train": (_TRAINING_END_M - training, _TRAINING_END_M),
            "validation": (_VALIDATION_START_M, _VALIDATION_START_M + validation),
            "test": (_TEST_START_M, _TEST_START_M + self.length),
        }


def area_boxes(plan: StreetPlan, settings: CampaignSettings) -> dict[str, list[list[float]]]:
    """Returns the areas as boxes x_min, y_min, x_max, y_max in metres of the map."""
    return {name: _boxes(plan, *span) for name, span in settings.spans().items()}


def _boxes(plan: StreetPlan, start: float, end: float) -> list[list[float]]:
    """Returns boxes around pieces of the street, a little wider than its carriageway."""
    cuts = np.linspace(start, end, int(np.ceil((end - start) / 60.0)) + 1)
    boxes = []
    for a, b in pairwise(cuts):
        xy = plan.at(np.linspace(a, b, 61))
        boxes.append([round(float(v), 2) for v in (*(xy.min(0) - 8.0), *(xy.max(0) + 8.0))])
    return boxes


@dataclass(frozen=True)
class Shot:
    """One ray-cast measurement: name of the sensor, and number of the measurement since the start."""

    stamp_us: int
    sensor: str
    number: int


class RunDrive:
    """Motion of a run, and the times of its measurements."""

    def __init__(self, run: Run, settings: CampaignSettings, plan: StreetPlan) -> None:
        self.run, self.settings, self._plan = run, settings, plan
        self.spans = [settings.spans()[area] for area in run.areas]
        self.start = self.spans[0][0] - settings.lead
        self.length = self.spans[-1][1] + settings.lead - self.start
        self.motion = Motion(plan, self.start, self.length, settings.speed, run.drive_seed, _LANE_M)
        self.traffic = Traffic(plan, self.motion, run.drive_seed)

    def seconds(self, stamps_us: Sequence[int]) -> NDArray[np.float64]:
        """Returns seconds from the start of the drive."""
        return (np.asarray(stamps_us, np.int64) - self.run.start_us) / 1e6

    def stamps_us(self, rate_hz: float, delay_us: int = 0) -> list[int]:
        """Returns a sensor's stamps over the whole drive."""
        count = int((self.motion.duration - delay_us / 1e6) * rate_hz) + 1
        return [self.run.start_us + delay_us + round(k * 1e6 / rate_hz) for k in range(count)]

    def ins_stamps_us(self) -> list[int]:
        """Returns the stamps of the inertial unit."""
        return self.stamps_us(_INS_HZ)

    def gps_stamps_us(self) -> list[int]:
        """Returns the stamps of GPS."""
        return self.stamps_us(_GPS_HZ)

    def vo_stamps_us(self) -> list[int]:
        """Returns the stamps of visual odometry: those of the stereo images, and some between them."""
        rate = self.settings.camera_rate_hz
        return self.stamps_us(rate * max(1, round(_VO_HZ / rate)))

    @cached_property
    def pieces(self) -> list[tuple[float, float, list[Shot]]]:
        """Pieces of the drive, about PIECE_M long: start and end along the loop, and their measurements."""
        shots = self._shots()
        places = self._places([shot.stamp_us for shot in shots])
        cuts = np.linspace(self.start, self.start + self.length, int(np.ceil(self.length / PIECE_M)) + 1)
        owner = np.clip(np.searchsorted(cuts, places, side="right") - 1, 0, len(cuts) - 2)
        return [
            (float(a), float(b), [shots[i] for i in np.flatnonzero(owner == number)])
            for number, (a, b) in enumerate(pairwise(cuts))
        ]

    def shots_of(self, sensor: str) -> list[Shot]:
        """Returns all measurements of one sensor, in order of time."""
        return sorted(
            (shot for _, _, shots in self.pieces for shot in shots if shot.sensor == sensor),
            key=lambda shot: shot.stamp_us,
        )

    def image_count(self) -> int:
        """Returns the number of images of the run."""
        return sum(shot.sensor in CAMERAS for _, _, shots in self.pieces for shot in shots)

    def _shots(self) -> list[Shot]:
        """Returns all ray-cast measurements: scans along the drive, images inside the areas."""
        shots: list[Shot] = []
        for sensor, delay_us in DELAYS_US.items():
            rate = _LIDAR_HZ if sensor in LIDARS else self.settings.camera_rate_hz
            stamps = self.stamps_us(rate, delay_us)
            places = self._places(stamps)
            wanted = np.full(len(stamps), sensor in LIDARS)
            for begin, end in self.spans:
                wanted |= (begin <= places) & (places <= end)
            shots += [Shot(stamps[i], sensor, int(i)) for i in np.flatnonzero(wanted)]
        return sorted(shots, key=lambda shot: (shot.stamp_us, shot.sensor))

    def _places(self, stamps_us: Sequence[int]) -> NDArray[np.float64]:
        """Returns the vehicle's distance along the loop in metres at stamps (N,)."""
        places, _ = self._plan.nearest(self.motion.poses(self.seconds(stamps_us))[:, :2, 3])
        return places


def city_of(settings: CampaignSettings) -> City:
    """Returns the city of a campaign; it depends on the seed only, not on the lengths of the areas."""
    return City(settings.seed, LOOP_M)


def chosen_runs(settings: CampaignSettings) -> list[Run]:
    """Returns the runs of a campaign, in the order of simulation."""
    return [run for run in RUNS if run.name in settings.runs]
