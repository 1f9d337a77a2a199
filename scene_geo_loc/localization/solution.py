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

"""Proposed poses of a query, and the matches that agree with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.pnp import CameraMatches
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.solvers.base import Effort
from scene_geo_loc.localization.solvers.robust_pnp import FULL_SEARCH, solve_pnp


@dataclass(frozen=True)
class Solution:
    """A pose and the matches that agree with it.

    Attributes:
        T_map_base: the pose.
        voters: by camera (M,) bool, the matches that its inlier ratio is taken over.
        inliers: by camera (M,) bool, those of them whose reprojection error is small.
    """

    T_map_base: Pose
    voters: list[NDArray[np.bool_]]
    inliers: list[NDArray[np.bool_]]

    @property
    def count(self) -> int:
        """Number of inliers of all cameras."""
        return sum(int(inlier.sum()) for inlier in self.inliers)

    @property
    def ratios(self) -> list[float]:
        """Inlier ratio of each camera; 0 without voters."""
        return [
            float(inlier[voter].mean()) if voter.any() else 0.0
            for voter, inlier in zip(self.voters, self.inliers, strict=True)
        ]

    def confirming(self, min_inlier_ratio: float) -> list[int]:
        """Returns the cameras whose inlier ratio suffices; where none does, all cameras with voters."""
        voting = [i for i, voter in enumerate(self.voters) if voter.any()]
        ratios = self.ratios
        return [i for i in voting if ratios[i] >= min_inlier_ratio] or voting

    def at(self, T_map_base: Pose, matches: Sequence[CameraMatches], limit: float) -> Solution:
        """Returns the solution of another pose with the same voters."""
        inliers = [
            voter & (camera.errors(T_map_base) <= limit)
            for voter, camera in zip(self.voters, matches, strict=True)
        ]
        return Solution(T_map_base, self.voters, inliers)


def propose(
    matches: Sequence[CameraMatches],
    chosen: list[NDArray[np.bool_]],
    limit: float,
    only_voters: bool = False,
    effort: Effort = FULL_SEARCH,
) -> Solution | None:
    """Returns the pose solved from the chosen matches, or None.

    Its inlier ratio is over all matches, or with `only_voters` over the chosen ones.
    """
    pose = solve_pnp(
        [camera.where(mask) for camera, mask in zip(matches, chosen, strict=True)], limit, effort=effort
    )
    if pose is None:
        return None
    voters = chosen if only_voters else all_of(matches)
    return Solution(pose, voters, []).at(pose, matches, limit)


def all_of(matches: Sequence[CameraMatches]) -> list[NDArray[np.bool_]]:
    """Returns masks of all matches of each camera."""
    return [np.ones(len(camera), bool) for camera in matches]


def by_camera(matches: Sequence[CameraMatches]) -> Iterator[list[NDArray[np.bool_]]]:
    """Yields masks of the matches of each camera, where more than one has matches."""
    seeing = [i for i, camera in enumerate(matches) if len(camera)]
    for i in seeing if len(seeing) > 1 else ():
        yield [np.full(len(camera), camera is matches[i]) for camera in matches]


def by_candidate(queries: Sequence[QueryMatches]) -> Iterator[list[NDArray[np.bool_]]]:
    """Yields masks of the matches with each candidate of each camera."""
    for seeing in queries:
        for keyframe in np.unique(seeing.matches.keyframe):
            yield [(query.matches.keyframe == keyframe) & (query is seeing) for query in queries]
