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


"""Calibration of scene coordinates: on images left out of the training, and on their mirror images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.scene_coordinates.calibration import CoordinateCalibration
from scene_geo_loc.localization.scene_coordinates.poses import SupportedPose
from scene_geo_loc.localization.scene_coordinates.systems import CoordinateSystem
from scene_geo_loc.localization.verification.rejection import Rejection
from scene_geo_loc.packs.posed_images import PosedImages
from scene_geo_loc.training.pose_regression.calibration import RIGHT_SHARE, fit_scale_and_floor

LEAST_ACCEPTED = 5
"""A limit that fewer images of the validation are above of is not used."""
NOT_FOUND = 1e6
"""Error of an image without a pose, metres and degrees."""
MIRRORED_MARGIN = 1.25
"""Least limit of the inlier ratio, as a multiple of the largest one of a mirrored image."""
ACCEPTED_SHARE, LEAST_M, MOST_M = 0.02, 0.1, 1.0
"""Accepted error of a position: a share of the extent of the positions, between two bounds in metres."""
FARTHEST_SHARE, FARTHEST_LEAST_M = 0.1, 2.0
"""Largest distance of an accepted position from the training: a share of the extent, and at least this."""


def camera_of(images: PosedImages, i: int) -> Camera:
    """Returns the camera of an image of a pack."""
    height, width = images.images.shape[1:3]
    fx, fy, cx, cy = map(float, images.K[i])
    return Camera(width, height, fx, fy, cx, cy)


def cameras_of(images: PosedImages) -> list[Camera]:
    """Returns the different cameras of a pack."""
    height, width = images.images.shape[1:3]
    return [Camera(width, height, *K) for K in np.unique(images.K, axis=0).tolist()]


def image_of(images: PosedImages, i: int) -> CameraImage:
    """Returns an image of a pack as a query, with its depth."""
    depth = np.asarray(images.depth[i], np.float32)
    return CameraImage(np.array(images.images[i]), camera_of(images, i), depth=depth)


def mirrored(image: CameraImage) -> CameraImage:
    """Returns the mirror image: of a place that does not exist, but looks as plausible."""
    camera = image.camera
    flipped = Camera(
        camera.width, camera.height, camera.fx, camera.fy, camera.width - 1 - camera.cx, camera.cy
    )
    depth = None if image.depth is None else np.ascontiguousarray(image.depth[:, ::-1])
    return CameraImage(np.ascontiguousarray(image.image[:, ::-1]), flipped, depth=depth)


def find(system: CoordinateSystem, image: CameraImage) -> SupportedPose | None:
    """Returns the pose of an image by a system, not judged; None where there is none."""
    reading = system.read(image)
    return None if isinstance(reading, Rejection) else system.solve([reading])


def calibrate_coordinates(
    system: CoordinateSystem,
    images: PosedImages,
    validation: NDArray[np.intp],
    extent_m: float,
    accepted_error_m: float | None,
) -> CoordinateCalibration:
    """Returns the calibration of a system by its poses of images that it was not trained on.

    Args:
        system: what gives the poses.
        images: of the place.
        validation: numbers of the images that it was not trained on.
        extent_m: of the positions.
        accepted_error_m: error of a position that is still right; None: by the extent.
    """
    accepted_m = accepted_error_m or float(np.clip(ACCEPTED_SHARE * extent_m, LEAST_M, MOST_M))
    ratios, errors, covariances, of_mirrored = [], [], [], [0.0]
    is_right, lengths = [], []
    for i in validation:
        image = image_of(images, int(i))
        found, other = find(system, image), find(system, mirrored(image))
        if other is not None:
            of_mirrored.append(other.inlier_ratio)
        if found is None:
            lengths.append((NOT_FOUND, NOT_FOUND))
            continue
        error = difference(found.T_map_base, images.T_map_camera[i])
        ratios.append(found.inlier_ratio)
        lengths.append((float(np.linalg.norm(error[:3])), float(np.degrees(np.linalg.norm(error[3:])))))
        is_right.append(bool(np.linalg.norm(error[:3]) <= accepted_m))
        if found.covariance is not None:
            errors.append(error)
            covariances.append(found.covariance)
    if errors:
        stacked, by_residuals = np.stack(errors), np.stack(covariances)
        position = fit_scale_and_floor(stacked[:, :3], by_residuals[:, :3, :3])
        rotation = fit_scale_and_floor(stacked[:, 3:], by_residuals[:, 3:, 3:])
    else:
        position, rotation = (1.0, accepted_m), (1.0, 0.1)
    medians = np.median(lengths, axis=0)
    return CoordinateCalibration(
        images=len(validation),
        position_scale=position[0],
        position_floor_m=position[1],
        rotation_scale=rotation[0],
        rotation_floor_deg=float(np.degrees(rotation[1])),
        median_error_m=float(medians[0]),
        median_error_deg=float(medians[1]),
        accepted_error_m=accepted_m,
        min_inlier_ratio=least_ratio(ratios, is_right, max(of_mirrored)),
        mirrored_inlier_ratio=max(of_mirrored),
        max_distance_m=max(FARTHEST_LEAST_M, FARTHEST_SHARE * extent_m),
    )


def least_ratio(ratios: Sequence[float], is_right: Sequence[bool], of_mirrored: float) -> float | None:
    """Returns the least inlier ratio that is accepted; None where there is none.

    Of the images above it at least `RIGHT_SHARE` are right, and it is above that of every mirrored image by
    `MIRRORED_MARGIN`.  Where right images are well apart from all others, it lies between them, at their
    geometric mean.

    Args:
        ratios: (N,) of images of the validation.
        is_right: (N,) whether their poses are right.
        of_mirrored: the largest one of mirrored images.
    """
    order = np.argsort(ratios)[::-1]
    sorted_ratios = np.asarray(ratios, float)[order]
    right = np.asarray(is_right, bool)[order]
    counts = np.arange(1, len(right) + 1)
    lowest = MIRRORED_MARGIN * of_mirrored
    enough = np.flatnonzero(
        (np.cumsum(right) / counts >= RIGHT_SHARE) & (counts >= LEAST_ACCEPTED) & (sorted_ratios > lowest)
    )
    if not len(enough):
        return None
    last = enough[-1]
    below = sorted_ratios[last + 1] if last + 1 < len(right) else 0.0
    return float(max(lowest, np.sqrt(sorted_ratios[last] * max(below, of_mirrored))))


def calibration_text(calibration: CoordinateCalibration) -> str:
    """Returns a sentence on the limit of a calibration."""
    mirrored = f"{100 * calibration.mirrored_inlier_ratio:.1f} %"
    if calibration.min_inlier_ratio is None:
        return (
            f"No inlier ratio above the {mirrored} of mirrored images makes 95 % of the poses right within "
            f"{calibration.accepted_error_m:.2g} m, so no image is localized: the scene is larger than the "
            "head can hold, or has too few images. Train with more images, more landmarks or units, or make "
            "several maps of its parts."
        )
    return (
        f"Poses are accepted from an inlier ratio of {100 * calibration.min_inlier_ratio:.1f} % on (right "
        f"within {calibration.accepted_error_m:.2g} m; mirrored images reach {mirrored})."
    )
