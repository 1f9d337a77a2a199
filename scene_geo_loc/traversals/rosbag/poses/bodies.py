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

"""Sources of poses by the body that moves: which of them are the same one, and which is the camera's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.geometry.rotation import angle_of_matrix
from scene_geo_loc.traversals.rosbag.poses.pose_candidates import Candidate, Rank
from scene_geo_loc.traversals.rosbag.poses.visual_motion import PosesAt, VisualMotion, best_seen

MIN_AGREEMENT = 0.5
"""Sources whose motions agree less are of different bodies."""
MAX_APART_M = 1.0
"""Sources in one frame whose distance changes more are of different bodies."""
MAX_APART_SHARE = 0.03
"""The same as a share of the extent of the poses, where that is larger."""
NEAR = 0.2
"""Poses of a topic are those of a frame on TF if they are within this, metres plus radians."""


def inlier_shares(
    seen: VisualMotion, candidates: Sequence[Candidate], axes: Sequence[Pose]
) -> NDArray[np.float64] | None:
    """Returns the shares (P, C) of matches that fit each source, by the axes that fit it best."""

    def poses_of(candidate: Candidate, T_frame_camera: Pose) -> PosesAt:
        def poses_at(stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            poses, known = candidate.poses.of(candidate.frame, stamps_ns)
            return poses @ T_frame_camera, known

        return poses_at

    hypotheses = [poses_of(candidate, T) for candidate in candidates for T in axes]
    shares = seen.inlier_shares(hypotheses)
    if shares is None:
        return None
    by_axes = shares.reshape(len(shares), len(candidates), len(axes))
    best = np.median(by_axes, axis=0).argmax(axis=1)
    return by_axes[:, np.arange(len(candidates)), best]


def groups_by_body(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Returns the sources by body: those whose motions agree, directly or by way of others."""
    groups: list[list[Candidate]] = []
    for candidate in candidates:
        near = [group for group in groups if any(_is_same_body(candidate, other) for other in group)]
        merged = [candidate, *(other for group in near for other in group)]
        groups = [group for group in groups if group not in near] + [merged]
    return groups


def _is_same_body(first: Candidate, second: Candidate) -> bool:
    agreement = first.agreement(second)
    if agreement is None or agreement < MIN_AGREEMENT:
        return False
    if first.rank.drifts or second.rank.drifts:
        return True
    apart = first.distance_change(second)
    return apart is None or apart <= max(MAX_APART_M, MAX_APART_SHARE * first.extent_m)


def is_unknown_to(candidate: Candidate, all_moving: Sequence[Candidate]) -> bool:
    """Returns whether a source has too few poses to be compared with any, and another has many more."""
    others = [other for other in all_moving if other is not candidate]
    return any(candidate.coverage < 0.5 * other.coverage for other in others) and all(
        candidate.agreement(other) is None for other in others
    )


def anchored_group(groups: Sequence[Sequence[Candidate]]) -> int | None:
    """Returns the group with a source that says whose poses it has; None where several or none do.

    Of several it is the only one that does not drift. Odometry that contradicts a ground truth is left to it.
    """
    having = [i for i, group in enumerate(groups) if any(candidate.is_anchored for candidate in group)]
    lasting = [i for i in having if any(not candidate.rank.drifts for candidate in groups[i])]
    truths = [i for i, group in enumerate(groups) if any(c.rank is Rank.TRUTH for c in group)]
    for choice in (lasting, truths if not lasting else [], having):
        if choice:
            return choice[0] if len(choice) == 1 else None
    return None


def likeliest_body(candidate: Candidate, seen: VisualMotion, axes: Sequence[Pose]) -> str:
    """Returns the frame whose poses a topic has, where its messages do not say it.

    Where transforms lead from the poses' frame to the camera, the frame whose transform is nearest to the
    poses; else the likeliest by its name, unless the images clearly show the motion of another one.
    """
    tree, samples = candidate.poses.tree, candidate.samples
    own, known = candidate.poses.trajectory.at_many(samples.images_ns)  # type: ignore[union-attr]
    errors = {}
    parent = candidate.poses.map_frame
    if tree.connects(parent, candidate.frame) and not tree.is_static(parent, candidate.frame):
        for body in candidate.bodies:
            poses, there = tree.lookup_many(parent, body, samples.images_ns)
            both = known & there
            if both.any():
                off = inverse(own[both]) @ poses[both]
                metres = np.linalg.norm(off[:, :3, 3], axis=1)
                errors[body] = float(np.median(metres + angle_of_matrix(off[:, :3, :3])))
    if errors:
        nearest = min(errors, key=lambda body: errors[body])
        if errors[nearest] < NEAR:
            first = candidate.bodies[0]
            return nearest if errors[nearest] < errors.get(first, np.inf) / 2 else first
    hypotheses = [replace(candidate, poses=replace(candidate.poses, body=body)) for body in candidate.bodies]
    shares = inlier_shares(seen, hypotheses, axes)
    if shares is None:
        return candidate.bodies[0]
    best = best_seen(shares) or 0
    candidate.seen_share = float(np.median(shares[:, best]))
    return candidate.bodies[best]
