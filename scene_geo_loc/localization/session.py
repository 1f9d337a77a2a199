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

"""A session localizes the images of one camera or rig one after the other, tracked or not.

For each image it takes a prior and the images before, localizes, and updates the tracker with odometry.
Offline that is one call:

    session = Session(Localizer(reference_map), Tracker())
    for frame in traversal.frames():
        answer = session.localize(frame.stamp_ns, frame, frame.T_odom_camera)
        print(answer.pose.status, answer.pose.T_map_base)

A node localizes in a worker thread while its other threads may reset the session (a jump back in time,
/initialpose, ~/relocalize), so it makes two calls.  `measure` is slow and changes nothing; `update` is fast,
and the node makes it, like `reset`, under its lock, after it has checked that the image is not out of date:

    measurement = session.measure(stamp_ns, [CameraImage(image, camera), *others], initial_pose, odometry)
    T_odom_camera = odometry()  # at stamp_ns, which has had time to arrive
    with lock:
        if not out_of_date:
            answer = session.update(measurement, T_odom_camera)

The base whose pose is estimated is then the first camera, as its `T_base_camera` is the identity.  `update`
with `Session(localizer)`, without a tracker, returns the image's own pose where geometry confirms it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.estimate import PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.pose_localizer import PoseLocalizer
from scene_geo_loc.localization.query import Query
from scene_geo_loc.localization.retrieval.image_sequence import ImageSequence
from scene_geo_loc.localization.tracking.tracker import TrackedPose, Tracker
from scene_geo_loc.localization.verification.focal_scale import LensEstimate, LensMonitor
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind


@dataclass(frozen=True)
class Measurement:
    """Pose estimate of an image, or of the images of one instant, before tracking.

    Attributes:
        stamp_ns: time of the image.
        estimate: result of the localizer.
        prior: restriction of the search, or None.
        region: restriction of the search by an independent sensor, or None; only where there is no prior.
    """

    stamp_ns: int
    estimate: PoseEstimate
    prior: PosePrior | None = None
    region: PosePrior | None = None


@dataclass(frozen=True)
class Answer:
    """Pose of an image, with the estimate that it is based on.

    Attributes:
        pose: the pose to use or to publish: of the tracker where there is one, else of the image.
        estimate: estimate of the image on its own, with its candidates and matches.
    """

    pose: TrackedPose
    estimate: PoseEstimate


class Session:
    """Localizes the images of one camera or rig in order of time.

    Args:
        localizer: estimates the pose of each image.
        tracker: fuses the estimates over time; None to solve the pose of each image on its own.
    """

    def __init__(self, localizer: PoseLocalizer, tracker: Tracker | None = None) -> None:
        self.localizer = localizer
        self.tracker = tracker
        settings = localizer.settings
        self._sequence = ImageSequence(settings.sequence_images, settings.sequence_spacing_m)
        self._lenses = LensMonitor()

    @property
    def is_tracking(self) -> bool:
        """True if poses are fused over time."""
        return self.tracker is not None

    @property
    def lens(self) -> LensEstimate | None:
        """Focal length of the camera whose images differ most from its intrinsics; None before a pose."""
        return self._lenses.worst

    def localize(
        self, stamp_ns: int, query: Query, T_odom_base: Pose | None = None, prior: PosePrior | None = None
    ) -> Answer:
        """Returns the pose of the next image; arguments as of `measure` and `update`.

        An image that the localizer refuses gets the status LOST, with the error's message as the reason.
        """
        try:
            measurement = self.measure(stamp_ns, query, prior, lambda: T_odom_base)
        except SceneGeoLocError as error:
            rejection = Rejection(RejectionKind.INVALID_IMAGE, detail=str(error))
            measurement = Measurement(stamp_ns, PoseEstimate(Status.LOST, rejection=rejection))
        return self.update(measurement, T_odom_base)

    def measure(
        self,
        stamp_ns: int,
        query: Query,
        prior: PosePrior | None = None,
        odometry: Callable[[], Pose | None] = lambda: None,
        region: PosePrior | None = None,
    ) -> Measurement:
        """Localizes an image and leaves the tracker and the sequence of images as they are.

        Args:
            stamp_ns: time of the image, later than that of the last update.
            query: the image, or one of each camera of a rig at one instant.
            prior: where to search, for example from /initialpose; None: the tracker's prior is used.
            odometry: returns the pose of the base by odometry at the stamp, or None where it is not known
                yet; called when the image is described, and not waited for.
            region: where an independent sensor, such as a satellite receiver, says that the camera is; used
                where there is no prior.  As it does not follow from earlier poses, the estimate counts as one
                in the whole map.

        Raises SceneGeoLocError where there is no image, or one of another size than its camera.
        """
        if prior is None and self.tracker is not None:
            prior = self.tracker.prior(stamp_ns)
        if prior is not None:
            region = None
        estimate = self.localizer.localize(
            query, prior or region, lambda: self._sequence.before(stamp_ns, odometry())
        )
        return Measurement(stamp_ns, estimate, prior, region)

    def update(self, measurement: Measurement, T_odom_base: Pose | None = None) -> Answer:
        """Updates the track and the sequence with a measurement, and returns the pose of its image.

        Poses are not accepted while the last images of one of its cameras look as if taken with another lens
        than its intrinsics say.

        Args:
            measurement: result of `measure` for the next image.
            T_odom_base: pose of the base by odometry at the image's stamp, in a frame that may drift but
                not jump; None where it is not known.

        Raises ValueError where a tracker has already taken an image of this stamp or a later one.
        """
        estimate = self._checked(measurement.estimate)
        # Where the search was restricted, an image votes only for what was expected.
        cameras = estimate.cameras if measurement.prior is None else []
        self._sequence.add(
            measurement.stamp_ns,
            T_odom_base,
            [(camera.T_base_camera, camera.votes) for camera in cameras if camera.votes is not None],
        )
        if self.tracker is None:
            return Answer(TrackedPose.of(estimate), estimate)
        pose = self.tracker.update(measurement.stamp_ns, estimate, T_odom_base, measurement.prior)
        return Answer(pose, estimate)

    def _checked(self, estimate: PoseEstimate) -> PoseEstimate:
        """Returns an estimate, without its pose where one of its cameras has another lens."""
        other = self._lenses.add([camera.lens for camera in estimate.cameras if camera.lens is not None])
        if other is None or estimate.status is not Status.LOCALIZED:
            return estimate
        rejection = Rejection(RejectionKind.OTHER_LENS, other.scale)
        return replace(estimate, status=Status.LOST, T_map_base=None, covariance=None, rejection=rejection)

    def exchange_localizer(self, localizer: PoseLocalizer) -> None:
        """Goes on with a localizer of another version of the map, in the same frame: the track stays."""
        self.localizer = localizer
        self._sequence.reset()  # the images before voted for keyframes by their numbers

    def reset(self) -> None:
        """Forgets the track and the images before, but not what is known of the lenses."""
        self._sequence.reset()
        if self.tracker is not None:
            self.tracker.reset()
