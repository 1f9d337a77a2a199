"""Poses of a recording's sensors in the map: from a topic, from TF, or from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.trajectory import Trajectory, read_tum
from scene_geo_loc.geometry.transform_tree import TransformTree
from scene_geo_loc.traversals.rosbag.index import TRANSFORMS, BagIndex, PoseTopic

BASE_FRAMES = ("base_link", "base_footprint")
"""Names of the frame of a vehicle, REP-105 and REP-120."""

_MAP, _ODOM = "map", "odom"


@dataclass(frozen=True)
class BagPoses:
    """Poses of any of a recording's frames in the map.

    Attributes:
        map_frame: frame that the poses are given in.
        origin: source of the poses, for messages.
        body: frame whose poses `trajectory` has, or the map itself where all poses are on TF.
        trajectory: poses of `body` in the map, or None where all poses are on TF.
    """

    map_frame: str
    origin: str
    tree: TransformTree
    body: str
    trajectory: Trajectory | None

    def of(self, frame: str, stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns `T_map_frame` (N, 4, 4) at stamps (N,), and a mask (N,) of the known ones."""
        stamps_ns = np.asarray(stamps_ns, np.int64)
        poses, known = self.tree.lookup_many(self.body, frame, stamps_ns)
        if self.trajectory is None:
            return poses, known
        T_map_body, body_known = self.trajectory.at_many(stamps_ns)
        return T_map_body @ poses, known & body_known


def choose_poses(index: BagIndex, camera_frame: str, wanted: str | None) -> BagPoses | None:
    """Returns the source of poses: the one that is wanted, else the best.

    The order is: a topic of poses that is not odometry (ground truth first), TF from `map` to the
    camera, odometry, TF from the camera's root frame.

    Args:
        wanted: None for the best; a topic; or a TUM file with poses of the camera's optical frame.

    Returns:
        None where there is no source of poses.

    Raises:
        TraversalError: the wanted source is missing.
    """
    if wanted is not None:
        return _wanted(index, camera_frame, wanted)
    odometry = [topic for topic in index.poses.values() if topic.child_frame_id]
    odometry_frames = {_ODOM} | {topic.frame_id for topic in odometry}
    measured = [
        topic
        for topic in index.poses.values()
        if not topic.child_frame_id and topic.frame_id not in odometry_frames and len(topic.series) > 1
    ]
    if measured:
        best = min(measured, key=lambda topic: ("truth" not in topic.topic, -len(topic.series), topic.topic))
        return _from_topic(index, camera_frame, best)
    if index.tree.connects(_MAP, camera_frame):
        return _from_tf(index, _MAP)
    if odometry:
        return _from_topic(index, camera_frame, max(odometry, key=lambda topic: len(topic.series)))
    root = index.tree.root_of(camera_frame)
    return None if index.tree.is_static(root, camera_frame) else _from_tf(index, root)


def choose_odometry(index: BagIndex, camera_frame: str, poses: BagPoses | None) -> BagPoses | None:
    """Returns poses by odometry alone, for dead reckoning: its largest topic, else TF from `odom`.

    None where there is no odometry other than `poses`.
    """
    taken = poses.origin if poses else ""
    topics = [
        topic
        for topic in index.poses.values()
        if topic.child_frame_id and topic.topic != taken and topic.frame_id != _MAP
    ]
    if topics:
        return _from_topic(index, camera_frame, max(topics, key=lambda topic: len(topic.series)))
    if index.tree.connects(_ODOM, camera_frame) and not index.tree.is_static(_ODOM, camera_frame):
        return None if poses and poses.map_frame == _ODOM else _from_tf(index, _ODOM)
    return None


def _wanted(index: BagIndex, camera_frame: str, wanted: str) -> BagPoses:
    if wanted in index.poses:
        return _from_topic(index, camera_frame, index.poses[wanted])
    if index.bag.topics.get(wanted) in TRANSFORMS:
        return _from_tf(
            index, _MAP if index.tree.connects(_MAP, camera_frame) else index.tree.root_of(camera_frame)
        )
    if Path(wanted).is_file():
        return BagPoses(_MAP, wanted, index.tree, camera_frame, read_tum(Path(wanted)))
    there = ", ".join([*sorted(index.poses), *index.bag.of_kind(*TRANSFORMS)]) or "none"
    raise TraversalError(
        f"{index.bag.path}: {wanted!r} is neither a trajectory file nor a topic of poses; "
        f"topics of poses in the bag: {there}."
    )


def _from_tf(index: BagIndex, root: str) -> BagPoses:
    return BagPoses(root, "TF", index.tree, root, None)


def _from_topic(index: BagIndex, camera_frame: str, topic: PoseTopic) -> BagPoses:
    body = topic.child_frame_id or next(
        (frame for frame in BASE_FRAMES if index.tree.is_static(frame, camera_frame)),
        camera_frame,
    )
    return BagPoses(topic.frame_id or _MAP, topic.topic, index.tree, body, topic.series.trajectory())
