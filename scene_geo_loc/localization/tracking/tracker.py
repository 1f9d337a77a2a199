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

"""Fuses pose estimates and odometry over time: rejects wrong estimates and bridges gaps.

A track is a hypothesis of the pose, predicted from image to image by odometry.  Each estimate updates one
track, the nearest whose gate it lies in, and lowers the scores of all others; an estimate in no gate starts a
new track.  A track is confirmed once its last estimates agree.  While lost, and after a kidnapping, there are
several tracks and none is confirmed: then there is no pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.geometry.pose import Pose, inverse, position_error_m, rotation_angle_deg
from scene_geo_loc.localization.estimate import PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.tracking.track_state import TrackState
from scene_geo_loc.localization.verification.rejection import Rejectable, Rejection, RejectionKind

TURN_ACCELERATION = 0.5
"""Standard deviation of the change of angular velocity in one second, rad/s, without odometry."""

TENTATIVE_STD_M = 20.0
"""An unconfirmed track is dropped once dead reckoning has added this to its standard deviation."""

PRIOR_RADIUS_M, PRIOR_SPEED_M_S = 5.0, 20.0
"""Radius of the search around a confirmed track, and its growth for each second since."""

ELSEWHERE_M = 15.0
"""An image whose most similar keyframe is farther than this from a track counts against it."""


class TrackerSettings(BaseModel):
    """Settings of the tracker: confirmation of pose estimates over time, and limits of dead reckoning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: float = Field(
        default=5.0,
        gt=0,
        description="standard deviations that a pose estimate may lie from the predicted pose",
    )
    agreeing_images: int = Field(
        default=3,
        ge=1,
        le=100,
        description="pose estimates that must agree to confirm a track, and images that must look like other "
        "places to end it",
    )
    max_dead_reckoned_std_m: float = Field(
        default=1.0,
        gt=0,
        description="standard deviation of the position that dead reckoning may add before it ends, m",
    )
    odometry_std_m: float = Field(
        default=0.05, gt=0, description="error of odometry in position after one metre, m"
    )
    odometry_std_deg: float = Field(
        default=0.1, gt=0, description="error of odometry in rotation after one metre, degrees"
    )
    acceleration: float = Field(
        default=2.0, gt=0, description="change of speed in one second without odometry, m/s"
    )


def odometry_noise(motion: Pose, settings: TrackerSettings) -> NDArray[np.float64]:
    """Returns the standard deviations (6,) of a motion by odometry, metres and radians."""
    # A rotation counts as the motion of a point one metre away.
    distance_m = np.linalg.norm(motion[:3, 3]) + np.radians(rotation_angle_deg(motion))
    stds = (settings.odometry_std_m, np.radians(settings.odometry_std_deg))
    return np.asarray(np.repeat(stds, 3) * np.sqrt(distance_m))


@dataclass(frozen=True)
class TrackedPose(Rejectable):
    """Pose of one image after tracking.

    Attributes:
        status: LOCALIZED where the image's own estimate updates a confirmed track, DEAD_RECKONED where it
            only predicts the pose; else the status of that estimate, or LOST where it is not trusted.
        T_map_base: the pose, or None where no track is confirmed.
        covariance: (6, 6) of it, order and axes as in PoseEstimate.
        rejection: reason why there is no pose, or only a dead-reckoned one; None where it was measured.
    """

    status: Status
    T_map_base: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    rejection: Rejection | None = None

    @classmethod
    def of(cls, estimate: PoseEstimate) -> TrackedPose:
        """Returns the answer for an image on its own: a pose only where it is verified."""
        if estimate.status is not Status.LOCALIZED:
            return cls(estimate.status, rejection=estimate.rejection)
        return cls(estimate.status, estimate.T_map_base, estimate.covariance)


@dataclass
class _Track:
    """A hypothesis of the pose and its evidence.

    Attributes:
        state: the estimated pose and twist.
        score: incremented, up to `agreeing_images`, by an estimate in its gate, decremented by any other.
        fixed_ns: stamp of the last estimate that updated it.
        fixed_std_m: standard deviation of its position then.
        elsewhere: images since then that look like other places, minus those that do not.
    """

    state: TrackState
    score: int
    fixed_ns: int
    fixed_std_m: float
    elsewhere: int = 0


class Tracker:
    """Tracks one camera or rig through a map; deterministic.

    With odometry, gaps are bridged until its error has grown to `max_dead_reckoned_std_m`: with the default
    settings some tens of metres.  Without odometry the model is constant velocity, which also gates estimates
    and bridges about a second.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.reset()

    def reset(self) -> None:
        """Forgets all tracks."""
        self._tracks: list[_Track] = []
        self._stamp_ns: int | None = None
        self._T_odom_base: Pose | None = None
        self._unconfirmed = 0

    def prior(self, stamp_ns: int) -> PosePrior | None:
        """Returns where to search for the image of a stamp, or None for the whole map.

        While images confirm the track, the whole map is searched, so that a kidnapping is noticed at once.
        After an image that did not confirm it, the search for every other image is restricted to the
        surroundings of the track, which excludes similar places elsewhere.  It is never restricted for all
        images, so that a wrong track cannot confirm itself, and not after an image that looked like another
        place.
        """
        confirmed = self._confirmed_track()
        if confirmed is None or self._stamp_ns is None or confirmed.elsewhere or self._unconfirmed % 2 == 0:
            return None
        since_s = max(stamp_ns - self._stamp_ns, 0) / 1e9
        radius_m = PRIOR_RADIUS_M + 3.0 * confirmed.state.position_std_m + PRIOR_SPEED_M_S * since_s
        return PosePrior(confirmed.state.T_map_base, radius_m)

    def update(
        self,
        stamp_ns: int,
        estimate: PoseEstimate,
        T_odom_base: Pose | None = None,
        prior: PosePrior | None = None,
    ) -> TrackedPose:
        """Updates the tracks with the estimate of the next image, and returns the pose.

        Args:
            stamp_ns: stamp of the image, later than the last one's.
            estimate: of the image on its own.
            T_odom_base: pose of the base by odometry, in a frame that may drift but not jump; None
                where it is not known.
            prior: restriction of the search for the image.

        Raises ValueError where the stamp is not later.
        """
        if self._stamp_ns is not None:
            if stamp_ns <= self._stamp_ns:
                raise ValueError("images must be in order of time; reset the tracker to start over")
            self._predict((stamp_ns - self._stamp_ns) / 1e9, T_odom_base)
        predicted_by = RejectionKind.VELOCITY_ONLY if T_odom_base is None else RejectionKind.ODOMETRY_ONLY
        self._stamp_ns, self._T_odom_base = stamp_ns, T_odom_base
        was_confirmed = self._confirmed_track()
        self._tracks = [track for track in self._tracks if self._is_known(track)]
        off_m = None
        if estimate.status is Status.LOCALIZED:
            off_m = self._take(estimate, stamp_ns)
        elif estimate.T_map_base is not None and prior is None:
            self._compare(estimate.T_map_base)
        confirmed = self._confirmed_track()
        self._unconfirmed = 0 if confirmed and confirmed.fixed_ns == stamp_ns else self._unconfirmed + 1
        if confirmed is not None:
            return self._pose_of(confirmed, predicted_by)
        return self._doubt(estimate, was_confirmed, off_m)

    def _predict(self, seconds: float, T_odom_base: Pose | None) -> None:
        """Predicts all tracks to the next image."""
        settings = self.settings
        if T_odom_base is None or self._T_odom_base is None:
            for track in self._tracks:
                track.state = track.state.predict(seconds, settings.acceleration, TURN_ACCELERATION)
            return
        motion = inverse(self._T_odom_base) @ T_odom_base
        noise = odometry_noise(motion, settings)
        for track in self._tracks:
            track.state = track.state.predict_odometry(motion, noise, seconds)

    def _is_known(self, track: _Track) -> bool:
        is_confirmed = track.score >= self.settings.agreeing_images
        limit_m = self.settings.max_dead_reckoned_std_m if is_confirmed else TENTATIVE_STD_M
        return track.state.position_std_m <= float(np.hypot(limit_m, track.fixed_std_m))

    def _take(self, estimate: PoseEstimate, stamp_ns: int) -> float | None:
        """Updates the nearest track whose gate holds the estimate, or starts a new one.

        Returns the distance of a new track from the nearest other, metres, or None where there is none.
        """
        assert estimate.T_map_base is not None
        assert estimate.covariance is not None
        distances = [track.state.distance(estimate.T_map_base, estimate.covariance) for track in self._tracks]
        explains = [distance <= self.settings.gate for distance in distances]
        others = [track for track, does in zip(self._tracks, explains, strict=True) if not does]
        nearest = self._tracks[int(np.argmin(distances))] if any(explains) else None
        for track in others:
            track.score -= 1
        # Several tracks with the estimate in their gates describe the same place: only the nearest is kept.
        self._tracks = [track for track in others if track.score >= 0]
        if nearest is not None:
            nearest.state = nearest.state.update(estimate.T_map_base, estimate.covariance)
            nearest.score = min(nearest.score + 1, self.settings.agreeing_images)
            nearest.fixed_ns, nearest.fixed_std_m = stamp_ns, nearest.state.position_std_m
            nearest.elsewhere = 0
            self._tracks.append(nearest)
            return None
        off_m = min(
            (position_error_m(track.state.T_map_base, estimate.T_map_base) for track in others), default=None
        )
        state = TrackState.from_estimate(estimate.T_map_base, estimate.covariance)
        self._tracks.append(_Track(state, 1, stamp_ns, state.position_std_m))
        return None if off_m is None else float(off_m)

    def _compare(self, T_map_keyframe: Pose) -> None:
        """Counts the image against each track that is far from the most similar keyframe, else for it."""
        for track in self._tracks:
            is_far = position_error_m(track.state.T_map_base, T_map_keyframe) > ELSEWHERE_M
            step = 1 if is_far else -1
            track.elsewhere = min(max(track.elsewhere + step, 0), 2 * self.settings.agreeing_images)

    def _confirmed_track(self) -> _Track | None:
        """Returns the confirmed track; there is one at most, as an estimate counts against all others."""
        asked = self.settings.agreeing_images
        return next((t for t in self._tracks if t.score >= asked and t.elsewhere < asked), None)

    def _pose_of(self, track: _Track, predicted_by: RejectionKind) -> TrackedPose:
        state, since_s = track.state, ((self._stamp_ns or 0) - track.fixed_ns) / 1e9
        if since_s == 0:
            return TrackedPose(Status.LOCALIZED, state.T_map_base, state.covariance)
        rejection = Rejection(predicted_by, since_s)
        return TrackedPose(Status.DEAD_RECKONED, state.T_map_base, state.covariance, rejection)

    def _doubt(
        self, estimate: PoseEstimate, was_confirmed: _Track | None, off_m: float | None
    ) -> TrackedPose:
        """Returns the answer without a pose, with the reason."""

        def lost(rejection: Rejection) -> TrackedPose:
            return TrackedPose(Status.LOST, rejection=rejection)

        asked = self.settings.agreeing_images
        if estimate.status is not Status.LOCALIZED:
            if was_confirmed is not None and was_confirmed in self._tracks:
                return lost(Rejection(RejectionKind.OTHER_PLACE, asked))
            if was_confirmed is not None:
                return lost(Rejection(RejectionKind.UNCERTAIN, limit=self.settings.max_dead_reckoned_std_m))
            return TrackedPose.of(estimate)
        if off_m is not None:
            return lost(Rejection(RejectionKind.OFF_TRACK, off_m))
        agreeing = max(track.score for track in self._tracks if track.fixed_ns == self._stamp_ns)
        return lost(Rejection(RejectionKind.UNCONFIRMED, agreeing, asked))
