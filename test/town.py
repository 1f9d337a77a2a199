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

"""The part of a simulated town that the tests of this folder use."""

from __future__ import annotations

from scene_geo_loc.geometry.camera import Camera

SEED = 7
START_M, LENGTH_M, SIGHT_M = 252.0, 20.0, 45.0
CAMERA = Camera(160, 120, 104.0, 104.0, 79.5, 59.5)
