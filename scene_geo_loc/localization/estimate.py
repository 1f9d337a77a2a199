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

"""Settings of the localizer, the prior it takes, and its answer."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.retrieval.image_sequence import KeyframeVotes
from scene_geo_loc.localization.verification.focal_scale import LensEstimate
from scene_geo_loc.localization.verification.rejection import Rejectable, Rejection

SECOND_LOOK = "second_look"
"""Name of the step in the timings of an estimate that was in doubt."""


class LocalizerSettings(BaseModel):
    """Settings of the localizer: the search for a pose, and the conditions for accepting it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    compared: int = Field(
        default=50,
        ge=0,
        le=1000,
        description="keyframes found by descriptor, of which the best remain after a comparison of where "
        "their best keypoints are in the image; 0: not compared",
    )
    co_similarity: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="weight of a retrieved keyframe's support by others around it that look like it and like "
        "the image, which come in where they were not retrieved; 0: none; unset: 1 in maps of panoramas, "
        "0 in others",
    )
    sequence_images: int = Field(
        default=5,
        ge=1,
        le=20,
        description="images of the last metres that keyframes are retrieved by together, where there is "
        "odometry; 1: each image alone",
    )
    sequence_spacing_m: float = Field(
        default=2.0, gt=0, le=100, description="distance driven between two images of a sequence, m"
    )
    retrieved: int = Field(
        default=10,
        ge=1,
        le=100,
        description="keyframes retrieved; where more than candidates, a short geometric check re-ranks them",
    )
    other_drives: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="least share of the retrieved keyframes that are of other drives of the map than the one "
        "that most are of, as a place may be there in other light only; 0: the best of all",
    )
    candidates: int = Field(
        default=5, ge=1, le=50, description="retrieved keyframes that are matched in full, best first"
    )
    refinement: Literal["pooled", "per_candidate"] = Field(
        default="pooled",
        description="pooled: solve over the matches of all candidates together; per_candidate: of each alone "
        "and take the best inlier ratio, as the paper does",
    )
    final_fit: bool = Field(
        default=True,
        description="refine a pooled pose by a robust fit to all matches near it",
    )
    max_reprojection_error_px: float = Field(
        default=5.0,
        gt=0,
        description="largest error of an inlier, pixels of an image of 320 x 240; more in a larger input of "
        "the network, in proportion to its sides",
    )
    min_inliers: int | None = Field(
        default=None,
        ge=0,
        description="number of matches that must agree with a pose; unset: as the map's matcher needs",
    )
    min_inlier_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of the matches that must agree with a pose; unset: as the map's matcher needs",
    )
    min_precise_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of the matches that must agree with a pose within a third of an inlier's largest "
        "error; unset: as the map's matcher needs",
    )
    min_coverage: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of the image, where it has features, that the inliers must cover; "
        "unset: as the map's matcher needs",
    )
    min_confidence: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="probability that a pose is right, below which it is not accepted; of matchers that "
        "state one",
    )
    min_similarity: float = Field(
        default=0.1,
        ge=-1,
        le=1,
        description="cosine similarity of the best keyframe below which the place is unknown",
    )
    second_look_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="largest share of the images that are looked at a second time, longer, where their "
        "pose is in doubt; 0: none",
    )


class Status(str, Enum):
    """Status of the pose of an image: confirmed, dead-reckoned, only retrieved, or unknown."""

    LOCALIZED = "localized"
    """Geometry confirms the pose."""
    DEAD_RECKONED = "dead_reckoned"
    """A tracker predicted the pose from earlier ones; this image did not confirm it."""
    RETRIEVED_ONLY = "retrieved_only"
    """The pose is that of the most similar keyframe; geometry does not confirm it."""
    LOST = "lost"
    """There is no pose: no keyframe is similar, the image is invalid, or the tracker rejects the estimate."""
    UNANSWERED = "unanswered"
    """A live node gave no answer for the image."""

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        return cls.DEAD_RECKONED if value == "carried" else None  # its name in older files

    @property
    def has_pose(self) -> bool:
        """True if the pose is measured, or predicted from measured ones."""
        return self in (Status.LOCALIZED, Status.DEAD_RECKONED)

    def __str__(self) -> str:
        return self.value.replace("_", " ")


@dataclass(frozen=True)
class PosePrior:
    """A guess of the pose: only keyframes within `radius_m` of it are candidates.

    Attributes:
        T_map_camera: the guess.
        radius_m: largest distance of a candidate from it.
        is_height_known: whether the guess includes the height; if not, as of a pose clicked in a plan of the
            map, the distance is the horizontal one.
    """

    T_map_camera: Pose
    radius_m: float
    is_height_known: bool = True

    @property
    def point(self) -> NDArray[np.float64]:
        """Position of the guess, (3,), or (2,) where the height is not known."""
        return np.asarray(self.T_map_camera[: 3 if self.is_height_known else 2, 3])

    def distances(self, T_map_cameras: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the distances (K,) of cameras (K, 4, 4) from the guess, metres."""
        point = self.point
        distances: NDArray[np.float64] = np.linalg.norm(T_map_cameras[:, : len(point), 3] - point, axis=1)
        return distances


@dataclass(frozen=True)
class Candidate:
    """A retrieved keyframe.

    Attributes:
        keyframe: its row in the map.
        similarity: cosine of the global descriptors.
        agreement: share of the query's best keypoints that match this keyframe's and lie alike, see
            `place_check.agreement`; 0 where it was not compared.
        votes: sum of the votes of the images before, see `sequence_votes`; 0 where there are none.
        support: weighted votes for the keyframes co-similar to it, see `CoSimilarity.support`.
        rerank_inliers: inliers of a pose found from a subset of the features, which candidates are
            re-ranked by.
        matches: number of matches that a pose can be solved from.
        inliers: number of those that agree with the estimated pose.
    """

    keyframe: int
    similarity: float
    agreement: float = 0.0
    votes: float = 0.0
    support: float = 0.0
    rerank_inliers: int = 0
    matches: int = 0
    inliers: int = 0

    @property
    def score(self) -> float:
        """Similarity, agreement, votes and support, by which retrieval orders the keyframes."""
        return self.similarity + self.agreement + self.votes + self.support

    @property
    def inlier_ratio(self) -> float:
        """Share of the matches that are inliers."""
        return self.inliers / self.matches if self.matches else 0.0


@dataclass(frozen=True)
class Matches:
    """Matches of pixels of a query image with points of the map.

    Attributes:
        query_pixels: (M, 2) in the query image.
        keyframe: (M,) keyframe of each match.
        keyframe_pixels: (M, 2) in that keyframe's image.
        points_map: (M, 3) metres, the keyframe's pixel lifted by its depth, or to 1 m where that is unknown.
        points_sigma: (M, 3) metres, shift of that point by one standard deviation of its depth, along the
            keyframe's ray.  Zero where the map has no uncertainty, see `pnp.UNKNOWN_DEPTH_M` where the depth
            is unknown.
        inlier: (M,) bool, whether the match agrees with the estimated pose.
    """

    query_pixels: NDArray[np.float64]
    keyframe: NDArray[np.int64]
    keyframe_pixels: NDArray[np.float64]
    points_map: NDArray[np.float64]
    points_sigma: NDArray[np.float64]
    inlier: NDArray[np.bool_]

    @classmethod
    def none(cls) -> Matches:
        """Returns no matches."""
        return cls(
            np.zeros((0, 2)),
            np.zeros(0, np.int64),
            np.zeros((0, 2)),
            np.zeros((0, 3)),
            np.zeros((0, 3)),
            np.zeros(0, bool),
        )

    @classmethod
    def concatenate(cls, parts: list[Matches]) -> Matches:
        """Returns the matches of all parts, one after the other."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def __len__(self) -> int:
        return len(self.keyframe)


@dataclass(frozen=True)
class CameraEstimate:
    """Contribution of one camera's image to a pose estimate.

    Attributes:
        T_base_camera: pose of the camera in the base.
        candidates: retrieved keyframes, best first.
        matches: matches with the candidates that were matched in full, in pixels of the original images.
        rejection: reason why the image has no matches, or None.
        votes: votes of the image alone for keyframes, or None where it was not retrieved.
        lens: focal length that the matches ask for; None where they confirm no pose, or do not tell.
    """

    T_base_camera: Pose = field(default_factory=lambda: np.eye(4))
    candidates: list[Candidate] = field(default_factory=list)
    matches: Matches = field(default_factory=Matches.none)
    rejection: Rejection | None = None
    votes: KeyframeVotes | None = None
    lens: LensEstimate | None = None


@dataclass(frozen=True)
class UnverifiedPose:
    """Pose that a learned localizer found, before it was judged.

    Attributes:
        T_map_base: pose of the base.
        covariance: (6, 6) as of `PoseEstimate`.
    """

    T_map_base: Pose
    covariance: NDArray[np.float64]


@dataclass
class PoseEstimate(Rejectable):
    """Pose of a query and its evidence.

    Attributes:
        status: LOCALIZED, RETRIEVED_ONLY or LOST.
        T_map_base: pose of the base, the frame that `CameraImage.T_base_camera` is given in: of the camera
            itself where a single image is localized.  None when lost.
        covariance: (6, 6) of the pose when localized, else None: x, y, z, rotation about x, y, z; metres
            and radians along the map's axes, as in geometry_msgs/PoseWithCovariance.
        inlier_ratio: share of inliers among the matches that the pose was solved from: those of all
            candidates when pooled, else of the best one; for a rig, of the cameras that confirm the pose.
        inliers: number of inliers of those cameras.
        confidence: probability that the pose is right, see `ConfidenceModel`; None where it was rejected
            before, and for matchers without a model.
        alternatives: the two poses (4, 4) of an image that is ambiguous, the one with more inliers first.
        rejection: reason why the pose is not accepted; None when localized.
        unverified: pose of a learned localizer, accepted or not, to measure it by and never to act on; None
            where it found none, and of maps of keyframes.
        cameras: contribution of each image, in the order of the images.
        timings_ms: milliseconds by step, over all cameras, and their "total".
    """

    status: Status
    T_map_base: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    inlier_ratio: float = 0.0
    inliers: int = 0
    confidence: float | None = None
    alternatives: list[Pose] = field(default_factory=list)
    rejection: Rejection | None = None
    unverified: UnverifiedPose | None = None
    cameras: list[CameraEstimate] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def took_second_look(self) -> bool:
        """True if the image was in doubt and was looked at a second time."""
        return SECOND_LOOK in self.timings_ms

    @property
    def T_map_camera(self) -> Pose | None:
        """Pose of the first camera; None when lost."""
        if self.T_map_base is None or not self.cameras:
            return self.T_map_base
        return np.asarray(self.T_map_base @ self.cameras[0].T_base_camera)

    @property
    def candidates(self) -> list[Candidate]:
        """Retrieved keyframes of the first camera, best first."""
        return self.cameras[0].candidates if self.cameras else []

    @property
    def matches(self) -> Matches:
        """Matches of the first camera."""
        return self.cameras[0].matches if self.cameras else Matches.none()

    def __str__(self) -> str:
        if self.status is not Status.LOCALIZED or self.T_map_base is None or self.covariance is None:
            return f"{self.status}: {self.reason}".removesuffix(": ")
        x, y, z = self.T_map_base[:3, 3]
        # The direction that the first camera looks in, about the map's z axis.
        view = self.T_map_base[:3, :3] @ (self.cameras[0].T_base_camera if self.cameras else np.eye(4))[:3, 2]
        yaw_deg = np.degrees(np.arctan2(view[1], view[0]))
        position_m, rotation = (
            np.sqrt(np.linalg.eigvalsh(self.covariance[part, part])[-1]) for part in (slice(3), slice(3, 6))
        )
        count = sum(len(camera.matches) for camera in self.cameras)
        agreeing = f", {self.inliers} of {count} matches agree" if count else ""
        return (
            f"{self.status} at x {x:.2f} y {y:.2f} z {z:.2f} m, yaw {yaw_deg:.1f}°, "
            f"±{100 * position_m:.1f} cm ±{np.degrees(rotation):.1f}°{agreeing}"
        )
