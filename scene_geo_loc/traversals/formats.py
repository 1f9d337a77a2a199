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

"""Registry of the readable formats: a new one is a file with its `Format` and a line in `FORMATS`.

It imports nothing heavy, because the command line's help lists the formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, TypedDict

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
    "streetview": "streetview.traversal:FORMAT",
}
"""Location of each format's `Format` by name, in the order in which sources are tested."""


class SourceOptions(TypedDict, total=False):
    """Options of `open_traversal` that only some formats take; one that is absent or None is not given.

    Attributes:
        camera: which camera, if there are several: the image topic of a bag, or the dataset's name of it.
            Default: the first in colour with a camera_info.
        poses: of a bag: a topic, a TUM file with poses of the camera, or "none". Default: the best available.
            Of a dataset with several sources of poses: one of them.
        pose_frame: frame of a bag whose poses the topic or file has. Default: as the bag says.
        points: of a bag: topic of the lidar. Default: the best available.
        depth_topic: of a bag: topic of the depth images. Default: those in the frame of the images.
        run: number of the run of a bag whose clock jumps back, from 1. Default: the longest.
        camera_info: of a bag: topic of the intrinsics, or a calibration file (`camera_files`). Default: the
            topic beside the images.
        readout_time: of a bag: seconds from the exposure of the first row of an image to that of the last, of
            a rolling shutter. Default: as the calibration file says, else 0.
        image_frame: of a bag: axes of the images' frame, a value of `ImageFrame`. Default: told from the
            transforms and the motion.
        bits: of a bag: bits in use of images with 16 bits. Default: told from the values.
        split: "train" or "test", where the dataset has splits. Default: all frames.
        views: of panoramas: number of views around. Default: as many as overlap by a third, at least 8.
        view_camera: of panoramas: WIDTHxHEIGHT@FOV with the horizontal field of view in degrees, or a
            calibration file (`camera_files`). Default: 640x480@57.6.
        view_pitch: of panoramas: degrees by which the views look up. Default: 0.
        virtual_views: of panoramas: distances in metres of virtual views ahead and behind, a number or text
            such as "2,4". Default: none.
    """

    camera: str | None
    poses: str | None
    pose_frame: str | None
    points: str | None
    depth_topic: str | None
    run: int | None
    camera_info: str | None
    readout_time: float | None
    image_frame: str | None
    bits: int | None
    split: str | None
    views: int | None
    view_camera: str | None
    view_pitch: float | None
    virtual_views: float | str | None


OPTIONS = tuple(SourceOptions.__annotations__)
"""Names of the options."""


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
        options: names of the `SourceOptions` that `open` takes.
        content: data that its sources may have.
    """

    layout: str
    recognise: Callable[[Path], bool]
    open: Callable[..., SubsettableTraversal]
    content: Sequence[Content]
    options: Sequence[str] = ()


def load_format(name: str) -> Format:
    """Returns the format with a name in `FORMATS`."""
    module, _, attribute = FORMATS[name].partition(":")
    found = getattr(import_module(f"scene_geo_loc.traversals.{module}"), attribute)
    assert isinstance(found, Format)
    return found
