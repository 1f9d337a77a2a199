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

"""Results of the street-view benchmark: what the sets are, the error of every query, and virtual views."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.continuity import Continuity, continuity
from scene_geo_loc.metrics.covariance_calibration import covariance_calibration
from scene_geo_loc.metrics.pose_error import QueryRecord, errors_of
from scene_geo_loc.metrics.published import slides_gis

XYZ = tuple[float, float, float]
"""Coordinates of a camera in the map, metres."""

SAME_M = 0.5
"""Difference of two spacings below which they count as the same, metres."""


class SetInfo(BaseModel):
    """A set of panoramas.

    Attributes:
        name: name in the tables.
        panoramas: number of them.
        spacing_m: median distance between neighbours along the streets.
        street_m: length of the streets: the sum of these distances.
        position_std_m, heading_std_deg: standard deviations that the geo-tags state; None where they do not.
        position_error_m, heading_error_deg: mean errors of the geo-tags; None where the truth is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    panoramas: int
    spacing_m: float
    street_m: float
    position_std_m: float | None = None
    heading_std_deg: float | None = None
    position_error_m: float | None = None
    heading_error_deg: float | None = None

    @property
    def has_tag_errors(self) -> bool:
        """True if the geo-tags are known, or say of themselves, to have errors of a centimetre or more."""
        return max(self.position_error_m or 0.0, self.position_std_m or 0.0) >= 0.01


class DriveResult(BaseModel):
    """A method on the queries of one drive, in order of time.

    Queries without a known true pose, and those outside the streets of the panoramas, are left out.

    Attributes:
        set, drive, method: names.
        virtual_m: distance of the virtual views; None without.
        keyframes: number of views in the map.
        outside: number of queries that were left out because they are not on the streets of the panoramas.
        stamps_ns: times of the queries.
        true_m: true positions.
        estimated_m: estimated positions; None where the query was not localized.
        position_m, rotation_deg: errors; None where the query was not localized.
        dead_reckoned: number of poses by tracking that their own image did not confirm.
        with_covariance: number of poses with a covariance.
        inside_95: share of those whose true position is in the stated 95 % ellipsoid.
        ms: median time from image to answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: str
    drive: str
    method: str
    virtual_m: float | None = None
    keyframes: int
    outside: int = 0
    stamps_ns: list[int]
    true_m: list[XYZ]
    estimated_m: list[XYZ | None]
    position_m: list[float | None]
    rotation_deg: list[float | None]
    dead_reckoned: int = 0
    with_covariance: int = 0
    inside_95: float | None = None
    ms: float | None = None

    @classmethod
    def of(cls, records: Sequence[QueryRecord], **names: object) -> DriveResult:
        """Returns the result of the records of a drive."""
        known = [record for record in records if record.T_true is not None]
        position, rotation = errors_of(known)
        calibration = covariance_calibration(known)
        spent = [record.latency_ms for record in known if record.latency_ms is not None]
        values = {
            "stamps_ns": [record.stamp_ns for record in known],
            "true_m": [_position(record.T_true) for record in known],
            "estimated_m": [_position(r.T_estimated) if r.is_localized else None for r in known],
            "position_m": [round(float(error), 4) if np.isfinite(error) else None for error in position],
            "rotation_deg": [round(float(error), 4) if np.isfinite(error) else None for error in rotation],
            "dead_reckoned": sum(record.status is Status.DEAD_RECKONED for record in known),
            "with_covariance": calibration.poses if calibration else 0,
            "inside_95": round(calibration.position, 4) if calibration else None,
            "ms": round(float(np.median(spent)), 1) if spent else None,
        }
        return cls.model_validate({**names, **values})

    @cached_property
    def continuity(self) -> Continuity:
        """Continuity and errors by the slides' protocol."""
        return continuity(self.position_m)

    def records(self) -> list[QueryRecord]:
        """Returns records for drawing: positions, with the identity as orientation."""
        return [
            QueryRecord(
                stamp_ns,
                Status.LOST if estimated is None else Status.LOCALIZED,
                make_pose(np.eye(3), true),
                None if estimated is None else make_pose(np.eye(3), estimated),
            )
            for stamp_ns, true, estimated in zip(self.stamps_ns, self.true_m, self.estimated_m, strict=True)
        ]


class VirtualViewCount(BaseModel):
    """Virtual views of a set at one distance.

    Attributes:
        set: name of the set.
        distance_m: distance ahead of and behind each panorama.
        positions: number of positions, two for each panorama with depth.
        inside, nearer: number of positions inside of something, and nearer to another panorama than to their
            own; both are left out.
        views: number of views at the other positions.
        views_with_empty: share of the views that have pixels without content; None without views.
        empty: mean share of such pixels; None without views.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: str
    distance_m: float
    positions: int
    inside: int
    nearer: int
    views: int
    views_with_empty: float | None
    empty: float | None


class StreetviewResults(BaseModel):
    """Results of a run.

    Attributes:
        version, machine: what ran.
        sets: the sets of panoramas.
        drives: the results.
        virtual_views: counts of the set that is nearest to the slides' spacing.
        left_out: a sentence for each result that could not be made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    machine: str
    sets: list[SetInfo]
    drives: list[DriveResult]
    virtual_views: list[VirtualViewCount] = []
    left_out: list[str] = []

    @property
    def slides_set(self) -> SetInfo:
        """The largest set without errors of its tags whose spacing is nearest to the slides'."""
        return slides_set(self.sets)

    @property
    def slides_sets(self) -> list[SetInfo]:
        """That set, then the others of this spacing without errors of their tags, such as parts of it."""
        chosen = self.slides_set
        others = [
            one
            for one in self.sets
            if not one.has_tag_errors and one != chosen and abs(one.spacing_m - chosen.spacing_m) < SAME_M
        ]
        return [chosen, *others]

    def find(self, **names: object) -> list[DriveResult]:
        """Returns the results whose fields have the given values."""
        return [
            drive
            for drive in self.drives
            if all(getattr(drive, name) == value for name, value in names.items())
        ]


def read_results(path: Path) -> StreetviewResults:
    """Reads the results of an earlier run. Raises SceneGeoLocError where the file does not hold them."""
    try:
        return StreetviewResults.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SceneGeoLocError(
            f"{path} does not hold the results of a street-view benchmark ({reason_of(error)}): name the "
            "JSON file of one."
        ) from error


def merged(earlier: Sequence[StreetviewResults], last: StreetviewResults) -> StreetviewResults:
    """Returns the results of several runs together; of what several have, those of the last one."""
    runs = [*earlier, last]
    sets = {one.name: one for run in runs for one in run.sets}
    drives = {
        (drive.set, drive.method, drive.virtual_m, drive.drive): drive for run in runs for drive in run.drives
    }
    views = {(count.set, count.distance_m): count for run in runs for count in run.virtual_views}
    return last.model_copy(
        update={
            "sets": list(sets.values()),
            "drives": list(drives.values()),
            "virtual_views": list(views.values()),
            "left_out": list(dict.fromkeys(sentence for run in runs for sentence in run.left_out)),
        }
    )


def slides_set(sets: Sequence[SetInfo]) -> SetInfo:
    """Returns the set whose spacing is nearest to the slides', of those without errors if there are any.

    Of several with this spacing it is the one with the most panoramas.
    """
    printed_m = slides_gis.street_2_original().spacing_m

    def rank(one: SetInfo) -> tuple[bool, float, int]:
        return one.has_tag_errors, round(abs(one.spacing_m - printed_m) / SAME_M), -one.panoramas

    return min(sets, key=rank)


def best_and_worst(drives: Sequence[DriveResult]) -> list[tuple[str, DriveResult, int]]:
    """Returns the most and the least accurate pose of several drives: "best" or "worst", drive and number."""
    found = [
        (error, number, drive)
        for drive in drives
        for number, error in enumerate(drive.position_m)
        if error is not None
    ]
    if not found:
        return []
    best = min(found, key=lambda one: one[0])
    worst = max(found, key=lambda one: one[0])
    return [("best", best[2], best[1]), ("worst", worst[2], worst[1])]


def _position(T: object) -> XYZ:
    x, y, z = np.round(np.asarray(T)[:3, 3], 4).tolist()
    return x, y, z
