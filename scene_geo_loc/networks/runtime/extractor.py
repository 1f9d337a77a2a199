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

"""Feature extraction: a scene network on single images, from pixels to NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.networks.forward_pass import COARSE, DEPTH, DEPTH_ERROR, KEYPOINTS, LATE, LOCAL
from scene_geo_loc.networks.image_descriptor import FittedDescriptor, ImageDescriptor
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.backends import (
    Backend,
    Outputs,
    Work,
    graph_backends,
    start_first,
)
from scene_geo_loc.networks.strongest_cells import StrongestCells, of_visible, strongest_cells


@dataclass(frozen=True)
class SceneFeatures:
    """Features of an image from one forward pass.

    Attributes:
        local_features: (rows, columns, C) float32, unit length at each cell.
        coarse_features: (rows', columns', C') float32, the late map.
        global_descriptor: (D,) float32 of unit length; None if the network is not yet fitted.
        keypoint_scores: (H, W) float32, how good a keypoint each pixel of the network's input is, 0 to 1;
            None if the local features belong to cells.
        depth: (H', W') float32 metres, of the shape of the network's input; the largest depth of its scale
            also stands for everything farther and for sky.  None if the network infers no depth.
        depth_error: (H', W') float32, inferred scale of the depth's error, metres; None if the network does
            not infer it.
        input_size: width and height of the network's input for the image.
        pooled: maps (rows', columns', C') float32 that the global descriptor is computed from, one for each
            part of it, see `Signature.pooled`; cells that show nothing of the scene are NaN.
        strongest: the cells with the best keypoints; None if the local features belong to cells.
        unfitted: features of 8 bits that a `FittedDescriptor` makes the global descriptor of once it is
            fitted; None for others.
    """

    local_features: NDArray[np.float32]
    coarse_features: NDArray[np.float32]
    global_descriptor: NDArray[np.float32] | None
    keypoint_scores: NDArray[np.float32] | None
    depth: NDArray[np.float32] | None
    depth_error: NDArray[np.float32] | None
    input_size: tuple[int, int]
    pooled: tuple[NDArray[np.float32], ...]
    strongest: StrongestCells | None = None
    unfitted: NDArray[np.uint8] | None = None

    @property
    def described_by(self) -> tuple[NDArray, ...]:
        """The global descriptor, or what it will be made of."""
        made_of = self.unfitted if self.global_descriptor is None else self.global_descriptor
        return self.pooled if made_of is None else (made_of,)


MIN_CONTRAST = 2.0
"""Smallest standard deviation of grey values; below it the camera is covered or saturated."""


def has_contrast(image: NDArray[np.uint8], visible: NDArray[np.bool_] | None = None) -> bool:
    """Returns whether an RGB image shows anything, rather than being black, saturated or of one colour.

    Args:
        visible: mask (H, W) of the pixels that count; None for all.
    """
    grey = image[::8, ::8].mean(axis=2)
    if visible is not None:
        grey = grey[visible[::8, ::8]]
    return grey.size > 0 and float(grey.std()) >= MIN_CONTRAST


FIT_IMAGES = 1000
"""Most images that pooling and projection of a network are fitted on."""


def evenly_spread(count: int, most: int) -> NDArray[np.intp]:
    """Returns at most `most` of the numbers from 0 to `count` - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, most).astype(np.intp)) if count else np.zeros(0, np.intp)


class Extractor:
    """A network on a device, optimised for single images.

    Fit its network only by `fit`.

    Attributes:
        network: the network, fitted or not.
        device: the device that was asked for.
        descriptor: what gives the global descriptor in place of `network`, or None.
    """

    def __init__(
        self, network: InferenceNetwork, device: str = "auto", descriptor: ImageDescriptor | None = None
    ) -> None:
        """Starts the first backend that runs on a device.

        Args:
            network: the network.
            device: "auto", a GPU if there is one, else the CPU; "cpu"; "cuda", or "cuda:1" and so on.
            descriptor: gives the global descriptor instead of the network.

        Raises SceneGeoLocError where there is no such device, or no backend runs.
        """
        self.device = device
        self.network = network
        self.descriptor = descriptor
        self._backends = {self.input_size: start_backend(network, device)}

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the network's input."""
        return self.network.input_width, self.network.input_height

    @property
    def backend_name(self) -> str:
        """Name of the backend, such as "openvino" or "onnxruntime CUDA"."""
        return self._backends[self.input_size].name

    @property
    def is_fitted(self) -> bool:
        """True if `extract` returns global descriptors."""
        if self.descriptor is None:
            return self.network.is_fitted
        return self.unfitted_descriptor is None

    @property
    def unfitted_descriptor(self) -> FittedDescriptor | None:
        """The `descriptor`, if it is not yet fitted."""
        if isinstance(self.descriptor, FittedDescriptor) and not self.descriptor.is_fitted:
            return self.descriptor
        return None

    @property
    def descriptor_size(self) -> int:
        """Length of the global descriptor."""
        return self.network.global_size if self.descriptor is None else self.descriptor.size

    def extract(
        self,
        image: NDArray[np.uint8],
        input_size: tuple[int, int] | None = None,
        visible: NDArray[np.bool_] | None = None,
    ) -> SceneFeatures:
        """Returns the features of an RGB image (H, W, 3) uint8 of any size, resized to the network's input.

        Args:
            image: the image.
            input_size: another width and height of the input, multiples of `Signature.multiple`.  The first
                image takes longer, as the network is prepared for the size.
            visible: mask (H, W) of the pixels that the global descriptor is of; None for all.  The image
                should have no edges around the others, see `without_holes`.

        Raises InferenceError where a user's network gives no descriptor.
        """
        given = unfitted = None
        if (descriptor := self.unfitted_descriptor) is not None:
            unfitted = descriptor.features(image, visible)
        elif self.descriptor is not None:
            given = self.descriptor.describe(image, visible)
        size = input_size or self.input_size
        if size not in self._backends:
            self._backends[size] = start_backend(self.network.with_input_size(*size), self.device)
        if (image.shape[1], image.shape[0]) != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        outputs = self._backends[size].run(image)
        strongest = None
        if self.network.signature.finds_keypoints:
            strongest = strongest_cells(outputs[LOCAL], outputs[KEYPOINTS], visible)
        pooled = self._pooled(outputs, strongest, visible)
        if given is None and self.is_fitted:
            given = self.network.describe(pooled)
        return SceneFeatures(
            outputs[LOCAL],
            outputs[COARSE],
            given,
            outputs.get(KEYPOINTS),
            outputs.get(DEPTH),
            outputs.get(DEPTH_ERROR),
            size,
            pooled,
            strongest,
            unfitted,
        )

    def _pooled(
        self, outputs: Outputs, strongest: StrongestCells | None, visible: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], ...]:
        late = (outputs[name] for name in LATE if name in outputs)
        maps = tuple(late if visible is None else (of_visible(cells, visible) for cells in late))
        if strongest is None or not self.network.signature.describes_keypoints:
            return maps
        return (*maps, strongest.features)

    def fit(self, pooled_maps: Iterable[Sequence[NDArray[np.float32]]]) -> None:
        """Fits the network to the pooled maps of images (`SceneFeatures.pooled`), see `InferenceNetwork.fit`.

        From then on `extract` returns global descriptors.
        """
        self.network = self.network.fit(pooled_maps)


def start_backend(network: InferenceNetwork, device: str) -> Backend:
    """Returns the first backend that runs a network on a device; torch is the last.

    Raises SceneGeoLocError where there is no such device, or no backend runs.
    """
    shape = (1, network.input_height, network.input_width, 3)
    found: list[tuple[str, Callable[[], Backend]]] = []
    found += graph_backends(Work(network.graph, network.signature.outputs, shape), device)
    if find_spec("torch") is not None:
        found += _torch_backends(network, device, has_others=bool(found))
    return start_first(found, device)


def _torch_backends(
    network: InferenceNetwork, device: str, has_others: bool
) -> list[tuple[str, Callable[[], Backend]]]:
    def start(on: str) -> Backend:
        from scene_geo_loc.networks.runtime.torch_backend import TorchBackend

        return TorchBackend(network, on)

    if device == "auto" and not has_others:
        from scene_geo_loc.networks.runtime.torch_backend import has_cuda

        device = "cuda" if has_cuda() else "cpu"
    on = "cpu" if device == "auto" else device
    return [("torch", lambda: start(on))]
