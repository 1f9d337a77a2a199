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

"""ALIKED: keypoints with deformable descriptors (Zhao et al., T-IM 2023), to make its graph from its weights.

The layers and their names are those of the published weights `aliked-n16`.  Two parts are
computed differently:

- A deformable convolution is a bilinear sampling at its 9 places and a matrix product, which every run time
  has.
- The four levels of features are sampled where keypoints need them and never enlarged to the image's size.
  Features between pixels are normalised after the sampling instead of before it; the median cosine with the
  published descriptors is above 0.999.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.export import fuse_batch_norms
from scene_geo_loc.networks.architecture.onnx_graph import onnx_graph
from scene_geo_loc.networks.architecture.weights import fill_in, read_published

OUTPUTS = ("pixels", "descriptors", "scores")
MIN_SCORE = 0.2
"""Least score of a keypoint, as published."""
RADIUS = 2
"""A keypoint has the largest score within so many pixels, and is refined within as many."""
TEMPERATURE = 0.1
"""Of the soft argmax that refines a keypoint."""
SAMPLES = 16
"""Number of deformable positions that a descriptor is made from."""
CHANNELS = (16, 32, 64, 128)
"""Channels of the four levels."""
STRIDES = (1, 2, 8, 32)
"""Pixels of the image per pixel of each level; the sides of the image are multiples of the last."""
SIZE = 128
"""Length of a descriptor."""


def _selu(x: Tensor) -> Tensor:
    """Returns SELU by way of ELU, which run times merge into the convolution before it."""
    return 1.0507009873554805 * F.elu(x, 1.6732632423543772)


class _Selu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _selu(x)


class DeformableConvolution(nn.Module):
    """A 3x3 convolution without bias whose places are shifted by a convolution of the same input."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.offset_conv = nn.Conv2d(channels_in, 18, 3, padding=1)
        self.regular_conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the features (1, C', H, W) of an input (1, C, H, W); it is 0 outside."""
        height, width = x.shape[2], x.shape[3]
        largest = max(height, width) / 4
        offsets = self.offset_conv(x).clamp(-largest, largest).reshape(9, 2, height, width)
        rows = torch.arange(height, device=x.device)[None, :, None]
        columns = torch.arange(width, device=x.device)[None, None]
        kernel = torch.arange(9, device=x.device)[:, None, None]
        y = rows + (torch.div(kernel, 3, rounding_mode="floor") - 1) + offsets[:, 0]
        x_ = columns + (kernel % 3 - 1) + offsets[:, 1]
        grid = torch.stack([2 * x_ / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=3)
        sampled = F.grid_sample(x, grid.reshape(1, 9 * height, width, 2), align_corners=True)
        sampled = sampled.reshape(1, -1, height, width)
        weight = self.regular_conv.weight
        return F.conv2d(sampled, weight.reshape(weight.shape[0], -1, 1, 1))


class _Plain(nn.Module):
    """The first level's block: two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return _selu(self.bn2(self.conv2(_selu(self.bn1(self.conv1(x))))))


class _Residual(nn.Module):
    """A residual block of the other levels; deformable in the coarse ones."""

    def __init__(self, channels_in: int, channels: int, is_deformable: bool) -> None:
        super().__init__()

        def convolution(before: int) -> nn.Module:
            if is_deformable:
                return DeformableConvolution(before, channels)
            return nn.Conv2d(before, channels, 3, padding=1, bias=False)

        self.conv1, self.bn1 = convolution(channels_in), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = convolution(channels), nn.BatchNorm2d(channels)
        self.downsample = nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = _selu(self.bn1(self.conv1(x)))
        return _selu(self.bn2(self.conv2(inner)) + self.downsample(x))


class _Descriptors(nn.Module):
    """Descriptors of keypoints from features at deformable positions around them."""

    def __init__(self) -> None:
        super().__init__()
        self.offset_conv = nn.ModuleDict(
            {"0": nn.Conv2d(SIZE, 2 * SAMPLES, 3), "2": nn.Conv2d(2 * SAMPLES, 2 * SAMPLES, 1)}
        )
        self.sf_conv = nn.Conv2d(SIZE, SIZE, 1, bias=False)
        self.agg_weights = nn.Parameter(torch.zeros(SAMPLES, SIZE, SIZE))

    def forward(self, levels: list[Tensor], places: Tensor, size: tuple[int, int]) -> Tensor:
        """Returns unit descriptors (N, C) of keypoints at pixels (N, 2) of an image of a height and width."""
        count, largest = places.shape[0], max(size) / 4
        steps = torch.arange(9, device=places.device)
        neighbours = torch.stack([steps % 3 - 1, torch.div(steps, 3, rounding_mode="floor") - 1], dim=1)
        around = places.floor()[:, None] + neighbours  # (N, 9, 2)
        patches = _sample(levels, around.reshape(-1, 2), size).reshape(count, 9, SIZE)
        first, second = self.offset_conv["0"], self.offset_conv["2"]
        hidden = _selu(first(patches.transpose(1, 2).reshape(count, SIZE, 3, 3)))
        offsets = second(hidden)
        offsets = offsets.clamp(-largest, largest).reshape(count, 2, SAMPLES).transpose(1, 2)
        samples = _sample(levels, (places[:, None] + offsets).reshape(-1, 2), size)
        features = _selu(samples @ self.sf_conv.weight[:, :, 0, 0].T).reshape(count, SAMPLES * SIZE)
        return F.normalize(features @ self.agg_weights.reshape(SAMPLES * SIZE, SIZE), dim=1)


class AlikedNetwork(nn.Module):
    """The strongest keypoints of an image and their descriptors; 0.7 M parameters.

    Attributes:
        count: number of keypoints.
    """

    def __init__(self, count: int = 512) -> None:
        super().__init__()
        self.count = count
        one, two, three, four = CHANNELS
        self.block1 = _Plain(one)
        self.block2 = _Residual(one, two, is_deformable=False)
        self.block3 = _Residual(two, three, is_deformable=True)
        self.block4 = _Residual(three, four, is_deformable=True)
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Conv2d(channels, SIZE // 4, 1, bias=False) for channels in CHANNELS
        )
        self.score_head = nn.Sequential(
            nn.Conv2d(SIZE, 8, 1, bias=False),
            _Selu(),
            nn.Conv2d(8, 4, 3, padding=1, bias=False),
            _Selu(),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            _Selu(),
            nn.Conv2d(4, 1, 3, padding=1, bias=False),
        )
        self.desc_head = _Descriptors()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns pixels (1, N, 2), unit descriptors (1, N, C) and scores (1, N), the strongest first.

        The score of what is no keypoint is 0.

        Args:
            pixels: a grey image (1, H, W) in [0, 255], its sides multiples of 32.
        """
        size = (pixels.shape[1], pixels.shape[2])
        levels = self.levels((pixels[:, None].float() / 255).expand(1, 3, *size))
        scores = self.scores(levels, size)
        highest = F.max_pool2d(scores, 2 * RADIUS + 1, 1, RADIUS)
        inside = torch.ones_like(scores[:, :, RADIUS:-RADIUS, RADIUS:-RADIUS])
        inside = F.pad(inside, (RADIUS,) * 4)
        kept = scores * (scores == highest) * (scores > MIN_SCORE) * inside
        best, at = kept.flatten(1).topk(self.count, dim=1)
        places = self.refined(scores, at[0], size)
        return places[None], self.desc_head(levels, places, size)[None], best

    def levels(self, image: Tensor) -> list[Tensor]:
        """Returns the features (1, 32, h, w) of the four levels, by `STRIDES`, of an image (1, 3, H, W)."""
        first = self.block1(image)
        second = self.block2(F.avg_pool2d(first, 2))
        third = self.block3(F.avg_pool2d(second, 4))
        fourth = self.block4(F.avg_pool2d(third, 4))
        convolutions = (self.conv1, self.conv2, self.conv3, self.conv4)
        return [
            _selu(convolution(level))
            for convolution, level in zip(convolutions, (first, second, third, fourth), strict=True)
        ]

    def scores(self, levels: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Returns the scores (1, 1, H, W); each level passes the first convolution before it is enlarged."""
        weights = next(self.score_head.parameters()).split(SIZE // 4, dim=1)  # those of its first layer
        mixed = [F.conv2d(level, weight) for level, weight in zip(levels, weights, strict=True)]
        x = mixed[0]
        for level in mixed[1:]:
            x = x + F.interpolate(level, size, mode="bilinear", align_corners=True)
        for layer in list(self.score_head)[1:]:
            x = layer(x)
        return torch.sigmoid(x)

    def refined(self, scores: Tensor, at: Tensor, size: tuple[int, int]) -> Tensor:
        """Returns the pixels (N, 2) of maxima by the soft argmax of the scores around them."""
        width = size[1]
        steps = torch.arange(-RADIUS, RADIUS + 1, device=at.device)
        across = steps.repeat(len(steps))
        down = steps.repeat_interleave(len(steps))
        near = (at[:, None] + down * width + across).clamp(0, size[0] * width - 1)
        values = scores.flatten()[near]
        weights = F.softmax(values / TEMPERATURE, dim=1)
        shift = torch.stack([(weights * across).sum(dim=1), (weights * down).sum(dim=1)], dim=1)
        return torch.stack([at % width, torch.div(at, width, rounding_mode="floor")], dim=1) + shift


def _sample(levels: list[Tensor], places: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns unit features (M, C) of all levels at pixels (M, 2) of the image."""
    grid = torch.stack([2 * places[:, 0] / (size[1] - 1) - 1, 2 * places[:, 1] / (size[0] - 1) - 1], dim=1)
    sampled = [F.grid_sample(level, grid[None, None], align_corners=True)[0, :, 0] for level in levels]
    return F.normalize(torch.cat(sampled).T, dim=1)


def load_aliked(path: Path) -> AlikedNetwork:
    """Returns the network with the weights of a file as published.

    Raises CheckpointError where they cannot be read or do not fit the network.
    """
    network = AlikedNetwork()
    fill_in(network, read_published(path), path)
    return network.eval()


def aliked_graph(network: AlikedNetwork, count: int) -> bytes:
    """Returns the graph of a network for `count` keypoints of grey images of any size."""
    network.count = count
    fuse_batch_norms(network)
    return onnx_graph(network, torch.zeros(1, 64, 96, dtype=torch.uint8), OUTPUTS, is_fixed=False)
