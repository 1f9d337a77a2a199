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

"""Results of a localizer on the queries of a set, with what its map costs and how its uncertainty holds.

Protocol: errors are over all queries; one that is not localized keeps the pose before verification, as the
papers on pose regression count, and of a map of keyframes the pose retrieved.  A pose is covered where the
truth is within the 95 % ellipsoid of its position.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import chi2, mannwhitneyu, spearmanr

from scene_geo_loc.benchmarks.poses.errors import PoseErrors, errors_of_poses
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.metrics.covariance_calibration import LEVEL
from scene_geo_loc.metrics.pose_error import QueryRecord

FEWEST = 5
"""No rank correlation and no area is given for fewer poses than this."""


class UnseenResult(BaseModel):
    """Answers to images of a place that is not in the map.

    Attributes:
        queries: number of images.
        localized: number of those with a pose, all of them wrong.
        area: area under the ROC curve of telling places that were seen from this one by what the localizer
            goes by: the inlier ratio if it counts inliers, else the stated deviation; None for few images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    queries: int
    localized: int
    area: float | None


class LocalizerResult(PoseErrors):
    """Results of one localizer: a row of the table.

    Attributes:
        name: name of its system.
        images: number of images that its map was made of; None where that is not recorded.
        map_bytes: size of the files of its map.
        minutes: time to make the map; None where it was made before.
        std_m: stated standard deviation of each query's position along its least certain axis; None without a
            pose.
        covered: whether each pose is covered by its 95 % ellipsoid; None without one.
        unseen: answers to images of another place, or None where there are none.
    """

    name: str
    images: int | None
    map_bytes: int
    minutes: float | None
    std_m: list[float | None]
    covered: list[bool | None]
    unseen: UnseenResult | None = None

    @classmethod
    def of(
        cls, records: Sequence[QueryRecord], unseen: Sequence[QueryRecord] = (), **names: Any
    ) -> LocalizerResult:
        """Returns the results of a localizer from its answers to queries, and to images of another place."""
        found = [_pose_of(record) for record in records]
        covariances = [covariance for _, covariance in found]
        poses = [
            record.T_retrieved if pose is None else pose
            for record, (pose, _) in zip(records, found, strict=True)
        ]
        names |= errors_of_poses(records, poses, [record.latency_ms for record in records])
        return cls.model_validate(
            {
                **names,
                "localized": [record.is_localized for record in records],
                "std_m": [_std_m(covariance) for covariance in covariances],
                "covered": [_is_covered(record, *pair) for record, pair in zip(records, found, strict=True)],
                "unseen": _unseen(records, unseen) if unseen else None,
            }
        )

    @property
    def map_mb(self) -> float:
        """Size of the map in megabytes."""
        return self.map_bytes / 1e6

    @property
    def covered_share(self) -> float | None:
        """Share of the poses that are covered; None without any."""
        known = [covered for covered in self.covered if covered is not None]
        return float(np.mean(known)) if known else None

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's rank correlation of the stated deviation with the position error; None for few poses."""
        pairs = [
            (s, e)
            for s, e in zip(self.std_m, self.position_m, strict=True)
            if s is not None and e is not None
        ]
        if len(pairs) < FEWEST or len({std for std, _ in pairs}) < 2:
            return None
        return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def bytes_of(folder: Path) -> int:
    """Returns the size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def roc_area(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Returns the area under the ROC curve of a score that is larger for the positive.

    It is the probability that a positive one has the larger score, where a tie counts half.
    """
    statistic = mannwhitneyu(positive, negative).statistic
    return float(statistic / (len(positive) * len(negative)))


def _pose_of(record: QueryRecord) -> tuple[Pose | None, NDArray[np.float64] | None]:
    """Returns a localizer's pose before verification, or the one that is accepted, with its covariance."""
    if record.unverified is not None:
        return record.unverified.T_map_base, record.unverified.covariance
    return (record.T_estimated, record.covariance) if record.is_localized else (None, None)


def _std_m(covariance: NDArray[np.float64] | None) -> float | None:
    if covariance is None:
        return None
    return round(float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1])), 5)


def _is_covered(
    record: QueryRecord, pose: Pose | None, covariance: NDArray[np.float64] | None
) -> bool | None:
    if pose is None or covariance is None or record.T_true is None:
        return None
    error = pose[:3, 3] - record.T_true[:3, 3]
    return bool(error @ np.linalg.solve(covariance[:3, :3], error) <= chi2.ppf(LEVEL, 3))


def _unseen(records: Sequence[QueryRecord], unseen: Sequence[QueryRecord]) -> UnseenResult:
    area = None
    if min(len(records), len(unseen)) >= FEWEST:
        counts_inliers = any(record.inliers for record in records)
        certainty = (lambda record: record.inlier_ratio) if counts_inliers else _certainty
        area = roc_area(list(map(certainty, records)), list(map(certainty, unseen)))
    return UnseenResult(
        queries=len(unseen), localized=sum(record.is_localized for record in unseen), area=area
    )


def _certainty(record: QueryRecord) -> float:
    """Returns the stated deviation with a minus sign; the least of all numbers without a pose."""
    std_m = _std_m(_pose_of(record)[1])
    return -np.inf if std_m is None else -std_m
