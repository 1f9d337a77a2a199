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

"""Scenes in the layout of ACE (Brachmann et al., CVPR 2023): `train/` and `test/` with `rgb/`, `poses/`,
`calibration/`, and `depth/` if there is any.

Poses are 4x4, camera to map.  A calibration is the focal length, with the principal point in the middle of
the image, or the 3x3 intrinsic matrix.  Depth is 16-bit PNG in millimetres.  Files belong together in the
order of their names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.folder import (
    FolderTraversal,
    FrameFiles,
    natural_order,
    read_depth_millimetres,
    read_pose,
    size_of,
    stamp_of,
)
from scene_geo_loc.traversals.formats import Content, Format

SPLITS = ("train", "test")

PAUSE = 20
"""Gap between splits in frames: 2 s, over which poses are not interpolated."""

_PARTS = ("rgb", "poses", "calibration")


def is_ace(folder: Path) -> bool:
    """Returns whether a folder is a scene, or a split of one."""
    return _is_split(folder) or any(_is_split(folder / split) for split in SPLITS)


def open_ace(folder: Path, split: str | None = None) -> FolderTraversal:
    """Opens a scene, or a split of it; without stamps, frames are 0.1 s apart.

    Args:
        folder: folder of the scene, or of a split.
        split: "train" or "test"; None for both.

    Raises:
        TraversalError: the split is missing, or files are missing or damaged.
    """
    if split is not None and not _is_split(folder / split):
        there = ", ".join(name for name in SPLITS if _is_split(folder / name)) or "none"
        raise TraversalError(f"{folder}: no split {split!r}; splits here: {there}.")
    parts = [folder] if _is_split(folder) else [folder / name for name in SPLITS if _is_split(folder / name)]
    files: list[FrameFiles] = []
    number = 0
    for part in [folder / split] if split is not None else parts:
        for frame in _frames(part, number):
            files.append(frame)
            number += 1
        number += PAUSE
    return FolderTraversal(str(folder), files, read_depth=read_depth_millimetres)


FORMAT = Format(
    layout="train/ and test/ with rgb/, poses/ and calibration/",
    recognise=is_ace,
    open=open_ace,
    content=(Content.POSES, Content.DEPTH),
    options=("split",),
)


def _is_split(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in _PARTS)


def _frames(folder: Path, first: int) -> list[FrameFiles]:
    images, poses, calibrations = (_files(folder / name) for name in _PARTS)
    if not images or not len(images) == len(poses) == len(calibrations):
        raise TraversalError(
            f"{folder}: {len(images)} images, {len(poses)} poses and {len(calibrations)} calibrations; each "
            "image needs one of each."
        )
    depths = _files(folder / "depth") if (folder / "depth").is_dir() else []
    size = size_of(images)
    return [
        FrameFiles(
            stamp_of(first + i),
            image,
            _camera(calibrations[i], size),
            read_pose(poses[i]),
            depths[i] if len(depths) == len(images) else None,
        )
        for i, image in enumerate(images)
    ]


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(found, key=lambda path: natural_order(path.name))


def _camera(path: Path, size: tuple[int, int]) -> Camera:
    width, height = size
    try:
        numbers = np.array(path.read_text().split(), np.float64)
        if len(numbers) == 1:
            return Camera(width, height, numbers[0], numbers[0], (width - 1) / 2, (height - 1) / 2)
        K = numbers.reshape(3, 3)
        return Camera(width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    except (OSError, ValueError) as error:
        raise TraversalError(
            f"{path}: expected a focal length or a 3x3 intrinsic matrix ({error})."
        ) from error
