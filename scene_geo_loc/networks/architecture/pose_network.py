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

"""The network of a pose regressor: an encoder's late map, averaged to a grid, and a head of two layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.encoders import Encoder
from scene_geo_loc.networks.architecture.onnx_graph import onnx_graph, with_half_weights
from scene_geo_loc.networks.forward_pass import FEATURES

SPATIAL_OUTPUTS = 7
"""Numbers of a pose: x, y, z and a quaternion x, y, z, w."""
GRID_ROWS = 16
"""Rows of the grid that a spatial LSTM reads."""
SPATIAL_UNITS, CLIP_UNITS = 64, 128
"""Units of each direction of the recurrent layers."""
LEFT_OUT = -1e4
"""Logit of an anchor that is left out."""
GRID = (4, 6)
"""Rows and columns that the late map is averaged to; where things are in the image tells the pose."""


class PoseFeatures(nn.Module):
    """Features of images: the late map of an encoder, averaged to a grid.

    Attributes:
        encoder: the encoder.
    """

    rows: Tensor
    columns: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, width: int, height: int) -> None:
        super().__init__()
        self.encoder = encoder
        rows, columns = encoder.late.cells(height), encoder.late.cells(width)
        self.register_buffer("rows", averages(rows, min(GRID[0], rows)), persistent=False)
        self.register_buffer("columns", averages(columns, min(GRID[1], columns)), persistent=False)
        self._input = (1, height, width, 3)
        self.register_buffer("mean", torch.tensor(encoder.mean), persistent=False)
        self.register_buffer("std", torch.tensor(encoder.std), persistent=False)

    @property
    def size(self) -> int:
        """Number of features of an image."""
        return len(self.rows) * len(self.columns) * self.encoder.late.channels

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns the features (B, F) of images (B, H, W, 3) in [0, 255]."""
        images = ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)
        late = self.encoder(images).late
        grid = torch.matmul(torch.matmul(self.rows, late), self.columns.T)
        return grid.flatten(1)

    def graph(self) -> bytes:
        """Returns the ONNX graph that a robot runs for an image (1, H, W, 3) uint8."""
        device = self.mean.device
        pixels = torch.zeros(self._input, dtype=torch.uint8)
        graph = onnx_graph(self.cpu(), pixels, [FEATURES], is_fixed=True)
        self.to(device)
        return with_half_weights(graph)


class SpatialLstm(nn.Module):
    """Reads the components of an image as a grid, in four directions (Walch et al., ICCV 2017, section 3.3).

    Attributes:
        size: number of outputs.
    """

    size = 4 * SPATIAL_UNITS

    def __init__(self, components: int) -> None:
        super().__init__()
        self._columns = -(-components // GRID_ROWS)
        self.down = nn.LSTM(self._columns, SPATIAL_UNITS, batch_first=True, bidirectional=True)
        self.across = nn.LSTM(GRID_ROWS, SPATIAL_UNITS, batch_first=True, bidirectional=True)

    def forward(self, components: Tensor) -> Tensor:
        """Returns the context (B, `size`) of components (B, D)."""
        padded = nn.functional.pad(components, (0, GRID_ROWS * self._columns - components.shape[1]))
        grid = padded.view(-1, GRID_ROWS, self._columns)
        _, (down, _) = self.down(grid)
        _, (across, _) = self.across(grid.transpose(1, 2))
        return torch.cat([*down, *across], dim=1)


class ClipLstm(nn.Module):
    """Reads the images of a clip in both directions (VidLoc: Clark et al., CVPR 2017, section 3.2).

    Attributes:
        size: number of outputs.
    """

    size = 2 * CLIP_UNITS

    def __init__(self, components: int) -> None:
        super().__init__()
        self.images = nn.LSTM(components, CLIP_UNITS, batch_first=True, bidirectional=True)

    def forward(self, clips: Tensor) -> Tensor:
        """Returns the context (B, `size`) of the last image of clips (B, T, D)."""
        return self.images(clips)[0][:, -1]


CONTEXTS: dict[str, type[SpatialLstm] | type[ClipLstm]] = {"spatial": SpatialLstm, "clip": ClipLstm}
"""Recurrent layers by name."""


class PoseHead(nn.Module):
    """Base of the heads: from the features of an image to the numbers of its pose.

    Args:
        features, components, units, outputs: sizes of the layers.
        dropout: probability that a unit is left out.
        context: name of the recurrent layers, one of `CONTEXTS`, or "none".

    Attributes:
        projection: takes the features to their principal components; not trained.
        context: recurrent layers that read the components, or None.
        hidden, output: the trained layers.
    """

    keeps_components = False
    """True if the components go on beside the outputs of the recurrent layers."""

    def __init__(
        self, features: int, components: int, units: int, outputs: int, dropout: float, context: str = "none"
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(features, components).requires_grad_(False)
        self.context = CONTEXTS[context](components) if context != "none" else None
        size = components if self.context is None else self.context.size
        if self.context is not None and self.keeps_components:
            size += components
        self.hidden = nn.Linear(size, units)
        self.output = nn.Linear(units, outputs)
        self.dropout = nn.Dropout(dropout)

    def embedded(self, features: Tensor) -> Tensor:
        """Returns what the hidden layer sees (B, E) of features (B, F), or (B, T, F) of clips."""
        components = self.dropout(self.projection(features))
        if self.context is None:
            return components
        context = self.context(components)
        if not self.keeps_components:
            return context
        last = components[:, -1] if components.dim() == 3 else components
        return torch.cat([last, context], dim=1)


class LayerHead(PoseHead):
    """Dropout and a fully connected layer, twice (slides: dropout, 256, 3)."""

    def forward(self, features: Tensor) -> Tensor:
        """Returns the outputs (B, O) of features (B, F), or (B, T, F) of clips."""
        return self.output(self.dropout(torch.relu(self.hidden(self.embedded(features)))))


class AnchorHead(PoseHead):
    """Mean of the poses of anchors, weighted by how much the image looks like each of them.

    The hidden units are anchors, views of the place whose poses are learned, and their softmax is the weight
    of each (anchor points: Saha, Varma and Jawahar, BMVC 2018; normalised radial basis functions).  Dropout
    leaves out components of the features, and anchors.
    """

    keeps_components = True

    def log_weights(self, features: Tensor) -> Tensor:
        """Returns the logarithms (B, K) of the anchors' weights; features as of `forward`."""
        logits = self.hidden(nn.functional.normalize(self.embedded(features), dim=1))
        if self.training:
            is_left_out = torch.rand_like(logits) < self.dropout.p
            logits = logits.masked_fill(is_left_out, LEFT_OUT)
        return torch.log_softmax(logits, dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Returns the outputs (B, O) of features (B, F), or (B, T, F) of clips."""
        weights = self.log_weights(features).exp()
        outputs = self.output(weights)
        if self.output.out_features < SPATIAL_OUTPUTS:
            return outputs
        # q and -q are the same rotation: each anchor's has the sign that agrees with the largest weight's.
        quaternions = self.output.weight[3:SPATIAL_OUTPUTS]
        largest = quaternions[:, weights.argmax(dim=1)]
        signs = torch.where(largest.T @ quaternions < 0, -1.0, 1.0).detach()
        rotation = (weights * signs) @ quaternions.T
        return torch.cat([outputs[:, :3], rotation, outputs[:, SPATIAL_OUTPUTS:]], dim=1)


def averages(cells: int, parts: int) -> Tensor:
    """Returns the matrix (parts, cells) that averages cells over equal parts; a cell may lie in two parts."""
    edges = torch.linspace(0, cells, parts + 1, dtype=torch.float64)
    begin, end = edges[:-1, None], edges[1:, None]
    cell = torch.arange(cells, dtype=torch.float64)
    overlap = (torch.minimum(end, cell + 1) - torch.maximum(begin, cell)).clamp(min=0)
    return (overlap / overlap.sum(dim=1, keepdim=True)).float()
