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

"""Base of the solvers of robust PnP, and the effort and the result of a search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.pnp import CameraMatches

MIN_MATCHES = 4
"""Least number of matches: three points allow up to four poses, a fourth point selects one of them."""

CONFIDENCE = 0.9999
"""Probability of having drawn a sample without wrong matches, at which the search ends."""


@dataclass(frozen=True)
class Effort:
    """Length of a search.

    Attributes:
        max_iterations: largest number of RANSAC iterations.
        min_iterations: least number of RANSAC iterations, where the solver can be told one.
        is_precise: fit the pose to the inliers as well as possible; otherwise only their number matters.
    """

    max_iterations: int
    min_iterations: int
    is_precise: bool


@dataclass(frozen=True)
class RobustPose:
    """Result of a search.

    Attributes:
        T: T_map_camera of one camera, or T_map_base of a rig.
        inliers: number of inliers of all cameras.
    """

    T: Pose
    inliers: int


class PnpSolver(ABC):
    """Finds the pose that most matches agree with.

    Points are near the origin, where rounding is least; there are at least `MIN_MATCHES` matches.  A match is
    an inlier where its reprojection error is at most `max_error_px`.  Both methods return None where no pose
    is found.  The same matches always give the same pose.

    Attributes:
        name: name for people to read.
    """

    name: ClassVar[str]

    @abstractmethod
    def camera_pose(self, matches: CameraMatches, max_error_px: float, effort: Effort) -> RobustPose | None:
        """Returns T_map_camera of one camera; its pose in a base is not used."""

    @abstractmethod
    def rig_pose(
        self, matches: Sequence[CameraMatches], max_error_px: float, effort: Effort
    ) -> RobustPose | None:
        """Returns T_map_base from the matches of several cameras, none of which needs enough of its own."""
