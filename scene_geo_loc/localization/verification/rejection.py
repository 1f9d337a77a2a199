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

"""Reasons why an image's pose is not accepted: a kind, the number found, and its limit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class RejectionKind(str, Enum):
    """Kind of a rejection; each kind has one sentence."""

    INVALID_IMAGE = "invalid_image"
    NO_CONTRAST = "no_contrast"
    INFERENCE = "inference"
    SEARCH = "search"
    NO_KEYFRAME_NEAR_PRIOR = "no_keyframe_near_prior"
    UNKNOWN_PLACE = "unknown_place"
    NO_FEATURES = "no_features"
    NO_DEPTH = "no_depth"
    NO_POSE = "no_pose"
    INLIERS = "inliers"
    INLIER_RATIO = "inlier_ratio"
    PRECISE_RATIO = "precise_ratio"
    INLIER_SPREAD = "inlier_spread"
    COVERAGE = "coverage"
    UNDETERMINED = "undetermined"
    NO_SCALE = "no_scale"
    NO_DISTANCE = "no_distance"
    OTHER_LENS = "other_lens"
    CONFIDENCE = "confidence"
    AMBIGUOUS = "ambiguous"
    NOT_CALIBRATED = "not_calibrated"
    NO_INLIER_LIMIT = "no_inlier_limit"
    FIELD_OF_VIEW = "field_of_view"
    NO_DEPTH_IMAGE = "no_depth_image"
    UNLIKE_TRAINING = "unlike_training"
    UNCERTAIN_POSITION = "uncertain_position"
    OFF_TRAINING = "off_training"
    OFF_PRIOR = "off_prior"
    OFF_TRACK = "off_track"
    UNCONFIRMED = "unconfirmed"
    OTHER_PLACE = "other_place"
    UNCERTAIN = "uncertain"
    ODOMETRY_ONLY = "odometry_only"
    VELOCITY_ONLY = "velocity_only"


_SENTENCES = {
    RejectionKind.INVALID_IMAGE: "{detail}",
    RejectionKind.NO_CONTRAST: "The image is black, saturated or of one colour.",
    RejectionKind.INFERENCE: "{detail}",
    RejectionKind.SEARCH: "{detail}",
    RejectionKind.NO_KEYFRAME_NEAR_PRIOR: "Nearest keyframe {value:.1f} m > {limit:.1f} m from the prior.",
    RejectionKind.UNKNOWN_PLACE: "Similarity of the best keyframe {value:.2f} < {limit:.2f}.",
    RejectionKind.NO_FEATURES: "The image has no local features.",
    RejectionKind.NO_DEPTH: "No match has a depth: the keyframes have none where they match.",
    RejectionKind.NO_POSE: "No pose agrees with the {value:.0f} matches.",
    RejectionKind.INLIERS: "Inliers {value:.0f} < {limit:.0f}: so few can agree by chance.",
    RejectionKind.INLIER_RATIO: "Inlier ratio {percent} < {limit_percent}.",
    RejectionKind.PRECISE_RATIO: "Only {percent} < {limit_percent} of the matches agree precisely: "
    "the place may be another that looks alike.",
    RejectionKind.INLIER_SPREAD: "Inliers lie on one line or in one spot of the image: "
    "spread {value:.1f} px < {limit:.1f} px.",
    RejectionKind.COVERAGE: "Inliers cover {percent} < {limit_percent} of the image.",
    RejectionKind.UNDETERMINED: "The inliers do not determine all six degrees of freedom of the pose.",
    RejectionKind.NO_SCALE: "The direction from one place is known and the distance is not: {value:.0f} < "
    "{limit:.0f} inliers have a depth or belong to keyframes at another place.",
    RejectionKind.NO_DISTANCE: "The position along the line through the keyframes is uncertain: standard "
    "deviation {value:.1f} m > {limit:.1f} m.",
    RejectionKind.CONFIDENCE: "Probability that the pose is right {value:.3f} < {limit:.3f}.",
    RejectionKind.AMBIGUOUS: "Two places look like the image, at {detail}: {value:.0f} matches of a keyframe "
    "agree with the one pose, and {limit:.0f} with the other.",
    RejectionKind.NOT_CALIBRATED: "No standard deviation tells right poses of the regressor from wrong ones: "
    "train it with more images.",
    RejectionKind.NO_INLIER_LIMIT: "No inlier ratio tells right poses by scene coordinates from wrong ones: "
    "train with more images, with a larger head, or several maps of parts of the place.",
    RejectionKind.FIELD_OF_VIEW: "The camera sees {percent} < {limit_percent} of what the cameras of the "
    "training saw.",
    RejectionKind.NO_DEPTH_IMAGE: "The image has no depth, and this map was trained with depth: "
    "give that of the camera, or train a map without it.",
    RejectionKind.UNLIKE_TRAINING: "Novelty of the image {value:.2f} > {limit:.2f}: its place or its light "
    "was not in the training.",
    RejectionKind.UNCERTAIN_POSITION: "Standard deviation of the position {value:.2f} m > {limit:.2f} m.",
    RejectionKind.OFF_TRAINING: "Position {value:.1f} m > {limit:.1f} m from the nearest image of the "
    "training.",
    RejectionKind.OFF_PRIOR: "Position {value:.1f} m > {limit:.1f} m from the prior.",
    RejectionKind.OTHER_LENS: "The image looks as if taken with {value:.2f} times the focal length of its "
    "intrinsics: give those of the lens, and of the image as it is cropped and resized.",
    RejectionKind.OFF_TRACK: "Pose estimate {value:.1f} m from the predicted pose: one of the two is wrong.",
    RejectionKind.UNCONFIRMED: "Only {value:.0f} of {limit:.0f} consecutive pose estimates agree so far.",
    RejectionKind.OTHER_PLACE: "The last {value:.0f} images look like other places.",
    RejectionKind.UNCERTAIN: "Dead reckoning has added more than {limit:g} m to the position's "
    "standard deviation.",
    RejectionKind.ODOMETRY_ONLY: "Dead-reckoned by odometry for {value:.1f} s since the last pose estimate.",
    RejectionKind.VELOCITY_ONLY: "Dead-reckoned at constant velocity for {value:.1f} s since the last "
    "pose estimate.",
}


@dataclass(frozen=True)
class Rejection:
    """Why the pose of an image is not accepted, or not measured by the image itself.

    `str()` of it is one sentence, made here and nowhere else.

    Attributes:
        kind: kind of the reason, to count and group by.
        value: the number found, in the unit of its sentence; None where the kind has none.
        limit: limit that the value is compared with; None where the kind has none.
        detail: the message of an `INVALID_IMAGE`, `INFERENCE` or `SEARCH`; the positions of an `AMBIGUOUS`
            image.
    """

    kind: RejectionKind
    value: float | None = None
    limit: float | None = None
    detail: str = ""

    def __str__(self) -> str:
        return _SENTENCES[self.kind].format(
            value=self.value,
            limit=self.limit,
            percent=_percent(self.value),
            limit_percent=_percent(self.limit),
            detail=self.detail,
        )


class Rejectable:
    """Base of what has a pose, or the reason why it has none or only a dead-reckoned one.

    Attributes:
        rejection: the reason; None where the pose is measured, or where the reason is unknown.
    """

    rejection: Rejection | None

    @property
    def kind(self) -> RejectionKind | None:
        """Kind of the rejection; None where there is none."""
        return self.rejection.kind if self.rejection else None

    @property
    def reason(self) -> str:
        """The rejection as one sentence; empty where there is none."""
        return str(self.rejection) if self.rejection else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.3g} %"
