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

"""Adds a recorded drive to a map by localizing it there, image after image, as a node does."""

from __future__ import annotations

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.map_growth.growth import MapGrowth
from scene_geo_loc.localization.session import Session
from scene_geo_loc.traversals.frame import Traversal


def localize_drive(
    session: Session, growth: MapGrowth, traversal: Traversal, on_progress: ProgressCallback = ignore_progress
) -> int:
    """Localizes a drive in a map, collects the images that the map lacks, and returns how many it localizes.

    The motion between images is the drive's odometry, or else its poses, which may be in any frame.

    Args:
        session: localizes in the map.
        growth: collects the images.
        traversal: the drive.
        on_progress: receives the images localized and their number.
    """
    localized = 0
    for done, frame in enumerate(traversal.frames(), start=1):
        T_odom_camera = frame.T_map_camera if frame.T_odom_camera is None else frame.T_odom_camera
        answer = session.localize(frame.stamp_ns, frame, T_odom_camera)
        localized += answer.pose.status is Status.LOCALIZED
        growth.add(frame.stamp_ns, frame.image, frame.camera, answer.estimate, T_odom_camera, frame.depth)
        on_progress(done, len(traversal))
    return localized
