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

"""A scene network as a robot runs it: a graph, the head that is fitted to a place, and their description."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.descriptor_head import (
    FUSION_HEADS,
    POOLING_HEADS,
    KeypointVLADHead,
    PoolingHead,
    project,
    with_keypoints,
)
from scene_geo_loc.networks.forward_pass import LEAST_AREA, Signature, with_outputs
from scene_geo_loc.networks.projection import whitened_axes
from scene_geo_loc.networks.strongest_cells import strongest_count

_POOLING, _FUSION, _PROJECTION = "descriptor.poolings.{}.", "descriptor.fusion.", "projection."
_KEYPOINT_POOLING = "keypoint_pooling."
_FITTED = "fitted"
_HEAD = ("descriptor.poolings.", _KEYPOINT_POOLING, _FUSION, _PROJECTION, _FITTED)
"""Prefixes of the weights outside of the graph."""
_DECODER = "descriptor.decoder."
_NOT_LEARNED = ("running_mean", "running_var", "num_batches_tracked", _FITTED)

# In format 1 the only descriptor was "rgb"; its pooling was a module beside it, its projection had no bias.
POOLING_1 = "pooling."
_FIELDS_1 = ("encoder", "pooling", "input_width", "input_height", "descriptor_size")
LATER_FIELDS = {
    "descriptor": "rgb",
    "depth_encoder": "alexnet",
    "local_features": "early",
    "decoder": "unet",
    "depth_scale": "log",
    "colouring": "jet",
    "fusion": "concatenate",
    "uncertainty": False,
    "describes_keypoints": False,
}
"""Fields of a config that format 1 lacked, and the values that stand for what it had."""


@dataclass(frozen=True)
class InferenceNetwork:
    """A scene network that runs without the code that trained it.

    The graph computes local features and feature maps; the head, in NumPy, makes the global descriptor of the
    maps.  It is usable once the head is fitted or trained (`is_fitted`).

    Attributes:
        config: names of its parts and size of its input, as `NetworkConfig` writes them.
        signature: what the graph takes and gives.
        graph: the forward pass as ONNX, see `networks.forward_pass`.
        tensors: all weights by name: those of the graph, as they were trained, and those of the head.
    """

    config: Mapping[str, Any]
    signature: Signature
    graph: bytes
    tensors: Mapping[str, NDArray]

    @property
    def input_width(self) -> int:
        """Width that images are resized to, pixels."""
        return int(self.config["input_width"])

    @property
    def input_height(self) -> int:
        """Height that images are resized to, pixels."""
        return int(self.config["input_height"])

    @property
    def is_fitted(self) -> bool:
        """True if the global descriptor is usable."""
        return bool(self.tensors[_FITTED])

    @property
    def infers_depth(self) -> bool:
        """True if the graph gives depth."""
        return self.signature.infers_depth

    @property
    def parameters(self) -> int:
        """Number of learned numbers."""
        return sum(
            value.size for name, value in self._all_tensors().items() if not name.endswith(_NOT_LEARNED)
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the local features' cells."""
        local = self.signature.local_features
        return local.cells(self.input_height), local.cells(self.input_width)

    def cell_centres(self) -> NDArray[np.float64]:
        """Pixels (rows * columns, 2) of the network's input at the centres of the cells, row by row."""
        rows, columns = self.grid
        local = self.signature.local_features
        y, x = np.mgrid[:rows, :columns]
        return np.stack([x.ravel(), y.ravel()], axis=1) * float(local.stride) + local.offset

    def pooled_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (h', w', C') of the maps that the descriptor pools, see `Signature.pooled`."""
        stages = (part.stage for part in self.signature.parts)
        shapes = [
            (late.cells(self.input_height), late.cells(self.input_width), late.channels) for late in stages
        ]
        if self.signature.describes_keypoints:
            count = strongest_count(math.prod(self.grid))
            shapes.append((count, 1, self.signature.local_features.channels))
        return shapes

    @property
    def system_size(self) -> int:
        """Length of the descriptor before its projection."""
        size = sum(self._pooling.size_of(part.stage.channels) for part in self.signature.parts)
        if self.signature.describes_keypoints:
            size += KeypointVLADHead.size_of(self.signature.local_features.channels)
        return size

    @property
    def global_size(self) -> int:
        """Length of the global descriptor."""
        return int(self.config["descriptor_size"] or self.system_size)

    def with_input_for(self, width: int, height: int) -> InferenceNetwork:
        """Returns the network for images of another shape; the weights do not depend on the input's size.

        The input has the shape of these images and at most `Signature.input_area` pixels, or the images'
        own area if that is smaller and more than `LEAST_AREA`.
        """
        multiple = self.signature.multiple
        area = min(self.signature.input_area, max(width * height, LEAST_AREA))
        input_width, input_height = input_size_for(width, height, multiple, area)
        return self.with_input_size(input_width, input_height)

    def with_input_size(self, width: int, height: int) -> InferenceNetwork:
        """Returns the network with an input of a size, multiples of `Signature.multiple`."""
        return replace(self, config={**self.config, "input_width": width, "input_height": height})

    def with_descriptor_size(self, size: int | None) -> InferenceNetwork:
        """Returns the network with a projection to another size, not yet fitted, or without one.

        Raises SceneGeoLocError if the descriptor has fewer numbers than that.
        """
        if size is not None and not 1 <= size <= self.system_size:
            raise SceneGeoLocError(
                f"A descriptor of {self.system_size} numbers cannot be projected to {size}: "
                f"choose between 1 and {self.system_size}."
            )
        tensors = {name: value for name, value in self.tensors.items() if not name.startswith(_PROJECTION)}
        centres = [value for name, value in tensors.items() if name.endswith(".centres") and _is_head(name)]
        tensors[_FITTED] = np.array(size is None and all(value.any() for value in centres))
        return replace(self, config={**self.config, "descriptor_size": size}, tensors=tensors)

    def without_depth(self) -> InferenceNetwork:
        """Returns a network with the same features and descriptors, without the layers that infer depth.

        Where the descriptor needs these layers, that is the network itself.
        """
        name = self.signature.name_without_depth
        if name is None:
            return self
        tensors = {key: value for key, value in self.tensors.items() if not key.startswith(_DECODER)}
        signature = self.signature.model_copy(
            update={
                "max_depth_m": None,
                "has_depth_error": False,
                "name_without_depth": None,
                "weights_sha256": weights_digest(tensors),
            }
        )
        config = {**self.config, "descriptor": name, "uncertainty": False}
        return InferenceNetwork(config, signature, with_outputs(self.graph, signature.outputs), tensors)

    def describe(self, pooled: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Returns the global descriptor (D,) of unit length of the maps (h', w', C') of all parts.

        Cells that are NaN show nothing, and are left out.
        """
        return project(self._joint(pooled), self._projection)

    def fit(self, pooled_maps: Iterable[Sequence[NDArray[np.float32]]]) -> InferenceNetwork:
        """Returns the network with poolings and projection fitted to the pooled maps of images of a place.

        The projection is along the whitened principal axes of the descriptors, see `whitened_axes`; where
        they span fewer dimensions than it has rows, the remaining rows are zero.

        Args:
            pooled_maps: of each image, the maps (h', w', C') of all parts; cells that are NaN are left out.

        Raises SceneGeoLocError if there are fewer local features than clusters of a pooling, or descriptors
        are not finite.
        """
        maps = [[np.asarray(pooled, np.float32) for pooled in of_image] for of_image in pooled_maps]
        tensors = dict(self.tensors)
        for number, (prefix, pooling, sharpness) in enumerate(self._poolings):
            cells = np.concatenate([pooling.local_features(_cells(of_image[number])) for of_image in maps])
            fitted = pooling.fit(cells, sharpness)
            tensors |= {prefix + name: value for name, value in fitted.items()}
        tensors[_FITTED] = np.array(True)
        size = self.config["descriptor_size"]
        fitted_network = replace(self, tensors=tensors)
        if size is None:
            return fitted_network
        axes = whitened_axes(np.stack([fitted_network._joint(of_image) for of_image in maps]), size)
        weight = np.zeros((size, self.system_size), np.float32)
        weight[: len(axes)] = axes
        projection = {"projection.weight": weight, "projection.bias": np.zeros(size, np.float32)}
        return replace(self, tensors={**tensors, **projection})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of config and weights in hexadecimal: equal for networks that compute equal features."""
        return digest_of(self.config, self._all_tensors())

    @property
    def _pooling(self) -> type[PoolingHead]:
        return POOLING_HEADS[self.config["pooling"]]

    @property
    def _poolings(self) -> list[tuple[str, type[PoolingHead], float]]:
        """Of each pooled map, the prefix of its pooling's weights, the pooling, and its first sharpness."""
        poolings = [
            (_POOLING.format(number), self._pooling, part.netvlad_sharpness)
            for number, part in enumerate(self.signature.parts)
        ]
        if self.signature.describes_keypoints:
            poolings.append((_KEYPOINT_POOLING, KeypointVLADHead, KeypointVLADHead.SHARPNESS))
        return poolings

    @cached_property
    def _pooling_weights(self) -> list[dict[str, NDArray]]:
        return [_below(self.tensors, prefix) for prefix, _, _ in self._poolings]

    @cached_property
    def _fusion(self) -> dict[str, NDArray]:
        return _below(self.tensors, _FUSION)

    @cached_property
    def _projection(self) -> dict[str, NDArray]:
        return _below(self.tensors, _PROJECTION)

    def _joint(self, pooled: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        parts = [
            pooling.describe(_cells(of_part), weights)
            for of_part, (_, pooling, _), weights in zip(
                pooled, self._poolings, self._pooling_weights, strict=True
            )
        ]
        fuse = FUSION_HEADS[self.config["fusion"]]
        if not self.signature.describes_keypoints:
            return fuse(parts, self._fusion)
        return with_keypoints(fuse(parts[:-1], self._fusion), parts[-1])

    def _all_tensors(self) -> dict[str, NDArray]:
        """Returns all weights, with the projection, which is zero until it is fitted."""
        size = self.config["descriptor_size"]
        if size is None or "projection.weight" in self.tensors:
            return dict(self.tensors)
        zeros = {
            "projection.weight": np.zeros((size, self.system_size), np.float32),
            "projection.bias": np.zeros(size, np.float32),
        }
        return {**self.tensors, **zeros}


def input_size_for(width: int, height: int, multiple: int, area: int) -> tuple[int, int]:
    """Returns width and height of the input for images of a shape: multiples, at most `area` pixels.

    Of the sizes next to the exact one, that of the nearest shape is chosen; to lose a tenth of the area
    counts as much as a shape that is wrong by a twentieth.
    """
    scale = (area / (width * height)) ** 0.5
    least_width, least_height = (max(2, math.floor(side * scale / multiple)) for side in (width, height))
    sizes = [
        ((least_width + i) * multiple, (least_height + j) * multiple)
        for i, j in itertools.product((0, 1), repeat=2)
    ]

    def misfit(size: tuple[int, int]) -> float:
        shape, used = size[0] * height / (size[1] * width), size[0] * size[1] / area
        return abs(math.log(shape)) - math.log(used) / 2

    return min([size for size in sizes if size[0] * size[1] <= area] or sizes[:1], key=misfit)


def digest_of(config: Mapping[str, Any], tensors: Mapping[str, NDArray]) -> str:
    """SHA-256 of a config and all weights in hexadecimal.

    A network that format 1 could hold is hashed as it was then, since maps store the digest of their network.
    """
    unused = {name for name, value in LATER_FIELDS.items() if config.get(name, value) == value}
    hashed = {name: value for name, value in config.items() if name not in unused}
    total = hashlib.sha256(json.dumps(hashed, separators=(",", ":")).encode())
    named = dict(tensors)
    if unused == set(LATER_FIELDS):
        named = {name.replace(_POOLING.format(0), POOLING_1): value for name, value in tensors.items()}
        if "projection.bias" in named and not named["projection.bias"].any():
            del named["projection.bias"]
    for name, value in sorted(named.items()):
        total.update(name.encode())
        total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()


def weights_digest(tensors: Mapping[str, NDArray]) -> str:
    """SHA-256 in hexadecimal of the weights that are part of the graph: all but those of the head."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        if not _is_head(name):
            total.update(name.encode())
            total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()


def _is_head(name: str) -> bool:
    return name.startswith(_HEAD)


def _below(tensors: Mapping[str, NDArray], prefix: str) -> dict[str, NDArray]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _cells(pooled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the cells (N, C) of a pooled map (h', w', C') that show something."""
    cells = pooled.reshape(-1, pooled.shape[-1])
    is_hidden = np.isnan(cells).all(axis=1)
    # A map without any number is damaged, which the caller reports.
    return cells[~is_hidden] if is_hidden.any() and not is_hidden.all() else cells
