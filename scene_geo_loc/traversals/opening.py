"""Opens any source of frames, whatever its format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.datasets import (
    cambridge,
    colmap,
    kitti,
    rgbd_folder,
    seven_scenes,
    twelve_scenes,
)
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.robotcar import traversal as robotcar
from scene_geo_loc.traversals.rosbag import bag
from scene_geo_loc.traversals.rosbag.traversal import RosbagTraversal
from scene_geo_loc.traversals.subset import Part


@dataclass(frozen=True)
class _Dataset:
    """A folder format.

    Attributes:
        layout: what its files look like, in words.
        fits: whether a folder looks like that.
        open: its reader.
        takes: which of `split`, `camera` and `poses` the reader takes as well.
    """

    layout: str
    fits: Callable[[Path], bool]
    open: Callable[..., FolderTraversal]
    takes: tuple[str, ...] = ()


_DATASETS = {
    "rgbd": _Dataset(rgbd_folder.LAYOUT, rgbd_folder.is_rgbd_folder, rgbd_folder.open_rgbd_folder),
    "7scenes": _Dataset(
        seven_scenes.LAYOUT,
        seven_scenes.is_seven_scenes,
        seven_scenes.open_seven_scenes,
        ("split", "camera"),
    ),
    "12scenes": _Dataset(
        twelve_scenes.LAYOUT, twelve_scenes.is_twelve_scenes, twelve_scenes.open_twelve_scenes, ("split",)
    ),
    "cambridge": _Dataset(cambridge.LAYOUT, cambridge.is_cambridge, cambridge.open_cambridge, ("split",)),
    "kitti-raw": _Dataset(kitti.RAW_LAYOUT, kitti.is_kitti_raw, kitti.open_kitti_raw, ("camera",)),
    "kitti-lidar": _Dataset(kitti.LIDAR_LAYOUT, kitti.is_kitti_lidar, kitti.open_kitti_lidar),
    "kitti-odometry": _Dataset(
        kitti.ODOMETRY_LAYOUT, kitti.is_kitti_odometry, kitti.open_kitti_odometry, ("camera",)
    ),
    "colmap": _Dataset(colmap.LAYOUT, colmap.is_colmap, colmap.open_colmap),
    "robotcar": _Dataset(robotcar.LAYOUT, robotcar.is_robotcar, robotcar.open_robotcar, ("camera", "poses")),
}

FORMATS = ("rosbag", *_DATASETS)
"""The names of the formats."""

_SHOWN = 8
"""How many names a message lists."""

_ADVICE = {
    "split": "leave it away, or take --every and --offset",
    "camera": "it has one camera",
    "poses": "it has poses of its own",
}


def open_traversal(
    source: Path,
    format: str | None = None,
    *,
    poses: str | None = None,
    split: str | None = None,
    every: int = 1,
    offset: int = 0,
    start: float | None = None,
    end: float | None = None,
    camera: str | None = None,
) -> Traversal:
    """Opens a source of frames, or a part of it.

    Args:
        source: a bag, or the folder of a dataset.
        format: one of `FORMATS`; None to recognise it by its files.
        poses: of a bag: a topic, or a TUM file with poses of the camera; None for the best there is.
        split: "train" or "test", where the dataset has splits.
        every, offset: frames number `offset`, `offset + every`, ... only.
        start, end: frames within these seconds from the first frame only.
        camera: which, where there are several: the image topic of a bag, or a name of the dataset.

    Raises:
        TraversalError: it is not there, of no known format, or cannot be read as that format.
    """
    source = Path(source)
    part = Part(every, offset, start, end)
    name = format_of(source, format)
    given = {"split": split, "camera": camera, "poses": poses}
    options = {option: value for option, value in given.items() if value is not None}
    taken = ("camera", "poses") if name == "rosbag" else _DATASETS[name].takes
    for option in options:
        if option not in taken:
            raise TraversalError(f"{source}: {name} takes no --{option}; {_ADVICE[option]}.")
    if name == "rosbag":
        return RosbagTraversal(source, poses=poses, image_topic=camera, part=part)
    dataset = _DATASETS[name]
    if not dataset.fits(source):
        raise TraversalError(f"{source}: not {name}, which has {dataset.layout}; {_content(source)}.")
    return dataset.open(source, **options).part(part)


def format_of(source: Path, named: str | None = None) -> str:
    """The format of a source: as `named` by the user, else recognised by its files.

    Raises:
        TraversalError: it is not there, or of no known format.
    """
    if not source.exists():
        raise TraversalError(f"{source} does not exist; check the path of the source.")
    if named is not None and named not in FORMATS:
        raise TraversalError(f"there is no format {named!r}; known are {', '.join(FORMATS)}.")
    found = named or _recognise(source)
    if found is not None:
        return found
    within = list(islice(sources_within(source), _SHOWN + 1)) if source.is_dir() else []
    if within:
        names = [f"{one.relative_to(source)} ({kind})" for one, kind in within]
        raise TraversalError(
            f"{source}: not a source itself, but a folder of sources; name one of them: {_listed(names)}."
        )
    layouts = "".join(f"\n  {name}: {dataset.layout}" for name, dataset in _DATASETS.items())
    raise TraversalError(
        f"{source}: the format is not recognised, {_content(source)}; a source is one of:"
        f"\n  rosbag: a {', '.join(bag.SUFFIXES)} file or a folder with one{layouts}"
    )


def _recognise(source: Path) -> str | None:
    if bag.is_bag(source):
        return "rosbag"
    fitting = (name for name, dataset in _DATASETS.items() if source.is_dir() and dataset.fits(source))
    return next(fitting, None)


def takes_split(format: str) -> bool:
    """Whether sources of a format have a split to train with and one to test with."""
    return format in _DATASETS and "split" in _DATASETS[format].takes


def sources_within(folder: Path, depth: int = 2) -> Iterator[tuple[Path, str]]:
    """The sources among the folders in a folder, and in those, with their formats."""
    for child in sorted(filter(Path.is_dir, folder.iterdir())):
        if not os.access(child, os.R_OK | os.X_OK):
            continue
        name = _recognise(child)
        if name is not None:
            yield child, name
        elif depth > 1:
            yield from sources_within(child, depth - 1)


def _content(source: Path) -> str:
    if source.is_file():
        return "and this is a file"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in source.iterdir())
    return f"and here there is {_listed(names) or 'nothing'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
