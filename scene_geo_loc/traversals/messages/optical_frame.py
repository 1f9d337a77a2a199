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

"""Optical frames of cameras whose images are in a body frame, x forward, y left, z up (REP-103)."""

from __future__ import annotations

import re

import numpy as np

from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, make_pose
from scene_geo_loc.geometry.rotation import angle_of_matrix
from scene_geo_loc.geometry.transform_tree import TransformTree

T_BODY_OPTICAL = make_pose(OPTICAL_FROM_BODY.T, np.zeros(3))
"""Pose of an optical frame in the body frame at the same place."""

UPRIGHT = 0.7
"""Cosine of the angle between the vehicle's axis up and an axis of the camera that points up or down."""

MAX_ANGLE_DEG = 10.0
"""An optical frame is turned from its body frame by that rotation, give or take a calibration."""


def is_optical_name(frame: str) -> bool:
    """Returns whether a frame says by its name that it is optical."""
    return "optical" in frame.lower()


def optical_frame(tree: TransformTree, frame: str, image_topic: str) -> str:
    """Returns the optical frame of images: a static child of theirs named `*optical*` that is turned as such.

    Of several the one whose name has most words in common with the topic, then the nearest; `frame` itself
    where there is none or it is optical by its name.
    """
    if is_optical_name(frame):
        return frame
    children = [
        child for child in tree.frames() if is_optical_name(child) and frame in tree.ancestors_of(child)
    ]
    words = _words(image_topic)
    best: tuple[int, float, str] | None = None
    for child in children:
        T_frame_child = tree.static_pose(frame, child)
        if T_frame_child is None:
            continue
        turned = np.degrees(angle_of_matrix((OPTICAL_FROM_BODY @ T_frame_child[:3, :3])[None])[0])
        if turned <= MAX_ANGLE_DEG:
            distance = float(np.linalg.norm(T_frame_child[:3, 3]))
            key = (-len(words & _words(child)), distance, child)
            best = key if best is None else min(best, key)
    return frame if best is None else best[2]


def looks_up(tree: TransformTree, base: str, frame: str) -> bool:
    """Returns whether a frame is mounted on the vehicle with z up, as body frames are and few cameras."""
    T_base_frame = tree.static_pose(base, frame)
    return T_base_frame is not None and bool(T_base_frame[2, 2] > UPRIGHT)


def _words(name: str) -> set[str]:
    return set(re.split(r"[/_]", name.lower()))
