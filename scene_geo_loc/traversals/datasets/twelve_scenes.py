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

"""The 12-Scenes dataset (Valentin et al., "Learning to Navigate the Energy Landscape", 3DV 2016).

A room, such as `apt1/kitchen`, has `data/frame-NNNNNN.color.jpg` (1296x968), `.depth.png` (640x480, 16
bits, millimetres) and `.pose.txt` (4x4, camera to world; infinite where tracking was lost), `info.txt`
with the intrinsics of the colour camera, and `split.txt` with a line for each sequence, like
`sequence0 [frames=357]  [start=0 ; end=356]`.  The first sequence is the test split, the others are the
training split.

Depth is already registered to colour, with fewer pixels: each pixel of the image gets the nearest depth.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.datasets.seven_scenes import PAUSE
from scene_geo_loc.traversals.folder import (
    FolderTraversal,
    FrameFiles,
    read_depth_millimetres,
    read_pose,
    stamp_of,
)
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.text import read_text


def is_twelve_scenes(folder: Path) -> bool:
    """Returns whether a folder is a room of the dataset."""
    return (folder / "info.txt").is_file() and bool(_images(folder))


def open_twelve_scenes(folder: Path, split: str | None = None) -> FolderTraversal:
    """Opens a room, or a split of it ("train" or "test").

    Raises:
        TraversalError: the intrinsics or the split cannot be read, or the split has no frames.
    """
    camera = _camera(folder / "info.txt")
    sequences = _sequences(folder / "split.txt") if split or (folder / "split.txt").is_file() else []
    if split == "test":
        chosen = sequences[:1]
    elif split == "train":
        chosen = sequences[1:]
    elif split is None:
        chosen = [(0, np.inf)]
    else:
        raise TraversalError(f"{folder}: no split {split!r}; 12-Scenes has train and test.")
    files = []
    for image in _images(folder):
        stem = image.name.split(".")[0]
        number = _number(image)
        if not any(start <= number <= end for start, end in chosen):
            continue
        earlier = sum(start <= number for start, _ in sequences)
        depth = image.with_name(f"{stem}.depth.png")
        files.append(
            FrameFiles(
                stamp_of(number + PAUSE * earlier),
                image,
                camera,
                read_pose(image.with_name(f"{stem}.pose.txt")),
                depth if depth.is_file() else None,
            )
        )
    if not files:
        raise TraversalError(f"{folder}: by split.txt, no frame of data/ is in the split {split!r}.")

    def read_depth(path: Path) -> NDArray[np.float32]:
        size = (camera.width, camera.height)
        depth = cv2.resize(read_depth_millimetres(path), size, interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(depth, np.float32)

    return FolderTraversal(str(folder), files, read_depth=read_depth)


FORMAT = Format(
    layout="data/frame-NNNNNN.color.jpg, info.txt and split.txt",
    recognise=is_twelve_scenes,
    open=open_twelve_scenes,
    content=(Content.POSES, Content.DEPTH),
    options=("split",),
)


def _images(folder: Path) -> list[Path]:
    return sorted((folder / "data").glob("frame-[0-9]*.color.jpg"), key=_number)


def _number(image: Path) -> int:
    digits = re.match(r"frame-(\d+)", image.name)
    assert digits is not None
    return int(digits[1])


def _camera(path: Path) -> Camera:
    """Reads the colour camera of lines like `m_colorWidth = 1296`."""
    try:
        lines = read_text(path, "description").splitlines()
        values = {key.strip(): value.split() for key, _, value in (line.partition("=") for line in lines)}
        K = np.array(values["m_calibrationColorIntrinsic"], np.float64).reshape(4, 4)
        width, height = (int(values[key][0]) for key in ("m_colorWidth", "m_colorHeight"))
        return Camera(width, height, *K[[0, 1, 0, 1], [0, 1, 2, 2]].tolist())
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise TraversalError(
            f"{path}: expected m_colorWidth, m_colorHeight and m_calibrationColorIntrinsic with 16 numbers "
            f"({type(error).__name__}: {error})."
        ) from error


def _sequences(path: Path) -> list[tuple[int, float]]:
    """Reads the first and the last frame of each sequence, in the file's order."""
    text = read_text(path, "list of sequences") if path.is_file() else ""
    found = re.findall(r"sequence\d+.*start\s*=\s*(\d+)\s*;\s*end\s*=\s*(\d+)", text)
    if not found:
        raise TraversalError(
            f"{path}: expected a line for each sequence, like `sequence0 [frames=357] [start=0 ; end=356]`."
        )
    return [(int(start), int(end)) for start, end in found]
