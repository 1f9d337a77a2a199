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

"""Images of a traversal, each with the lidar points in view of its camera."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.depth.densify import densify
from scene_geo_loc.depth.lidar import LidarAccumulator, points_in_view, sparse_depth
from scene_geo_loc.depth.window import ScanWindow, window_for
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.skipped import Skipped, SkipReason


@dataclass(frozen=True)
class LidarView:
    """A frame and the lidar points in view of its camera.

    Attributes:
        points: (N, 3) float32 metres in the optical frame.
    """

    frame: Frame
    points: NDArray[np.float32]

    def sparse(self, window: ScanWindow) -> NDArray[np.float32]:
        """Returns the sparse depth map (H, W) of the visible points, metres, NaN elsewhere."""
        return sparse_depth(self.points, self.frame.camera, window.occluder_m)

    def dense(self, window: ScanWindow) -> NDArray[np.float32]:
        """Returns the dense depth map (H, W) in metres, NaN where unknown."""
        return densify(self.sparse(window), self.frame.image)


def lidar_views(
    traversal: Traversal, window: ScanWindow, skipped: Skipped, done: Container[int] = ()
) -> Iterator[LidarView]:
    """Yields the frames with a pose and lidar points in view, in order of time.

    Frames and scans are read in parallel, so that memory holds the scans of one window only.

    Args:
        skipped: counts the frames without points; the traversal counts those without a pose.
        done: stamps of frames to skip.
    """
    lidar = LidarAccumulator(window)
    scans = traversal.scans()
    after_ns = round(window.after_s * 1e9)
    scan = next(scans, None)
    for frame in traversal.frames():
        if frame.T_map_camera is None or frame.stamp_ns in done:
            continue
        while scan is not None and scan.stamp_ns <= frame.stamp_ns + after_ns:
            lidar.add(scan)
            scan = next(scans, None)
        around = lidar.points_around(frame.stamp_ns)
        points = points_in_view(around, frame.T_map_camera, frame.camera)
        if not around:
            skipped.add(SkipReason.IMAGE_WITHOUT_SCANS)
        elif len(points) == 0:
            skipped.add(SkipReason.IMAGE_WITHOUT_POINTS)
        else:
            yield LidarView(frame, points)


def choose_window(traversal: Traversal) -> ScanWindow:
    """Returns the window for a traversal's lidar. Raises TraversalError where it has no scans."""
    if next(traversal.scans(), None) is None:
        left_out = f" ({traversal.skipped})" if traversal.skipped else ""
        raise TraversalError(f"{traversal.name}: no lidar scans with poses{left_out}; depth maps need them.")
    return window_for(traversal.scans())
