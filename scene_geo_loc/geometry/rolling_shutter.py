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

"""Rolling shutters: the motion of a camera while the rows of an image are read out.

Each row is exposed a little later than the one above, so each row has a pose of its own.  The motion between
the first and the last row is known by odometry; it is taken as even, which over some tens of milliseconds it
is.  A pixel whose depth is known is moved to where a global shutter would have seen its point: after that the
image has one pose, and all that holds for a global shutter holds for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import motion_of, twist_of
from scene_geo_loc.geometry.pose import Pose, interpolate, inverse
from scene_geo_loc.geometry.rotation import matrix_of_vector, vector_of_matrix

_STEPS = 3
"""Steps in which the row is found that shows a point: it changes by little between them."""


@dataclass(frozen=True)
class ReadoutMotion:
    """Motion of a rolling-shutter camera during an image.

    Attributes:
        T_image_first, T_image_last: poses of the camera at its first and last row, in the camera at the time
            that the image's pose is for.  Images are stamped at the first row, so that the first is the
            identity.
        by_odometry: False where the motion is by the poses that the image itself has in the map, which a map
            may use and a localizer may not.
        row: (3,) the row of a pixel, 0 for the first and 1 for the last, is the product of this with the
            pixel's place in the image, x and y from 0 to 1, and 1.
    """

    T_image_first: Pose
    T_image_last: Pose
    by_odometry: bool = True
    row: tuple[float, float, float] = (0.0, 1.0, 0.0)

    @classmethod
    def of(cls, T_world_first: Pose, T_world_last: Pose, *, by_odometry: bool = True) -> ReadoutMotion:
        """Returns the motion between the poses (4, 4) of a camera at the first and at the last row."""
        return cls(np.eye(4), inverse(T_world_first) @ T_world_last, by_odometry)

    @classmethod
    def of_twist(cls, twist: NDArray[np.float64], readout_s: float) -> ReadoutMotion:
        """Returns the motion of a camera with a constant twist (6,) along its own axes, m/s and rad/s."""
        return cls(np.eye(4), motion_of(twist, readout_s))

    @property
    def twist(self) -> NDArray[np.float64]:
        """Motion from the first to the last row (6,), metres and radians along the axes of the first."""
        return twist_of(inverse(self.T_image_first) @ self.T_image_last, 1.0)

    def T_image_row(self, row: float) -> Pose:
        """Returns the pose of the camera at a row, 0 for the first and 1 for the last."""
        return interpolate(self.T_image_first, self.T_image_last, row)

    def at_middle_row(self) -> tuple[Pose, ReadoutMotion]:
        """Returns the pose at the middle row, in the image's camera, and the motion as seen from there."""
        T_image_middle = self.T_image_row(0.5)
        back = inverse(T_image_middle)
        moved = replace(self, T_image_first=back @ self.T_image_first, T_image_last=back @ self.T_image_last)
        return T_image_middle, moved

    def in_view(self, T_camera_view: Pose, row: tuple[float, float, float]) -> ReadoutMotion:
        """Returns the motion of a virtual camera in the place of the real one, whose rows run otherwise."""
        T_view_camera = inverse(T_camera_view)
        return replace(
            self,
            T_image_first=T_view_camera @ self.T_image_first @ T_camera_view,
            T_image_last=T_view_camera @ self.T_image_last @ T_camera_view,
            row=row,
        )

    def rows_of(self, camera: Camera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the rows (N,), 0 for the first and 1 for the last, of pixels (N, 2) of an image."""
        places = (pixels + 0.5) / (camera.width, camera.height)
        return np.asarray(np.clip(places @ self.row[:2] + self.row[2], 0.0, 1.0))

    def at_once(
        self, camera: Camera, pixels: NDArray[np.float64], depth: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Returns the points (N, 3), in the camera at the image's time, that pixels (N, 2) show.

        Args:
            camera: of the image; its rays have the lens distortion undone.
            pixels: in the image, as it was taken.
            depth: (N,) metres along the optical axis at the time of the pixel's row.  Where it is not finite
                the point is taken as far away, and its depth as 1 m.
        """
        rays = camera.rays(pixels)
        known = np.isfinite(depth)
        points = rays * np.where(known, depth, 1.0)[:, None]
        R, t = self._of_rows(self.rows_of(camera, pixels))
        return np.einsum("nij,nj->ni", R, points) + np.where(known[:, None], t, 0.0)

    def as_read(self, camera: Camera, points: NDArray) -> NDArray:
        """Returns points (N, 3), seen by the camera at the image's time, in the camera at their own rows.

        The inverse of `at_once`; keeps the floating type.
        """
        seen = np.asarray(points, np.float64)
        for _ in range(_STEPS):
            rows = np.nan_to_num(self.rows_of(camera, camera.project(seen)))
            R, t = self._of_rows(rows)
            seen = np.einsum("nji,nj->ni", R, points - t)
        return np.asarray(seen, points.dtype)

    def _of_rows(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns rotations (N, 3, 3) and positions (N, 3) of the camera at rows (N,)."""
        first, last = self.T_image_first, self.T_image_last
        turn = vector_of_matrix(first[:3, :3].T @ last[:3, :3])
        R = first[:3, :3] @ matrix_of_vector(rows[:, None] * turn)
        return R, first[:3, 3] + rows[:, None] * (last[:3, 3] - first[:3, 3])
