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

"""Descriptor systems: an image to its global descriptor, alone or with the inferred depth."""

from __future__ import annotations

from scene_geo_loc.networks.architecture.descriptors.base import Description, DescriptorSystem, SystemParts
from scene_geo_loc.networks.architecture.descriptors.fusion import FUSIONS
from scene_geo_loc.networks.architecture.descriptors.hallucination import Hallucination
from scene_geo_loc.networks.architecture.descriptors.rgb import RGB, RGBDepth
from scene_geo_loc.networks.architecture.descriptors.rgbtd import RGBPlus, RGBtD

__all__ = ["DESCRIPTORS", "FUSIONS", "Description", "DescriptorSystem", "SystemParts"]

DESCRIPTORS: dict[str, type[DescriptorSystem]] = {
    system.name: system for system in (RGB, RGBDepth, RGBPlus, RGBtD, Hallucination)
}
"""The descriptor systems by their names in configs, in the order of tables."""
