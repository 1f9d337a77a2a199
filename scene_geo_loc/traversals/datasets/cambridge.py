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

"""The Cambridge Landmarks dataset (Kendall et al., "PoseNet", ICCV 2015) in its official layout.

A scene has folders `seq1`, `seq2`, ... of frames of videos, 1920x1080, and `dataset_train.txt` and
`dataset_test.txt`: three lines of header, then `file x y z qw qx qy qz`, the position of the camera in metres
and the rotation from the world to the camera.  `reconstruction.nvm` of VisualSFM has the focal length and the
radial distortion of each image; images that it lacks get f = 1670, which Perspective-n-Learned-Point
(Piasco et al., BMVC 2019) uses for all.  Axes and origin of the map are those of the reconstruction.

VisualSFM removes distortion by a polynomial of the measured radius, r_u = r_d (1 + k r_d^2), whereas
`Camera` adds it by one of the ideal radius: the inverse series to the seventh order,
1 - k r^2 + 3 k^2 r^4 - 12 k^3 r^6, within 0.1 pixel at the corners while |k| < 0.08.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, from_quaternion
from scene_geo_loc.traversals.datasets.seven_scenes import PAUSE
from scene_geo_loc.traversals.folder import (
    FolderTraversal,
    FrameFiles,
    natural_order,
    size_of,
    stamp_of,
)
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.text import read_text

SPLITS = {"train": "dataset_train.txt", "test": "dataset_test.txt"}

_WIDTH, _HEIGHT = 1920, 1080
_FOCAL_LENGTH = 1670.0
_HEADER_LINES = 3


def is_cambridge(folder: Path) -> bool:
    """Returns whether a folder is a scene of the dataset."""
    return any((folder / file).is_file() for file in SPLITS.values())


def open_cambridge(folder: Path, split: str | None = None) -> FolderTraversal:
    """Opens a scene, or a split of it ("train" or "test").

    Images of another size are used as they are, with resized cameras.

    Raises:
        TraversalError: a list or the reconstruction cannot be read, or the split is unknown.
    """
    if split is not None and split not in SPLITS:
        raise TraversalError(f"{folder}: no split {split!r}; Cambridge Landmarks has {' and '.join(SPLITS)}.")
    listed: dict[str, Pose | None] = {}
    for file in [SPLITS[split]] if split is not None else SPLITS.values():
        listed.update(_read_list(folder / file))
    names = sorted(listed, key=natural_order)
    if not names:
        raise TraversalError(f"{folder}: the lists of images are empty.")
    cameras = _read_cameras(folder / "reconstruction.nvm")
    size = size_of(folder / name for name in names)
    files = []
    number = 0
    for before, name in zip([names[0], *names], names, strict=False):
        if Path(before).parent != Path(name).parent:
            number += PAUSE
        focal_length, distortion = cameras.get(name.rpartition(".")[0], (_FOCAL_LENGTH, 0.0))
        camera = _camera(focal_length, distortion).resized(*size)
        files.append(FrameFiles(stamp_of(number), folder / name, camera, listed[name]))
        number += 1
    return FolderTraversal(str(folder), files)


FORMAT = Format(
    layout="dataset_train.txt, dataset_test.txt, reconstruction.nvm and seqN/*.png",
    recognise=is_cambridge,
    open=open_cambridge,
    content=(Content.POSES,),
    options=("split",),
)


def _camera(f: float, k: float) -> Camera:
    coefficients = (-k, 3 * k**2, 0.0, 0.0, -12 * k**3) if k else ()
    model = "plumb_bob" if k else "none"
    return Camera(_WIDTH, _HEIGHT, f, f, _WIDTH / 2, _HEIGHT / 2, model, coefficients)


def _read_list(path: Path) -> Iterator[tuple[str, Pose | None]]:
    """Yields names of images with their poses; None for a pose that is not finite."""
    lines = read_text(path, "list of images").splitlines()
    for i, line in enumerate(lines[_HEADER_LINES:], _HEADER_LINES + 1):
        if not line.strip():
            continue
        name, *words = line.split()
        try:
            x, y, z, qw, qx, qy, qz = (float(word) for word in words)
        except ValueError as error:
            raise TraversalError(
                f"{path}, line {i}: expected `file x y z qw qx qy qz`, found {line.strip()[:80]!r}."
            ) from error
        try:
            # Conjugate: from the camera to the world.
            yield name, from_quaternion((x, y, z), (-qx, -qy, -qz, qw))
        except ValueError:
            yield name, None


def _read_cameras(path: Path) -> dict[str, tuple[float, float]]:
    """Reads focal length in pixels and radial distortion of each image, by its name without suffix.

    Only the cameras of the file's first model (NVM_V3) are read; they precede its points.
    """
    if not path.is_file():
        return {}
    cameras: dict[str, tuple[float, float]] = {}
    count = None
    with path.open(errors="replace") as file:
        if not file.readline().startswith("NVM_V3"):
            raise TraversalError(f"{path}: expected a reconstruction that begins with NVM_V3.")
        for i, line in enumerate(file, 2):
            words = line.split()
            if not words:
                continue
            try:
                if count is None:
                    (count,) = (int(word) for word in words)
                else:
                    cameras[words[0].rpartition(".")[0]] = float(words[1]), float(words[9])
            except (ValueError, IndexError) as error:
                raise TraversalError(
                    f"{path}, line {i}: expected a camera, `file f qw qx qy qz x y z k 0`, "
                    f"found {line.strip()[:80]!r}."
                ) from error
            if len(cameras) == count:
                return cameras
    raise TraversalError(f"{path}: expected {count} cameras, found {len(cameras)}; the file is truncated.")
