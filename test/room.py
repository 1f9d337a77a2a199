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

"""A small world with known geometry, for tests that need images with true poses and depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, make_pose
from scene_geo_loc.traversals.frame import Frame


class Room:
    """A box, 12 m long, 6 m wide and 4 m high, with paintings all over its walls, seen from inside.

    The map's axes are the vehicle's: x along the room, y to the left, z up; the origin is in the middle.
    """

    HALF = np.array([6.0, 3.0, 2.0])
    TEXELS_PER_M = 40

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        size = round(2 * self.HALF.max() * self.TEXELS_PER_M)
        self.walls = [self._painted_wall(rng, size) for _ in range(6)]
        self.camera = Camera(160, 120, 120.0, 120.0, 79.5, 59.5)

    @staticmethod
    def _painted_wall(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
        wall = np.full((size, size, 3), rng.integers(60, 200, 3), np.uint8)
        for _ in range(700):
            x, y = (int(value) for value in rng.integers(0, size, 2))
            w, h = (int(value) for value in rng.integers(4, 50, 2))
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            if rng.random() < 0.5:
                cv2.rectangle(wall, (x, y), (x + w, y + h), colour, -1 if rng.random() < 0.7 else 2)
            else:
                cv2.circle(wall, (x, y), w // 2, colour, -1 if rng.random() < 0.7 else 2)
        return wall

    def frame(self, x: float, y: float, heading_deg: float, stamp_ns: int = 0) -> Frame:
        """Returns the frame of a level camera at (x, y, 0), with its true pose and depth."""
        turn = np.radians(heading_deg)
        R_map_body = np.array(
            [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]]
        )
        T_map_camera = make_pose(R_map_body @ OPTICAL_FROM_BODY.T, (x, y, 0.0))
        return self.view(T_map_camera, stamp_ns)

    def view(self, T_map_camera: Pose, stamp_ns: int = 0) -> Frame:
        """Returns the camera's frame at a pose inside the room."""
        v, u = np.mgrid[: self.camera.height, : self.camera.width]
        rays = self.camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
        directions = rays @ T_map_camera[:3, :3].T
        origin = T_map_camera[:3, 3]
        with np.errstate(divide="ignore"):
            reach = np.maximum((self.HALF - origin) / directions, (-self.HALF - origin) / directions)
        axis = reach.argmin(axis=1)
        depth = reach.min(axis=1)  # the rays have z = 1, so their length is the depth
        points = origin + directions * depth[:, None]
        side = 2 * axis + (directions[np.arange(len(axis)), axis] > 0)
        across = np.where(axis == 0, 1, 0)
        along = np.where(axis == 2, 1, 2)
        rows = np.arange(len(axis))
        texel = np.stack([points[rows, along], points[rows, across]], axis=1) + self.HALF.max()
        row, column = (texel * self.TEXELS_PER_M).astype(int).clip(0, len(self.walls[0]) - 1).T
        image = np.stack(self.walls)[side, row, column]
        shape = (self.camera.height, self.camera.width)
        return Frame(
            stamp_ns=stamp_ns,
            image=np.ascontiguousarray(image.reshape(*shape, 3)),
            camera=self.camera,
            T_map_camera=T_map_camera,
            depth=depth.reshape(shape).astype(np.float32),
            name=f"frame {stamp_ns}",
        )

    def drive(self, count: int = 12, offset_y: float = 0.0) -> list[Frame]:
        """Frames along the room at 10 Hz, looking ahead and a little to both sides."""
        return [
            self.frame(-4.0 + 6.0 * i / count, offset_y, 12.0 * np.sin(i), stamp_ns=10**8 * (i + 1))
            for i in range(count)
        ]


def write_rgbd(folder: Path, room: Room, offset_y: float, count: int = 8, with_depth: bool = True) -> Path:
    """A plain folder of RGB-D frames along the room, as `Room.drive` gives them."""
    frames = room.drive(count, offset_y)
    for kind in ("images", "depth"):
        (folder / kind).mkdir(parents=True)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / "images" / f"{i}.png"), frame.image[..., ::-1])
        if with_depth:
            cv2.imwrite(str(folder / "depth" / f"{i}.png"), np.round(1e3 * frame.depth).astype(np.uint16))
    np.savetxt(folder / "K.txt", room.camera.K)
    np.savetxt(folder / "poses.txt", [frame.T_map_camera.reshape(-1) for frame in frames])
    return folder
