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

"""The systems of pose regression, as data; torch is not imported here, so that help texts appear at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from pydantic import Field

from scene_geo_loc.training.common.localizer_protocol import FeatureProtocol

Start = Literal["default", "imagenet", "none"]


class Weighting(str, Enum):
    """How the errors of position and rotation are added in the loss."""

    BETA = "beta"
    """A constant factor beta (Kendall, Grimes and Cipolla, ICCV 2015, equation 2)."""
    LEARNED = "learned"
    """By learned variances of the two tasks (Kendall and Cipolla, CVPR 2017, equation 5)."""
    VARIANCE = "variance"
    """By the errors that the network expects of each image (Kendall and Gal, NIPS 2017; Laplace)."""
    REPROJECTION = "reprojection"
    """As pixels between points of the scene seen from the two poses (CVPR 2017, equation 7)."""
    MIXTURE = "mixture"
    """Negative logarithm of the density of a mixture at the true pose (VidLoc, CVPR 2017, equation 6)."""


class PoseSystem(str, Enum):
    """Systems of pose regression by name."""

    POSENET = "posenet"
    POSENET_LEARNED = "posenet_learned"
    POSENET_REPROJECTION = "posenet_reprojection"
    BAYESIAN = "bayesian"
    PLANAR = "planar"
    POSENET_LSTM = "posenet_lstm"
    POSENET_RGBD = "posenet_rgbd"
    VIDLOC = "vidloc"

    @property
    def design(self) -> Design:
        """Parts of the system."""
        return _DESIGNS[self]


@dataclass(frozen=True)
class Design:
    """Parts of a system of pose regression.

    Attributes:
        title: title in tables.
        summary: what it regresses and by which loss, in a few words.
        weighting: weighting of the loss that training begins with.
        then: weighting of the second half of the training, or None.
        is_planar: whether only x, y and heading are regressed.
        is_bayesian: whether the pose is the mean over samples with dropout.
        context: recurrent layers, see `Description.context`.
        has_depth: whether the depth of the image is a second stream of the network.
    """

    title: str
    summary: str
    weighting: Weighting
    then: Weighting | None = None
    is_planar: bool = False
    is_bayesian: bool = False
    context: Literal["none", "spatial", "clip"] = "none"
    has_depth: bool = False

    @property
    def needs_depth(self) -> bool:
        """True if images without depth cannot be trained on."""
        return self.has_depth or self.needs_points

    @property
    def needs_points(self) -> bool:
        """True if points of the scene are needed."""
        return Weighting.REPROJECTION in (self.weighting, self.then)

    @property
    def has_variance(self) -> bool:
        """True if the network infers variances."""
        return self.weighting is Weighting.VARIANCE


_DESIGNS = {
    PoseSystem.POSENET: Design("PoseNet, beta", "position and quaternion, weighted by beta", Weighting.BETA),
    PoseSystem.POSENET_LEARNED: Design(
        "PoseNet, learned weighting", "the same, weighted as learned", Weighting.LEARNED
    ),
    PoseSystem.POSENET_REPROJECTION: Design(
        "PoseNet, learned weighting, then reprojection",
        "the same, then by reprojected points, for which the source needs depth",
        Weighting.LEARNED,
        then=Weighting.REPROJECTION,
    ),
    PoseSystem.BAYESIAN: Design(
        "Bayesian PoseNet",
        "the same, with errors that the network expects",
        Weighting.VARIANCE,
        is_bayesian=True,
    ),
    # 256 units and 3 outputs, as the slides on localization from geographic images have them.
    PoseSystem.PLANAR: Design("x, y, heading", "x, y and heading", Weighting.LEARNED, is_planar=True),
    # Walch et al., "Image-based localization using LSTMs for structured feature correlation", ICCV 2017.
    PoseSystem.POSENET_LSTM: Design(
        "Spatial-LSTM PoseNet",
        "as posenet_learned, with LSTMs that read the features in four directions",
        Weighting.LEARNED,
        context="spatial",
    ),
    # Li et al., "Indoor relocalization in challenging environments with dual-stream convolutional neural
    # networks", IEEE T-ASE 2018.
    PoseSystem.POSENET_RGBD: Design(
        "Dual-stream RGB-D PoseNet",
        "as posenet_learned, with the depth of the image as a second stream",
        Weighting.LEARNED,
        has_depth=True,
    ),
    # Clark et al., "VidLoc: a deep spatio-temporal model for 6-DoF video-clip relocalization", CVPR 2017.
    PoseSystem.VIDLOC: Design(
        "VidLoc", "a mixture of poses of the last images by an LSTM", Weighting.MIXTURE, context="clip"
    ),
}


class PoseProtocol(FeatureProtocol):
    """Settings of the training of a pose regressor."""

    trains_encoder: bool = Field(
        default=False, description="train the encoder, too, which takes much longer; else only the head"
    )
    head: Literal["anchors", "layers"] = Field(
        default="anchors",
        description="what the pose is regressed by: the weighted mean of learned anchors, or fully connected "
        "layers as in the papers, which are coarser by far",
    )
    units: int = Field(
        default=512, ge=8, le=4096, description="units of the head's hidden layer, or most anchors"
    )
    clip: int = Field(default=5, ge=2, le=20, description="images of a clip, of vidloc")
    samples: int = Field(
        default=32, ge=2, le=500, description="samples with dropout that the uncertainty is measured from"
    )
    beta: float = Field(
        default=30.0, gt=0, description="weight of the error of the quaternion beside metres, of posenet"
    )
    epochs: int = Field(default=30, ge=2, description="passes over the images")
    images_a_batch: int = Field(default=32, ge=2, description="images of a mini-batch")
    learning_rate: float = Field(
        default=3e-3, gt=0, description="Adam's largest learning rate; it falls to 0 as a cosine"
    )
