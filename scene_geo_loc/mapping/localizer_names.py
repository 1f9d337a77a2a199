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

"""Names of the localizers in `map.json`; nothing is imported here, so that help texts appear at once."""

RETRIEVAL = "retrieval"
"""Localizer of maps of keyframes, see `localization.pose_localizer`."""
POSE_REGRESSION = "pose_regression"
"""Localizer of maps with a network that regresses poses."""
SCENE_COORDINATES = "scene_coordinates"
"""Localizer of maps with a network or a forest that regresses the points that pixels show."""
RELATIVE_POSE = "relative_pose"
"""Localizer of maps of keyframes that a network infers relative poses to."""
STRUCTURE_FROM_MOTION = "structure_from_motion"
"""Localizer of maps of triangulated points with their descriptors."""
