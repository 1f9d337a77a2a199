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

"""Transforms of TF messages, read by their fields as in `images`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scene_geo_loc.geometry.transform_tree import TransformTree


def add_transforms(
    tree: TransformTree,
    message: Any,
    static: bool,
    accept: Callable[[str, str], bool] | None = None,
) -> int:
    """Adds the transforms of a TFMessage, live or recorded, to a tree; returns the number of invalid ones.

    Args:
        static: whether the message is of /tf_static.
        accept: returns whether to add the transform of a (parent, child); None accepts all.
    """
    invalid = 0
    for item in message.transforms:
        parent, child = frame_name(item.header.frame_id), frame_name(item.child_frame_id)
        if accept is not None and not accept(parent, child):
            continue
        t, q = item.transform.translation, item.transform.rotation
        stamp_ns = item.header.stamp.sec * 10**9 + item.header.stamp.nanosec
        invalid += not tree.add(parent, child, stamp_ns, (t.x, t.y, t.z), (q.x, q.y, q.z, q.w), static=static)
    return invalid


def frame_name(frame_id: str) -> str:
    """Returns a frame's name without the leading slash of ROS 1, as tf2 uses it."""
    return frame_id.lstrip("/")
