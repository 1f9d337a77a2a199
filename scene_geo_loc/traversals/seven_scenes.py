"""The 7-Scenes dataset (Shotton et al., CVPR 2013) in its official layout.

A scene has folders `seq-01`, `seq-02`, ... of `frame-NNNNNN.color.png`, `.depth.png` (16 bits,
millimetres, 65535 unknown) and `.pose.txt` (4x4, camera to world), and `TrainSplit.txt` and
`TestSplit.txt` with lines like `sequence1`.  One camera: f = 585, c = (320, 240), 640x480.
The depth is that of the depth camera; the dataset gives no registration to the colour camera and
takes them for one.
"""

from __future__ import annotations

import re
from pathlib import Path

from scene_geo_loc.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.folder import (
    FolderTraversal,
    FrameFiles,
    pose_of,
    read_depth_millimetres,
    read_numbers,
    stamp_of,
)

LAYOUT = "seq-NN/frame-NNNNNN.color.png with .pose.txt"
CAMERA = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
SPLITS = {"train": "TrainSplit.txt", "test": "TestSplit.txt"}

_PAUSE = 20
"""Frames left out between sequences: 2 s, too long for poses to be interpolated from one to the next."""


def is_seven_scenes(folder: Path) -> bool:
    """Whether a folder is a scene, or one sequence of a scene."""
    return bool(_colour_images(folder)) or any(_colour_images(sequence) for sequence in _sequences(folder))


def open_seven_scenes(folder: Path, split: str | None = None) -> FolderTraversal:
    """Opens a scene, a split of it ("train" or "test"), or one of its sequences.

    Raises:
        TraversalError: there are no sequences, or no such split.
    """
    sequences = [folder] if _colour_images(folder) else _sequences(folder)
    if split is not None:
        sequences = [folder / f"seq-{number:02d}" for number in _split(folder, split)]
    files = []
    number = 0
    for sequence in sequences:
        images = _colour_images(sequence)
        if not images:
            raise TraversalError(
                f"{sequence}: no frame-NNNNNN.color.png here; the sequence is missing or empty."
            )
        for image in images:
            stem = image.name.split(".")[0]
            depth, pose = sequence / f"{stem}.depth.png", sequence / f"{stem}.pose.txt"
            files.append(
                FrameFiles(
                    stamp_of(number),
                    image,
                    CAMERA,
                    pose_of(read_numbers(pose, 4)) if pose.is_file() else None,
                    depth if depth.is_file() else None,
                )
            )
            number += 1
        number += _PAUSE
    return FolderTraversal(str(folder), files, read_depth=read_depth_millimetres)


def _sequences(folder: Path) -> list[Path]:
    return sorted(sequence for sequence in folder.glob("seq-*") if sequence.is_dir())


def _colour_images(sequence: Path) -> list[Path]:
    return sorted(sequence.glob("frame-*.color.*"))


def _split(folder: Path, split: str) -> list[int]:
    file = folder / SPLITS.get(split, "")
    if split not in SPLITS or not file.is_file():
        raise TraversalError(
            f"{folder}: no split {split!r}; 7-Scenes has {' and '.join(SPLITS)}, "
            f"in {' and '.join(SPLITS.values())} beside the sequences."
        )
    return sorted(int(number) for number in re.findall(r"sequence(\d+)", file.read_text()))
