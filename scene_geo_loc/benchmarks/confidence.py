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

"""Fits the model of a pose's confidence, and tests it on places that it was not fitted on.

Protocol: every source is localized in every map, image by image.  A pose is right if the source is of the
map's place and the pose is at most `RIGHT_M` off, and wrong if it is more than `WRONG_M` off or of another
place; poses in between are left out, as the truth is seldom better.  Poses with little support, which no
model would accept, are left out too.  Poses whose matches were looked for near them have a model of their
own, as more of these agree by chance.  Each probability is by a model that was fitted without the maps of the
place that it is tested in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import Pose, position_error_m
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.solution import Solution
from scene_geo_loc.localization.uncertainty.covariance import MapErrors
from scene_geo_loc.localization.verification.confidence import ConfidenceModel, PoseSupport
from scene_geo_loc.localization.verification.verifier import Verifier
from scene_geo_loc.metrics.confidence_calibration import ConfidenceBin, confidence_bins
from scene_geo_loc.traversals.frame import Frame

RIGHT_M, WRONG_M = 0.5, 2.0
"""Largest position error of a right pose, and smallest one of a wrong pose in a map of the same place."""

LEAST_SHARES = 0.5, 0.6
"""Least inliers and inlier ratio of a pose that takes part, as multiples of those that the matcher needs."""

MIN_INLIERS = 6
"""Least inliers of a pose that takes part, whatever the matcher needs."""

RIDGE, STEPS = 1.0, 40
"""Weight of the ridge penalty on the standardised weights, and number of Newton steps of the fit."""


@dataclass(frozen=True)
class ScoredPose:
    """A pose whose truth is known.

    Attributes:
        place: name of the place of the map that it was found in.
        support: its support by the matches.
        is_right: whether it is the pose of the image.
        is_accepted: whether it was accepted.
        is_guided: whether its matches were looked for near it, see `Surroundings`; a model of its own states
            the probability of such poses.
    """

    place: str
    support: PoseSupport
    is_right: bool
    is_accepted: bool
    is_guided: bool = False


class RecordingVerifier(Verifier):
    """A verifier that keeps the last pose that it decided on, its support, and whether it accepted it.

    Attributes:
        last: these three; None where there is no pose, or only one with little support.
    """

    def __init__(self, verifier: Verifier) -> None:
        vars(self).update(vars(verifier))
        self.last: tuple[Pose, PoseSupport, bool] | None = None

    def verify(
        self, solution: Solution | None, queries: Sequence[QueryMatches], map_errors: MapErrors | None = None
    ) -> PoseEstimate:
        """See `Verifier.verify`."""
        estimate, self.last = super().verify(solution, queries, map_errors), None
        if solution is not None and self._takes_part(solution.count, estimate.inlier_ratio):
            support = self.support(solution, queries)
            if support is not None:
                self.last = solution.T_map_base, support, estimate.status is Status.LOCALIZED
        return estimate

    def _takes_part(self, inliers: int, inlier_ratio: float) -> bool:
        least = max(MIN_INLIERS, LEAST_SHARES[0] * self.limits.inliers)
        return inliers >= least and inlier_ratio >= LEAST_SHARES[1] * self.limits.inlier_ratio


def scored_poses(
    localizer: Localizer, place: str, frames: Iterable[Frame], is_same_place: bool
) -> list[ScoredPose]:
    """Localizes frames one by one; returns the poses whose truth is known.

    Args:
        localizer: in a map of the place, with the verifier's own limits.
        place: name of the place.
        frames: images; their poses count where they are of the same place.
        is_same_place: whether the frames are of the map's place, with poses in the map's frame.
    """
    localizer.verifier = RecordingVerifier(localizer.verifier)
    recorders = [localizer.verifier]
    if (surroundings := localizer.surroundings) is not None and surroundings.guided_verifier is not None:
        surroundings.guided_verifier = RecordingVerifier(surroundings.guided_verifier)
        recorders.append(surroundings.guided_verifier)
    found: list[ScoredPose] = []
    for frame in frames:
        for recorder in recorders:
            recorder.last = None
        localizer.localize(frame)
        true = frame.T_map_camera if is_same_place else None
        if is_same_place and true is None:
            continue
        for recorder in recorders:
            if recorder.last is None:
                continue
            T_map_camera, support, is_accepted = recorder.last
            off_m = np.inf if true is None else float(position_error_m(T_map_camera, true))
            if off_m <= RIGHT_M or off_m > WRONG_M:
                is_guided = recorder is not recorders[0]
                found.append(ScoredPose(place, support, off_m <= RIGHT_M, is_accepted, is_guided))
    return found


def fit_confidence(poses: Sequence[ScoredPose]) -> ConfidenceModel:
    """Returns the logistic model of poses, by Newton steps on the likelihood with a ridge penalty.

    A value of the support whose weight would have the wrong sign tells nothing: it is left out.

    Raises SceneGeoLocError where there are no right, or no wrong poses.
    """
    is_right = np.array([pose.is_right for pose in poses], bool)
    if is_right.all() or not is_right.any():
        raise SceneGeoLocError(
            f"Of {len(poses)} poses {is_right.sum()} are right: a model needs right and wrong poses, of "
            "sources of the map's place and of others."
        )
    logarithms = np.array([pose.support.logarithms for pose in poses])
    used = np.ones(logarithms.shape[1], bool)
    while True:
        constant, weights = _fit(logarithms[:, used], is_right)
        is_wrong_sign = weights * SIGNS[used] < 0
        if not is_wrong_sign.any():
            break
        used[np.flatnonzero(used)[is_wrong_sign]] = False
    every = np.zeros(len(used))
    every[used] = weights
    return ConfidenceModel(constant, PoseSupport(*(float(weight) for weight in every)))


SIGNS = np.array([-1.0 if field.name == "rotation_std" else 1.0 for field in fields(PoseSupport)])
"""Signs of the weights: a pose with a larger standard deviation is less probably right."""


def _fit(X: NDArray[np.float64], is_right: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    """Returns the constant and the weights (K,) of a logistic regression on X (N, K)."""
    mean, std = X.mean(axis=0), X.std(axis=0) + 1e-9
    Z = np.column_stack([np.ones(len(X)), (X - mean) / std])
    penalty = RIDGE * np.eye(Z.shape[1])
    penalty[0, 0] = 0.0
    w = np.zeros(Z.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(Z @ w, -40, 40)))
        information = (Z.T * (p * (1 - p))) @ Z + penalty
        w += np.linalg.solve(information, Z.T @ (is_right - p) - penalty @ w)
    weights = w[1:] / std
    return float(w[0] - weights @ mean), weights


@dataclass(frozen=True)
class ConfidenceBenchmark:
    """A model of the confidence of one matcher, and how well such models are calibrated in unseen places.

    Attributes:
        model: fitted to all poses.
        poses: the poses.
        confidences: (N,) probability of each by a model fitted without its place.
    """

    model: ConfidenceModel
    poses: Sequence[ScoredPose]
    confidences: NDArray[np.float64]

    @property
    def bins(self) -> list[ConfidenceBin]:
        """Calibration of the probabilities."""
        return confidence_bins(self.confidences, [pose.is_right for pose in self.poses])

    def accepted(self, is_right: bool, least: float = 0.0) -> int:
        """Returns the number of accepted poses, right or wrong, of at least a confidence."""
        return sum(
            pose.is_accepted and pose.is_right is is_right and confidence >= least
            for pose, confidence in zip(self.poses, self.confidences, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        weights = {field.name: getattr(self.model.weights, field.name) for field in fields(PoseSupport)}
        return {
            "model": {"constant": self.model.constant, "weights": weights},
            "poses": len(self.poses),
            "right": sum(pose.is_right for pose in self.poses),
            "bins": [part.to_dict() for part in self.bins],
        }


def benchmark_confidence(poses: Sequence[ScoredPose]) -> ConfidenceBenchmark:
    """Returns the model of the poses of one matcher, and its calibration place by place.

    Raises SceneGeoLocError where there are not right and wrong poses left without each place.
    """
    confidences = np.zeros(len(poses))
    for place in dict.fromkeys(pose.place for pose in poses):
        without = fit_confidence([pose for pose in poses if pose.place != place])
        for i, pose in enumerate(poses):
            if pose.place == place:
                confidences[i] = without.probability(pose.support)
    return ConfidenceBenchmark(fit_confidence(poses), poses, confidences)
