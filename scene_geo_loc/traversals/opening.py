"""Opens any source of frames, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.errors import TraversalError
from scene_geo_loc.traversals import bag, kitti, rgbd_folder, seven_scenes
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.part import Part
from scene_geo_loc.traversals.rosbag import RosbagTraversal


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
        seven_scenes.LAYOUT, seven_scenes.is_seven_scenes, seven_scenes.open_seven_scenes, ("split",)
    ),
    "kitti-raw": _Dataset(kitti.RAW_LAYOUT, kitti.is_kitti_raw, kitti.open_kitti_raw),
    "kitti-lidar": _Dataset(kitti.LIDAR_LAYOUT, kitti.is_kitti_lidar, kitti.open_kitti_lidar),
    "kitti-odometry": _Dataset(kitti.ODOMETRY_LAYOUT, kitti.is_kitti_odometry, kitti.open_kitti_odometry),
}

FORMATS = ("rosbag", *_DATASETS)
"""The names of the formats."""

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
    if not source.exists():
        raise TraversalError(f"{source} does not exist; check the path of the source.")
    if format is not None and format not in FORMATS:
        raise TraversalError(f"there is no format {format!r}; known are {', '.join(FORMATS)}.")
    name = format or _recognise(source)
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


def _recognise(source: Path) -> str:
    if bag.is_bag(source):
        return "rosbag"
    if source.is_dir():
        for name, dataset in _DATASETS.items():
            if dataset.fits(source):
                return name
    layouts = "; ".join(f"{name}: {dataset.layout}" for name, dataset in _DATASETS.items())
    raise TraversalError(
        f"{source}: the format is not recognised (rosbag: a {', '.join(bag.SUFFIXES)} file or a "
        f"folder with one; {layouts}), {_content(source)}."
    )


def _content(source: Path) -> str:
    if source.is_file():
        return "and this is a file"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in source.iterdir())
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"and here there is {shown or 'nothing'}"
