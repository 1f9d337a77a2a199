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

"""A camera, and points of a map in its view."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, transform

CAMERA = Camera(320, 240, 250.0, 260.0, 158.0, 121.0)
FAR_AWAY = np.array([620_000.0, 5_735_000.0, 60.0])
"""A position in UTM coordinates, far from the origin."""


def seen_points(
    rng: np.random.Generator, T_map_camera: Pose, pixels: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of `CAMERA`, those given or so many anywhere, and the points of the map that they see."""
    if isinstance(pixels, int):
        pixels = rng.uniform((0, 0), (320, 240), (pixels, 2))
    depth = rng.uniform(4, 30, len(pixels))
    return pixels, transform(T_map_camera, CAMERA.back_project(pixels, depth))
