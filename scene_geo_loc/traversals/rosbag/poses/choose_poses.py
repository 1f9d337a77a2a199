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

"""Chooses the camera's poses and its odometry among everything in a recording that may be them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError, UnclearPoses
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.trajectory import read_tum
from scene_geo_loc.traversals.rosbag.bag import TRANSFORMS
from scene_geo_loc.traversals.rosbag.index import ODOMETRY, BagIndex
from scene_geo_loc.traversals.rosbag.poses.bag_poses import BagPoses
from scene_geo_loc.traversals.rosbag.poses.bodies import (
    anchored_group,
    groups_by_body,
    inlier_shares,
    is_unknown_to,
    likeliest_body,
)
from scene_geo_loc.traversals.rosbag.poses.frame_names import command_word, is_map
from scene_geo_loc.traversals.rosbag.poses.pose_candidates import (
    TF,
    Candidate,
    Rank,
    Samples,
    is_carried,
    tf_candidates,
    topic_candidates,
)
from scene_geo_loc.traversals.rosbag.poses.reasons import (
    MIN_COVERAGE,
    SPARSE_S,
    compared,
    difference,
    reason_of_choice,
    uncovered,
)
from scene_geo_loc.traversals.rosbag.poses.visual_motion import VisualMotion, best_seen
from scene_geo_loc.traversals.sources import PassedOver, Reason, Role, SensorSource

NO_POSES = "none"
"""Name for taking no poses at all."""
MAX_CONFLICTS = 0.05
"""Sources with two different poses at a larger share of their times are of two publishers or runs at once."""
MAX_CONTRADICTED = 0.3
"""The images contradict poses whose motion fewer of their matches fit."""


@dataclass(frozen=True)
class PoseChoice:
    """Poses of a recording, and what else there was.

    Attributes:
        poses: of the camera; None where there are none.
        odometry: poses by odometry alone, for dead reckoning; None where there is none other than `poses`.
        sources: description of both.
        warning: sentence for the user, or empty.
        are_odometry: whether `poses` are themselves of odometry.
    """

    poses: BagPoses | None
    odometry: BagPoses | None
    sources: tuple[SensorSource, SensorSource]
    warning: str = ""
    are_odometry: bool = False


def choose_poses(
    index: BagIndex,
    frame: str,
    stamps_ns: NDArray[np.int64],
    seen: VisualMotion,
    axes: Sequence[Pose],
    wanted: str | None = None,
    pose_frame: str | None = None,
) -> PoseChoice:
    """Returns the source of poses: the one that is wanted, else the one that moves with the camera.

    Sources whose motions agree are one body. Where there are several, the images decide, then the sources
    that say whose poses they are: transforms to the camera and odometry. Of one body the order is that of
    `Rank`; sparse and incomplete sources come last.

    Args:
        frame: of the images.
        stamps_ns: of the images, in order of time.
        seen: motion between the images.
        axes: optical frames that the images may have, in `frame`.
        wanted: None for the best; a topic; a TUM file with poses of the camera's optical frame; `NO_POSES`.
        pose_frame: frame whose poses the topic or file has; None where the recording says it.

    Raises:
        TraversalError: the wanted source is missing.
        UnclearPoses: several sources may be the camera's, or nothing moves while the images do.
    """
    samples = Samples.of(stamps_ns)
    found = [*tf_candidates(index, frame, samples), *topic_candidates(index, frame, samples, pose_frame)]
    if pose_frame is not None and not index.tree.connects(pose_frame, frame):
        raise TraversalError(
            f"{index.bag.path}: no transform leads from the pose frame {pose_frame} to the camera's frame "
            f"{frame}; frames on TF: {', '.join(sorted(index.tree.frames())) or 'none'}."
        )
    for candidate in found:
        is_unsaid = candidate.topic is not None and not candidate.topic.child_frame_id
        is_wanted = not command_word(candidate.name) if wanted is None else candidate.name == wanted
        if is_unsaid and is_wanted and candidate.messages > 1 and pose_frame is None:
            candidate.poses = replace(candidate.poses, body=likeliest_body(candidate, seen, axes))
    selection = _Selection(index, found, seen, axes)
    chosen: Candidate | None = None
    reason, warning = "", ""
    if wanted == NO_POSES:
        reason = Reason.NAMED.of()
    elif wanted is not None:
        chosen, reason = _wanted(index, frame, samples, found, wanted, pose_frame), Reason.NAMED.of()
        if chosen.kind == Reason.TRAJECTORY_FILE and chosen.is_connected:
            shares = inlier_shares(seen, [chosen], axes)
            chosen.seen_share = None if shares is None else float(np.median(shares))
    else:
        chosen = selection.choose()
        reason = reason_of_choice(chosen) if chosen else ""
    if wanted != NO_POSES and (warning := selection.warning(frame, chosen)):
        warning = f"{index.bag.path}: {warning}"
    odometry = _odometry(found, chosen)
    return PoseChoice(
        chosen.poses if chosen else None,
        odometry.poses if odometry else None,
        (
            _described(Role.POSES, chosen, reason, selection.passed_over(chosen)),
            _described(Role.ODOMETRY, odometry, reason_of_choice(odometry) if odometry else "", ()),
        ),
        warning,
        chosen is not None and chosen.rank.drifts,
    )


class _Selection:
    """Selection of one source among all, with the reasons for which others are passed over."""

    def __init__(
        self, index: BagIndex, found: Sequence[Candidate], seen: VisualMotion, axes: Sequence[Pose]
    ) -> None:
        self._path = index.bag.path
        self._found = found
        self._seen = seen
        self._axes = axes
        self._reasons: dict[int, str] = {}

    def choose(self) -> Candidate | None:
        """Returns the best source, or None. Raises UnclearPoses in doubt."""
        usable = [candidate for candidate in self._found if self._is_usable(candidate)]
        moving = [candidate for candidate in usable if candidate.moves]
        if usable and not moving:
            return self._still(usable)
        for candidate in usable:
            if not candidate.moves:
                self._pass_over(candidate, Reason.STILL.of())
        if not moving:
            return None
        for candidate in moving:
            if is_unknown_to(candidate, moving):
                self._pass_over(candidate, uncovered(candidate, max(other.coverage for other in moving)))
        moving = [candidate for candidate in moving if id(candidate) not in self._reasons]
        groups = groups_by_body(moving)
        group = groups[0] if len(groups) == 1 else self._decide(groups)
        best_coverage = max(candidate.coverage for candidate in group)
        return min(group, key=lambda candidate: _order(candidate, best_coverage, group))

    def _is_usable(self, candidate: Candidate) -> bool:
        word = command_word(candidate.name) if candidate.topic else ""
        parent = candidate.poses.map_frame
        if word:
            reason = Reason.COMMANDS.of(word=word)
        elif candidate.topic and is_carried(candidate.poses.tree, parent, candidate.frame):
            reason = Reason.CARRIED.of(frame=parent)
        elif candidate.topic is not None and candidate.messages < 2:
            reason = Reason.TOO_FEW.of()
        elif not candidate.is_connected:
            reason = Reason.UNCONNECTED.of(frame=candidate.poses.body)
        elif candidate.conflict_share > MAX_CONFLICTS:
            reason = Reason.CONFLICTS.of(share=candidate.conflict_share)
        elif candidate.coverage == 0:
            reason = Reason.NO_IMAGE_COVERED.of()
        elif candidate.steps is not None:
            share, steps = candidate.steps
            reason = Reason.JUMPS.of(share=share, steps=steps)
        else:
            return True
        self._pass_over(candidate, reason)
        return False

    def _pass_over(self, candidate: Candidate, reason: str) -> None:
        self._reasons.setdefault(id(candidate), reason)

    def _still(self, usable: Sequence[Candidate]) -> Candidate:
        """Returns the best of sources that do not move. Raises UnclearPoses where the images do."""
        best = min(usable, key=lambda candidate: candidate.rank)
        if self._seen.changes:
            how = "on TF " if best.topic is None else ""
            raise UnclearPoses(
                f"{self._path}: nothing moves {how}along {' -> '.join(best.chain)} while the images change; "
                "record what moves, or name the source of poses: a topic, a trajectory file, or "
                f"{NO_POSES!r}."
            )
        return best

    def _decide(self, groups: Sequence[Sequence[Candidate]]) -> Sequence[Candidate]:
        """Returns the group of sources that moves with the camera. Raises UnclearPoses in doubt."""
        leaders = [min(group, key=lambda candidate: _order(candidate, 0.0, group)) for group in groups]
        shares = inlier_shares(self._seen, leaders, self._axes)
        for number, leader in enumerate(leaders):
            leader.seen_share = None if shares is None else float(np.median(shares[:, number]))
        by_images = best_seen(shares)
        taken = anchored_group(groups) if by_images is None else by_images
        if taken is None:
            names = " and ".join(leader.name for leader in leaders)
            agreement = leaders[0].agreement(leaders[1])
            known = (
                "too little of both is known to compare them"
                if agreement is None
                else (f"their motions agree by {agreement:.0%} over {leaders[0].samples.interval_s:.1f} s")
            )
            raise UnclearPoses(
                f"{self._path}: {names} may both be the camera's poses, and {known}; name the source of "
                f"poses: one of them, a trajectory file, or {NO_POSES!r}."
            )
        chosen = leaders[taken]
        for number, group in enumerate(groups):
            for candidate in group if number != taken else ():
                if by_images is not None:
                    reason = Reason.UNSEEN.of(
                        inliers=leaders[number].seen_share, best=leaders[taken].seen_share
                    )
                else:
                    reason = difference(candidate, chosen)
                self._pass_over(candidate, reason)
        return groups[taken]

    def warning(self, frame: str, chosen: Candidate | None) -> str:
        """Returns a sentence where the poses are poor, or no source of several can be used; else nothing."""
        if chosen is not None:
            share = chosen.seen_share
            if share is not None and share < MAX_CONTRADICTED:
                return (
                    f"the images contradict the poses of {chosen.poses.body} on {chosen.name}: {share:.0%} "
                    f"of the matches fit them < {MAX_CONTRADICTED:.0%}; name their frame, or other poses"
                )
            return f"the poses are of odometry, {chosen.name}, which drifts" if chosen.rank.drifts else ""
        unconnected = [candidate for candidate in self._found if not candidate.is_connected]
        if unconnected:
            best = min(unconnected, key=lambda candidate: candidate.rank)
            return (
                f"no transform leads from {best.poses.body}, whose poses are on {best.name}, to the camera's "
                f"frame {frame}; record the camera's mounting on /tf_static"
            )
        if self._found:
            names = ", ".join(f"{c.name} ({self._reasons.get(id(c), '')})" for c in self._found)
            return f"none of the sources of poses is taken: {names}; name the right one"
        return ""

    def passed_over(self, chosen: Candidate | None) -> tuple[PassedOver, ...]:
        """Returns all sources other than the chosen one, with the reasons."""
        others = []
        for candidate in self._found:
            if chosen is not None and candidate.name == chosen.name:
                continue
            reason = self._reasons.get(id(candidate)) or compared(candidate, chosen)
            others.append(PassedOver(candidate.name, candidate.messages, reason))
        return tuple(others)


def _order(candidate: Candidate, best_coverage: float, group: Sequence[Candidate]) -> tuple[object, ...]:
    """Sorting key of a source among those of one body, the best first."""
    return (
        candidate.coverage < MIN_COVERAGE * best_coverage,
        candidate.rank > Rank.TRUTH and candidate.interval_s > SPARSE_S,
        candidate.rank,
        not is_map(candidate.poses.map_frame) if candidate.topic is None else False,
        -len(candidate.chain) if candidate.topic is None else 0,
        -round(candidate.coverage, 2),
        -candidate.messages,
        candidate.name,
    )


def _wanted(
    index: BagIndex,
    frame: str,
    samples: Samples,
    found: Sequence[Candidate],
    wanted: str,
    pose_frame: str | None,
) -> Candidate:
    for candidate in found:
        if candidate.topic is not None and candidate.name == wanted:
            return candidate
    on_tf = [candidate for candidate in found if candidate.topic is None]
    if index.bag.topics.get(wanted) in TRANSFORMS and on_tf:
        return min(on_tf, key=lambda candidate: _order(candidate, 0.0, on_tf))
    if Path(wanted).is_file():
        body = pose_frame or frame
        poses = BagPoses("map", wanted, index.tree, body, read_tum(Path(wanted)))
        count = len(poses.trajectory or ())
        return Candidate(poses, wanted, Reason.TRAJECTORY_FILE, count, Rank.GLOBAL_TOPIC, frame, samples)
    there = ", ".join([*sorted(index.poses), *index.bag.of_kind(*TRANSFORMS)]) or "none"
    raise TraversalError(
        f"{index.bag.path}: {wanted!r} is neither a trajectory file nor a topic of poses; "
        f"topics of poses in the bag: {there}."
    )


def _odometry(found: Sequence[Candidate], chosen: Candidate | None) -> Candidate | None:
    """Returns the best odometry other than the chosen poses: its largest topic, else transforms."""
    others = [
        candidate
        for candidate in found
        if candidate.rank.drifts
        and candidate.rank is not Rank.MAP_OF_ODOMETRY_TF
        and candidate.is_connected
        and not (candidate.topic and command_word(candidate.name))
        and (chosen is None or candidate.name != chosen.name)
        and (candidate.topic is not None or candidate.moves)
        and not (chosen and candidate.topic is None and chosen.poses.map_frame == candidate.poses.map_frame)
    ]
    return min(
        others,
        key=lambda candidate: (candidate.rank, candidate.kind != ODOMETRY, -candidate.messages),
        default=None,
    )


def _described(
    role: Role, candidate: Candidate | None, reason: str, passed_over: tuple[PassedOver, ...]
) -> SensorSource:
    if candidate is None:
        return SensorSource(role, reason=reason, passed_over=passed_over)
    poses = candidate.poses
    of_frame = poses.body if poses.trajectory is not None else candidate.frame
    return SensorSource(
        role,
        TF if candidate.topic is None and poses.trajectory is None else candidate.name,
        candidate.kind,
        candidate.messages,
        poses.map_frame,
        of_frame,
        candidate.chain,
        reason,
        passed_over,
    )
