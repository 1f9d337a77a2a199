"""The formats of sources that can be read: a new one is a file with its `Format` and a line in `FORMATS`.

Imports nothing heavy: the command line's help lists the formats.
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
    "12scenes": "datasets.twelve_scenes:FORMAT",
    "cambridge": "datasets.cambridge:FORMAT",
    "kitti-raw": "datasets.kitti:RAW",
    "kitti-lidar": "datasets.kitti:LIDAR",
    "kitti-odometry": "datasets.kitti:ODOMETRY",
    "colmap": "datasets.colmap:FORMAT",
    "robotcar": "robotcar.traversal:FORMAT",
}
"""Name of each format, and where its `Format` is; the first whose files fit is taken for a source's."""


class Option(str, Enum):
    """An option of `open_traversal` that only some formats take."""

    CAMERA = "camera"
    POSES = "poses"
    SPLIT = "split"


class Content(str, Enum):
    """What the sources of a format may have besides images."""

    POSES = "poses"
    DEPTH = "depth images"
    LIDAR = "lidar"


@dataclass(frozen=True)
class Format:
    """A format: how it is recognised and read, and what it declares.

    Attributes:
        layout: what its files look like, in words.
        recognise: whether a path looks like that.
        open: its reader, of a path and those of `options` that are given, by name.
        options: the options that it takes.
        content: what its sources may have.
    """

    layout: str
    recognise: Callable[[Path], bool]
    open: Callable[..., SubsettableTraversal]
    content: Sequence[Content]
    options: Sequence[Option] = ()


def load_format(name: str) -> Format:
    """The format of a name in `FORMATS`."""
    module, _, attribute = FORMATS[name].partition(":")
    found = getattr(import_module(f"scene_geo_loc.traversals.{module}"), attribute)
    assert isinstance(found, Format)
    return found
