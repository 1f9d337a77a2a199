"""What the localizer is asked with and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.geometry.pose import Pose


class LocalizerSettings(BaseModel):
    """How poses are found and when they are believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retrieved: int = Field(
        default=10,
        ge=1,
        le=100,
        description="keyframes retrieved; where more than candidates, a quick geometric check orders them",
    )
    candidates: int = Field(
        default=5, ge=1, le=50, description="keyframes matched in full, the first of these"
    )
    refinement: Literal["pooled", "per_candidate"] = Field(
        default="pooled",
        description="solve over the matches of all candidates together, or of each alone as the paper does",
    )
    final_fit: bool = Field(
        default=True,
        description="fit a pooled pose once more to all matches that are near to it, the farther the less",
    )
    max_reprojection_error_px: float = Field(
        default=5.0, gt=0, description="largest error of an inlier, pixels of the network's input"
    )
    min_inlier_ratio: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the matches that must agree with a pose; 0: as the map's matcher needs",
    )
    min_coverage: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the image, where it has features, that those matches must lie in; "
        "0: as the map's matcher needs",
    )
    min_similarity: float = Field(
        default=0.1,
        ge=-1,
        le=1,
        description="cosine to the best keyframe below which the place is unknown",
    )


class Status(str, Enum):
    """How much an estimate says."""

    LOCALIZED = "localized"
    """The pose is verified by geometry."""
    RETRIEVED_ONLY = "retrieved_only"
    """The pose is that of the most similar keyframe; geometry does not confirm it."""
    LOST = "lost"
    """Nothing in the map looks like the image."""


@dataclass(frozen=True)
class PosePrior:
    """A guess at where the camera is: only keyframes within `radius_m` of it are candidates."""

    T_map_camera: Pose
    radius_m: float


@dataclass(frozen=True)
class Candidate:
    """A retrieved keyframe.

    Attributes:
        keyframe: its row in the map.
        similarity: cosine of the global descriptors.
        agreeing: of a few quick matches, those that agree on a pose: what candidates are ordered by.
        matches: matches with a known depth.
        inliers: those that agree with the estimated pose.
    """

    keyframe: int
    similarity: float
    agreeing: int = 0
    matches: int = 0
    inliers: int = 0

    @property
    def inlier_ratio(self) -> float:
        """Share of the matches that are inliers."""
        return self.inliers / self.matches if self.matches else 0.0


@dataclass(frozen=True)
class Matches:
    """Pixels of the query and points of the map that look alike.

    Attributes:
        query_pixels: (M, 2) in the query image.
        keyframe: (M,) the keyframe each was matched with.
        keyframe_pixels: (M, 2) in that keyframe's image.
        points_map: (M, 3) metres, the keyframe's pixel lifted by its depth.
        points_sigma: (M, 3) metres, how far that point moves by a standard deviation of its depth: along the
            keyframe's ray.  Zero where the map does not tell.
        inlier: (M,) bool, whether it agrees with the estimated pose.
    """

    query_pixels: NDArray[np.float64]
    keyframe: NDArray[np.int64]
    keyframe_pixels: NDArray[np.float64]
    points_map: NDArray[np.float64]
    points_sigma: NDArray[np.float64]
    inlier: NDArray[np.bool_]

    @classmethod
    def none(cls) -> Matches:
        """No matches at all."""
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
        """The matches of all parts, one after the other."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def __len__(self) -> int:
        return len(self.keyframe)


@dataclass
class PoseEstimate:
    """A query's pose, and whatever a person needs to see why.

    Attributes:
        status: how much the estimate says.
        T_map_camera: the pose, or None when lost.
        covariance: (6, 6) of the pose when localized, else None: x, y, z, rotation about x, y, z; metres
            and radians along the map's axes, as in geometry_msgs/PoseWithCovariance.
        inlier_ratio: share of inliers of the matches that the pose was solved from: of all candidates
            when pooled, else of the best one.
        inliers: matches that agree with the pose.
        reason: one sentence why the pose is not believed; empty when localized.
        candidates: the retrieved keyframes, those first that most speaks for; see `LocalizerSettings`.
        matches: all matches, of all candidates that were matched in full.
        timings_ms: milliseconds by step, and their "total".
    """

    status: Status
    T_map_camera: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    inlier_ratio: float = 0.0
    inliers: int = 0
    reason: str = ""
    candidates: list[Candidate] = field(default_factory=list)
    matches: Matches = field(default_factory=Matches.none)
    timings_ms: dict[str, float] = field(default_factory=dict)
