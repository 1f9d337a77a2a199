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

"""Errors of the depth that networks infer from single images, against depth maps from lidar.

Protocol: image and depth map have a short side of 280 pixels.  The image is resized to the network's input
without regard to its aspect ratio, as for descriptors.  The inferred depth is resized to the image and
compared with the depth map in metres, at all pixels whose depth is known and at most 80 m.  The inferred
depth is metric, so it is not scaled to the median of the truth, unlike depth up to scale.  Errors are pooled
over the pixels of all images of a condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.metrics.depth_error import DepthErrors
from scene_geo_loc.networks.architecture.checkpoint import load_checkpoint
from scene_geo_loc.networks.architecture.decoders import Decoder
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.devices import choose_device
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.packs.image_pack import SHORT_SIDE, ImagePack, metres

F32 = NDArray[np.float32]
Image = NDArray[np.uint8]
Pair = tuple[Image, F32]
"""An RGB image (H, W, 3) and its depth map (H, W) in metres, NaN where unknown."""
COMPARED_WITHIN_M = 80.0
PROTOCOL = {
    "compared": f"pixels that the depth map knows within {COMPARED_WITHIN_M:g} m",
    "size": f"short side of {SHORT_SIDE} pixels",
    "scale": "metres of the decoder, never scaled to the truth",
    "abs_rel": "mean of |estimate - truth| / truth over all pixels of a condition",
    "rmse_m": "root of the mean squared error over the same pixels, metres",
    "within_1_25": "share of them whose ratio, or its inverse, is below 1.25",
}
"""Definitions of the numbers, written beside them."""


def decoder_of(network: SceneNetwork) -> Decoder | None:
    """Returns the depth decoder of a network, or None if its descriptor infers no depth, as RGB+ does not."""
    return network.descriptor.decoder if network.descriptor.infers_depth else None


class Pairs(Protocol):
    """Image and depth pairs that can be iterated over repeatedly."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Pair]: ...


class PackedPairs:
    """Pairs of an image pack that have known depth, without cropping or augmentation."""

    def __init__(self, pack: ImagePack) -> None:
        self._pack = pack
        self._usable = np.flatnonzero(pack.known > 0).tolist()

    def __len__(self) -> int:
        return len(self._usable)

    def __getitem__(self, number: int) -> Pair:
        i = self._usable[number]
        centimetres = self._pack.depth_centimetres(i)
        assert centimetres is not None
        return np.asarray(self._pack.image(i)), metres(centimetres)

    def __iter__(self) -> Iterator[Pair]:
        return map(self.__getitem__, range(len(self)))


class DepthEstimator:
    """Infers depth in metres from single images with a network that has a depth decoder.

    Attributes:
        name: heading in tables and pictures.

    Raises CheckpointError if the network infers no depth.
    """

    def __init__(self, name: str, network: SceneNetwork, device: str = "auto") -> None:
        self.name = name
        self._device = choose_device(device)
        self._network = network.eval().to(self._device)
        decoder = decoder_of(network)
        if decoder is None:
            usable = [known for known, system in DESCRIPTORS.items() if system.infers_depth]
            raise CheckpointError(
                f"{name} infers no depth: its descriptor is {network.config.descriptor!r}; name a network "
                f"whose descriptor is {' or '.join(usable)}."
            )
        self._decoder = decoder

    @classmethod
    def load(cls, path: Path, device: str = "auto", name: str | None = None) -> DepthEstimator:
        """Returns the estimator of a checkpoint, named after its file if no name is given.

        Raises CheckpointError if the file is not a checkpoint or its network infers no depth.
        """
        network, _ = load_checkpoint(path)
        return cls(name or path.stem, network, device)

    @torch.inference_mode()
    def depth(self, image: Image) -> F32:
        """Returns the depth (H, W) in metres of an RGB image (H, W, 3); 100 m also means farther, or sky."""
        config = self._network.config
        size = (config.input_width, config.input_height)
        pixels = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        images = self._network.normalise(torch.from_numpy(pixels)[None].to(self._device).float())
        maps = self._network.encoder(self._network.coarse(images))
        depth = self._decoder(maps, (config.input_height, config.input_width)).depth
        metres = self._network.depth_scale.metres(depth[0, 0]).cpu().numpy()
        height, width = image.shape[:2]
        return np.asarray(cv2.resize(metres, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


@dataclass
class DepthComparison:
    """Errors of several estimators on the same pairs.

    Attributes:
        pairs: number of pairs, by condition.
        errors: by condition, then by estimator.
    """

    pairs: dict[str, int] = field(default_factory=dict)
    errors: dict[str, dict[str, DepthErrors]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "protocol": PROTOCOL,
            "conditions": {
                condition: {
                    "pairs": self.pairs[condition],
                    "pixels": next(iter(errors.values())).compared,
                    "errors": {name: _numbers(of) for name, of in errors.items()},
                }
                for condition, errors in self.errors.items()
            },
        }


def compare_depth(
    estimators: Sequence[DepthEstimator],
    conditions: Mapping[str, Pairs],
    on_progress: ProgressCallback = ignore_progress,
) -> DepthComparison:
    """Compares the depth that each estimator infers with depth maps.

    Args:
        conditions: pairs by the name of their condition, for example "night".
        on_progress: receives the number of pairs done and their total.

    Raises SceneGeoLocError if a condition has no pixel to compare.
    """
    comparison = DepthComparison()
    done, total = 0, sum(map(len, conditions.values()))
    on_progress(done, total)
    for condition, pairs in conditions.items():
        errors = {estimator.name: DepthErrors() for estimator in estimators}
        for image, truth in pairs:
            for estimator in estimators:
                add_depth_error(errors[estimator.name], estimator.depth(image), truth)
            done += 1
            on_progress(done, total)
        if not next(iter(errors.values())).compared:
            raise SceneGeoLocError(
                f"{condition}: none of the {len(pairs)} depth maps has a known pixel within "
                f"{COMPARED_WITHIN_M:g} m; make them again from lidar."
            )
        comparison.pairs[condition], comparison.errors[condition] = len(pairs), errors
    return comparison


def add_depth_error(errors: DepthErrors, estimate: F32, truth: F32) -> None:
    """Adds to errors the pixels of one depth map whose true depth is known and at most `COMPARED_WITHIN_M`.

    Args:
        errors: updated in place.
        estimate, truth: (H, W) metres, `truth` NaN where unknown.
    """
    compared = (truth > 0) & (truth <= COMPARED_WITHIN_M)
    errors.add(estimate, truth, compared, compared)


def _numbers(errors: DepthErrors) -> dict[str, float | None]:
    numbers = errors.summary()
    del numbers["coverage"]  # always 1: a decoder gives every pixel a depth
    return numbers
