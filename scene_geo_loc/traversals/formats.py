"""Registry of the readable formats: a new one is a file with its `Format` and a line in `FORMATS`.

It imports nothing heavy, because the command line's help lists the formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from scene_geo_loc.traversals.frame import SubsettableTraversal

FORMATS = {
    "rosbag": "rosbag.traversal:FORMAT",
    "rgbd": "datasets.rgbd_folder:FORMAT",
    "7scenes": "datasets.seven_scenes:FORMAT",
    "tum-rgbd": "datasets.tum_rgbd:FORMAT",
    "12scenes": "datasets.twelve_scenes:FORMAT",
    "cambridge": "datasets.cambridge:FORMAT",
    "kitti-raw": "datasets.kitti:RAW",
    "kitti-lidar": "datasets.kitti:LIDAR",
    "kitti-odometry": "datasets.kitti:ODOMETRY",
    "euroc": "datasets.euroc:FORMAT",
    "ace": "datasets.ace:FORMAT",
    "colmap": "datasets.colmap:FORMAT",
    "robotcar": "robotcar.traversal:FORMAT",
}
"""Location of each format's `Format` by name, in the order in which sources are tested."""


class Option(str, Enum):
    """An option of `open_traversal` that only some formats take."""

    CAMERA = "camera"
    POSES = "poses"
    SPLIT = "split"
    POSE_FRAME = "pose_frame"
    POINTS = "points"
    DEPTH_TOPIC = "depth_topic"
    RUN = "run"
    CAMERA_INFO = "camera_info"
    IMAGE_FRAME = "image_frame"
    BITS = "bits"


class ImageFrame(str, Enum):
    """Axes of the frame that images are in, REP-103: z forward, or x forward."""

    OPTICAL = "optical"
    BODY = "body"


class Content(str, Enum):
    """Data that the sources of a format may have besides images."""

    POSES = "poses"
    DEPTH = "depth images"
    LIDAR = "lidar scans"


@dataclass(frozen=True)
class Format:
    """Declaration of a format: how sources are recognised and opened, and what they have.

    Attributes:
        layout: description of its files, for messages.
        recognise: returns whether a path has this layout.
        open: opens a path; takes `options` as keyword arguments.
        options: options that `open` takes.
        content: data that its sources may have.
    """

    layout: str
    recognise: Callable[[Path], bool]
    open: Callable[..., SubsettableTraversal]
    content: Sequence[Content]
    options: Sequence[Option] = ()


def load_format(name: str) -> Format:
    """Returns the format with a name in `FORMATS`."""
    module, _, attribute = FORMATS[name].partition(":")
    found = getattr(import_module(f"scene_geo_loc.traversals.{module}"), attribute)
    assert isinstance(found, Format)
    return found
