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

"""A pose regressor: features of an image to its pose, with the standard deviations that dropout shows.

One safetensors file holds it, as a robot runs it:

| part | contents |
|---|---|
| metadata `scene_geo_loc_regressor` | JSON: `Description` |
| tensor `forward_pass.onnx` | image (1, H, W, 3) uint8 RGB to `features` (1, F), as ONNX, uint8 |
| tensors `projection.*`, `context.*`, `hidden.*`, `output.*` | the head's layers, float16 or float32 |

The head is evaluated in NumPy, several times with units of its layers left out at random (Gal and Ghahramani,
"Dropout as a Bayesian approximation", ICML 2016; for poses Kendall and Cipolla, ICRA 2016).  The masks are
fixed, so an image always gets the same answer.  Where the head has anchors, the spread of their poses is
added, which shows that an image looks like several places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.geometry.rotation import matrix_of_quaternion, matrix_of_vector
from scene_geo_loc.localization.pose_regression.recurrent import clip_context, spatial_context
from scene_geo_loc.networks.described_tensors import read_described, write_described
from scene_geo_loc.networks.forward_pass import FEATURES, IMAGE, check_graph

FORMAT = FileFormat("scene_geo_loc pose regressor", 1, again="train it again", error=CheckpointError)
METADATA_KEY = "scene_geo_loc_regressor"
GRAPH = "forward_pass.onnx"
LAYERS = ("projection", "hidden", "output")
LEAST_WEIGHT = 1e-4
"""Anchors of smaller weights do not count in the covariance."""
PLANAR_OUTPUTS, SPATIAL_OUTPUTS = 4, 7
"""Numbers of a pose: x, y, cos and sin of the heading; or x, y, z and a quaternion x, y, z, w."""


class RegressorCalibration(BaseModel):
    """Calibration of a regressor's uncertainty, measured on images that it was not trained on.

    The covariance of a pose is `scale` squared times that of the samples plus `floor` squared, each for
    positions and for rotations.

    Attributes:
        images: number of images that it was measured on.
        position_scale, rotation_scale: factors of the standard deviations of the samples.
        position_floor_m, rotation_floor_deg: standard deviations along each axis that are added.
        accepted_error_m: position error within which a pose counts as right.
        max_std_m: largest standard deviation of a position that is accepted: of the images below it at least
            95 % are right; None where there is no such limit, so that no pose is accepted.
        max_novelty: largest novelty that is accepted, see `Regression`.
        max_distance_m: largest distance of an accepted position from the nearest image of the training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    position_scale: float = Field(gt=0, allow_inf_nan=False)
    rotation_scale: float = Field(gt=0, allow_inf_nan=False)
    position_floor_m: float = Field(gt=0, allow_inf_nan=False)
    rotation_floor_deg: float = Field(gt=0, allow_inf_nan=False)
    accepted_error_m: float
    max_std_m: float | None
    max_novelty: float
    max_distance_m: float


class Description(BaseModel):
    """Description of a regressor.

    Attributes:
        system: name of its system, see `training.pose_regression.systems`.
        encoder: name of the encoder that gives its features.
        input_width, input_height: size of its input, pixels.
        is_planar: whether it regresses x, y and heading only; height, pitch and roll are the means of the
            training.
        is_bayesian: whether the pose is the mean over the samples, else that without dropout.
        has_variance: whether it infers the size of its errors as well (aleatoric uncertainty): the logarithms
            of the expected error of the position, over `scale_m`, and of the rotation, radians.
        dropout: probability that a unit is left out.
        samples: number of samples.
        head: "layers", two fully connected ones; or "anchors", whose poses are averaged, weighted by the
            softmax of how much the image looks like each of them.
        context: recurrent layers that read the components of the features: none, "spatial" (the components
            of an image as a grid) or "clip" (those of the last images).
        clip: number of images that it takes; 1 without such layers.
        depth_scale_m: depth that is half as bright as the nearest in the picture of the depth, the second
            stream; None where the regressor takes no depth.
        centre: of the positions in the map, metres.
        scale_m: of the positions: an output of 1 is as many metres.
        level_rotation: (3, 3) rotation of a planar pose of heading 0; its columns are the camera's axes.
        calibration: None until it is measured.
        provenance: where the regressor comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = FORMAT.name
    format_version: int = FORMAT.version
    system: str
    encoder: str
    input_width: int = Field(gt=0, le=4096)
    input_height: int = Field(gt=0, le=4096)
    is_planar: bool
    is_bayesian: bool
    has_variance: bool
    dropout: float = Field(ge=0, lt=1)
    samples: int = Field(ge=2, le=1000)
    head: Literal["layers", "anchors"] = "layers"
    context: Literal["none", "spatial", "clip"] = "none"
    clip: int = Field(default=1, ge=1, le=20)
    depth_scale_m: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    centre: tuple[float, float, float]
    scale_m: float = Field(gt=0, allow_inf_nan=False)
    level_rotation: list[list[float]]
    calibration: RegressorCalibration | None = None
    provenance: dict[str, Any] = {}

    @property
    def pose_outputs(self) -> int:
        """Number of outputs that hold the pose."""
        return PLANAR_OUTPUTS if self.is_planar else SPATIAL_OUTPUTS

    @property
    def outputs(self) -> int:
        """Number of outputs, with the logarithms of the expected errors of position and rotation."""
        return self.pose_outputs + (2 if self.has_variance else 0)


@dataclass(frozen=True)
class Regression:
    """Result of a regressor for an image, before anything is decided.

    Attributes:
        T_map_camera: the pose.
        covariance: (6, 6) of the samples, of the anchors and of the inferred variances, not calibrated;
            order and axes as in `PoseEstimate`.
        novelty: how far the image's features are from those of the training: the share of their deviation
            from the mean that lies outside of the directions in which those of the training vary.
    """

    T_map_camera: Pose
    covariance: NDArray[np.float64]
    novelty: float


class Regressor:
    """Regresses poses from features.

    Attributes:
        description: of the regressor.
        graph: the forward pass as ONNX.
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
        widths = [self._weights[f"{name}.weight"].shape for name in LAYERS]
        embedded = self._embedded(np.zeros((1, description.clip, widths[0][0]), np.float32)).shape[1]
        if widths[1][1] != embedded or widths[2] != (description.outputs, widths[1][0]):
            raise ValueError(f"the head's layers have the shapes {widths}")

    @property
    def size(self) -> int:
        """Number of features of an image."""
        return int(self._weights["projection.weight"].shape[1])

    @cached_property
    def _masks(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Factors (S, D) and (S, H) of the units of the two layers with dropout."""
        rng, kept = np.random.default_rng(0), 1 - self.description.dropout
        units = (len(self._weights["projection.bias"]), len(self._weights["hidden.bias"]))
        first, second = (
            (rng.random((self.description.samples, count)) < kept).astype(np.float32) / np.float32(kept)
            for count in units
        )
        return first, second

    def regress(self, features: NDArray[np.float32]) -> Regression:
        """Returns the pose of an image of features (F,), or of the last one of a clip (T, F).

        A clip that is shorter than the regressor's begins with its first image several times.
        """
        clip = self._clip(features)
        projected = self._projected(clip)
        first, second = self._masks
        samples = self._head(projected * first[:, None], second)
        poses = self._poses(samples)
        hidden = self._hidden(projected[None], 1.0)
        mean = self._mean(poses) if self.description.is_bayesian else None
        pose = self._poses(self._outputs(hidden))[0] if mean is None else mean
        apart = difference(pose, poses)
        covariance = apart.T @ apart / len(apart)
        if self.description.head == "anchors":
            covariance += self._spread(hidden[0], pose)
        if self.description.has_variance:
            # Squares of the expected errors, shared by three axes.
            position, rotation = np.exp(2 * np.clip(samples[:, -2:], -10, 10)).mean(axis=0) / 3
            covariance += np.diag([position * self.description.scale_m**2] * 3 + [rotation] * 3)
        return Regression(pose, covariance, self._novelty(clip[-1], projected[-1]))

    def pose(self, features: NDArray[np.float32]) -> Pose:
        """Returns the pose of features as of `regress` with all units, without anything else of it."""
        return np.asarray(self._poses(self._head(self._projected(self._clip(features))[None], 1.0))[0])

    def _clip(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the features (T, F) of a clip of the regressor's length."""
        clip = np.atleast_2d(features)[-self.description.clip :]
        return np.concatenate([clip[:1].repeat(self.description.clip - len(clip), axis=0), clip])

    def _spread(self, weights: NDArray[np.float32], pose: Pose) -> NDArray[np.float64]:
        """Returns the covariance (6, 6) of the anchors' poses about a pose, by their weights (K,)."""
        counted = weights > LEAST_WEIGHT
        apart = difference(pose, self._anchors[counted])
        return np.asarray((weights[counted, None] * apart).T @ apart, np.float64)

    @cached_property
    def _anchors(self) -> NDArray[np.float64]:
        """Poses (K, 4, 4) of the anchors."""
        w = self._weights
        return self._poses(np.asarray(w["output.weight"].T + w["output.bias"], np.float64))

    def _projected(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the components (T, D) of features (T, F)."""
        w = self._weights
        return np.asarray(features @ w["projection.weight"].T + w["projection.bias"], np.float32)

    def _head(self, projected: NDArray[np.float32], kept: NDArray[np.float32] | float) -> NDArray[np.float64]:
        """Returns the outputs (N, O) of components (N, T, D) and the factors of the hidden units."""
        return self._outputs(self._hidden(projected, kept))

    def _outputs(self, hidden: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the outputs (N, O) of the hidden units (N, H)."""
        w = self._weights
        outputs = np.asarray(hidden @ w["output.weight"].T + w["output.bias"], np.float64)
        if self.description.head == "anchors" and not self.description.is_planar:
            # q and -q are the same rotation: each anchor's gets the sign of the largest weight's.
            quaternions = w["output.weight"][3:SPATIAL_OUTPUTS]
            signs = np.where(quaternions[:, hidden.argmax(axis=1)].T @ quaternions < 0, -1.0, 1.0)
            outputs[:, 3:SPATIAL_OUTPUTS] = (hidden * signs) @ quaternions.T
        return outputs

    def _hidden(
        self, projected: NDArray[np.float32], kept: NDArray[np.float32] | float
    ) -> NDArray[np.float32]:
        """Returns the hidden units (N, H), of anchors the weights, whose sum is 1."""
        w, embedded = self._weights, self._embedded(projected)
        if self.description.head == "layers":
            hidden = np.maximum(embedded @ w["hidden.weight"].T + w["hidden.bias"], 0) * kept
            return np.asarray(hidden, np.float32)
        lengths = np.linalg.norm(embedded, axis=1, keepdims=True)
        logits = embedded / np.maximum(lengths, 1e-12) @ w["hidden.weight"].T + w["hidden.bias"]
        logits = np.where(np.asarray(kept) > 0, logits, -np.inf)
        largest = logits.max(axis=1, keepdims=True)
        weights = np.exp(logits - np.where(np.isfinite(largest), largest, 0.0))
        return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30), np.float32)

    def _embedded(self, projected: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns what the hidden layer sees (N, E) of components (N, T, D)."""
        last = projected[:, -1]
        if self.description.context == "none":
            return last
        is_spatial = self.description.context == "spatial"
        context = (
            spatial_context(self._weights, last) if is_spatial else clip_context(self._weights, projected)
        )
        return context if self.description.head == "layers" else np.concatenate([last, context], axis=1)

    def _novelty(self, features: NDArray[np.float32], projected: NDArray[np.float32]) -> float:
        # The rows of the projection are principal axes, scaled.
        weight = self._weights["projection.weight"]
        deviation = features - self._weights["mean"]
        total = float(deviation @ deviation)
        lengths = (weight * weight).sum(axis=1)
        inside = float((projected**2 / np.maximum(lengths, 1e-30)).sum())
        return float(np.sqrt(max(0.0, 1.0 - inside / max(total, 1e-30))))

    def _poses(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the poses (N, 4, 4) of outputs (N, ...)."""
        description = self.description
        T = np.tile(np.eye(4), (len(outputs), 1, 1))
        T[:, :3, 3] = description.centre
        if description.is_planar:
            T[:, :2, 3] += outputs[:, :2] * description.scale_m
            heading = np.arctan2(outputs[:, 3], outputs[:, 2])
            turns = np.stack([matrix_of_vector(np.array([0.0, 0.0, angle])) for angle in heading])
            T[:, :3, :3] = turns @ np.array(description.level_rotation)
        else:
            T[:, :3, 3] += outputs[:, :3] * description.scale_m
            quaternions = outputs[:, 3:7]
            lengths = np.linalg.norm(quaternions, axis=1, keepdims=True)
            T[:, :3, :3] = matrix_of_quaternion(quaternions / np.maximum(lengths, 1e-12))
        return T

    def _mean(self, poses: NDArray[np.float64]) -> Pose:
        """Returns the mean of poses: of the positions, and the rotation nearest to the mean matrix."""
        u, _, vt = np.linalg.svd(poses[:, :3, :3].mean(axis=0))
        rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
        return make_pose(rotation, poses[:, :3, 3].mean(axis=0))

    def with_calibration(self, calibration: RegressorCalibration) -> Regressor:
        """Returns the regressor with what was measured."""
        description = self.description.model_copy(update={"calibration": calibration})
        return Regressor(description, self.graph, self.tensors)

    def save(self, path: Path) -> None:
        """Writes the file, replaced atomically. Raises SceneGeoLocError if it cannot be written."""
        graph = np.frombuffer(self.graph, np.uint8)
        write_described(path, METADATA_KEY, self.description, {**self.tensors, GRAPH: graph})

    @classmethod
    def read(cls, path: Path) -> Regressor:
        """Reads a file. Raises CheckpointError where it is missing, damaged or of a newer format."""

        def make(values: Any, tensors: dict[str, NDArray]) -> Regressor:
            graph = tensors.pop(GRAPH).tobytes()
            return cls(Description.model_validate(values), graph, tensors)

        made = read_described(path, METADATA_KEY, FORMAT, "pose regressor", make)
        check_graph(made.graph, [IMAGE], [FEATURES], str(path))
        return made
