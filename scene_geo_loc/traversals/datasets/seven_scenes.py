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

"""The 7-Scenes dataset (Shotton et al., CVPR 2013) in its official layout.

A scene has folders `seq-01`, `seq-02`, ... of `frame-NNNNNN.color.png`, `.depth.png` (16 bits,
millimetres, 65535 unknown) and `.pose.txt` (4x4, camera to world), and `TrainSplit.txt` and
`TestSplit.txt` with lines like `sequence1`.

Colour and depth come from two cameras of a Kinect and are not registered to each other.  The poses are
those of the depth camera, f = 585, c = (320, 240).  Two interpretations are usual; `camera` selects one:

"color" (default): the colour image has its own camera, f = 525 and 25 mm to the right, as in scene
    coordinate regression (Brachmann et al., ICCV 2021).  The depth map is registered to it, and the
    poses are those of this camera.  It is the geometry of the device, and localizes best.
"depth": the colour image is used as if it were the depth camera's, as in Perspective-n-Learned-Point
    (Piasco et al., BMVC 2019) and most learned pose regression.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.geometry.registration import register_depth
from scene_geo_loc.traversals.folder import (
    FolderTraversal,
    FrameFiles,
    read_depth_millimetres,
    read_pose,
    stamp_of,
)
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.text import read_text

SPLITS = {"train": "TrainSplit.txt", "test": "TestSplit.txt"}
DEPTH_CAMERA = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
COLOR_CAMERA = Camera(640, 480, 525.0, 525.0, 320.0, 240.0)
T_DEPTH_COLOR = make_pose(np.eye(3), [0.025, 0.0, 0.0])
"""Pose of the colour camera in the depth camera: nominal values of the Kinect v1."""

PAUSE = 20
"""Gap between sequences in frames: 2 s, over which poses are not interpolated."""

_CAMERAS: dict[str, tuple[Camera, Pose]] = {
    "color": (COLOR_CAMERA, T_DEPTH_COLOR),
    "depth": (DEPTH_CAMERA, np.eye(4)),
}


def is_seven_scenes(folder: Path) -> bool:
    """Returns whether a folder is a scene, or one sequence of a scene."""
    return bool(_color_images(folder)) or any(_color_images(sequence) for sequence in _sequences(folder))


def open_seven_scenes(folder: Path, split: str | None = None, camera: str = "color") -> FolderTraversal:
    """Opens a scene, a split of it ("train" or "test"), or one of its sequences.

    Args:
        folder: folder of the scene or the sequence.
        split: "train" or "test"; None for all sequences.
        camera: "color" or "depth", see above.

    Raises:
        TraversalError: sequences are missing, or the split or camera is unknown.
    """
    if camera not in _CAMERAS:
        raise TraversalError(f"{folder}: no camera {camera!r}; 7-Scenes has {' and '.join(_CAMERAS)}.")
    intrinsics, T_depth_camera = _CAMERAS[camera]
    sequences = [folder] if _color_images(folder) else _sequences(folder)
    if split is not None:
        sequences = [folder / f"seq-{number:02d}" for number in _split(folder, split)]
    files = []
    number = 0
    for sequence in sequences:
        images = _color_images(sequence)
        if not images:
            raise TraversalError(
                f"{sequence}: no frame-NNNNNN.color.png here; the sequence is missing or empty."
            )
        for image in images:
            stem = image.name.split(".")[0]
            depth = sequence / f"{stem}.depth.png"
            T_map_depth = read_pose(sequence / f"{stem}.pose.txt")
            files.append(
                FrameFiles(
                    stamp_of(number),
                    image,
                    intrinsics,
                    None if T_map_depth is None else T_map_depth @ T_depth_camera,
                    depth if depth.is_file() else None,
                )
            )
            number += 1
        number += PAUSE
    read_depth: Callable[[Path], NDArray[np.float32]] = read_depth_millimetres
    if camera == "color":
        read_depth = _read_registered_depth
    return FolderTraversal(str(folder), files, read_depth=read_depth)


FORMAT = Format(
    layout="seq-NN/frame-NNNNNN.color.png with .pose.txt",
    recognise=is_seven_scenes,
    open=open_seven_scenes,
    content=(Content.POSES, Content.DEPTH),
    options=("camera", "split"),
)


def _read_registered_depth(path: Path) -> NDArray[np.float32]:
    return register_depth(read_depth_millimetres(path), DEPTH_CAMERA, COLOR_CAMERA, T_DEPTH_COLOR)


def _sequences(folder: Path) -> list[Path]:
    return sorted(sequence for sequence in folder.glob("seq-*") if sequence.is_dir())


def _color_images(sequence: Path) -> list[Path]:
    return sorted(sequence.glob("frame-*.color.*"))


def _split(folder: Path, split: str) -> list[int]:
    file = folder / SPLITS.get(split, "")
    if split not in SPLITS or not file.is_file():
        raise TraversalError(
            f"{folder}: no split {split!r}; 7-Scenes has {' and '.join(SPLITS)}, "
            f"in {' and '.join(SPLITS.values())} beside the sequences."
        )
    return sorted(int(number) for number in re.findall(r"sequence(\d+)", read_text(file, "split")))
