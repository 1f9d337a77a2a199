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
"""Viewpoints of simulated street-level panoramas, and the errors of their geo-tags."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.geometry.equirectangular import R_enu_panorama, heading_of
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, make_pose
from scene_geo_loc.simulation.conditions import CONDITIONS, check_town
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.town.city import SIGHT_M
from scene_geo_loc.simulation.town.plan import Plot, StreetPlan
from scene_geo_loc.simulation.vehicle.motion import Motion
from scene_geo_loc.simulation.vehicle.satellite import TOWN
from scene_geo_loc.traversals.streetview.index import IndexRow

CAMERA_M = 2.5
"""Height of the panoramas' centre above the road in metres."""

_SIDE_STREET_M, _SIDE_ROAD_M = 50.0, 0.155
"""Length of a side street from the frontage, which a house closes, and height of its road, in metres."""
_EPOCH_NS = 1_700_000_000 * 10**9
_DAY_NS = 86_400 * 10**9
_BETWEEN_NS = 2 * 10**9
_SPEED_M_S = 8.0
_SLACK_M = 1.0
"""Panoramas nearer to the end of the stretch than this are the loop's first one again."""


class DepthForm(str, Enum):
    """Forms of a depth map: distances as PNG, or planes and the index of each pixel's plane."""

    PNG = "png"
    PLANES = "planes"


class ErrorShape(str, Enum):
    """Distributions of the errors of geo-tags."""

    GAUSSIAN = "gaussian"
    UNIFORM = "uniform"


@dataclass(frozen=True)
class TagErrors:
    """Errors of geo-tags, independent from one panorama to the next.

    Attributes:
        position_m: standard deviation of the position along east, north and up; or, uniform, the largest
            distance of the tag from the truth, in any direction.
        heading_deg: standard deviation of the heading, or its largest error.
    """

    position_m: float = 0.0
    heading_deg: float = 0.0
    shape: ErrorShape = ErrorShape.GAUSSIAN

    def __post_init__(self) -> None:
        if not (0 <= self.position_m < np.inf and 0 <= self.heading_deg <= 180):
            raise ValueError("errors are 0 or more, and the heading's at most 180°")

    @property
    def position_std_m(self) -> float:
        """Standard deviation of the position along each axis in metres."""
        return self.position_m if self.shape is ErrorShape.GAUSSIAN else self.position_m / 3

    @property
    def heading_std_deg(self) -> float:
        """Standard deviation of the heading in degrees."""
        is_gaussian = self.shape is ErrorShape.GAUSSIAN
        return self.heading_deg if is_gaussian else self.heading_deg / float(np.sqrt(3))

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
        """Returns the error of a position (3,) in east, north, up, and of a heading in degrees."""
        direction = rng.normal(size=3)
        if self.shape is ErrorShape.GAUSSIAN:
            return direction * self.position_m, float(rng.normal() * self.heading_deg)
        away = rng.uniform(0, self.position_m) / np.linalg.norm(direction)
        return direction * away, float(rng.uniform(-self.heading_deg, self.heading_deg))


@dataclass(frozen=True)
class StreetviewSettings:
    """Settings of a set of panoramas.

    Attributes:
        condition: a name of CONDITIONS.
        seed: of the town.
        drive_seed: of the driven line, the noise and the tags' errors; None for the condition's default.
        start, length: part of the loop in metres; None for the whole loop.
        spacing: distance between panoramas in metres.
        side_streets: also drives into the side streets of that part.
        width: of a panorama in pixels; the height is half of it.
        is_stitched: the images are stitched from those of a rosette of cameras, with visible seams.
        depth: form of the coarse depth maps; None for none.
        tag_errors: of the geo-tags.
        datum: place of the town on the Earth.
        sight: distance from the street within which the town is built, in metres.
    """

    condition: str = "summer"
    seed: int = 7
    drive_seed: int | None = None
    start: float = 0.0
    length: float | None = None
    spacing: float = 15.0
    side_streets: bool = True
    width: int = 4096
    is_stitched: bool = False
    depth: DepthForm | None = DepthForm.PNG
    tag_errors: TagErrors = field(default_factory=TagErrors)
    datum: Datum = TOWN
    sight: float = SIGHT_M

    def __post_init__(self) -> None:
        check_town(self.condition, self.seed, self.drive_seed)
        if not (self.spacing >= 1 and (self.length is None or self.length >= 5)):
            raise SceneGeoLocError(
                f"Panoramas every {self.spacing:g} m along {self.length or 0:g} m of street cannot be "
                "simulated: give a spacing of at least 1 m and at least 5 m of street."
            )
        if self.width % 2 or not 64 <= self.width <= 16384:
            raise SceneGeoLocError(f"width {self.width} is not an even number from 64 to 16384.")

    @property
    def number(self) -> int:
        """Seed of the drive."""
        default = 1 + list(CONDITIONS).index(self.condition)
        return default if self.drive_seed is None else self.drive_seed

    @property
    def name(self) -> str:
        """Name of the drive."""
        return f"{self.condition} {self.number}"


@dataclass(frozen=True)
class Viewpoint:
    """A place where a panorama is taken.

    Attributes:
        name: file name without its suffix.
        along: distance along the loop in metres, or that of the side street's mouth.
        T_map_panorama: true pose; optical axes.
        stamp_ns: time.
        links: names of the neighbours.
    """

    name: str
    along: float
    T_map_panorama: Pose
    stamp_ns: int = 0
    links: tuple[str, ...] = ()


def viewpoints(settings: StreetviewSettings, plan: StreetPlan) -> list[Viewpoint]:
    """Returns the viewpoints of a set, in order of time: the loop first, then each side street."""
    length = plan.length if settings.length is None else min(settings.length, plan.length)
    is_loop = length > plan.length - _SLACK_M
    motion = Motion(plan, settings.start, length, _SPEED_M_S, settings.number)
    count = int((motion.way - (_SLACK_M if is_loop else 0.0)) / settings.spacing) + 1
    way = np.arange(count) * settings.spacing
    T_base_panorama = make_pose(OPTICAL_FROM_BODY.T, (0.0, 0.0, CAMERA_M))
    poses = motion.poses(motion.seconds_at(way)) @ T_base_panorama
    main = [
        # In decimetres along the loop, so that sets of several spacings share names.
        Viewpoint(f"street_{round(10 * (settings.start + s)):06d}", settings.start + s, T)
        for s, T in zip(way.tolist(), poses, strict=True)
    ]
    links: dict[str, list[str]] = {viewpoint.name: [] for viewpoint in main}
    _link(main, links)
    if is_loop and len(main) > 2:
        _link([main[-1], main[0]], links)
    side = list[Viewpoint]()
    if settings.side_streets:
        for street in _side_streets(plan, settings.start, length):
            branch = _branch(street, settings, length, plan)
            links |= {viewpoint.name: [] for viewpoint in branch}
            mouth = branch[0].T_map_panorama[:3, 3]
            nearest = min(main, key=lambda near: float(np.linalg.norm(near.T_map_panorama[:3, 3] - mouth)))
            _link([nearest, *branch], links)
            side += branch
    start_ns = _EPOCH_NS + CONDITIONS[settings.condition].day * _DAY_NS
    return [
        replace(viewpoint, stamp_ns=start_ns + number * _BETWEEN_NS, links=tuple(links[viewpoint.name]))
        for number, viewpoint in enumerate(main + side)
    ]


def _link(line: list[Viewpoint], links: dict[str, list[str]]) -> None:
    for a, b in pairwise(line):
        links[a.name].append(b.name)
        links[b.name].append(a.name)


def _side_streets(plan: StreetPlan, start: float, length: float) -> list[Plot]:
    """Returns the side streets whose mouth is on a part of the loop."""
    streets = [plot for plot in plan.plots if plot.kind == "street"]
    return [street for street in streets if (street.distance - start) % plan.length <= length]


def _branch(street: Plot, settings: StreetviewSettings, length: float, plan: StreetPlan) -> list[Viewpoint]:
    """Returns the viewpoints into a side street, the first one at the frontage."""
    middle = street.origin + street.width / 2 * street.along
    x, y = street.inward
    R = np.array([[x, -y, 0.0], [y, x, 0.0], [0.0, 0.0, 1.0]]) @ OPTICAL_FROM_BODY.T
    along = settings.start + (street.distance - settings.start) % plan.length
    return [
        Viewpoint(
            f"side_{street.index:04d}_{round(10 * deep):04d}",
            along,
            make_pose(R, (*(middle + deep * street.inward), _SIDE_ROAD_M + CAMERA_M)),
        )
        for deep in np.arange(0.0, _SIDE_STREET_M, settings.spacing)
    ]


def tag(viewpoint: Viewpoint, settings: StreetviewSettings, *, is_true: bool = False) -> IndexRow:
    """Returns the row of a viewpoint in the index: its true pose, or the one with the tag's errors."""
    datum, errors = settings.datum, settings.tag_errors
    T = viewpoint.T_map_panorama
    R_enu_map = datum.R_enu_map(T[:3, 3])
    R = R_enu_map @ T[:3, :3]
    heading = float(heading_of(R))
    pitch = float(np.degrees(np.arcsin(np.clip(R[2, 2], -1, 1))))
    rolled = R_enu_panorama(heading, pitch).T @ R
    roll = float(np.degrees(np.arctan2(rolled[1, 0], rolled[0, 0])))
    place = T[:3, 3]
    if not is_true:
        offset, turn = errors.draw(stream(settings.seed, "tag", settings.number, viewpoint.name))
        place, heading = place + R_enu_map.T @ offset, (heading + turn) % 360.0
    latitude, longitude, altitude = datum.geodetic_of(place).tolist()
    suffix = {DepthForm.PNG: "png", DepthForm.PLANES: "txt"}
    return IndexRow(
        image_file(viewpoint.name),
        round(latitude, 9),
        round(longitude, 9),
        altitude=round(altitude, 4),
        heading=round(heading, 4),
        pitch=round(pitch, 4),
        roll=round(roll, 4),
        time=viewpoint.stamp_ns,
        links=tuple(image_file(name) for name in viewpoint.links),
        depth=None if settings.depth is None else f"depth/{viewpoint.name}.{suffix[settings.depth]}",
        position_std=0.0 if is_true else round(errors.position_std_m, 4),
        heading_std=0.0 if is_true else round(errors.heading_std_deg, 4),
    )


def image_file(name: str) -> str:
    """Returns the path of a viewpoint's image in the set."""
    return f"images/{name}.jpg"
