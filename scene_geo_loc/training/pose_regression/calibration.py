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

"""Calibration of a pose regressor: from its errors on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.localization.pose_regression.regressor import Regression, RegressorCalibration

RIGHT_SHARE = 0.95
"""Share of the accepted images whose position must be right."""
RADIUS_95 = 2.7955
"""Standard deviations from the centre to the surface of the ellipsoid for 95 %, in three dimensions."""
LEAST_ACCEPTED = 10
"""An uncertainty limit that fewer images of the validation are below of is not used."""
NOVELTY_QUANTILE, NOVELTY_MARGIN = 0.99, 0.25
"""The largest accepted novelty is this quantile of the validation's, and this share of what is left to 1."""
OTHER_LINE_M, OTHER_LINE_SHARE = 0.3, 0.1
"""Standard deviation of the positions across the line that was driven, and the largest share of the extent
of the training that it is: images of the same drive are on that line, other drives are not, and a regressor
that saw one line cannot tell."""
_SCALES = np.geomspace(0.1, 30.0, 40)
_FLOORS = np.geomspace(0.02, 3.0, 40)
"""Scales, and floors as multiples of the median error, that are tried."""
_LARGEST_DISTANCE = 1.5
"""Accepted errors that a position may be away from the nearest image of the training."""


def calibrate(
    regressions: Sequence[Regression],
    changed: Sequence[Regression],
    T_map_camera: NDArray[np.float64],
    accepted_error_m: float,
    extent_m: float,
) -> RegressorCalibration:
    """Returns the calibration of a regressor by its results for images of known poses.

    Scale and floor of the standard deviations are those of the largest likelihood of the errors under a
    Student's t distribution of 4 degrees of freedom, which single gross errors do not dominate; those in
    other light count as well.  What is accepted is decided by the images as they are, whose errors are
    smaller, so that it is stricter.

    Args:
        regressions: results (N) for the images as they are.
        changed: results (L * N) for copies of them in other light, all images of a light one after the other.
        T_map_camera: (N, 4, 4) true poses.
        accepted_error_m: error of a position that is still right.
        extent_m: diagonal of the box around the positions of the training.
    """
    count, results = len(regressions), [*regressions, *changed]
    T_true = np.tile(T_map_camera, (len(results) // count, 1, 1))
    errors = np.stack([difference(r.T_map_camera, T) for r, T in zip(results, T_true, strict=True)])
    covariances = np.stack([regression.covariance for regression in results])
    scale, fitted_floor_m = fit_scale_and_floor(errors[:, :3], covariances[:, :3, :3])
    floor_m = float(np.hypot(fitted_floor_m, min(OTHER_LINE_M, OTHER_LINE_SHARE * extent_m)))
    rotation = fit_scale_and_floor(errors[:, 3:], covariances[:, 3:, 3:])
    variances = np.linalg.eigvalsh(covariances[:count, :3, :3])[:, -1]
    stds = np.sqrt(variances * scale**2 + floor_m**2)
    novelty = np.array([regression.novelty for regression in regressions])
    largest = float(np.quantile(novelty, NOVELTY_QUANTILE))
    return RegressorCalibration(
        images=count,
        position_scale=scale,
        position_floor_m=floor_m,
        rotation_scale=rotation[0],
        rotation_floor_deg=float(np.degrees(rotation[1])),
        accepted_error_m=accepted_error_m,
        max_std_m=largest_std(stds, np.linalg.norm(errors[:count, :3], axis=1), accepted_error_m),
        max_novelty=largest + NOVELTY_MARGIN * (1.0 - largest),
        max_distance_m=_LARGEST_DISTANCE * accepted_error_m,
    )


def largest_std(
    stds: NDArray[np.float64], errors: NDArray[np.float64], accepted_error_m: float
) -> float | None:
    """Returns the largest standard deviation below which at least `RIGHT_SHARE` of the positions are right.

    Where all are right this says little of larger deviations, so the ellipsoid for 95 % is within the
    accepted error as well.

    Args:
        stds: (N,) of the positions.
        errors: (N,) of the positions, metres.
        accepted_error_m: error of a position that is still right.

    Returns:
        The limit; None where there is none with `LEAST_ACCEPTED` images below it.
    """
    order = np.argsort(stds, kind="stable")
    right = np.cumsum(errors[order] <= accepted_error_m) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((right >= RIGHT_SHARE) & (np.arange(1, len(order) + 1) >= LEAST_ACCEPTED))
    if not len(enough):
        return None
    return min(float(stds[order][enough[-1]]), accepted_error_m / RADIUS_95)


def calibration_text(calibration: Mapping[str, Any]) -> str:
    """Returns one sentence on the limit of a calibration (a `RegressorCalibration` as a mapping)."""
    accepted_m = calibration["accepted_error_m"]
    if calibration["max_std_m"] is None:
        return (
            f"No limit of the standard deviation makes 95 % of the poses right within {accepted_m:.2g} m: no "
            "image will be localized. Train with more images, or accept a larger error."
        )
    return (
        f"Poses are accepted up to a standard deviation of {calibration['max_std_m']:.2f} m (right within "
        f"{accepted_m:.2g} m)."
    )


def fit_scale_and_floor(errors: NDArray[np.float64], covariances: NDArray[np.float64]) -> tuple[float, float]:
    """Returns scale and floor of the standard deviations of errors (N, 3) with covariances (N, 3, 3).

    They are those of the largest likelihood of the errors under a Student's t distribution of 4 degrees of
    freedom.
    """
    typical = max(float(np.median(np.linalg.norm(errors, axis=1))), 1e-6)
    best, found = -np.inf, (1.0, typical)
    values, vectors = np.linalg.eigh(covariances)
    along = np.einsum("nji,nj->ni", vectors, errors) ** 2
    degrees = 4.0
    for scale in _SCALES:
        for floor in typical * _FLOORS:
            variances = scale**2 * np.maximum(values, 0) + floor**2
            squared = (along / variances).sum(axis=1)
            likelihood = -0.5 * np.log(variances).sum(axis=1)
            likelihood -= 0.5 * (degrees + 3) * np.log1p(squared / degrees)
            if likelihood.sum() > best:
                best, found = float(likelihood.sum()), (float(scale), float(floor))
    return found
