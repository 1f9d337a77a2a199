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

"""Localizes images by their poses relative to retrieved keyframes, and checks whether these are believed."""

from __future__ import annotations

from scene_geo_loc.localization.pose_regression.localizer import PoseRegressor
from scene_geo_loc.localization.relative_pose.network import RelativeRegressor
from scene_geo_loc.mapping.localizer_names import RELATIVE_POSE
from scene_geo_loc.mapping.reference_map import AnyMap


class RelativePoseLocalizer(PoseRegressor):
    """Estimates poses relative to keyframes (RelocNet, Balntas, Li and Prisacariu, ECCV 2018).

    Images are read, and poses accepted, as those of a pose regressor are; the novelty of an image is its
    distance from the nearest keyframe in the learned metric.
    """

    name, noun = RELATIVE_POSE, "relative poses"

    def _regressor_of(self, opened: AnyMap) -> RelativeRegressor:
        return RelativeRegressor.read(opened.path, opened.T_map_camera)
