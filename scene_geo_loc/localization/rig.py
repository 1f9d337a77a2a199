"""Several calibrated cameras on one vehicle, localized together as one generalized camera.

Each image is described, retrieved and matched as the localizer does it on its own; the matches of all
cameras then agree on one pose of the vehicle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.localization.covariance import block_count
from scene_geo_loc.localization.estimate import Candidate, Matches, PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.pnp import FIT_WIDTH
from scene_geo_loc.localization.rig_pnp import CameraMatches, refine_rig, rig_covariance, solve_rig
from scene_geo_loc.localization.view import Stopwatch, View


@dataclass(frozen=True)
class RigImage:
    """What one camera of a rig took.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        camera: its intrinsics, at the size of the image.
        T_base_camera: pose of its optical frame in the vehicle's base, at the time that the base's pose is
            asked for: of a camera that is not triggered together with the others, moved by the odometry.
    """

    image: NDArray[np.uint8]
    camera: Camera
    T_base_camera: Pose


@dataclass(frozen=True)
class CameraShare:
    """What one camera gave to a rig's pose.

    Attributes:
        candidates: the keyframes retrieved for its image, those first that most speaks for.
        matches: of its image, in the images' own pixels.
        reason: one sentence why it took no part; empty where it did.
    """

    candidates: Sequence[Candidate]
    matches: Matches
    reason: str


@dataclass
class RigEstimate:
    """A rig's pose, and whatever a person needs to see why.

    Attributes:
        status: how much the estimate says.
        T_map_base: the pose, or None when lost.
        covariance: (6, 6) of the base's pose when localized, else None, as of `PoseEstimate`.
        inlier_ratio: share of inliers of the matches of the cameras that confirm the pose; of all cameras
            where none does.
        inliers: matches of these cameras that agree with the pose.
        reason: one sentence why the pose is not believed; empty when localized.
        cameras: what each gave, in the order of the images.
        timings_ms: milliseconds by step over all cameras, and their "total".
    """

    status: Status
    T_map_base: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    inlier_ratio: float = 0.0
    inliers: int = 0
    reason: str = ""
    cameras: list[CameraShare] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)

    def of_first_camera(self) -> PoseEstimate:
        """The same as an estimate of the first camera, of a rig whose base that camera is."""
        first = self.cameras[0]
        return PoseEstimate(
            self.status,
            self.T_map_base,
            self.covariance,
            self.inlier_ratio,
            self.inliers,
            self.reason,
            list(first.candidates),
            first.matches,
            self.timings_ms,
        )


class RigLocalizer:
    """Finds the pose of a rig of cameras in a reference map.

    Matches of all candidates of all cameras are pooled, whatever `refinement` says.
    """

    def __init__(self, localizer: Localizer) -> None:
        """Takes the map, network and settings of a localizer of single images."""
        self.localizer = localizer
        self.settings = localizer.settings

    def localize(self, images: Sequence[RigImage], prior: PosePrior | None = None) -> RigEstimate:
        """The pose of the base from images of one instant, one of each camera.

        A `prior`, of any of the cameras, restricts the search to keyframes around it.
        Raises SceneGeoLocError where there is no image, or one of another size than its camera.
        """
        if not images:
            raise SceneGeoLocError("A rig without images has no pose: give one image of each camera.")
        views = [self.localizer.look(one.image, one.camera, prior) for one in images]
        stopwatch = Stopwatch()
        with stopwatch.step("solve"):
            estimate, inliers = self._solve(images, views)
        for view, inlier, one in zip(views, inliers, images, strict=True):
            matches = self.localizer.at_full_size(replace(view.matches, inlier=inlier), one.camera)
            estimate.cameras.append(CameraShare(_counted(view, inlier), matches, view.reason))
        for times in (*(view.stopwatch.times_ms for view in views), stopwatch.times_ms):
            for step, ms in times.items():
                estimate.timings_ms[step] = estimate.timings_ms.get(step, 0.0) + ms
        return estimate

    def _solve(
        self, images: Sequence[RigImage], views: Sequence[View]
    ) -> tuple[RigEstimate, list[NDArray[np.bool_]]]:
        """The estimate, and of each view which matches agree with it."""
        nothing = [np.zeros(len(view.matches), bool) for view in views]
        if all(view.reason for view in views):
            return RigEstimate(Status.LOST, reason=views[0].reason), nothing
        similar = [
            (view.candidates[0], one)
            for view, one in zip(views, images, strict=True)
            if view.candidates and not view.reason
        ]
        best, seen_by = max(similar, key=lambda pair: pair[0].similarity)
        T_map_keyframe = self.localizer.map.T_map_camera[best.keyframe]
        estimate = RigEstimate(Status.RETRIEVED_ONLY, T_map_keyframe @ inverse(seen_by.T_base_camera))
        matches = [
            CameraMatches(
                one.T_base_camera,
                view.camera,
                view.pixels,
                view.matches.points_map,
                view.matches.points_sigma,
                view.matches.keyframe,
            )
            for view, one in zip(views, images, strict=True)
        ]
        pose = self._propose(views, matches)
        if pose is None:
            count = sum(len(one.pixels) for one in matches)
            estimate.reason = f"No pose agrees with the {count} matches that have a depth."
            return estimate, nothing
        limit = self.settings.max_reprojection_error_px
        inliers = [one.errors(pose) <= limit for one in matches]
        estimate.reason = self._doubt(views, matches, inliers)
        both = list(zip(matches, inliers, strict=True))
        confirming = [(one, inlier) for one, inlier in both if self._confirms(inlier)] or both
        estimate.inlier_ratio = float(np.concatenate([inlier for _, inlier in confirming]).mean())
        estimate.inliers = sum(int(inlier.sum()) for _, inlier in confirming)
        if estimate.reason:
            return estimate, inliers
        fitted = [one.where(one.errors(pose) <= FIT_WIDTH * limit) for one, _ in confirming]
        estimate.covariance = rig_covariance(pose, fitted)
        if estimate.covariance is None:
            estimate.reason = "The matches that agree with the pose lie so that they do not fix it."
            return estimate, inliers
        estimate.status, estimate.T_map_base = Status.LOCALIZED, pose
        return estimate, inliers

    def _propose(self, views: Sequence[View], matches: Sequence[CameraMatches]) -> Pose | None:
        """The pose that most matches of all cameras agree with.

        All cameras propose one together.  Where that one is in doubt, because too much of what was retrieved
        is wrong, each camera proposes its own, and then each of its candidates; all matches judge.
        """
        limit = self.settings.max_reprojection_error_px

        def inliers(pose: Pose) -> list[NDArray[np.bool_]]:
            return [one.errors(pose) <= limit for one in matches]

        def agreement(pose: Pose) -> int:
            return sum(int(inlier.sum()) for inlier in inliers(pose))

        best = solve_rig(matches, limit)
        for each_candidate in (False, True):
            if best is not None and not self._doubt(views, matches, inliers(best)):
                break
            proposals = [] if best is None else [best]
            for view, one in zip(views, matches, strict=True):
                groups = [np.ones(len(view.matches), bool)]
                if each_candidate:
                    groups = [view.matches.keyframe == candidate.keyframe for candidate in view.candidates]
                for group in groups:
                    alone = solve_rig([one.where(group)], limit)
                    if alone is not None:
                        proposals.append(alone)
            best = max(proposals, key=agreement, default=None)
        if best is None:
            return None
        if not self.settings.final_fit:
            return best
        found = inliers(best)
        confirming = [one for one, inlier in zip(matches, found, strict=True) if self._confirms(inlier)]
        return refine_rig(best, confirming or matches, limit)

    def _confirms(self, inlier: NDArray[np.bool_]) -> bool:
        """Whether enough matches of one camera agree with a pose.

        A camera in the dark, or one for which other places were retrieved, says nothing for a pose, and
        nothing against it: it is left out.
        """
        return len(inlier) > 0 and float(inlier.mean()) >= self.settings.min_inlier_ratio

    def _doubt(
        self,
        views: Sequence[View],
        matches: Sequence[CameraMatches],
        inliers: Sequence[NDArray[np.bool_]],
    ) -> str:
        """Why a pose cannot be believed, in a sentence; empty where it can.

        As for one image: of the matches of a camera enough must agree, and in all cameras of which that is
        so they must together cover as much as is asked of a single one.
        """
        confirming = [
            one.pixels[inlier] for one, inlier in zip(matches, inliers, strict=True) if self._confirms(inlier)
        ]
        if not confirming:
            best = max((float(inlier.mean()) for inlier in inliers if len(inlier)), default=0.0)
            return (
                f"In no camera more than {best:.1%} of the matches agree with the pose, "
                f"and {self.settings.min_inlier_ratio:.0%} are asked for."
            )
        covered = sum(block_count(pixels) for pixels in confirming)
        coverage = covered / max(view.blocks for view in views)
        if coverage < self.settings.min_coverage:
            return (
                f"The matches that agree with the pose cover {coverage:.0%} of an image in all cameras "
                f"together, and {self.settings.min_coverage:.0%} are asked for."
            )
        return ""


def _counted(view: View, inlier: NDArray[np.bool_]) -> list[Candidate]:
    """The candidates of a view with how many matches they have and how many agree."""
    own = [view.matches.keyframe == candidate.keyframe for candidate in view.candidates]
    return [
        replace(candidate, matches=int(of.sum()), inliers=int((of & inlier).sum()))
        for candidate, of in zip(view.candidates, own, strict=True)
    ]
