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

"""Poses relative to keyframes: a metric that retrieves them, and a network for the pose between two images.

After RelocNet (Balntas, Li and Prisacariu, ECCV 2018).  The squared distance of two images' embeddings is one
minus the overlap of their frustums, and the features of two images together give the pose of the second in
the first.  Nothing in the network belongs to a place, so that the keyframes of a new one can be used with it.

| file | part | contents |
|---|---|---|
| relative_pose.safetensors | metadata `scene_geo_loc_relative_pose` | JSON: `Description` |
| | tensor `forward_pass.onnx` | image (1, H, W, 3) uint8 RGB to `features` (1, F), as ONNX, uint8 |
| | tensors `projection.*`, `metric.*`, `pair_*`, `output.*` | the layers of the head, float16 or float32 |
| relative_keyframes.npy | | (N, D) float16, projected features of the keyframes |
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.core.atomic import written_aside
from scene_geo_loc.core.errors import CheckpointError, MapError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.geometry.rotation import matrix_of_quaternion
from scene_geo_loc.localization.pose_regression.regressor import Regression, RegressorCalibration
from scene_geo_loc.mapping.map_info import RELATIVE_KEYFRAMES, RELATIVE_NETWORK
from scene_geo_loc.networks.described_tensors import read_described, write_described
from scene_geo_loc.networks.forward_pass import FEATURES, IMAGE, check_graph

FORMAT = FileFormat("scene_geo_loc relative pose network", 1, again="train it again", error=CheckpointError)
METADATA_KEY = "scene_geo_loc_relative_pose"
GRAPH = "forward_pass.onnx"
LAYERS = ("projection", "metric", "pair_first", "pair_second", "output")
OUTPUTS = 9
"""Numbers of a relative pose: x, y, z over the scale, a quaternion x, y, z, w, and the logarithms of the
expected errors of the position, over the scale, and of the rotation, radians."""
HALF = ("projection.weight", "pair_first.weight")
"""Weights that are stored as float16."""
MEAN_STEPS = 10
"""Number of steps towards the geometric median of the positions."""
LARGEST_LOGARITHM = 8.0
"""Largest size of the logarithm of an expected error."""


class Description(BaseModel):
    """Description of a network for relative poses.

    Attributes:
        encoder: name of the encoder that gives its features.
        input_width, input_height: size of its input, pixels.
        scale_m: of relative positions: an output of 1 is as many metres.
        frustum_m: depth of the frustums whose overlap the metric is trained on, metres.
        retrieved: number of keyframes whose poses are combined.
        trained_on: names of the sources, in order.
        calibration: in the place of the map; None until it is measured.
        provenance: where the network comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip: ClassVar[int] = 1
    depth_scale_m: ClassVar[float | None] = None
    """It reads single images without depth, other than some pose regressors."""

    format: str = FORMAT.name
    format_version: int = FORMAT.version
    encoder: str
    input_width: int = Field(gt=0, le=4096)
    input_height: int = Field(gt=0, le=4096)
    scale_m: float = Field(gt=0, allow_inf_nan=False)
    frustum_m: float = Field(gt=0, allow_inf_nan=False)
    retrieved: int = Field(ge=1, le=100)
    trained_on: list[str]
    calibration: RegressorCalibration | None = None
    provenance: dict[str, Any] = {}


class RelativeNetwork:
    """A metric of images, and the relative pose of two of them, from their features.

    Attributes:
        description: of the network.
        graph: the forward pass of the encoder as ONNX.
        tensors: weights of the head by name.
    """

    def __init__(self, description: Description, graph: bytes, tensors: Mapping[str, NDArray]) -> None:
        """Raises ValueError where the weights do not fit each other."""
        self.description, self.graph, self.tensors = description, graph, dict(tensors)
        self._weights = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
        for name in LAYERS:
            weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
            if weight.ndim != 2 or bias.shape != weight.shape[:1]:
                raise ValueError(f"layer {name} has the shapes {weight.shape} and {bias.shape}")
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ValueError(f"layer {name} has values that are not finite")
        shapes = {name: self._weights[f"{name}.weight"].shape for name in LAYERS}
        inputs = {
            "metric": self.components,
            "pair_first": 2 * self.components,
            "pair_second": shapes["pair_first"][0],
            "output": shapes["pair_second"][0],
        }
        if any(shapes[name][1] != size for name, size in inputs.items()) or shapes["output"][0] != OUTPUTS:
            raise ValueError(f"the layers have the shapes {shapes}")

    @property
    def size(self) -> int:
        """Number of features of an image."""
        return int(self._weights["projection.weight"].shape[1])

    @property
    def components(self) -> int:
        """Number of projected features."""
        return int(self._weights["projection.weight"].shape[0])

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the projected features (N, D) of features (N, F)."""
        return self._layer("projection", features)

    def embed(self, projected: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the embeddings (N, E) of projected features (N, D): a linear map of their directions."""
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        return self._layer("metric", projected / np.maximum(lengths, 1e-12))

    def relative(
        self, first: NDArray[np.float32], second: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the poses (N, 4, 4) of second images in first ones, and their expected errors (N, 2).

        Args:
            first, second: (N, D) projected features.

        Errors are in metres and radians.
        """
        hidden = np.maximum(self._layer("pair_first", np.concatenate([first, second], axis=1)), 0)
        hidden = np.maximum(self._layer("pair_second", hidden), 0)
        outputs = self._layer("output", hidden).astype(np.float64)
        T = np.tile(np.eye(4), (len(outputs), 1, 1))
        T[:, :3, 3] = outputs[:, :3] * self.description.scale_m
        lengths = np.linalg.norm(outputs[:, 3:7], axis=1, keepdims=True)
        T[:, :3, :3] = matrix_of_quaternion(outputs[:, 3:7] / np.maximum(lengths, 1e-12))
        errors = np.exp(np.clip(outputs[:, 7:], -LARGEST_LOGARITHM, LARGEST_LOGARITHM))
        return T, errors * (self.description.scale_m, 1.0)

    def _layer(self, name: str, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return np.asarray(inputs @ weight.T + bias, np.float32)

    def with_description(self, **changes: Any) -> RelativeNetwork:
        """Returns the network with changes of its description."""
        return RelativeNetwork(self.description.model_copy(update=changes), self.graph, self.tensors)

    def save(self, path: Path) -> None:
        """Writes the file, replaced atomically. Raises SceneGeoLocError if it cannot be written."""
        graph = np.frombuffer(self.graph, np.uint8)
        write_described(path, METADATA_KEY, self.description, {**self.tensors, GRAPH: graph})

    @classmethod
    def read(cls, path: Path) -> RelativeNetwork:
        """Reads a file. Raises CheckpointError where it is missing, damaged or of a newer format."""

        def make(values: Any, tensors: dict[str, NDArray]) -> RelativeNetwork:
            graph = tensors.pop(GRAPH).tobytes()
            return cls(Description.model_validate(values), graph, tensors)

        made = read_described(path, METADATA_KEY, FORMAT, "network for relative poses", make)
        check_graph(made.graph, [IMAGE], [FEATURES], str(path))
        return made


class RelativeRegressor:
    """Poses of images in a place, relative to its keyframes.

    Attributes:
        network: metric and relative poses.
        keyframes: (N, D) projected features.
        T_map_keyframe: (N, 4, 4).
    """

    def __init__(
        self, network: RelativeNetwork, keyframes: NDArray[np.float32], T_map_keyframe: NDArray[np.float64]
    ) -> None:
        self.network, self.keyframes, self.T_map_keyframe = network, keyframes, T_map_keyframe

    @property
    def description(self) -> Description:
        """Description of the network."""
        return self.network.description

    @property
    def graph(self) -> bytes:
        """The forward pass of the encoder as ONNX."""
        return self.network.graph

    @cached_property
    def _embeddings(self) -> NDArray[np.float32]:
        return self.network.embed(self.keyframes)

    def regress(self, features: NDArray[np.float32]) -> Regression:
        """Returns the pose of the features (F,) of an image; of those of a clip (L, F), that of the last.

        The positions by the retrieved keyframes are combined by their geometric median, weighted by the
        inverse of the expected errors, and the rotations by a mean with the same weights.  The covariance is
        their spread with the expected errors added.
        """
        return self.regress_projected(self.network.project(np.atleast_2d(features)[-1:])[0])

    def regress_projected(self, row: NDArray[np.float32]) -> Regression:
        """Returns the pose of the projected features (D,) of an image."""
        projected = row[None]
        distances = ((self._embeddings - self.network.embed(projected)) ** 2).sum(axis=1)
        nearest = np.argsort(distances, kind="stable")[: self.description.retrieved]
        T_keyframe_camera, errors = self.network.relative(
            self.keyframes[nearest], np.repeat(projected, len(nearest), axis=0)
        )
        poses = self.T_map_keyframe[nearest] @ T_keyframe_camera
        pose, weights = robust_mean(poses, errors)
        apart = difference(np.broadcast_to(pose, poses.shape), poses)
        covariance = (apart * weights[:, None]).T @ apart
        expected = weights @ errors**2 / 3  # shared by three axes
        covariance += np.diag(np.repeat(expected, 3))
        return Regression(pose, covariance, float(distances[nearest[0]]))

    def nearest(self, projected: NDArray[np.float32]) -> NDArray[np.intp]:
        """Returns the keyframe (N,) nearest in the metric to each row of projected features (N, D)."""
        embedded = self.network.embed(projected)
        distances = ((self._embeddings[None] - embedded[:, None]) ** 2).sum(axis=2)
        return np.asarray(distances.argmin(axis=1))

    def save_keyframes(self, path: Path) -> None:
        """Writes the features of the keyframes."""
        with written_aside(path) as aside, aside.open("wb") as file:
            np.save(file, self.keyframes.astype(np.float16), allow_pickle=False)

    @classmethod
    def read(cls, folder: Path, T_map_keyframe: NDArray[np.float64]) -> RelativeRegressor:
        """Reads the network of a map and the features of its keyframes, whose poses are (N, 4, 4).

        Raises CheckpointError where the network is damaged, MapError where the features are, or do not fit.
        """
        network, path = RelativeNetwork.read(folder / RELATIVE_NETWORK), folder / RELATIVE_KEYFRAMES
        try:
            keyframes = np.load(regular(path), allow_pickle=False)
        except (OSError, ValueError) as error:
            raise MapError(f"{path} is damaged ({reason_of(error)}): copy the map again.") from error
        if keyframes.shape != (len(T_map_keyframe), network.components) or not np.isfinite(keyframes).all():
            raise MapError(
                f"{path} has the shape {keyframes.shape}, and {len(T_map_keyframe)} keyframes with "
                f"{network.components} finite features are needed: copy the map again."
            )
        return cls(network, keyframes.astype(np.float32), T_map_keyframe)


def robust_mean(
    poses: NDArray[np.float64], errors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the geometric median of poses, and the weights (N,) of the poses in it, of sum 1.

    Weiszfeld's steps (Tohoku Mathematical Journal 1937); the rotation is the mean of the matrices with the
    same weights.

    Args:
        poses: (N, 4, 4).
        errors: (N, 2) expected errors of position and rotation.
    """
    positions, given = poses[:, :3, 3], 1 / np.maximum(errors[:, 0], 1e-9)
    weights = given / given.sum()
    for _ in range(MEAN_STEPS):
        apart = np.linalg.norm(positions - weights @ positions, axis=1)
        # A pose is not believed to be nearer than its expected error.
        weights = given / np.maximum(apart, errors[:, 0])
        weights /= weights.sum()
    u, _, vt = np.linalg.svd(np.einsum("n,nij->ij", weights, poses[:, :3, :3]))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return make_pose(rotation, weights @ positions), weights
