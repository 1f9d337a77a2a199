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


"""The systems of scene coordinates, as data; torch is not imported here, so that help appears at once."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import Field

from scene_geo_loc.training.common.localizer_protocol import PointProtocol


class CoordinateSystemName(str, Enum):
    """Systems of scene coordinates by name."""

    NETWORK = "scene_coordinates"
    FOREST = "scene_forest"


SUMMARIES = {
    CoordinateSystemName.NETWORK: "points of the map for the cells of an image by a network, then PnP",
    CoordinateSystemName.FOREST: "the same by a regression forest, of images with depth",
}
"""Summary of each system in a few words."""


class CoordinateProtocol(PointProtocol):
    """Settings of the training of scene coordinates."""

    input_width: int = Field(
        default=544, ge=64, le=1024, description="width of the network's input, pixels; its height follows"
    )
    head: Literal["landmarks", "layers"] | None = Field(
        default=None,
        description="landmarks: features and points of cells are kept, which needs depth; layers: trained, "
        "as in ACE; unset: landmarks where the images have depth",
    )
    landmarks: int = Field(
        default=20_000,
        ge=100,
        le=10_000_000,
        description="cells that a head of landmarks keeps; 108 bytes each",
    )
    units: int = Field(
        default=256, ge=8, le=4096, description="units of the hidden layers of a head of layers"
    )
    blocks: int = Field(
        default=3, ge=0, le=20, description="residual blocks of a head of layers, of two layers each"
    )
    centres: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="parts of the scene that points are offsets from the centres of; unset: one for 10 m of "
        "the extent of the positions, at most 50",
    )
    copies: int = Field(
        default=6,
        ge=1,
        le=64,
        description="copies of each image, turned, scaled and changed in colour; the first is unchanged",
    )
    changes_light: bool = Field(
        default=True, description="change the light of the copies strongly, as of another hour"
    )
    pool: int = Field(
        default=400_000, ge=1000, description="cells of all images and copies that layers are trained with"
    )
    epochs: int = Field(default=24, ge=2, description="passes over the pool")
    cells_a_batch: int = Field(default=1024, ge=16, description="cells of a mini-batch")
    learning_rate: float = Field(
        default=3e-3, gt=0, description="Adam's largest learning rate; it falls to 0 as a cosine"
    )
    loss_px: tuple[float, float] = Field(
        default=(30.0, 2.0),
        description="width of the robust loss at the beginning and at the end, pixels of the input",
    )
    soft_inliers: bool = Field(
        default=False, description="refine poses to the most soft inliers, as DSAC does, instead of robustly"
    )


class ForestProtocol(PointProtocol):
    """Settings of the training of a regression forest."""

    input_width: int = Field(
        default=160, ge=32, le=1024, description="width that images are read at, pixels; the height follows"
    )
    trees: int = Field(default=4, ge=1, le=50, description="trees of the forest")
    levels: int = Field(default=14, ge=2, le=24, description="most levels of a tree")
    pixels_a_tree: int = Field(
        default=40_000, ge=100, le=10_000_000, description="pixels of the training that a tree is grown with"
    )
    comparisons: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="comparisons drawn for each level, of which a node takes the best",
    )
    leaf_pixels: int = Field(default=4, ge=1, description="a node with fewer pixels is not split")
    inlier_m: float = Field(
        default=0.1, gt=0, description="largest distance of an inlier from the point that a leaf gives, m"
    )
