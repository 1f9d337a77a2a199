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

"""Everything in a recording that may be the camera's pose, and how it moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.geometry.pose_series import PoseSeries
from scene_geo_loc.geometry.rotation import angle_of_matrix
from scene_geo_loc.geometry.transform_tree import TransformTree
from scene_geo_loc.traversals.rosbag.index import ODOMETRY, BagIndex, PoseTopic
from scene_geo_loc.traversals.rosbag.poses.bag_poses import BagPoses
from scene_geo_loc.traversals.rosbag.poses.frame_names import (
    base_order,
    is_base,
    is_map,
    is_odometry,
    is_sensor,
    is_truth,
    is_world,
)

TF = "TF"
"""Name of the poses that are transforms from the map to the camera."""
INTERVAL_S = 1.0
"""Time over which motions are compared: odometry has hardly drifted."""
MAX_SAMPLES = 300
"""Images at most at which motions are compared, evenly spread."""
STILL_M, STILL_RAD = 0.02, np.deg2rad(0.5)
"""Poses that stay within this do not move."""
MIN_COMPARED = 5
"""Motions that two sources need in common to be compared."""

_MAX_SENSORS = 6
"""Sensors beside the camera at most that a topic's poses may be of."""
_MAX_COMPARED_BODIES = 3
_HELD_SHARE = 0.5
_STEP_PATH = 0.9
_STEP_INTERVALS = 0.1
_STEP_SPEED_M_S = 15.0


class Rank(IntEnum):
    """Order of sources that agree, the best first."""

    TRUTH = 0
    GLOBAL_TF = 1
    GLOBAL_TOPIC = 2
    ROOT_TF = 3
    MAP_OF_ODOMETRY_TF = 4
    ODOMETRY_TOPIC = 5
    ODOMETRY_TF = 6

    @property
    def drifts(self) -> bool:
        """True for odometry."""
        return self >= Rank.MAP_OF_ODOMETRY_TF


@dataclass(frozen=True)
class Samples:
    """Times at which sources are compared: of images, and each one `INTERVAL_S` later.

    Attributes:
        images_ns: (N,) stamps of images.
        later_ns: (N,) the same, later.
    """

    images_ns: NDArray[np.int64]
    later_ns: NDArray[np.int64]

    @classmethod
    def of(cls, stamps_ns: NDArray[np.int64]) -> Samples:
        """Makes samples of the images' stamps, in order of time."""
        if len(stamps_ns) > MAX_SAMPLES:
            stamps_ns = stamps_ns[np.linspace(0, len(stamps_ns) - 1, MAX_SAMPLES).round().astype(int)]
        span = int(stamps_ns[-1] - stamps_ns[0]) if len(stamps_ns) else 0
        return cls(stamps_ns, stamps_ns + min(int(INTERVAL_S * 1e9), max(span // 4, 1)))

    @property
    def interval_s(self) -> float:
        """Time over which motions are compared."""
        return float(self.later_ns[0] - self.images_ns[0]) / 1e9 if len(self.images_ns) else 0.0


@dataclass
class Candidate:
    """A source of poses of the camera.

    Attributes:
        poses: of any frame.
        name: topic; `TF` with the root for messages.
        kind: message type.
        messages: number of messages; of TF those of its slowest moving transform.
        rank: order among sources that agree.
        frame: of the camera's images.
        samples: see `Samples`.
        bodies: frames whose poses they may be, the likeliest first; one where it is known.
        topic: of the poses; None for transforms and files.
        conflict_share: share of the times with two different poses.
        seen_share: share of the images' matches that fit the motion; None where it was not looked at.
    """

    poses: BagPoses
    name: str
    kind: str
    messages: int
    rank: Rank
    frame: str
    samples: Samples
    bodies: Sequence[str] = ()
    topic: PoseTopic | None = field(default=None, repr=False)
    seen_share: float | None = None
    conflict_share: float = 0.0
    _cached_motions: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = field(
        default_factory=dict, repr=False
    )

    @property
    def chain(self) -> tuple[str, ...]:
        """Frames from the poses' to the camera's."""
        frames = self.poses.tree.chain(self.poses.body, self.frame)
        first = () if self.poses.trajectory is None else (self.poses.map_frame,)
        return (*first, *frames)

    @property
    def is_connected(self) -> bool:
        """True where a chain of transforms leads from the body to the camera."""
        return self.poses.tree.connects(self.poses.body, self.frame)

    @property
    def is_anchored(self) -> bool:
        """True where the recording itself says whose poses they are: a chain on TF, or a child frame."""
        return self.poses.trajectory is None or bool(self.topic and self.topic.child_frame_id)

    @cached_property
    def at_images(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Poses (N, 4, 4) of the camera at the samples, and a mask (N,) of the known ones."""
        return self.poses.of(self.frame, self.samples.images_ns)

    def _motions(self, body: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns the camera's motions (N, 4, 4) if the poses are of `body`, and a mask of the known ones."""
        poses = self.poses if self.poses.trajectory is None else replace(self.poses, body=body)
        if body not in self._cached_motions:
            before, known = poses.of(self.frame, self.samples.images_ns)
            after, later_known = poses.of(self.frame, self.samples.later_ns)
            self._cached_motions[body] = inverse(before) @ after, known & later_known
        return self._cached_motions[body]

    @property
    def coverage(self) -> float:
        """Share of the samples with a pose."""
        known = self.at_images[1]
        return float(known.mean()) if len(known) else 0.0

    @cached_property
    def moves(self) -> bool:
        """True where the camera moves by these poses."""
        poses, known = self.at_images
        poses = poses[known]
        if len(poses) < 2:
            return False
        relative = inverse(poses[:1]) @ poses
        return bool(
            np.linalg.norm(relative[:, :3, 3], axis=1).max() > STILL_M
            or angle_of_matrix(relative[:, :3, :3]).max() > STILL_RAD
        )

    @cached_property
    def extent_m(self) -> float:
        """Diagonal of the box around the camera's positions."""
        poses, known = self.at_images
        return float(np.linalg.norm(np.ptp(poses[known][:, :3, 3], axis=0))) if known.any() else 0.0

    @cached_property
    def interval_s(self) -> float:
        """Median time between the poses of a topic; 0 for TF, whose gaps show in the coverage."""
        if self.poses.trajectory is None or len(self.poses.trajectory) < 2:
            return 0.0
        return float(np.median(np.diff(self.poses.trajectory.stamps_ns))) / 1e9

    @cached_property
    def steps(self) -> tuple[float, float] | None:
        """Share of the motion and of the intervals in which it is, where poses are held and jump; else None.

        A robot that stands for long moves at a speed that it can have; a setpoint does not.
        """
        trajectory = self.poses.trajectory
        if trajectory is None or len(trajectory) < 10:
            return None
        positions = trajectory.poses[:, :3, 3]
        lengths = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        seconds = np.diff(trajectory.stamps_ns) / 1e9
        total = lengths.sum()
        if total < STILL_M or np.mean(lengths < 1e-6) < _HELD_SHARE:
            return None
        ordered = np.sort(lengths)[::-1]
        count = int(np.searchsorted(np.cumsum(ordered), _STEP_PATH * total)) + 1
        speed = np.median((lengths / seconds)[np.argsort(lengths)[::-1][:count]])
        if count > _STEP_INTERVALS * len(lengths) or speed < _STEP_SPEED_M_S:
            return None
        return float(ordered[:count].sum() / total), count / len(lengths)

    def agreement(self, other: Candidate) -> float | None:
        """Returns how alike two sources move over `INTERVAL_S`, 0 to 1; None where too little is known.

        Where the messages do not say whose poses they are, the frames are taken that agree best.
        """
        shares = [
            _likeness(self._motions(mine), other._motions(theirs))
            for mine in {self.poses.body, *self.bodies[:_MAX_COMPARED_BODIES]}
            for theirs in {other.poses.body, *other.bodies[:_MAX_COMPARED_BODIES]}
        ]
        return max((share for share in shares if share is not None), default=None)

    def distance_change(self, other: Candidate) -> float | None:
        """Returns by how many metres the distance between two sources changes; None in different frames.

        The 90th percentile of the difference of their positions to its median, in the axes of the camera.
        """
        if self.poses.map_frame != other.poses.map_frame:
            return None
        mine, known = self.at_images
        theirs, other_known = other.at_images
        both = known & other_known
        if np.count_nonzero(both) < MIN_COMPARED:
            return None
        offsets = (inverse(mine[both]) @ theirs[both])[:, :3, 3]
        return float(np.percentile(np.linalg.norm(offsets - np.median(offsets, axis=0), axis=1), 90))

    def drift(self, other: Candidate) -> tuple[float, float] | None:
        """Returns how far apart two sources end that begin together, and the path's length, in metres."""
        mine, known = self.at_images
        theirs, other_known = other.at_images
        both = np.flatnonzero(known & other_known)
        if len(both) < MIN_COMPARED:
            return None
        ends = [inverse(poses[both[0]]) @ poses[both[-1]] for poses in (mine, theirs)]
        length = float(np.linalg.norm(np.diff(mine[both][:, :3, 3], axis=0), axis=1).sum())
        return float(np.linalg.norm(ends[0][:3, 3] - ends[1][:3, 3])), length


def _likeness(
    mine: tuple[NDArray[np.float64], NDArray[np.bool_]],
    theirs: tuple[NDArray[np.float64], NDArray[np.bool_]],
) -> float | None:
    """Returns how alike motions (N, 4, 4) are, given with masks (N,); None where too few are known in both.

    One minus the difference of both over the sum of their lengths, each summed over all; the same of the
    angles; the mean of those two in which there is any motion.
    """
    both = mine[1] & theirs[1]
    if np.count_nonzero(both) < MIN_COMPARED:
        return None
    first, second = mine[0][both], theirs[0][both]

    def length(steps: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(steps[:, :3, 3], axis=1))

    def angle(steps: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(angle_of_matrix(steps[:, :3, :3]))

    apart_m = np.linalg.norm(first[:, :3, 3] - second[:, :3, 3], axis=1)
    shares = []
    for apart, sizes, still in (
        (apart_m, length(first) + length(second), STILL_M),
        (angle(inverse(first) @ second), angle(first) + angle(second), STILL_RAD),
    ):
        if sizes.sum() > 2 * still * len(first):
            shares.append(max(0.0, float(1 - apart.sum() / sizes.sum())))
    return float(np.mean(shares)) if shares else None


def tf_candidates(index: BagIndex, frame: str, samples: Samples) -> list[Candidate]:
    """Returns transforms from each root and each named world to the camera; static ones only of these."""
    tree = index.tree
    above = tree.ancestors_of(frame)
    roots = [name for name in above if not tree.ancestors_of(name)]
    named = [name for name in above if is_world(name) or is_odometry(name)]
    # Odometry is sometimes published upside down, with its root below the vehicle.
    inverted = [
        name for name in sorted(tree.frames() - {*above, frame}) if is_world(name) or is_odometry(name)
    ]
    found = []
    for root in dict.fromkeys([*named, *roots, *inverted]):
        if not tree.connects(root, frame):
            continue
        has_name = is_world(root) or is_odometry(root)
        if tree.is_static(root, frame) and not has_name:
            continue
        moving = tree.moving_between(root, frame).values()
        odometry = [name for name in tree.chain(root, frame)[1:] if is_odometry(name)]
        if is_odometry(root):
            rank = Rank.ODOMETRY_TF
        elif any(tree.is_static(root, name) for name in odometry):
            rank = Rank.MAP_OF_ODOMETRY_TF  # nothing corrects the odometry
        else:
            rank = Rank.GLOBAL_TF if has_name else Rank.ROOT_TF
        poses = BagPoses(root, TF, tree, root, None)
        messages = min((len(series) for series in moving), default=0)
        candidate = Candidate(poses, f"{TF} from {root}", TF, messages, rank, frame, samples)
        candidate.conflict_share = max((_conflict_share(series) for series in moving), default=0.0)
        found.append(candidate)
    # The map of REP-105 before what is above it, and the root before what is between.
    return sorted(found, key=lambda candidate: (not is_map(candidate.poses.map_frame), -len(candidate.chain)))


def topic_candidates(
    index: BagIndex, frame: str, samples: Samples, pose_frame: str | None = None
) -> Iterator[Candidate]:
    """Yields the topics of poses.

    Args:
        pose_frame: frame whose poses they are; None for the messages' child frame, else the likeliest.
    """
    drifting = {
        topic.frame_id
        for topic in index.poses.values()
        if topic.kind == ODOMETRY and not is_world(topic.frame_id)
    }
    for topic in index.poses.values():
        if is_truth(topic.topic):
            rank = Rank.TRUTH
        elif is_odometry(topic.frame_id) or topic.frame_id in drifting:
            rank = Rank.ODOMETRY_TOPIC
        else:
            rank = Rank.GLOBAL_TOPIC
        bodies = [pose_frame] if pose_frame else _bodies(index, frame, topic, samples)
        yield from_topic(topic, index, bodies, rank, frame, samples)


def from_topic(
    topic: PoseTopic, index: BagIndex, bodies: Sequence[str], rank: Rank, frame: str, samples: Samples
) -> Candidate:
    """Makes the candidate of a topic, of the first of the frames whose poses they may be."""
    trajectory = topic.series.trajectory()
    poses = BagPoses(topic.frame_id or "map", topic.topic, index.tree, bodies[0], trajectory)
    candidate = Candidate(
        poses, topic.topic, topic.kind, len(topic.series), rank, frame, samples, bodies, topic
    )
    candidate.conflict_share = _conflict_share(topic.series)
    return candidate


def _conflict_share(series: PoseSeries) -> float:
    return series.conflicts / len(series) if len(series) else 0.0


def _bodies(index: BagIndex, frame: str, topic: PoseTopic, samples: Samples) -> list[str]:
    """Returns the frames whose poses a topic may have, the likeliest first.

    The child frame of the messages, with the prefix that it has on TF; else the vehicle's frame by its name,
    else the uppermost frame that is fixed to the camera.
    """
    child, tree = topic.child_frame_id, index.tree
    if child:
        if tree.connects(child, frame):
            return [child]
        prefixed = [
            name
            for name in sorted(tree.frames())
            if name.endswith(f"/{child}") and tree.connects(name, frame)
        ]
        return prefixed if len(prefixed) == 1 else [child]
    above = [
        name
        for name in tree.ancestors_of(frame)
        if not (is_world(name) or is_odometry(name) or name == topic.frame_id)
    ]
    # A vehicle may turn its camera, and still have its own pose published.
    fixed = [
        frame,
        *(name for name in above if is_base(name) or _is_fixed(tree, name, frame, samples)),
    ]
    # The names of REP-105 first, then from above to the camera itself.
    fixed.reverse()
    sensors = [name for name in sorted(tree.frames()) if is_sensor(name) and name not in fixed]
    beside = [name for name in sensors if tree.is_static(name, frame)][:_MAX_SENSORS]
    return [*sorted(fixed, key=base_order), *beside]


def _is_fixed(tree: TransformTree, name: str, frame: str, samples: Samples) -> bool:
    """Returns whether two frames are fixed to each other, also by transforms that are always the same."""
    if tree.is_static(name, frame):
        return True
    poses, known = tree.lookup_many(name, frame, samples.images_ns)
    if np.count_nonzero(known) < MIN_COMPARED:
        return False
    relative = inverse(poses[known][:1]) @ poses[known]
    turned = angle_of_matrix(relative[:, :3, :3]).max()
    return bool(np.abs(relative[:, :3, 3]).max() < STILL_M and turned < STILL_RAD)


def is_carried(tree: TransformTree, parent: str, camera_frame: str) -> bool:
    """Returns whether a frame is fixed to the camera, so that poses in it are of something that is seen."""
    if is_world(parent) or is_odometry(parent):
        return False
    return bool(parent) and (parent == camera_frame or tree.is_static(parent, camera_frame))
