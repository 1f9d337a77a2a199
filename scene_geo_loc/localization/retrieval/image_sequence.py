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

"""A sequence of images as one query: those of the last metres, placed relative to each other by odometry.

Where places look alike, or the light has changed, a sequence tells them apart that a single image does not:
SeqSLAM (Milford and Wyeth, ICRA 2012).  As in SMART (Pepperell et al., ICRA 2014), odometry spaces the images
by the distance driven.  Each image votes for the keyframes that it looks like; a candidate of the present
image gets the votes of the earlier ones for the places where they must have been taken, if the candidate is
right.  That changes the order of the candidates only: a pose is accepted by geometry as without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse

NEAR_M, NEAR_DEG = 3.0, 45.0
"""A vote counts for keyframes nearer than this: linearly less with the distance, and in that direction."""
_LEAST_COSINE = float(np.cos(np.radians(NEAR_DEG)))

LONGEST_GAP_S = 10.0
"""Without an image for this long, the sequence starts over."""

FASTEST_M_S, FASTEST_DEG_S = 50.0, 180.0
"""Faster than this, plus `SLACK_M` and `SLACK_DEG`, odometry has jumped and the sequence starts over."""
SLACK_M, SLACK_DEG = 1.0, 10.0


@dataclass(frozen=True)
class KeyframeVotes:
    """Votes of an image alone for the keyframes that it looks like.

    Attributes:
        keyframes: (V,) their rows in the map.
        votes: (V,) how much more they look like the image than others do.
        features: (F,) of the image, of a localizer that reads clips of images and has no keyframes to vote
            for; None of others.
    """

    keyframes: NDArray[np.int64]
    votes: NDArray[np.float64]
    features: NDArray[np.float32] | None = None

    @classmethod
    def of_features(cls, features: NDArray[np.float32]) -> KeyframeVotes:
        """Returns the features of an image without votes."""
        return cls(np.zeros(0, np.int64), np.zeros(0), features)

    @classmethod
    def of(cls, keyframes: NDArray[np.int64], scores: NDArray[np.float64]) -> KeyframeVotes:
        """Returns the votes of an image that was compared with keyframes (K,), with these scores (K,).

        A vote is the score above the median.  That stands for all places that the image does not look like,
        and for those where the map has no keyframe: neither loses anything.
        """
        votes = scores - np.median(scores)
        return cls(keyframes[votes > 0], votes[votes > 0])


@dataclass(frozen=True)
class EarlierImage:
    """An image of a sequence before the present one.

    Attributes:
        T_base_camera: pose of its camera at its time in the present base.
        votes: of the image alone.
    """

    T_base_camera: Pose
    votes: KeyframeVotes


EarlierImages = Callable[[], Sequence[EarlierImage]]
"""Returns the earlier images; called late, when the present one is described, as odometry may come late."""


def no_images() -> Sequence[EarlierImage]:
    """`EarlierImages` of an image alone."""
    return ()


def sequence_votes(
    candidates: NDArray[np.int64],
    T_base_camera: Pose,
    earlier: Sequence[EarlierImage],
    T_map_keyframe: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns the sum (K,) of the earlier images' votes for each candidate.

    Of an earlier image the one vote counts that is the largest near where the image must have been taken.

    Args:
        candidates: (K,) keyframes that the present image may show.
        T_base_camera: pose of the present image's camera in the base.
        T_map_keyframe: (N, 4, 4) poses of all keyframes.
    """
    total = np.zeros(len(candidates))
    T_map_base = T_map_keyframe[candidates, :3] @ inverse(T_base_camera)
    origin = T_map_base[0, :, 3]  # positions in a map may be large numbers, whose squares are not exact
    for image in earlier:
        voted = T_map_keyframe[image.votes.keyframes, :3]
        expected = T_map_base @ image.T_base_camera
        there, here = expected[:, :, 3] - origin, voted[:, :, 3] - origin
        squares = (there**2).sum(axis=1)[:, None] + (here**2).sum(axis=1) - 2 * there @ here.T
        weight = np.maximum(0.0, 1.0 - np.sqrt(np.maximum(squares, 0.0)) / NEAR_M)
        weight[expected[:, :, 2] @ voted[:, :, 2].T < _LEAST_COSINE] = 0.0
        total += (weight * image.votes.votes).max(axis=1, initial=0.0)
    return total


@dataclass(frozen=True)
class _Instant:
    """Images of one instant, with the base's pose by odometry and the cameras' poses in the base."""

    T_odom_base: Pose
    cameras: Sequence[tuple[Pose, KeyframeVotes]]


class ImageSequence:
    """Keeps the last images of one camera or rig, spaced by the distance driven.

    `before` may be called while another thread resets the sequence.

    Args:
        images: number of images of a sequence, the present one among them; with 1 none are kept.
        spacing_m: least distance driven between two of them; a turn by `NEAR_DEG` counts as much.
    """

    def __init__(self, images: int, spacing_m: float) -> None:
        self._images, self._spacing_m = images, spacing_m
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self._kept: tuple[_Instant, ...] = ()
        self._last: tuple[int, Pose] | None = None

    def before(self, stamp_ns: int, T_odom_base: Pose | None) -> list[EarlierImage]:
        """Returns the earlier images as seen from a pose by odometry; none where it is unknown or jumped.

        Images that were taken where the base still is add nothing, and are left out.
        """
        kept = self._kept
        if T_odom_base is None or not kept or not self._goes_on(stamp_ns, T_odom_base):
            return []
        elsewhere = [instant for instant in kept if self._is_far(instant.T_odom_base, T_odom_base)]
        T_base_odom = inverse(T_odom_base)
        return [
            EarlierImage(T_base_odom @ instant.T_odom_base @ T_base_camera, votes)
            for instant in elsewhere[max(0, len(elsewhere) - self._images + 1) :]
            for T_base_camera, votes in instant.cameras
        ]

    def add(
        self, stamp_ns: int, T_odom_base: Pose | None, cameras: Sequence[tuple[Pose, KeyframeVotes]]
    ) -> None:
        """Adds the images of the present instant where the base has moved since those before.

        Args:
            stamp_ns: their time.
            T_odom_base: pose of the base by odometry; None where it is unknown, and nothing is added.
            cameras: pose of each camera in the base, with the votes of its image alone.
        """
        if T_odom_base is None or self._images == 1:
            return
        if not self._goes_on(stamp_ns, T_odom_base):
            self.reset()
        self._last = stamp_ns, T_odom_base
        if not cameras:
            return
        if not self._kept or self._is_far(self._kept[-1].T_odom_base, T_odom_base):
            self._kept = (*self._kept, _Instant(T_odom_base, tuple(cameras)))[-self._images :]

    def _goes_on(self, stamp_ns: int, T_odom_base: Pose) -> bool:
        """Returns whether a pose by odometry can follow the last one."""
        last = self._last
        if last is None:
            return True
        last_ns, T_odom_last = last
        seconds = (stamp_ns - last_ns) / 1e9
        metres, degrees = _motion(T_odom_last, T_odom_base)
        return (
            0 <= seconds <= LONGEST_GAP_S
            and metres <= FASTEST_M_S * seconds + SLACK_M
            and degrees <= FASTEST_DEG_S * seconds + SLACK_DEG
        )

    def _is_far(self, T_before: Pose, T_after: Pose) -> bool:
        """Returns whether an image differs enough from one before it."""
        metres, degrees = _motion(T_before, T_after)
        return metres >= self._spacing_m or degrees >= NEAR_DEG


def _motion(T_before: Pose, T_after: Pose) -> tuple[float, float]:
    """Returns the distance between two poses in metres, and the angle in degrees, to a small part of one."""
    metres = math.dist(T_before[:3, 3].tolist(), T_after[:3, 3].tolist())
    cosine = (float((T_before[:3, :3] * T_after[:3, :3]).sum()) - 1.0) / 2.0
    return metres, math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
