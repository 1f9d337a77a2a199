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

"""A recording of the views of a map and of the answers in it, for RViz and Foxglove."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.match_picture import match_picture
from scene_geo_loc.localization.view.messages import (
    CANDIDATES,
    KEYFRAME_VIEWS,
    KEYFRAMES,
    LATCHED,
    MATCH_LINES,
    MATCHES,
    PATH,
    PICTURE_JPEG,
    POSITION,
    TOPICS,
    ViewMessages,
)
from scene_geo_loc.localization.view.scene import PosePath, position_ellipsoid
from scene_geo_loc.traversals.rosbag.bag_file import BagFile

if TYPE_CHECKING:
    from scene_geo_loc.geometry.trajectory import Trajectory
    from scene_geo_loc.localization.session import Answer
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.traversals.frame import Frame

BASE_FRAME = "base_link"
"""Frame whose poses are recorded: the camera with x forward, y left and z up, so that arrows point ahead."""
T_CAMERA_BODY = make_pose(OPTICAL_FROM_BODY, (0, 0, 0))
PATH_PERIOD_NS = 1_000_000_000
"""Time between two messages of the path, each of which holds all of it."""
OTHER_TOPICS = {
    "localization/state": "std_msgs/msg/String",
    "localization/pose": "geometry_msgs/msg/PoseStamped",
    "localization/pose_with_covariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "ground_truth/pose": "geometry_msgs/msg/PoseStamped",
    "tf": "tf2_msgs/msg/TFMessage",
}
"""Topics beside those of the views, with their types, as of the node and of recordings."""
STATE, POSE, POSE_WITH_COVARIANCE, GROUND_TRUTH, TF = OTHER_TOPICS


class ViewRecording:
    """A new rosbag2 recording (MCAP) of the messages that a node publishes to look at, a context manager.

    The poses are those of the camera, as frame `BASE_FRAME`.  Under `path` there is a complete recording or
    none, see `BagFile`.

    Args:
        path: folder of the recording.
        reference_map: the map; its keyframes are recorded at the time of the first answer.

    Raises TraversalError where `path` exists already or cannot be written.
    """

    def __init__(self, path: Path, reference_map: AnyMap) -> None:
        self._map, self._file = reference_map, BagFile(path)
        self._messages = ViewMessages(self._make, reference_map, reference_map.map_frame)
        self._track = PosePath()
        self._state: Status | None = None
        self._path_ns: int | None = None

    def __enter__(self) -> ViewRecording:
        self._file.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
                self._file.publish()
        finally:
            self._file.discard()

    def add(self, frame: Frame, answer: Answer) -> None:
        """Records the answer for a frame: state, pose, candidates, matches, and the picture of them."""
        stamp_ns, estimate, pose = frame.stamp_ns, answer.estimate, answer.pose
        self._write_map(stamp_ns)
        if pose.status is not self._state:
            self._state = pose.status
            self._write(STATE, stamp_ns, self._make(OTHER_TOPICS[STATE], data=pose.status.value))
        self._write(CANDIDATES, stamp_ns, self._messages.candidates(stamp_ns, estimate))
        self._write(MATCHES, stamp_ns, self._messages.matches(stamp_ns, estimate))
        self._write(MATCH_LINES, stamp_ns, self._messages.match_lines(stamp_ns, estimate))
        ellipsoid = None
        if pose.status.has_pose and pose.T_map_base is not None:
            self._write_pose(stamp_ns, pose.T_map_base, pose.covariance)
            if pose.covariance is not None:
                ellipsoid = position_ellipsoid(pose.T_map_base, pose.covariance)
        self._write(POSITION, stamp_ns, self._messages.ellipsoid(stamp_ns, ellipsoid))
        if frame.T_map_camera is not None:
            self._write(GROUND_TRUTH, stamp_ns, self._pose_stamped(stamp_ns, frame.T_map_camera))
        picture = match_picture(frame.image, estimate, self._map)
        self._write(PICTURE_JPEG, stamp_ns, self._messages.jpeg(stamp_ns, picture))

    def add_trajectory(self, trajectory: Trajectory) -> None:
        """Records poses of the camera without evidence, in order of time."""
        for stamp_ns, T_map_camera in zip(trajectory.stamps_ns.tolist(), trajectory.poses, strict=True):
            self._write_map(stamp_ns)
            self._write_pose(stamp_ns, T_map_camera, None)

    def _finish(self) -> None:
        """Writes the path to its end, and the map where nothing was added."""
        stamps_ns = self._map.stamps_ns
        self._write_map(int(stamps_ns[0]) if len(stamps_ns) else 0)
        if self._track.poses:
            stamp_ns = self._track.poses[-1][0]
            self._write(PATH, stamp_ns, self._messages.path(stamp_ns, list(self._track.poses)))

    def _write_map(self, stamp_ns: int) -> None:
        if f"/{KEYFRAMES}" not in self._file.topics:
            self._write(KEYFRAMES, stamp_ns, self._messages.keyframes(stamp_ns))
            self._write(KEYFRAME_VIEWS, stamp_ns, self._messages.keyframe_views(stamp_ns))

    def _write_pose(self, stamp_ns: int, T_map_camera: Pose, covariance: Any) -> None:
        pose = self._messages.pose(T_map_camera @ T_CAMERA_BODY)
        self._write(POSE, stamp_ns, self._pose_stamped(stamp_ns, T_map_camera))
        if covariance is not None:
            with_covariance = self._make(
                "geometry_msgs/msg/PoseWithCovariance",
                pose=pose,
                covariance=np.asarray(covariance, np.float64).reshape(36),
            )
            self._write(
                POSE_WITH_COVARIANCE,
                stamp_ns,
                self._make(
                    OTHER_TOPICS[POSE_WITH_COVARIANCE],
                    header=self._messages.header(stamp_ns),
                    pose=with_covariance,
                ),
            )
        transform = self._make(
            "geometry_msgs/msg/TransformStamped",
            header=self._messages.header(stamp_ns),
            child_frame_id=BASE_FRAME,
            transform=self._make(
                "geometry_msgs/msg/Transform",
                translation=self._make(
                    "geometry_msgs/msg/Vector3", x=pose.position.x, y=pose.position.y, z=pose.position.z
                ),
                rotation=pose.orientation,
            ),
        )
        self._write(TF, stamp_ns, self._make(OTHER_TOPICS[TF], transforms=[transform]))
        self._track.add(stamp_ns, T_map_camera)
        if self._path_ns is None or stamp_ns - self._path_ns >= PATH_PERIOD_NS:
            self._path_ns = stamp_ns
            self._write(PATH, stamp_ns, self._messages.path(stamp_ns, list(self._track.poses)))

    def _pose_stamped(self, stamp_ns: int, T_map_camera: Pose) -> Any:
        return self._make(
            OTHER_TOPICS[POSE],
            header=self._messages.header(stamp_ns),
            pose=self._messages.pose(T_map_camera @ T_CAMERA_BODY),
        )

    def _make(self, kind: str, **fields: Any) -> Any:
        return self._file.typestore.types[kind](**fields)

    def _write(self, topic: str, stamp_ns: int, message: Any) -> None:
        name, kind = f"/{topic}", (TOPICS | OTHER_TOPICS)[topic]
        if name not in self._file.topics:
            self._file.add_topic(name, kind, latched=topic in LATCHED, depth=1 if topic in LATCHED else 10)
        self._file.write(name, stamp_ns, self._file.typestore.serialize_cdr(message, kind))
