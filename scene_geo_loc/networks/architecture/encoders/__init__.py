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

"""Encoders: an image to an early, a late and two skip feature maps in one forward pass."""

from __future__ import annotations

from scene_geo_loc.networks.architecture.encoders.alexnet import AlexNet
from scene_geo_loc.networks.architecture.encoders.base import Encoder, FeatureMaps, Stage
from scene_geo_loc.networks.architecture.encoders.efficientnet_lite0 import EfficientNetLite0
from scene_geo_loc.networks.architecture.encoders.pnlp import PnlpEncoder
from scene_geo_loc.networks.architecture.encoders.resnet18 import ResNet18, TruncatedResNet18

__all__ = ["ENCODERS", "Encoder", "FeatureMaps", "Stage"]

ENCODERS: dict[str, type[Encoder]] = {
    encoder.name: encoder
    for encoder in (EfficientNetLite0, AlexNet, ResNet18, TruncatedResNet18, PnlpEncoder)
}
"""The encoders by their names in configs."""
