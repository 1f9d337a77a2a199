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

"""Images of a rolling shutter in the room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from room import Room

from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.traversals.frame import Frame

READOUT_S = 0.05
# A drone's motion: 4 m/s ahead, 2 m/s to the side, and 60 degrees per second.
MOTION = ReadoutMotion.of_twist(np.array([2.0, 0.0, 4.0, 0.1, 1.0, 0.2]), READOUT_S)
BANDS = 24


def rolling(room: Room, first: Frame, motion: ReadoutMotion = MOTION) -> Frame:
    """The frame as a rolling shutter takes it whose first row is at the frame's pose."""
    assert first.T_map_camera is not None
    image, depth = first.image.copy(), np.asarray(first.depth).copy()
    height = room.camera.height // BANDS
    for band in range(BANDS):
        rows = slice(band * height, (band + 1) * height)
        seen = room.view(first.T_map_camera @ motion.T_image_row((band + 0.5) / BANDS))
        image[rows], depth[rows] = seen.image[rows], np.asarray(seen.depth)[rows]
    camera = replace(first.camera, readout_s=READOUT_S)
    return replace(first, image=image, depth=depth, camera=camera, readout_motion=motion)
