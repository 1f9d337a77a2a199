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

"""Plain folders of RGB-D frames: `images/`, `depth/`, `K.txt`, `poses.txt`, and `frames.txt`.

`K.txt` is the 3x3 intrinsic matrix.  Line i of `poses.txt` is the 4x4 pose of camera i in the map, 16
numbers row by row.  Line i of `frames.txt` names the files of frame i; without it, all images are used
in order of the numbers in their names, 9 before 10.  Depth is 16-bit PNG in millimetres.
"""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.folder import (
    FolderTraversal,
    FrameFiles,
    natural_order,
    pose_of,
    read_depth_millimetres,
    read_numbers,
    size_of,
    stamp_of,
)
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.text import read_text

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def is_rgbd_folder(folder: Path) -> bool:
    """Returns whether a folder has this layout."""
    return (folder / "images").is_dir() and (folder / "K.txt").is_file() and (folder / "poses.txt").is_file()


def open_rgbd_folder(folder: Path) -> FolderTraversal:
    """Opens a folder of RGB-D frames; without stamps, frames are 0.1 s apart.

    Raises:
        TraversalError: files are missing, or the numbers of poses and frames differ.
    """
    listed = folder / "frames.txt"
    if listed.is_file():
        names = read_text(listed, "list of images").split()
    else:
        found = (file.name for file in (folder / "images").iterdir())
        names = sorted((name for name in found if name.lower().endswith(IMAGE_SUFFIXES)), key=natural_order)
    poses = read_numbers(folder / "poses.txt", 16)
    if len(poses) != len(names) or not names:
        raise TraversalError(
            f"{folder}: {len(names)} frames and {len(poses)} poses; poses.txt needs one line for each frame."
        )
    K = read_numbers(folder / "K.txt", 3).tolist()
    width, height = size_of(folder / "images" / name for name in names)
    try:
        camera = Camera(width, height, K[0][0], K[1][1], K[0][2], K[1][2])
    except (ValueError, IndexError) as error:
        raise TraversalError(f"{folder / 'K.txt'}: invalid intrinsics ({error}).") from error
    files = []
    for i, name in enumerate(names):
        depth = (folder / "depth" / name).with_suffix(".png")
        files.append(
            FrameFiles(
                stamp_of(i),
                folder / "images" / name,
                camera,
                pose_of(poses[i]),
                depth if depth.is_file() else None,
            )
        )
    return FolderTraversal(str(folder), files, read_depth=read_depth_millimetres)


FORMAT = Format(
    layout="images/, K.txt and poses.txt",
    recognise=is_rgbd_folder,
    open=open_rgbd_folder,
    content=(Content.POSES, Content.DEPTH),
)
