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

"""A place to regress poses in: a camera that slides along a wall; and a tiny encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, make_pose
from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder, FeatureMaps, Stage
from scene_geo_loc.training.pose_regression.systems import PoseProtocol
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.skipped import Skipped

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
PIXEL_M = 0.02
"""Distance that moves the image by a pixel."""
PROTOCOL = PoseProtocol(
    encoder="tiny",
    weights="none",
    input_width=64,
    components=64,
    units=128,
    epochs=3,
    crops=6,
    samples=16,
    dropout=0.1,
    learning_rate=1e-2,
)


class TinyEncoder(Encoder):
    """One convolution with random weights."""

    name, title = "tiny", "tiny"
    mean, std = (127.5, 127.5, 127.5), (60.0, 60.0, 60.0)
    early = late = Stage(16, 8, offset=3.5)
    skips = (early, late)
    multiple = 16

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 16, 8, 8)

    def trunk(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.layer(images).relu(),)

    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        return FeatureMaps(trunk[0], trunk[0], (trunk[0], trunk[0]))

    def head_modules(self) -> tuple[nn.Module, ...]:
        return (self.layer,)

    def load_imagenet_weights(self) -> None:
        raise AssertionError("a tiny encoder has no trained weights")


def add_tiny_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "tiny", TinyEncoder)


def wall(seed: int = 0) -> NDArray[np.uint8]:
    """A wall (48, 1100, 3): with a bright band that rises along it; of another seed, of blots."""
    rng = np.random.default_rng(seed)
    if seed:
        coarse = rng.integers(0, 256, (7, 138, 3)).astype(np.uint8)
        return np.asarray(cv2.resize(coarse, (1100, 48), interpolation=cv2.INTER_CUBIC), np.uint8)
    rows, columns = np.mgrid[:48, :1100]
    off = (rows - (42.0 - 36.0 * columns / 1100)) / 4.0
    grey = 60.0 + 160.0 * np.exp(-(off**2)) + rng.normal(0, 3, rows.shape)
    return np.repeat(grey[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)


def pose_of(pixel: int) -> Pose:
    """Pose of the camera that sees the wall from a column on; it looks along the map's y axis."""
    turn = make_pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (0, 0, 0))
    T = turn @ make_pose(OPTICAL_FROM_BODY.T, (0, 0, 0))
    T[:3, 3] = PIXEL_M * pixel, 0.0, 1.5
    return np.asarray(T)


def frame_at(pixel: int, seed: int = 0, depth_m: float | None = None) -> Frame:
    """The frame from a column on."""
    image = np.ascontiguousarray(wall(seed)[:, pixel : pixel + 64])
    depth = None if depth_m is None else np.full((48, 64), depth_m, np.float32)
    return Frame(pixel * 10**8, image, CAMERA, pose_of(pixel), depth, name=f"column {pixel}")


@dataclass
class WallTraversal:
    """Frames along the wall."""

    pixels: tuple[int, ...] = tuple(range(0, 1000, 8))
    depth_m: float | None = None
    name: str = "wall"
    map_frame: str = "map"
    skipped: Skipped = field(default_factory=Skipped)

    def __len__(self) -> int:
        return len(self.pixels)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        for pixel in self.pixels:
            yield frame_at(pixel, depth_m=self.depth_m)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        return iter(())


def quick(**changes: Any) -> PoseProtocol:
    """The protocol of the tests with changes."""
    return PROTOCOL.model_copy(update=changes)
