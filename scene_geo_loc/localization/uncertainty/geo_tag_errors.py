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

"""Covariance of a pose by the errors of the geo-tags that keyframes have their poses by.

Keyframes of one tag, such as the views of a panorama, share its error: they move together, and so does a pose
that is solved from them alone.  A pose from several tags moves by the mean of their errors, each weighted by
the information of its matches.  Residuals show none of the former, and only part of the latter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.lie import skew
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.pnp import CameraMatches
from scene_geo_loc.mapping.reference_map import AnyMap


class GeoTagErrors:
    """Errors that the geo-tags of a map's keyframes state.

    A tag's heading turns its keyframes about the first of them.
    """

    def __init__(self, reference_map: AnyMap) -> None:
        self._number, self._std = reference_map.tag_number, reference_map.tag_std
        self._has_errors = bool(self._std.any())
        self._T_map_camera = reference_map.T_map_camera

    def covariance(self, T_map_base: Pose, matches: Sequence[CameraMatches]) -> NDArray[np.float64]:
        """Returns the covariance (6, 6) that the tags' errors add to a pose; axes as in `covariance_of`.

        Args:
            T_map_base: the pose.
            matches: its inliers, of all cameras.
        """
        if not self._has_errors:
            return np.zeros((6, 6))
        J, keyframe = [], []
        for camera in matches:
            assert camera.keyframe is not None
            J.append(camera.linearised(T_map_base, 1.0)[1])
            keyframe.append(camera.keyframe)
        return self._propagated(T_map_base, np.concatenate(J, axis=-1), np.concatenate(keyframe))

    def of(self, keyframe: int) -> NDArray[np.float64]:
        """Returns the covariance (6, 6) of a keyframe's own pose by its tag's error."""
        position, heading = self._std[keyframe]
        return np.diag(np.square([position, position, position, 0.0, 0.0, heading]))

    def _propagated(
        self, T_map_base: Pose, J: NDArray[np.float64], keyframe: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Returns the covariance from the Jacobian (6, 2, M) of the residuals by the pose.

        A motion of a tag's keyframes changes their residuals as the opposite motion of the camera does.
        """
        number = self._number[keyframe]
        information = _information(J)
        total = np.zeros((6, 6))
        for tag in np.unique(number):
            own = number == tag
            first = int(keyframe[own][0])
            by_tag = np.eye(6)
            # The first keyframes of a panorama are its own views, and virtual ones away from it come after.
            centre = self._T_map_camera[tag][:3, 3]
            by_tag[:3, 3:] = -skew((T_map_base[:3, 3] - centre)[None])[0]
            share = np.linalg.lstsq(information, _information(J[..., own]) @ by_tag, rcond=None)[0]
            total += share @ self.of(first) @ share.T
        return total


def _information(J: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = J.reshape(6, -1)
    return np.asarray(flat @ flat.T)
