"""Opens sources of frames in any supported format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.formats import FORMATS, Content, Option, load_format
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.subset import Subset

_SHOWN = 8
"""Number of names that a message lists."""


def open_traversal(
    source: Path | str,
    format: str | None = None,
    *,
    poses: str | None = None,
    pose_frame: str | None = None,
    split: str | None = None,
    every: int = 1,
    offset: int = 0,
    start: float | None = None,
    end: float | None = None,
    camera: str | None = None,
    points: str | None = None,
    depth_topic: str | None = None,
    run: int | None = None,
    camera_info: str | None = None,
    image_frame: str | None = None,
    bits: int | None = None,
    needs: Content | None = None,
) -> Traversal:
    """Opens a source of frames, or a part of it.

    Args:
        source: a bag, or the folder of a dataset.
        format: one of `FORMATS`; None to recognise it by its files.
        poses: of a bag: a topic, a TUM file with poses of the camera, or "none"; None for the best available.
        pose_frame: frame of a bag whose poses the topic or file has; None where the bag says it.
        split: "train" or "test", where the dataset has splits.
        every, offset: frames number `offset`, `offset + every`, ... only.
        start, end: frames within these seconds from the first frame only.
        camera: which camera, if there are several: the image topic of a bag, or the dataset's name of it.
        points, depth_topic: topics of a bag with lidar and depth images; None for the best available.
        run: number of the run of a bag whose clock jumps back, from 1; None for the longest.
        camera_info: of a bag: topic of the intrinsics, or a calibration file; None for the topic beside the
            images.
        image_frame: of a bag: "optical" or "body" (x forward), the axes of the images' frame; None to tell
            them.
        bits: of a bag: bits in use of images with 16 bits; None to tell them from the values.
        needs: data that the caller requires; formats that never have it are refused.

    Raises:
        TraversalError: the source is missing, of no known format, or cannot be read as that format; or
            the format does not take an option that is given, or lacks the needed data.
    """
    source = Path(source)
    subset = Subset(every, offset, start, end)
    name = format_of(source, format)
    chosen = load_format(name)
    given = {
        Option.CAMERA: camera,
        Option.POSES: poses,
        Option.SPLIT: split,
        Option.POSE_FRAME: pose_frame,
        Option.POINTS: points,
        Option.DEPTH_TOPIC: depth_topic,
        Option.RUN: run,
        Option.CAMERA_INFO: camera_info,
        Option.IMAGE_FRAME: image_frame,
        Option.BITS: bits,
    }
    options: dict[str, str | int] = {
        option.value: value for option, value in given.items() if value is not None
    }
    for option in options:
        if option not in chosen.options:
            taken = " and ".join(option.value for option in chosen.options) or "none of them"
            raise TraversalError(
                f"{source}: a source of the format {name} takes no {option}; of {', '.join(Option)} "
                f"it takes {taken}."
            )
    if needs is not None and needs not in chosen.content:
        having = [other for other in FORMATS if needs in load_format(other).content]
        raise TraversalError(
            f"{source}: a source of the format {name} has no {needs.value}; take one of {', '.join(having)}."
        )
    if not chosen.recognise(source):
        raise TraversalError(f"{source}: not {name}, which has {chosen.layout}; {_content(source)}.")
    return chosen.open(source, **options).subset(subset)


def format_of(source: Path, named: str | None = None) -> str:
    """Returns the format of a source: as `named` by the user, else recognised by its files.

    Raises:
        TraversalError: the source is missing or of no known format.
    """
    if not source.exists():
        raise TraversalError(f"{source} does not exist; check the path of the source.")
    if named is not None and named not in FORMATS:
        raise TraversalError(f"there is no format {named!r}; known formats: {', '.join(FORMATS)}.")
    found = named or _recognise(source)
    if found is not None:
        return found
    within = list(islice(sources_within(source), _SHOWN + 1)) if source.is_dir() else []
    if within:
        names = [f"{path.relative_to(source)} ({kind})" for path, kind in within]
        raise TraversalError(
            f"{source}: a folder of sources, not a source; name one of them: {_listed(names)}."
        )
    layouts = "".join(f"\n  {name}: {load_format(name).layout}" for name in FORMATS)
    raise TraversalError(
        f"{source}: the format is not recognised, {_content(source)}; a source is one of:{layouts}"
    )


def takes_split(format: str) -> bool:
    """Returns whether sources of a format have splits for training and for testing."""
    return Option.SPLIT in load_format(format).options


def sources_within(folder: Path, depth: int = 2) -> Iterator[tuple[Path, str]]:
    """Yields the sources among the folders in a folder, `depth` levels deep, with their formats."""
    for child in sorted(filter(Path.is_dir, folder.iterdir())):
        if not os.access(child, os.R_OK | os.X_OK):
            continue
        name = _recognise(child)
        if name is not None:
            yield child, name
        elif depth > 1:
            yield from sources_within(child, depth - 1)


def _recognise(source: Path) -> str | None:
    return next((name for name in FORMATS if load_format(name).recognise(source)), None)


def _content(source: Path) -> str:
    if source.is_file():
        return "and this is a file"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in source.iterdir())
    return f"and here there is {_listed(names) or 'nothing'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
