"""Fixes and odometry fused over time: wrong fixes die, gaps are bridged, and doubt is told.

A track is a belief of where the camera is, moved on by odometry from image to image.  Each fix bears one
track out, the nearest within its gate, and speaks against all others; a fix that none explains begins a track
of its own.  A track whose last fixes agree is sure.  While lost, and after the camera was carried away, there
are several, and none is: then no pose is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.geometry.pose import Pose, inverse, position_error_m, rotation_angle_deg
from scene_geo_loc.localization.estimate import PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.rejection import Rejection, RejectionKind
from scene_geo_loc.localization.track_state import Belief

TURN_ACCELERATION = 0.5
"""Standard deviation of the change of a turn rate in one second, rad/s, where there is no odometry."""

TENTATIVE_STD_M = 20.0
"""A track that is not sure yet is dropped once carrying it on has added this to its standard deviation."""

PRIOR_RADIUS_M, PRIOR_SPEED_M_S = 5.0, 20.0
"""How far keyframes around a sure track are searched, and how much farther for each second since."""

ELSEWHERE_M = 15.0
"""An image whose most similar keyframe of all is farther than this from a track speaks against it."""


class TrackerSettings(BaseModel):
    """When fixes are believed over time, and how far poses are carried without them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: float = Field(
        default=5.0, gt=0, description="standard deviations that a fix may lie from where a track expects it"
    )
    agreeing_images: int = Field(
        default=3,
        ge=1,
        le=100,
        description="fixes that must agree before a pose is given, and images without a fix that must look "
        "like other places before none is",
    )
    max_dead_reckoned_std_m: float = Field(
        default=1.0,
        gt=0,
        description="standard deviation of the position that dead reckoning may add before it ends, m",
    )
    odometry_std_m: float = Field(
        default=0.05, gt=0, description="odometry's error in position after one metre of way, m"
    )
    odometry_std_deg: float = Field(
        default=0.1, gt=0, description="odometry's error in rotation after one metre of way, degrees"
    )
    acceleration: float = Field(
        default=2.0, gt=0, description="change of speed in one second where there is no odometry, m/s"
    )


@dataclass(frozen=True)
class TrackedPose:
    """The answer for one image.

    Attributes:
        status: LOCALIZED where a confirmed track takes in the image's own estimate, DEAD_RECKONED where it
            only predicts the pose; else the status of that estimate, or LOST where it is not trusted.
        T_map_base: the pose, or None where no track is confirmed.
        covariance: (6, 6) of it, order and axes as in PoseEstimate.
        rejection: why there is no pose, or only a dead-reckoned one; None where it was measured.
    """

    status: Status
    T_map_base: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    rejection: Rejection | None = None

    @property
    def kind(self) -> RejectionKind | None:
        """Kind of the rejection; None where the pose was measured."""
        return self.rejection.kind if self.rejection else None

    @property
    def reason(self) -> str:
        """One sentence why there is no pose, or only a dead-reckoned one; else empty."""
        return str(self.rejection) if self.rejection else ""

    @classmethod
    def of(cls, estimate: PoseEstimate) -> TrackedPose:
        """Returns the answer for an image on its own: a pose only where it is verified."""
        if estimate.status is not Status.LOCALIZED:
            return cls(estimate.status, rejection=estimate.rejection)
        return cls(estimate.status, estimate.T_map_base, estimate.covariance)


@dataclass
class _Track:
    """A belief and its evidence.

    Attributes:
        score: one up, to `agreeing_images`, for a fix that bears it out, one down for one that does not.
        fixed_ns: stamp of the last fix that bore it out.
        fixed_std_m: standard deviation of its position then.
        elsewhere: images since then that look like other places, less those that do not.
    """

    belief: Belief
    score: int
    fixed_ns: int
    fixed_std_m: float
    elsewhere: int = 0


class Tracker:
    """Follows one camera through a map; deterministic.

    With odometry, gaps are bridged until its error has grown to `max_dead_reckoned_std_m`: with the default
    settings some tens of metres.  Without, the camera is taken to keep its velocity and turn rate: that
    gates fixes as well, and bridges about a second.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self._tracks: list[_Track] = []
        self._stamp_ns: int | None = None
        self._T_odom_camera: Pose | None = None
        self._unconfirmed = 0

    def prior(self, stamp_ns: int) -> PosePrior | None:
        """Where to search for the image of a stamp, or None for everywhere.

        While images confirm the track they are searched for everywhere, so that a camera that was carried
        away is noticed at once.  Of those that follow an image that did not, every other one is searched for
        around the track, where places that look alike cannot mislead: never all, so that a wrong track cannot
        keep itself alive, and none once an image looked like another place.
        """
        sure = self._sure()
        if sure is None or self._stamp_ns is None or sure.elsewhere or self._unconfirmed % 2 == 0:
            return None
        since_s = max(stamp_ns - self._stamp_ns, 0) / 1e9
        radius_m = PRIOR_RADIUS_M + 3.0 * sure.belief.position_std_m + PRIOR_SPEED_M_S * since_s
        return PosePrior(sure.belief.T_map_camera, radius_m)

    def update(
        self,
        stamp_ns: int,
        estimate: PoseEstimate,
        T_odom_camera: Pose | None = None,
        prior: PosePrior | None = None,
    ) -> TrackedPose:
        """Takes in what was found for the next image, and says where the camera is.

        Args:
            stamp_ns: the image's stamp, later than the last one's.
            estimate: the localizer's answer for it.
            T_odom_camera: the camera's pose by odometry, in a frame that may drift but not jump; None
                where it is not known.
            prior: what the search for the image was restricted to.

        Raises ValueError where the stamp is not later.
        """
        if self._stamp_ns is not None:
            if stamp_ns <= self._stamp_ns:
                raise ValueError("a tracker takes images in order of time; reset it to start over")
            self._predict((stamp_ns - self._stamp_ns) / 1e9, T_odom_camera)
        predicted_by = RejectionKind.VELOCITY_ONLY if T_odom_camera is None else RejectionKind.ODOMETRY_ONLY
        self._stamp_ns, self._T_odom_camera = stamp_ns, T_odom_camera
        was_sure = self._sure()
        self._tracks = [track for track in self._tracks if self._is_known(track)]
        off_m = None
        if estimate.status is Status.LOCALIZED:
            off_m = self._take(estimate, stamp_ns)
        elif estimate.T_map_base is not None and prior is None:
            self._compare(estimate.T_map_base)
        sure = self._sure()
        self._unconfirmed = 0 if sure and sure.fixed_ns == stamp_ns else self._unconfirmed + 1
        if sure is not None:
            return self._pose_of(sure, predicted_by)
        return self._doubt(estimate, was_sure, off_m)

    def _predict(self, seconds: float, T_odom_camera: Pose | None) -> None:
        """Moves all tracks on to the next image."""
        settings = self.settings
        if T_odom_camera is None or self._T_odom_camera is None:
            for track in self._tracks:
                track.belief = track.belief.coasted(seconds, settings.acceleration, TURN_ACCELERATION)
            return
        motion = inverse(self._T_odom_camera) @ T_odom_camera
        # The way of a turn is that of a point a metre away.
        way_m = np.linalg.norm(motion[:3, 3]) + np.radians(rotation_angle_deg(motion))
        stds = (settings.odometry_std_m, np.radians(settings.odometry_std_deg))
        noise = np.repeat(stds, 3) * np.sqrt(way_m)
        for track in self._tracks:
            track.belief = track.belief.moved(motion, noise, seconds)

    def _is_known(self, track: _Track) -> bool:
        is_sure = track.score >= self.settings.agreeing_images
        limit_m = self.settings.max_dead_reckoned_std_m if is_sure else TENTATIVE_STD_M
        return track.belief.position_std_m <= float(np.hypot(limit_m, track.fixed_std_m))

    def _take(self, fix: PoseEstimate, stamp_ns: int) -> float | None:
        """Gives a fix to the track that it bears out, or to a new one.

        Returns how many metres from the best track a new one begins, or None where there is none.
        """
        assert fix.T_map_base is not None
        assert fix.covariance is not None
        distances = [track.belief.distance(fix.T_map_base, fix.covariance) for track in self._tracks]
        explains = [distance <= self.settings.gate for distance in distances]
        others = [track for track, does in zip(self._tracks, explains, strict=True) if not does]
        nearest = self._tracks[int(np.argmin(distances))] if any(explains) else None
        for track in others:
            track.score -= 1
        # Of several that explain the fix the nearest stays: they mean the same place.
        self._tracks = [track for track in others if track.score >= 0]
        if nearest is not None:
            nearest.belief = nearest.belief.fused(fix.T_map_base, fix.covariance)
            nearest.score = min(nearest.score + 1, self.settings.agreeing_images)
            nearest.fixed_ns, nearest.fixed_std_m = stamp_ns, nearest.belief.position_std_m
            nearest.elsewhere = 0
            self._tracks.append(nearest)
            return None
        off_m = min(
            (position_error_m(track.belief.T_map_camera, fix.T_map_base) for track in others), default=None
        )
        belief = Belief.of_fix(fix.T_map_base, fix.covariance)
        self._tracks.append(_Track(belief, 1, stamp_ns, belief.position_std_m))
        return None if off_m is None else float(off_m)

    def _compare(self, T_map_keyframe: Pose) -> None:
        """Counts against the tracks that an image looks most like a keyframe elsewhere."""
        for track in self._tracks:
            is_far = position_error_m(track.belief.T_map_camera, T_map_keyframe) > ELSEWHERE_M
            step = 1 if is_far else -1
            track.elsewhere = min(max(track.elsewhere + step, 0), 2 * self.settings.agreeing_images)

    def _sure(self) -> _Track | None:
        """The track that the last images agree with: one at most, as a fix counts against all others."""
        asked = self.settings.agreeing_images
        return next((t for t in self._tracks if t.score >= asked and t.elsewhere < asked), None)

    def _pose_of(self, track: _Track, predicted_by: RejectionKind) -> TrackedPose:
        belief, since_s = track.belief, ((self._stamp_ns or 0) - track.fixed_ns) / 1e9
        if since_s == 0:
            return TrackedPose(Status.LOCALIZED, belief.T_map_camera, belief.covariance)
        rejection = Rejection(predicted_by, since_s)
        return TrackedPose(Status.DEAD_RECKONED, belief.T_map_camera, belief.covariance, rejection)

    def _doubt(self, estimate: PoseEstimate, was_sure: _Track | None, off_m: float | None) -> TrackedPose:
        """Returns the answer without a pose, with the reason."""

        def lost(rejection: Rejection) -> TrackedPose:
            return TrackedPose(Status.LOST, rejection=rejection)

        asked = self.settings.agreeing_images
        if estimate.status is not Status.LOCALIZED:
            if was_sure is not None and was_sure in self._tracks:
                return lost(Rejection(RejectionKind.OTHER_PLACE, asked))
            if was_sure is not None:
                return lost(Rejection(RejectionKind.UNCERTAIN, limit=self.settings.max_dead_reckoned_std_m))
            return TrackedPose.of(estimate)
        if off_m is not None:
            return lost(Rejection(RejectionKind.OFF_TRACK, off_m))
        agreeing = max(track.score for track in self._tracks if track.fixed_ns == self._stamp_ns)
        return lost(Rejection(RejectionKind.UNCONFIRMED, agreeing, asked))
