"""Transforms of TF messages, taken by their fields as in `images`."""

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
    """Puts the transforms of a TFMessage, live or recorded, into a tree; returns how many were invalid.

    Args:
        static: whether the message is of /tf_static.
        accept: which (parent, child) to take; all where None.
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
    """A frame's name as tf2 has it, without the leading slash of ROS 1."""
    return frame_id.lstrip("/")
