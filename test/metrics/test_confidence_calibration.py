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

"""Calibration of confidences: bins, intervals, and which poses count."""

import numpy as np
import pytest

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.confidence_calibration import confidence_bins, confidence_calibration
from scene_geo_loc.metrics.pose_error import QueryRecord


def test_bins_of_right_probabilities_are_right_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    stated = rng.uniform(size=5000)
    bins = confidence_bins(stated, rng.uniform(size=5000) < stated)
    assert sum(part.poses for part in bins) == 5000
    for part in bins:
        assert part.at_least <= part.mean_confidence <= part.below
        low, high = part.interval
        assert low <= part.right_share <= high
    assert sum(low <= part.mean_confidence <= high for part in bins for low, high in [part.interval]) >= 6


def test_the_interval_of_no_wrong_pose_is_the_rule_of_three() -> None:
    (part,) = confidence_bins(np.full(958, 0.9999), np.ones(958))
    assert (part.at_least, part.below, part.right) == (0.999, 1.0, 958)
    low, high = part.interval
    assert (low, high) == (pytest.approx(1 - 3.69 / 958, abs=1e-4), 1.0)
    (none,) = confidence_bins([0.0], [False])
    assert none.interval == (0.0, pytest.approx(0.975))


def test_only_poses_with_a_confidence_and_a_known_truth_count() -> None:
    true = np.eye(4)

    def at(x: float, confidence: float | None, is_known: bool = True) -> QueryRecord:
        pose = make_pose(np.eye(3), (x, 0.0, 0.0))
        return QueryRecord(0, Status.LOCALIZED, true if is_known else None, pose, confidence=confidence)

    records = [at(0.1, 0.95), at(3.0, 0.97), at(0.1, None), at(0.1, 0.2, is_known=False), at(9.0, 0.3)]
    low, high = confidence_calibration(records, wrong_fix_m=1.0)
    assert (low.poses, low.right, low.mean_confidence) == (1, 0, 0.3)
    assert (high.poses, high.right, high.mean_confidence) == (2, 1, pytest.approx(0.96))
    assert high.to_dict() == {"at_least": 0.9, "below": 0.99, "mean_confidence": 0.96, "poses": 2, "right": 1}
    assert confidence_calibration(records, wrong_fix_m=5.0)[1].right == 2
    assert confidence_calibration(records[2:4]) == []
