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

"""Probability that an accepted pose is that of the place, from the matches that support it.

A logistic model of each matcher, fitted to poses of right and of other places: drives through three simulated
towns in sun, snow, night and years later, each localized in maps of its own and of other towns, a walk
indoors also through other lenses and in sparse maps, and real images of other places.  docs/confidence.md
says how well each is calibrated, and on how many images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.pair_network import PairNetworkMatcher


@dataclass(frozen=True)
class PoseSupport:
    """Support of a pose by its matches.

    Attributes:
        inlier_ratio: share of the matches that agree with it.
        precise_ratio: share of the matches that agree within a third of an inlier's largest error.
        spread: standard deviation of the inliers' pixels across their principal axis, in image heights.
        rotation_std: largest standard deviation of the rotation by the residuals, radians.
    """

    inlier_ratio: float
    precise_ratio: float
    spread: float
    rotation_std: float

    @property
    def logarithms(self) -> list[float]:
        """The logarithm of each value, a small one added to it; see `LEAST`."""
        return [
            math.log(max(getattr(self, f.name), 1e-6) + getattr(LEAST, f.name)) for f in fields(PoseSupport)
        ]


LEAST = PoseSupport(0.0, 0.005, 0.01, 0.0)
"""Added to each value before its logarithm is taken."""


@dataclass(frozen=True)
class ConfidenceModel:
    """Logistic model: the log-odds are linear in the logarithms of the support.

    Attributes:
        constant: log-odds where all logarithms are zero.
        weights: log-odds by the logarithm of each value of the support.
    """

    constant: float
    weights: PoseSupport

    def probability(self, support: PoseSupport) -> float:
        """Returns the probability that a pose is right where as many right as wrong ones are asked for."""
        weights = (getattr(self.weights, f.name) for f in fields(PoseSupport))
        log_odds = self.constant + sum(w * x for w, x in zip(weights, support.logarithms, strict=True))
        return 1 / (1 + math.exp(min(-log_odds, 700.0)))


MODELS = {
    "keypoints": ConfidenceModel(16.50, PoseSupport(2.293, 4.396, 2.886, -1.127)),
    "sift": ConfidenceModel(14.61, PoseSupport(1.233, 2.243, 2.581, -1.156)),
    "xfeat": ConfidenceModel(21.03, PoseSupport(2.333, 4.267, 2.045, 0.0)),
}
"""Models by the name of the matcher, as `benchmarks.confidence` fits them.

XFeat's poses of other places state as small standard deviations as right ones.
"""


GUIDED_MODELS = {"keypoints": ConfidenceModel(5.31, PoseSupport(8.475, 6.434, 2.008, -4.632))}
"""Models of poses whose matches were looked for near them, where more agree by chance."""


def model_of(matcher: Matcher) -> ConfidenceModel | None:
    """Returns the model of a matcher; None for one that no poses were collected of.

    A network that matches the same keypoints pair by pair finds other shares of right matches.
    """
    return None if isinstance(matcher, PairNetworkMatcher) else MODELS.get(matcher.name)


def guided_model_of(matcher: Matcher) -> ConfidenceModel | None:
    """Returns the model of a matcher for poses whose matches were looked for near them; None without one."""
    return None if isinstance(matcher, PairNetworkMatcher) else GUIDED_MODELS.get(matcher.name)
