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

"""The cameras of a rig besides the first, and their images at the time of one of the first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from scene_geo_loc.geometry.transform_tree import TransformUnavailable
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.ros.common.camera_input import CameraInput
from scene_geo_loc.ros.common.counters import BadMessage, BadReason, Counters
from scene_geo_loc.ros.common.messages import stamp_to_ns

if TYPE_CHECKING:
    from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
    from scene_geo_loc.ros.common.managed_node import ManagedNode
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
    from scene_geo_loc.ros.localization.inputs.robot_transforms import RobotTransforms

KEPT = 8
"""Images of each camera that are kept, as the first camera's are localized a little later."""

SILENT_NS = 1_000_000_000
"""A camera whose last image is older than this is not waited for."""


class RigCameras:
    """Keeps the last images of all cameras but the first, and finds those that belong to one of the first."""

    def __init__(
        self, node: ManagedNode, settings: LocalizationNodeSettings, transforms: RobotTransforms
    ) -> None:
        self._counters, self._transforms = node.counters, transforms
        self._tolerance_s = settings.rig_tolerance
        self._changed = threading.Condition()
        self._kept: list[deque[Any]] = [deque(maxlen=KEPT) for _ in settings.rig_image_topics]
        self._inputs = [
            CameraInput(node, _settings_of(settings, topic), partial(self._on_image, kept), depth=2)
            for topic, kept in zip(settings.rig_image_topics, self._kept, strict=True)
        ]

    @property
    def problem(self) -> str:
        """Sentence on why no image of one of the cameras can arrive, or ""."""
        return next((camera.problem for camera in self._inputs if camera.problem), "")

    @property
    def has_camera_infos(self) -> bool:
        """True if the intrinsics of all cameras have arrived."""
        return all(camera.has_camera_info for camera in self._inputs)

    def _on_image(self, kept: deque[Any], message: Any) -> None:
        with self._changed:
            kept.append(message)
            self._changed.notify_all()

    def synchronous(self, camera_frame: str, stamp_ns: int) -> list[CameraImage]:
        """Returns the images that belong to one of the first camera, placed in its frame at its time.

        Waits for images that are about to arrive.  A camera is left out, and counted, where it has no image
        close enough in time, or where TF lacks its mounting.
        """

        def has_arrived(kept: deque[Any]) -> bool:
            behind_ns = stamp_ns - _stamp(kept[-1]) if kept else SILENT_NS + 1
            return behind_ns <= 0 or behind_ns > SILENT_NS

        with self._changed:
            self._changed.wait_for(lambda: all(map(has_arrived, self._kept)), self._tolerance_s)
            nearest = [
                min(kept, key=lambda message: abs(_stamp(message) - stamp_ns), default=None)
                for kept in self._kept
            ]
        images = []
        for camera_input, message in zip(self._inputs, nearest, strict=True):
            try:
                if message is None or abs(_stamp(message) - stamp_ns) > self._tolerance_s * 1e9:
                    raise BadMessage(BadReason.NO_RIG_IMAGE)
                image, camera = camera_input.decode(message)
                frame = camera_input.frame_id(message, self._transforms.tree)
                T_first_camera = self._transforms.camera_T_other(
                    camera_frame, stamp_ns, frame, _stamp(message)
                )
                motion = known_motion(
                    self._counters,
                    self._transforms,
                    frame,
                    _stamp(message),
                    camera.readout_s,
                    is_first=False,
                )
                images.append(CameraImage(image, camera, T_first_camera, readout_motion=motion))
            except BadMessage as bad:
                self._counters.add_bad(bad)
            except TransformUnavailable:
                self._counters.add(BadReason.NO_RIG_MOUNTING)
        return images

    def forget(self) -> None:
        """Drops all images, as after a jump back in time."""
        with self._changed:
            for kept in self._kept:
                kept.clear()

    def close(self) -> None:
        """Unsubscribes."""
        for camera_input in self._inputs:
            camera_input.close()


def known_motion(
    counters: Counters,
    transforms: RobotTransforms,
    frame: str,
    stamp_ns: int,
    readout_s: float,
    *,
    is_first: bool = True,
) -> Callable[[], ReadoutMotion | None]:
    """Returns a function of the motion of a camera during an image of a rolling shutter, looked up once.

    Images without one are counted.
    """

    @cache
    def motion() -> ReadoutMotion | None:
        found = transforms.readout_motion(frame, stamp_ns, readout_s, is_first=is_first)
        if found is None:
            counters.add(BadReason.NO_READOUT_MOTION)
        return found

    return motion if readout_s else lambda: None


def _settings_of(settings: LocalizationNodeSettings, image_topic: str) -> LocalizationNodeSettings:
    """Settings with the topics of a rig camera: its camera_info is beside its images."""
    beside, _, _ = image_topic.rpartition("/")
    info_topic = f"{beside}/camera_info" if beside else "camera_info"
    own = {"image_topic": image_topic, "camera_info_topic": info_topic, "calibration_file": ""}
    return settings.model_copy(update=own)


def _stamp(message: Any) -> int:
    return stamp_to_ns(message.header.stamp)
