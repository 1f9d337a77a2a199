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

"""ROS messages of the views, the same for rclpy and for recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scene_geo_loc.geometry.pose import Pose, to_quaternion
from scene_geo_loc.localization.match_picture import jpeg_bytes
from scene_geo_loc.localization.view.scene import (
    ELLIPSOID,
    Ellipsoid,
    Label,
    Lines,
    Points,
    camera_size,
    candidate_scene,
    keyframe_points,
    keyframe_views,
    match_lines,
    match_points,
    selected_scene,
)

if TYPE_CHECKING:
    from scene_geo_loc.localization.estimate import PoseEstimate
    from scene_geo_loc.mapping.reference_map import AnyMap

MakeMessage = Callable[..., Any]
"""Makes a message from its type, `package/msg/Name`, and all of its fields as keywords."""

TOPICS = {
    "localization/keyframes": "sensor_msgs/msg/PointCloud2",
    "localization/keyframe_views": "visualization_msgs/msg/Marker",
    "localization/candidates": "visualization_msgs/msg/MarkerArray",
    "localization/matches": "sensor_msgs/msg/PointCloud2",
    "localization/match_lines": "visualization_msgs/msg/Marker",
    "localization/ellipsoid": "visualization_msgs/msg/Marker",
    "localization/path": "nav_msgs/msg/Path",
    "localization/selected_keyframe": "visualization_msgs/msg/MarkerArray",
    "localization/keyframe_image": "sensor_msgs/msg/Image",
    "localization/debug_image": "sensor_msgs/msg/Image",
    "localization/debug_image/compressed": "sensor_msgs/msg/CompressedImage",
}
"""Topics of the views and their types, relative to the node's namespace."""
(
    KEYFRAMES,
    KEYFRAME_VIEWS,
    CANDIDATES,
    MATCHES,
    MATCH_LINES,
    POSITION,
    PATH,
    SELECTED,
    THUMBNAIL,
    PICTURE,
    PICTURE_JPEG,
) = TOPICS
LATCHED = (KEYFRAMES, KEYFRAME_VIEWS, PATH)
"""Topics whose last message late subscribers get, too (transient local)."""

# Constants of visualization_msgs/Marker and sensor_msgs/PointField.
SPHERE, LINE_LIST, TEXT = 2, 5, 9
ADD, DELETE, DELETE_ALL = 0, 2, 3
UINT32, FLOAT32 = 6, 7


class ViewMessages:
    """Makes the messages of the views of one map.

    Args:
        make: makes a message of rclpy or of a recording.
        reference_map: the map.
        frame_id: frame of its poses.
    """

    def __init__(self, make: MakeMessage, reference_map: AnyMap, frame_id: str) -> None:
        self._make, self._map, self._frame_id = make, reference_map, frame_id
        self._size = camera_size(reference_map)
        nothing = np.zeros(0, np.uint8)
        self._unset = {
            "pose": self.pose(np.eye(4)),
            "scale": self._vector(np.ones(3)),
            "color": self._colour((0, 0, 0)),
            "lifetime": make("builtin_interfaces/msg/Duration", sec=0, nanosec=0),
            "frame_locked": False,
            "points": [],
            "colors": [],
            "texture_resource": "",
            "texture": make(
                "sensor_msgs/msg/CompressedImage",
                header=self.header(0),
                format="",
                data=nothing,
            ),
            "uv_coordinates": [],
            "text": "",
            "mesh_resource": "",
            "mesh_file": make("visualization_msgs/msg/MeshFile", filename="", data=nothing),
            "mesh_use_embedded_materials": False,
        }

    def keyframes(self, stamp_ns: int) -> Any:
        """Returns the PointCloud2 of all keyframes: 28 bytes each."""
        return self._cloud(stamp_ns, keyframe_points(self._map))

    def keyframe_views(self, stamp_ns: int) -> Any:
        """Returns the Marker of the keyframes' viewing directions."""
        return self._lines(stamp_ns, keyframe_views(self._map, self._size), "keyframe_views")

    def candidates(self, stamp_ns: int, estimate: PoseEstimate) -> Any:
        """Returns the MarkerArray of the retrieved keyframes and their scores, in place of the last one."""
        return self._markers(stamp_ns, *candidate_scene(estimate, self._map, self._size), "candidates")

    def selected(self, stamp_ns: int, keyframe: int) -> Any:
        """Returns the MarkerArray of one keyframe and its name."""
        return self._markers(stamp_ns, *selected_scene(keyframe, self._map, self._size), "selected")

    def matches(self, stamp_ns: int, estimate: PoseEstimate) -> Any:
        """Returns the PointCloud2 of the matched points, empty where nothing matched."""
        return self._cloud(stamp_ns, match_points(estimate))

    def match_lines(self, stamp_ns: int, estimate: PoseEstimate) -> Any:
        """Returns the Marker of the lines to the inliers; without a pose it deletes the last ones."""
        return self._lines(stamp_ns, match_lines(estimate, self._size), "match_lines")

    def ellipsoid(self, stamp_ns: int, ellipsoid: Ellipsoid | None) -> Any:
        """Returns the Marker of a position's ellipsoid; None deletes the last one."""
        if ellipsoid is None:
            return self._marker(stamp_ns, "ellipsoid", SPHERE, action=DELETE)
        return self._marker(
            stamp_ns,
            "ellipsoid",
            SPHERE,
            pose=self.pose(ellipsoid.T_map_axes),
            scale=self._vector(ellipsoid.diameters_m),
            color=self._colour(ELLIPSOID, 0.35),
        )

    def path(self, stamp_ns: int, poses: Sequence[tuple[int, Pose]]) -> Any:
        """Returns the Path of poses with their stamps."""
        made = self._poses([T for _, T in poses])
        stamped = [
            self._make("geometry_msgs/msg/PoseStamped", header=self.header(stamp), pose=pose)
            for (stamp, _), pose in zip(poses, made, strict=True)
        ]
        return self._make("nav_msgs/msg/Path", header=self.header(stamp_ns), poses=stamped)

    def image(self, stamp_ns: int, rgb: NDArray[np.uint8], frame_id: str = "") -> Any:
        """Returns the Image, rgb8, of a picture (H, W, 3); its frame is the map's where none is given."""
        height, width = rgb.shape[:2]
        return self._make(
            "sensor_msgs/msg/Image",
            header=self.header(stamp_ns, frame_id),
            height=height,
            width=width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * width,
            data=np.ascontiguousarray(rgb, np.uint8).reshape(-1),
        )

    def jpeg(self, stamp_ns: int, rgb: NDArray[np.uint8], frame_id: str = "") -> Any:
        """Returns the CompressedImage of a picture (H, W, 3), as of `image`."""
        return self._make(
            "sensor_msgs/msg/CompressedImage",
            header=self.header(stamp_ns, frame_id),
            format="rgb8; jpeg compressed bgr8",
            data=np.frombuffer(jpeg_bytes(rgb), np.uint8),
        )

    def header(self, stamp_ns: int, frame_id: str = "") -> Any:
        """Returns the Header of a message, in the map's frame where none is given."""
        seconds, nanoseconds = divmod(int(stamp_ns), 10**9)
        stamp = self._make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id or self._frame_id)

    def pose(self, T: Pose) -> Any:
        """Returns the Pose of a 4x4 pose."""
        return self._poses([T])[0]

    def _poses(self, poses: Sequence[Pose]) -> list[Any]:
        stacked = np.array(poses).reshape(-1, 4, 4)
        quaternions = to_quaternion(stacked) if len(stacked) else np.zeros((0, 4))
        return [
            self._make(
                "geometry_msgs/msg/Pose",
                position=position,
                orientation=self._make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
            )
            for position, (x, y, z, w) in zip(
                self._points(stacked[:, :3, 3]), quaternions.tolist(), strict=True
            )
        ]

    def _cloud(self, stamp_ns: int, points: Points) -> Any:
        columns = {axis: points.xyz[:, i].astype(np.float32) for i, axis in enumerate("xyz")} | points.columns
        if points.colours is not None:
            red, green, blue = points.colours.astype(np.uint32).T
            # The bits of 0x00RRGGBB as a float, as PCL and RViz have it.
            columns["rgb"] = (red << 16 | green << 8 | blue).view(np.float32)
        table = np.empty(len(points.xyz), [(name, column.dtype) for name, column in columns.items()])
        for name, column in columns.items():
            table[name] = column
        fields = [
            self._make(
                "sensor_msgs/msg/PointField",
                name=name,
                offset=4 * i,
                datatype=FLOAT32 if column.dtype == np.float32 else UINT32,
                count=1,
            )
            for i, (name, column) in enumerate(columns.items())
        ]
        return self._make(
            "sensor_msgs/msg/PointCloud2",
            header=self.header(stamp_ns),
            height=1,
            width=len(table),
            fields=fields,
            is_bigendian=False,
            point_step=table.itemsize,
            row_step=table.nbytes,
            data=table.view(np.uint8),
            is_dense=bool(np.isfinite(points.xyz).all()),
        )

    def _markers(self, stamp_ns: int, lines: Lines, labels: Sequence[Label], namespace: str) -> Any:
        markers = [self._marker(stamp_ns, namespace, LINE_LIST, action=DELETE_ALL)]
        if len(lines.ends):
            markers.append(self._lines(stamp_ns, lines, namespace))
        for number, label in enumerate(labels, 1):
            T = np.eye(4)
            T[:3, 3] = label.xyz
            markers.append(
                self._marker(
                    stamp_ns,
                    namespace,
                    TEXT,
                    number=number,
                    pose=self.pose(T),
                    scale=self._vector((0.0, 0.0, label.height_m)),
                    color=self._colour(label.colour),
                    text=label.text,
                )
            )
        return self._make("visualization_msgs/msg/MarkerArray", markers=markers)

    def _lines(self, stamp_ns: int, lines: Lines, namespace: str) -> Any:
        if not len(lines.ends):
            return self._marker(stamp_ns, namespace, LINE_LIST, action=DELETE)
        colours: Any = {"color": self._colour(lines.colours[0])}
        if (lines.colours != lines.colours[0]).any():
            made = {colour: self._colour(colour) for colour in set(map(tuple, lines.colours.tolist()))}
            colours["colors"] = [made[tuple(colour)] for colour in lines.colours.tolist() for _ in "12"]
        return self._marker(
            stamp_ns,
            namespace,
            LINE_LIST,
            scale=self._vector((lines.width_m, 0.0, 0.0)),
            points=self._points(lines.ends.reshape(-1, 3)),
            **colours,
        )

    def _marker(
        self, stamp_ns: int, namespace: str, kind: int, *, action: int = ADD, number: int = 0, **fields: Any
    ) -> Any:
        """Returns a Marker; fields that are not given are as those of a new message of rclpy."""
        return self._make(
            "visualization_msgs/msg/Marker",
            header=self.header(stamp_ns),
            ns=namespace,
            id=number,
            type=kind,
            action=action,
            **self._unset | fields,
        )

    def _points(self, xyz: NDArray[np.float64]) -> list[Any]:
        return [self._make("geometry_msgs/msg/Point", x=x, y=y, z=z) for x, y, z in xyz.tolist()]

    def _vector(self, xyz: ArrayLike) -> Any:
        x, y, z = np.asarray(xyz, np.float64).tolist()
        return self._make("geometry_msgs/msg/Vector3", x=x, y=y, z=z)

    def _colour(self, rgb: Sequence[int] | NDArray[np.uint8], alpha: float = 1.0) -> Any:
        red, green, blue = (int(value) / 255 for value in rgb)
        return self._make("std_msgs/msg/ColorRGBA", r=red, g=green, b=blue, a=alpha)
