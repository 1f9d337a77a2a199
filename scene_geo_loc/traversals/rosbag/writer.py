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

"""Writes rosbag2 recordings (MCAP) with standard messages, without a ROS installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, to_quaternion
from scene_geo_loc.traversals.messages.camera_info import camera_info_fields
from scene_geo_loc.traversals.rosbag.bag_file import BagFile

_FLOAT32 = 7
"""Value of sensor_msgs/PointField.FLOAT32."""


class BagWriter:
    """A new rosbag2 recording, used as a context manager.

    The bag is written to the hidden folder `.<path>.partial` and renamed when the block ends without an
    exception, so that under the final name there is a complete bag or none.  Messages are recorded at
    their stamp; they should come roughly in order of time.

    Raises TraversalError where `path` exists already, is being written by another process, or cannot be
    written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = BagFile(self.path)
        self._typestore = self._file.typestore

    def __enter__(self) -> BagWriter:
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
                self._file.publish()
        finally:
            self._file.discard()

    def image(self, topic: str, stamp_ns: int, frame_id: str, rgb: NDArray[np.uint8]) -> None:
        """Writes an (H, W, 3) RGB image as sensor_msgs/Image, rgb8."""
        self._image(topic, stamp_ns, frame_id, "rgb8", np.asarray(rgb, np.uint8))

    def compressed_image(self, topic: str, stamp_ns: int, frame_id: str, rgb: NDArray[np.uint8]) -> None:
        """Writes an (H, W, 3) RGB image as sensor_msgs/CompressedImage, JPEG."""
        self.jpeg(topic, stamp_ns, frame_id, jpeg_of(rgb))

    def jpeg(self, topic: str, stamp_ns: int, frame_id: str, data: NDArray[np.uint8]) -> None:
        """Writes the bytes of a JPEG as sensor_msgs/CompressedImage."""
        self._write(
            topic,
            stamp_ns,
            "sensor_msgs/msg/CompressedImage",
            header=self._header(stamp_ns, frame_id),
            format="rgb8; jpeg compressed bgr8",
            data=data,
        )

    def depth_image(self, topic: str, stamp_ns: int, frame_id: str, depth_m: NDArray[np.float32]) -> None:
        """Writes an (H, W) depth map in metres as sensor_msgs/Image, 16UC1 in millimetres (REP-118).

        Zero stands for unknown; depths of 65.535 m and more do not fit and become unknown.
        """
        millimetres = np.nan_to_num(np.asarray(depth_m, np.float32) * 1000.0, nan=0.0).round()
        millimetres[(millimetres < 0) | (millimetres > 65534)] = 0
        self._image(topic, stamp_ns, frame_id, "16UC1", millimetres.astype("<u2"))

    def camera_info(self, topic: str, stamp_ns: int, frame_id: str, camera: Camera) -> None:
        """Writes a camera as sensor_msgs/CameraInfo."""
        self._write(
            topic,
            stamp_ns,
            "sensor_msgs/msg/CameraInfo",
            header=self._header(stamp_ns, frame_id),
            **camera_info_fields(camera),
            binning_x=0,
            binning_y=0,
            roi=self._message(
                "sensor_msgs/msg/RegionOfInterest",
                x_offset=0,
                y_offset=0,
                height=0,
                width=0,
                do_rectify=False,
            ),
        )

    def points(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        xyz: ArrayLike,
        intensity: ArrayLike | None = None,
        time_offset_s: ArrayLike | None = None,
    ) -> None:
        """Writes points (N, 3) in metres as sensor_msgs/PointCloud2 with float32 fields.

        Args:
            intensity: (N,), the field `intensity`.
            time_offset_s: (N,) seconds after the stamp, the field `time`.
        """
        columns = [np.asarray(xyz, np.float32).reshape(-1, 3)]
        names = ["x", "y", "z"]
        for name, values in (("intensity", intensity), ("time", time_offset_s)):
            if values is not None:
                columns.append(np.asarray(values, np.float32).reshape(-1, 1))
                names.append(name)
        table = np.ascontiguousarray(np.concatenate(columns, axis=1), "<f4")
        point_step = 4 * len(names)
        self._write(
            topic,
            stamp_ns,
            "sensor_msgs/msg/PointCloud2",
            header=self._header(stamp_ns, frame_id),
            height=1,
            width=len(table),
            fields=[
                self._message(
                    "sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=_FLOAT32, count=1
                )
                for i, name in enumerate(names)
            ],
            is_bigendian=False,
            point_step=point_step,
            row_step=point_step * len(table),
            data=table.reshape(-1).view(np.uint8),
            is_dense=bool(np.isfinite(table[:, :3]).all()),
        )

    def laser_scan(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        ranges: ArrayLike,
        intensities: ArrayLike,
        angle_min: float,
        angle_increment: float,
        time_increment_s: float,
        range_min: float,
        range_max: float,
    ) -> None:
        """Writes a sweep as sensor_msgs/LaserScan: ranges (N,) in metres from `angle_min`, in radians."""
        r = np.asarray(ranges, np.float32)
        self._write(
            topic,
            stamp_ns,
            "sensor_msgs/msg/LaserScan",
            header=self._header(stamp_ns, frame_id),
            angle_min=float(angle_min),
            angle_max=float(angle_min + angle_increment * max(len(r) - 1, 0)),
            angle_increment=float(angle_increment),
            time_increment=float(time_increment_s),
            scan_time=float(time_increment_s * len(r)),
            range_min=float(range_min),
            range_max=float(range_max),
            ranges=r,
            intensities=np.asarray(intensities, np.float32),
        )

    def odometry(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        child_frame_id: str,
        T: Pose,
        linear: ArrayLike,
        angular: ArrayLike,
        pose_variances: Sequence[float],
        twist_variances: Sequence[float],
    ) -> None:
        """Writes nav_msgs/Odometry: pose of the child in the frame, velocities in the child frame.

        Args:
            linear, angular: (3,) m/s and rad/s.
            pose_variances, twist_variances: (6,) diagonals in the order x y z rx ry rz.
        """
        self._write(
            topic,
            stamp_ns,
            "nav_msgs/msg/Odometry",
            header=self._header(stamp_ns, frame_id),
            child_frame_id=child_frame_id,
            pose=self._message(
                "geometry_msgs/msg/PoseWithCovariance",
                pose=self._pose(T),
                covariance=np.diag(np.asarray(pose_variances, np.float64)).reshape(-1),
            ),
            twist=self._message(
                "geometry_msgs/msg/TwistWithCovariance",
                twist=self._message(
                    "geometry_msgs/msg/Twist", linear=self._vector(linear), angular=self._vector(angular)
                ),
                covariance=np.diag(np.asarray(twist_variances, np.float64)).reshape(-1),
            ),
        )

    def transform(self, stamp_ns: int, parent: str, child: str, T: Pose) -> None:
        """Writes the pose of `child` in `parent` at a time to /tf."""
        self._transforms("/tf", stamp_ns, {(parent, child): T})

    def static_transforms(self, stamp_ns: int, transforms: Mapping[tuple[str, str], Pose]) -> None:
        """Writes constant poses by (parent, child) as one message to /tf_static."""
        self._transforms("/tf_static", stamp_ns, transforms)

    def nav_sat_fix(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        latitude: float,
        longitude: float,
        altitude: float,
        variances: Sequence[float],
        *,
        has_fix: bool = True,
    ) -> None:
        """Writes sensor_msgs/NavSatFix: degrees, metres above the ellipsoid, (3,) variances of ENU in m^2."""
        self._write(
            topic,
            stamp_ns,
            "sensor_msgs/msg/NavSatFix",
            header=self._header(stamp_ns, frame_id),
            status=self._message("sensor_msgs/msg/NavSatStatus", status=0 if has_fix else -1, service=1),
            latitude=float(latitude),
            longitude=float(longitude),
            altitude=float(altitude),
            position_covariance=np.diag(np.asarray(variances, np.float64)).reshape(-1),
            position_covariance_type=2,
        )

    def pose(self, topic: str, stamp_ns: int, frame_id: str, T: Pose) -> None:
        """Writes a pose in `frame_id` as geometry_msgs/PoseStamped."""
        self._write(
            topic,
            stamp_ns,
            "geometry_msgs/msg/PoseStamped",
            header=self._header(stamp_ns, frame_id),
            pose=self._pose(T),
        )

    def _image(
        self, topic: str, stamp_ns: int, frame_id: str, encoding: str, pixels: NDArray[np.generic]
    ) -> None:
        pixels = np.ascontiguousarray(pixels)
        self._write(
            topic,
            stamp_ns,
            "sensor_msgs/msg/Image",
            header=self._header(stamp_ns, frame_id),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=pixels.strides[0],
            data=pixels.reshape(-1).view(np.uint8),
        )

    def _transforms(self, topic: str, stamp_ns: int, transforms: Mapping[tuple[str, str], Pose]) -> None:
        messages = [
            self._message(
                "geometry_msgs/msg/TransformStamped",
                header=self._header(stamp_ns, parent),
                child_frame_id=child,
                transform=self._message(
                    "geometry_msgs/msg/Transform",
                    translation=self._vector(T[:3, 3]),
                    rotation=self._quaternion(T),
                ),
            )
            for (parent, child), T in transforms.items()
        ]
        self._write(topic, stamp_ns, "tf2_msgs/msg/TFMessage", transforms=messages)

    def _pose(self, T: Pose) -> Any:
        point = self._message("geometry_msgs/msg/Point", **_xyz(T[:3, 3]))
        return self._message("geometry_msgs/msg/Pose", position=point, orientation=self._quaternion(T))

    def _quaternion(self, T: Pose) -> Any:
        x, y, z, w = (float(value) for value in to_quaternion(T))
        return self._message("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)

    def _vector(self, values: ArrayLike) -> Any:
        return self._message("geometry_msgs/msg/Vector3", **_xyz(values))

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(int(stamp_ns), 10**9)
        stamp = self._message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def _message(self, kind: str, **fields: Any) -> Any:
        return self._typestore.types[kind](**fields)

    def _write(self, topic: str, stamp_ns: int, kind: str, **fields: Any) -> None:
        if topic not in self._file.topics:
            latched = topic == "/tf_static"
            self._file.add_topic(topic, kind, latched=latched, depth=1 if latched else 10)
        data = self._typestore.serialize_cdr(self._message(kind, **fields), kind)
        self._file.write(topic, int(stamp_ns), data)


def jpeg_of(rgb: NDArray[np.uint8], quality: int = 92) -> NDArray[np.uint8]:
    """Encodes an (H, W, 3) RGB image as JPEG of the given quality."""
    bgr = cv2.cvtColor(np.ascontiguousarray(rgb, np.uint8), cv2.COLOR_RGB2BGR)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"an image of shape {rgb.shape} cannot be written as JPEG")
    return np.asarray(jpeg, np.uint8).reshape(-1)


def _xyz(values: ArrayLike) -> dict[str, float]:
    x, y, z = np.asarray(values, np.float64)
    return {"x": float(x), "y": float(y), "z": float(z)}
