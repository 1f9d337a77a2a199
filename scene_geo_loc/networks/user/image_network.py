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

"""Runs a user's networks on images: preprocessing, a backend for each size, and checks of the outputs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import CheckpointError, InferenceError
from scene_geo_loc.networks.forward_pass import with_outputs
from scene_geo_loc.networks.runtime.backends import GraphBackend, Outputs, Work, graph_backends, start_first
from scene_geo_loc.networks.user.description import GlobalDescriptor, ImageDescription, Keypoints
from scene_geo_loc.networks.user.user_network import UserNetwork, without_batch

BORDER_PX = 1.0
"""Keypoints this far outside of the image are on its border; those farther show a wrong convention."""

UNSCALED = (1.0, 1.0)
"""Factors of width and height that leave a size as it is."""


class GraphRunner:
    """Runs a user's graph; threads wait for each other.

    Args:
        network: its graph, and its name in messages.
        outputs: names of the outputs that are needed.
        device: "auto", "cpu" or "cuda", see `graph_backends`.

    Raises CheckpointError where the graph is damaged.
    """

    def __init__(self, network: UserNetwork, outputs: Sequence[str], device: str) -> None:
        self._name, self._device = network.name, device
        self._outputs = tuple(outputs)
        try:
            self._graph = with_outputs(network.graph, self._outputs)
        except Exception as error:  # of onnx, for graphs that contradict themselves
            raise CheckpointError(
                f"The ONNX graph of {network.name} contradicts itself: export it again."
            ) from error
        self._backends: dict[tuple[int, ...] | None, GraphBackend] = {}
        self._lock = threading.Lock()

    def run(self, inputs: Sequence[NDArray], shape: tuple[int, ...] | None = None) -> Outputs:
        """Returns the outputs, with all their axes, for the inputs in the graph's order.

        Args:
            shape: of the one input, for a backend of that size; None for inputs of any length.

        Raises InferenceError where no backend can run the graph, or an output is not finite.
        """
        try:
            with self._lock:
                if shape not in self._backends:
                    work = Work(self._graph, self._outputs, shape)
                    self._backends[shape] = start_first(graph_backends(work, self._device), self._device)
                outputs = self._backends[shape].infer(inputs)
        except Exception as error:  # of libraries, which raise any
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            sizes = " and ".join("x".join(map(str, array.shape)) for array in inputs)
            raise InferenceError(f"{self._name} cannot be run on inputs of {sizes} ({reason}).") from error
        for name, array in outputs.items():
            if not np.isfinite(array).all():
                raise InferenceError(
                    f"The output {name} of {self._name} has numbers that are not finite: check the "
                    "preprocessing in its YAML file."
                )
        return outputs


class ImageNetwork:
    """A user's network on images of any size.

    Args:
        network: the network.
        outputs: names of the outputs that are needed.
        device: "auto", "cpu" or "cuda", see `graph_backends`.
    """

    def __init__(self, network: UserNetwork, outputs: Sequence[str], device: str) -> None:
        assert isinstance(network.description, ImageDescription)
        self._description: ImageDescription = network.description
        self._given, self._fixed_size = network.image_input, network.fixed_size
        self._runner = GraphRunner(network, outputs, device)

    def run(
        self, image: NDArray[np.uint8], scale: tuple[float, float] = UNSCALED
    ) -> tuple[Outputs, NDArray[np.int64]]:
        """Returns the outputs for an RGB image (H, W, 3), and the size (2,) that the network got it in.

        Where the network takes images of any size, `scale` multiplies width and height.

        Raises InferenceError where it cannot be run, or an output is not finite.
        """
        prepared, size = self._prepared(image, scale)
        return self._runner.run([prepared], prepared.shape), size

    def _prepared(
        self, image: NDArray[np.uint8], scale: tuple[float, float]
    ) -> tuple[NDArray, NDArray[np.int64]]:
        """Returns the input for an image, and its width and height (2,)."""
        description = self._description
        height, width = image.shape[:2]
        columns, rows = self._fixed_size or working_size(
            width, height, description.multiple, description.max_pixels, scale
        )
        if description.colour == "grey":
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        elif description.colour == "bgr":
            image = np.ascontiguousarray(image[..., ::-1])
        if (columns, rows) != (width, height):
            image = np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        pixels: NDArray = image
        if self._given.dtype is not np.uint8:
            scaled = image * np.float32(description.max_value / 255)
            mean, std = (np.asarray(value, np.float32) for value in (description.mean, description.std))
            pixels = ((scaled - mean) / std).astype(self._given.dtype)
        if description.layout != "nhw" and pixels.ndim == 2:
            pixels = pixels[..., None]
        if description.layout == "nchw":
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels[None]), np.array([columns, rows])


def working_size(
    width: int, height: int, multiple: int, max_pixels: int, scale: tuple[float, float] = UNSCALED
) -> tuple[int, int]:
    """Returns width and height, multiples of a number, of about `max_pixels` at most, for an image's.

    `scale` multiplies them in the end.
    """
    share = min(1.0, (max_pixels / (height * width)) ** 0.5)
    columns, rows = (
        max(1, round(side * share * factor / multiple)) * multiple
        for side, factor in zip((width, height), scale, strict=True)
    )
    return columns, rows


class DescriptorNetwork:
    """A user's network that gives the global descriptor of an image.

    Attributes:
        network: the network, with the length of its descriptors.
    """

    network: UserNetwork[GlobalDescriptor]

    def __init__(self, network: UserNetwork[GlobalDescriptor], device: str = "auto") -> None:
        """Starts it, and runs it once where its length is not known. Raises InferenceError."""
        self.network = network
        self._output = network.description.descriptor or _only_output(network)
        self._run = ImageNetwork(network, [self._output], device).run
        if network.length is None:
            self.network = network.with_length(len(self.describe(sample_image())))

    @property
    def size(self) -> int:
        """Length of a descriptor."""
        assert self.network.length is not None
        return self.network.length

    def save(self, path: Path) -> None:
        """See `ImageDescriptor.save`."""
        self.network.save_copy(path)

    def describe(
        self, image: NDArray[np.uint8], visible: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Returns the descriptor (D,) of unit length of an RGB image (H, W, 3); it sees all pixels.

        Raises InferenceError where the network cannot be run or gives no such descriptor.
        """
        outputs, _ = self._run(image)
        name, wanted = f"The output {self._output} of {self.network.name}", self.network.length
        try:
            descriptor = without_batch(outputs[self._output], 1).astype(np.float32)
        except ValueError as error:
            raise InferenceError(f"{name} has {error}: a descriptor has the shape (1, D).") from error
        if len(descriptor) == 0 or (wanted is not None and len(descriptor) != wanted):
            raise InferenceError(f"{name} has {len(descriptor)} numbers and not {wanted or 'at least 1'}.")
        norm = float(np.linalg.norm(descriptor))
        if norm == 0:
            raise InferenceError(f"{name} is zero: it describes nothing.")
        return descriptor / np.float32(norm)


class KeypointNetwork:
    """A user's network that detects and describes keypoints.

    Attributes:
        network: the network, with the length of its descriptors.
    """

    network: UserNetwork[Keypoints]

    def __init__(self, network: UserNetwork[Keypoints], device: str = "auto") -> None:
        """Runs it once where the length of its descriptors is not known. Raises InferenceError."""
        self.network = network
        description = network.description
        outputs = (description.keypoints, description.descriptors, description.scores)
        self._run = ImageNetwork(network, [name for name in outputs if name is not None], device).run
        if network.length is None:
            outputs_of_sample, _ = self._run(sample_image())
            described = self._descriptors(outputs_of_sample[description.descriptors])
            if described.shape[1] == 0:
                raise InferenceError(f"The descriptors of {network.name} have no numbers.")
            self.network = network.with_length(described.shape[1])

    def detect(
        self, image: NDArray[np.uint8], scale: tuple[float, float] = UNSCALED
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.int64]]:
        """Returns keypoints (N, 2), strongest first, descriptors (N, C), and the size (2,) of the image.

        Keypoints are pixels of the image as the network got it, whose width and height are returned last.

        Args:
            image: RGB (H, W, 3).
            scale: multiplies width and height of the image, see `ImageNetwork.run`.

        Raises InferenceError where the network cannot be run or gives no such keypoints.
        """
        outputs, size = self._run(image, scale)
        description, name = self.network.description, self.network.name
        described = self._descriptors(outputs[description.descriptors])
        count = len(described)
        try:
            given = without_batch(outputs[description.keypoints], 2)
            scores = np.arange(count, 0, -1.0)
            if description.scores is not None:
                scores = without_batch(outputs[description.scores], 1)
        except ValueError as error:
            raise InferenceError(
                f"An output of {name} has {error}: keypoints have the shape (1, N, 2), scores (1, N)."
            ) from error
        if given.shape != (count, 2) or scores.shape != (count,):
            raise InferenceError(
                f"{name} gives keypoints {given.shape}, descriptors {described.shape} and scores "
                f"{scores.shape}: they should be (N, 2), (N, C) and (N,)."
            )
        if self.network.length is not None and described.shape[1] != self.network.length:
            raise InferenceError(
                f"The descriptors of {name} have {described.shape[1]} numbers and not {self.network.length}."
            )
        kept = np.argsort(-scores, kind="stable")[: description.max_keypoints]
        if description.scores is not None:
            kept = kept[scores[kept] > description.min_score]
        coordinates = given[kept] if description.order == "xy" else given[kept, ::-1]
        pixels = description.coordinates.to_pixels(coordinates, size)
        self._check_inside(pixels, size)
        return pixels, described[kept].astype(np.float32), size

    def _descriptors(self, output: NDArray) -> NDArray:
        """Returns the descriptors (N, C)."""
        description = self.network.description
        try:
            described = without_batch(output, 2)
        except ValueError as error:
            raise InferenceError(
                f"The output {description.descriptors} of {self.network.name} has {error}: descriptors have "
                "the shape (1, N, C), or (1, C, N) with the descriptor_axes cn."
            ) from error
        return described if description.descriptor_axes == "nc" else described.T

    def _check_inside(self, pixels: NDArray[np.float64], size: NDArray[np.int64]) -> None:
        """Raises InferenceError where a keypoint lies outside of the image, beyond its border."""
        is_outside = ((pixels < -0.5 - BORDER_PX) | (pixels > size - 0.5 + BORDER_PX)).any(axis=1)
        if is_outside.any():
            x, y = pixels[is_outside][0]
            raise InferenceError(
                f"{self.network.name} gives a keypoint at ({x:.1f}, {y:.1f}) outside of its image of "
                f"{size[0]}x{size[1]}: check coordinates and order in its YAML file."
            )


def sample_image() -> NDArray[np.uint8]:
    """Returns an image (240, 320, 3) of noise, to try a network on."""
    return np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)


def _only_output(network: UserNetwork) -> str:
    import onnx

    (output,) = onnx.load_model_from_string(network.graph).graph.output
    return str(output.name)
