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

"""The images of a place that a pose regressor is trained with: split, poses, points and changed copies."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import to_quaternion, transform
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.packs.posed_images import PosedImages
from scene_geo_loc.training.common.augmentation import augment

MIN_IMAGES = 30
"""Fewer images than this are refused: nothing is left to validate by."""
MIN_EXTENT_M, MIN_TURN_DEG = 0.01, 1.0
"""Poses that differ by less than both are taken to be all alike."""
POINTS = 64
"""Points of the scene drawn for each image."""


class PlaceImages:
    """Posed images of a place, split into those to train with and those to validate with.

    Attributes:
        images: all of them.
        training, validation: numbers of the images of each part.
        centre: of the positions, (3,) metres.
        scale_m: standard deviation of the positions, all axes together.
        extent_m: diagonal of the box around the positions.
    """

    def __init__(self, images: PosedImages, validation_every: int) -> None:
        """Raises SceneGeoLocError if there are too few images, or if their poses are all alike."""
        self.images = images
        count = len(images)
        if count < MIN_IMAGES:
            raise SceneGeoLocError(
                f"{images.made_of}: {count} images with poses < {MIN_IMAGES}: name a longer source."
            )
        positions = images.T_map_camera[:, :3, 3]
        self.extent_m = float(np.linalg.norm(np.ptp(positions, axis=0)))
        cosines = images.T_map_camera[:, :3, 2] @ images.T_map_camera[0, :3, 2]
        turn_deg = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
        if self.extent_m < MIN_EXTENT_M and turn_deg < MIN_TURN_DEG:
            raise SceneGeoLocError(
                f"{images.made_of}: the poses are all alike (within {100 * self.extent_m:.2g} cm and "
                f"{turn_deg:.2g}°): name a source whose camera moves."
            )
        numbers = np.arange(count)
        is_held_out = numbers % validation_every == validation_every // 2
        self.training, self.validation = numbers[~is_held_out], numbers[is_held_out]
        self.centre: NDArray[np.float64] = positions.mean(axis=0)
        self.scale_m = float(max(positions.std(axis=0).max(), MIN_EXTENT_M))

    @cached_property
    def level_rotation(self) -> NDArray[np.float64]:
        """Rotation (3, 3) of a camera of heading 0 with the mean pitch and roll."""
        angles = self.headings
        level = [
            matrix_of_vector(np.array([0.0, 0.0, -angle])) @ T[:3, :3]
            for angle, T in zip(angles, self.images.T_map_camera, strict=True)
        ]
        u, _, vt = np.linalg.svd(np.mean(level, axis=0))
        return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)

    @cached_property
    def headings(self) -> NDArray[np.float64]:
        """Headings (N,) of the cameras about the map's z axis, radians."""
        axes = self.images.T_map_camera[:, :3, 2]
        return np.asarray(np.arctan2(axes[:, 1], axes[:, 0]))

    def positions(self, is_planar: bool) -> NDArray[np.float32]:
        """Returns the positions (N, 3), or (N, 2), from the centre, metres."""
        offsets = (self.images.T_map_camera[:, :3, 3] - self.centre).astype(np.float32)
        return offsets[:, :2] if is_planar else offsets

    def rotations(self, is_planar: bool) -> NDArray[np.float32]:
        """Returns quaternions (N, 4), or cos and sin of the headings (N, 2)."""
        if is_planar:
            return np.stack([np.cos(self.headings), np.sin(self.headings)], axis=1).astype(np.float32)
        return np.stack([to_quaternion(T) for T in self.images.T_map_camera]).astype(np.float32)

    def points(self, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns points of the scene (N, `POINTS`, 3) from the centre and their pixels (N, `POINTS`, 2).

        Pixels are over the focal length, from the principal point; NaN where an image has fewer points.

        Raises SceneGeoLocError if no image has depth.
        """
        rng, count = np.random.default_rng(seed), len(self.images)
        points = np.zeros((count, POINTS, 3), np.float32)
        pixels = np.full((count, POINTS, 2), np.nan, np.float32)
        for i in range(count):
            depth = np.asarray(self.images.depth[i], np.float32)
            rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
            if not len(rows):
                continue
            chosen = rng.choice(len(rows), min(POINTS, len(rows)), replace=False)
            v, u = rows[chosen], columns[chosen]
            fx, fy, cx, cy = self.images.K[i]
            rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(len(u))], axis=1)
            local = rays * depth[v, u, None]
            points[i, : len(u)] = transform(self.images.T_map_camera[i], local) - self.centre
            pixels[i, : len(u)] = rays[:, :2]
        if not np.isfinite(pixels).any():
            raise SceneGeoLocError(
                f"{self.images.made_of}: no image has depth, which the reprojection loss needs: name a "
                "source with depth or lidar, or another system."
            )
        return points, pixels

    def depth_scale_m(self) -> float:
        """Returns the median depth of the images to train with.

        Raises SceneGeoLocError if no image has depth.
        """
        parts = [np.asarray(self.images.depth[i][::8, ::8], np.float32) for i in self.training]
        known = np.stack(parts)
        known = known[np.isfinite(known) & (known > 0)]
        if not len(known):
            raise SceneGeoLocError(
                f"{self.images.made_of}: no image has depth, which the second stream needs: name a source "
                "with depth or lidar, or another system."
            )
        return float(np.median(known))

    def clips(
        self, among: NDArray[np.intp], last: NDArray[np.intp], strides: NDArray[np.intp], length: int
    ) -> NDArray[np.intp]:
        """Returns the numbers (B, `length`) of the images of clips.

        A clip that would begin before its traversal has the first image of that several times.

        Args:
            among: numbers of images in order, such as those to train with.
            last: (B,) places in it of the last images.
            strides: (B,) steps in it from one image of a clip to the next.
            length: of a clip.
        """
        sources = self.images.sources[among]
        first = np.array([np.flatnonzero(sources == source)[0] for source in sources[last]])
        back = np.arange(length - 1, -1, -1)
        return np.asarray(among[np.maximum(last[:, None] - strides[:, None] * back, first[:, None])])

    def copies(self, i: int, count: int, seed: int) -> NDArray[np.uint8]:
        """Returns copies (count, H, W, 3) of an image: the first as it is, the others in another light.

        They are not shifted, as a camera of their pose does not see that: 2 % of the width are 1 to 2°.
        """
        image = np.array(self.images.images[i])
        copies = [image]
        for number in range(1, count):
            rng = np.random.default_rng((seed, i, number))
            copies.append(augment(image, rng))
        return np.stack(copies)
