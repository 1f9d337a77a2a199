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

"""Local features: what is matched of an image, at the cells of a grid or at keypoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps, Stage
from scene_geo_loc.networks.architecture.xfeat import CELL, XFeatNetwork
from scene_geo_loc.networks.forward_pass import INPUT_AREA
from scene_geo_loc.networks.strongest_cells import strongest_count

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601), as in OpenCV."""


class LocalMaps(NamedTuple):
    """Local features of images.

    Attributes:
        features: (B, C, h, w) of unit length at each cell.
        keypoint_scores: (B, H, W), how good a keypoint each pixel is, 0 to 1; None if the features belong to
            cells.
    """

    features: Tensor
    keypoint_scores: Tensor | None


def strongest_cells(local: LocalMaps) -> Tensor:
    """Returns the features (B, C, N, 1) of the cells with the best keypoints, see `networks.strongest_cells`.

    The features belong to keypoints: `keypoint_scores` is not None.
    """
    assert local.keypoint_scores is not None
    features = local.features.flatten(2)
    stride = local.keypoint_scores.shape[-1] // local.features.shape[-1]
    scores = F.max_pool2d(local.keypoint_scores[:, None], stride).flatten(1)
    best = scores.topk(strongest_count(scores.shape[1]), dim=1).indices
    return features.gather(2, best[:, None].expand(-1, features.shape[1], -1))[..., None]


class FeatureHead(nn.Module, ABC):
    """Base of the local features: an image and its feature maps to features (B, C, h, w).

    Attributes:
        name: name in configs.
        sees_around: whether a feature already describes the surroundings of its cell, as the late map does.
        finds_keypoints: whether it gives scores of keypoints too.
        reduction: the encoder sees the image at one over this number of its size, so that the same time
            allows local features of larger images.
        input_area: largest input that is made for images of any shape, pixels.
        stage: grid of the features.
    """

    name: ClassVar[str]
    sees_around: ClassVar[bool]
    finds_keypoints: ClassVar[bool] = False
    reduction: ClassVar[int] = 1
    input_area: ClassVar[int] = INPUT_AREA
    stage: Stage

    @abstractmethod
    def __init__(self, encoder: Encoder) -> None:
        """Creates the layers for the maps of an encoder."""
        super().__init__()

    @abstractmethod
    def forward(self, images: Tensor, maps: FeatureMaps) -> LocalMaps:
        """Returns the local features of normalised images (B, 3, H, W) and their feature maps."""

    def learned(self, images: Tensor, maps: FeatureMaps) -> Tensor:
        """Returns the trained part of the features, (B, C', h, w) of unit length."""
        return self(images, maps).features  # type: ignore[no-any-return]


class EarlyMap(FeatureHead):
    """The early map itself (Perspective-n-Learned-Point, section 3.2)."""

    name = "early"
    sees_around = False

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.stage = encoder.early

    def forward(self, images: Tensor, maps: FeatureMaps) -> LocalMaps:
        """See `FeatureHead.forward`."""
        return LocalMaps(F.normalize(maps.early, dim=1), None)


class LearnedHead(FeatureHead):
    """The early map concatenated with features that layers trained for matching compute from both maps.

    The learned half is robust to changes of light, the early half is accurate in position.  Encoder and
    global descriptor stay as they are.
    """

    name = "learned"
    sees_around = True
    INNER = 128

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.stage = replace(encoder.early, channels=2 * encoder.early.channels)
        seen = encoder.early.channels + encoder.late.channels
        self.scale = nn.BatchNorm2d(seen)
        self.layers = nn.Sequential(
            nn.Conv2d(seen, self.INNER, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.INNER, self.INNER, 3, padding=1, groups=self.INNER // 8),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.INNER, encoder.early.channels, 1),
        )

    def forward(self, images: Tensor, maps: FeatureMaps) -> LocalMaps:
        """See `FeatureHead.forward`."""
        both = torch.cat([F.normalize(maps.early, dim=1), self.learned(images, maps)], dim=1)
        return LocalMaps(F.normalize(both, dim=1), None)

    def learned(self, images: Tensor, maps: FeatureMaps) -> Tensor:
        """Returns the learned half, the trained part: features (B, C / 2, h, w) of unit length."""
        late = F.interpolate(maps.late, maps.early.shape[2:], mode="bilinear", align_corners=False)
        return F.normalize(self.layers(self.scale(torch.cat([maps.early, late], dim=1))), dim=1)


class KeypointMaps(NamedTuple):
    """Output of `KeypointHead` for images (B, 3, H, W), as it is trained.

    Attributes:
        features: (B, 64, H / 8, W / 8) of unit length.
        positions: (B, 65, H / 8, W / 8), logits of the pixel of each cell that is a keypoint, row by row;
            the last one stands for none.
        reliability: (B, 1, H / 8, W / 8), logits that a feature is matched right.
    """

    features: Tensor
    positions: Tensor
    reliability: Tensor


class KeypointHead(FeatureHead):
    """Keypoints and their features from the image at full size.

    The layers are those of XFeat (Potje et al., CVPR 2024); the encoder, which describes the place, sees the
    image at half its size.
    """

    name = "keypoints"
    sees_around = True
    finds_keypoints = True
    reduction = 2
    input_area = 544 * 416
    stage = Stage(64, CELL, (CELL - 1) / 2)

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.image = XFeatNetwork()

    def maps(self, images: Tensor) -> KeypointMaps:
        """Returns the maps of normalised images (B, 3, H, W) whose sides are multiples of 32."""
        # The network's normalisation is the same for all colours, so this is the normalised grey image.
        luma = F.conv2d(images, images.new_tensor(LUMA).reshape(1, 3, 1, 1))
        grey = self.image.normalised(luma)
        features = self.image.features(grey)
        return KeypointMaps(
            F.normalize(features, dim=1), self.image.positions(grey), self.image.heatmap_head(features)
        )

    def forward(self, images: Tensor, maps: FeatureMaps) -> LocalMaps:
        """See `FeatureHead.forward`."""
        found = self.maps(images)
        heat = found.positions.softmax(dim=1)[:, :-1]
        scores = F.pixel_shuffle(heat * _pixels_of_cells(found.reliability.sigmoid()), CELL)
        return LocalMaps(found.features, scores[:, 0])


def _pixels_of_cells(cells: Tensor) -> Tensor:
    """Returns bilinear values (B, 64, rows, columns) at each cell's pixels of a map (B, 1, rows, columns).

    They are those of `F.interpolate` to the size of the image, which takes ten times as long.
    """
    pixels = ((torch.arange(CELL) + 0.5) / CELL - 0.5)[:, None]
    weights = (1 - (pixels - torch.tensor([-1.0, 0.0, 1.0])).abs()).clamp(min=0)  # (CELL, 3)
    kernel = torch.einsum("yi,xj->yxij", weights, weights).reshape(CELL * CELL, 1, 3, 3)
    return F.conv2d(F.pad(cells, (1, 1, 1, 1), mode="replicate"), cells.new_tensor(kernel.tolist()))


LOCAL_FEATURES: dict[str, type[FeatureHead]] = {
    kind.name: kind for kind in (EarlyMap, LearnedHead, KeypointHead)
}
"""The local features by their names in configs."""
