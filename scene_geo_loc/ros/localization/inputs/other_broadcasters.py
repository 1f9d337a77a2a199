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

"""Notices that another node broadcasts the transform that this node broadcasts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped

    from scene_geo_loc.ros.common.transforms import TransformBroadcaster

WINDOW_S = 5.0
"""A transform of another node is reported this long."""


class OtherBroadcasters:
    """Compares the transforms on TF with those that a broadcaster sent.

    Args:
        broadcaster: the node's own, or None where it broadcasts none.
    """

    def __init__(self, broadcaster: TransformBroadcaster | None) -> None:
        self._broadcaster = broadcaster
        self._seen_s: float | None = None
        self._is_static = False

    def take(self, transform: TransformStamped, static: bool) -> None:
        """Takes a transform of `/tf` or `/tf_static`."""
        own = self._broadcaster
        if own is None:
            return
        frames = (transform.header.frame_id.lstrip("/"), transform.child_frame_id.lstrip("/"))
        if frames == (own.parent, own.child) and (static or not own.has_sent(transform)):
            self._seen_s, self._is_static = time.monotonic(), self._is_static or static

    @property
    def problem(self) -> str:
        """Sentence on another node that broadcasts the transform, or ""."""
        own, seen_s = self._broadcaster, self._seen_s
        if own is None or seen_s is None:
            return ""
        if not self._is_static and time.monotonic() - seen_s > WINDOW_S:
            return ""
        return (
            f"Another node broadcasts {own.parent} to {own.child}, too, such as AMCL or an EKF: stop it, or "
            "set publish_tf to none."
        )
