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

"""COLMAP models as text: `cameras.txt`, `images.txt`, and the photos in `images/`.

The model is beside `images/`, or in a folder beside it (`sparse/0`, `sparse`, ...).  Its scale, axes and
origin are arbitrary unless they were aligned: metres of such a map are the model's units.  Photos are
ordered by name.  COLMAP's pixels, with (0, 0) at the corner of the image, are converted to those of
`Camera`, with (0, 0) at the centre of the first pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, from_quaternion, inverse
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles, stamp_of
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.text import read_text

# By COLMAP's name: the parameters in order, the name in `Camera`, and the coefficients of `Camera`.
_MODELS = {
    "SIMPLE_PINHOLE": ("f cx cy", "none", ""),
    "PINHOLE": ("fx fy cx cy", "none", ""),
    "SIMPLE_RADIAL": ("f cx cy k1", "plumb_bob", "k1 k2 p1 p2"),
    "RADIAL": ("f cx cy k1 k2", "plumb_bob", "k1 k2 p1 p2"),
    "OPENCV": ("fx fy cx cy k1 k2 p1 p2", "plumb_bob", "k1 k2 p1 p2"),
    "FULL_OPENCV": ("fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6", "rational_polynomial", "k1 k2 p1 p2 k3 k4 k5 k6"),
    "SIMPLE_RADIAL_FISHEYE": ("f cx cy k1", "equidistant", "k1 k2 k3 k4"),
    "RADIAL_FISHEYE": ("f cx cy k1 k2", "equidistant", "k1 k2 k3 k4"),
    "OPENCV_FISHEYE": ("fx fy cx cy k1 k2 k3 k4", "equidistant", "k1 k2 k3 k4"),
}


def is_colmap(folder: Path) -> bool:
    """Returns whether a folder has a text model."""
    return _model(folder) is not None


def open_colmap(folder: Path) -> FolderTraversal:
    """Opens a model and its photos; without stamps, frames are 0.1 s apart.

    Raises:
        TraversalError: the model cannot be read, or has an unknown camera model.
    """
    model = _model(folder)
    assert model is not None
    return open_model(model, folder / "images" if (folder / "images").is_dir() else folder, str(folder))


def open_model(model: Path, photos: Path, name: str) -> FolderTraversal:
    """Opens the text model in a folder, whose photos are in another one, as a traversal with a name.

    Raises:
        TraversalError: see `open_colmap`.
    """
    cameras = dict(_read_cameras(model / "cameras.txt"))
    images = list(_read_images(model / "images.txt"))
    if not images:
        raise TraversalError(f"{model / 'images.txt'}: the model has no images.")
    files = []
    for i, (photo, camera, T_map_camera) in enumerate(sorted(images, key=itemgetter(0))):
        if camera not in cameras:
            raise TraversalError(f"{model / 'images.txt'}: {photo} has camera {camera}, not in cameras.txt.")
        files.append(FrameFiles(stamp_of(i), photos / photo, cameras[camera], T_map_camera))
    return FolderTraversal(name, files)


FORMAT = Format(
    layout="cameras.txt and images.txt (a binary model becomes text by `colmap model_converter`) and images/",
    recognise=is_colmap,
    open=open_colmap,
    content=(Content.POSES,),
)


def _model(folder: Path) -> Path | None:
    if not folder.is_dir():
        return None
    for candidate in (folder, folder / "sparse" / "0", *sorted(filter(Path.is_dir, folder.iterdir()))):
        if (candidate / "cameras.txt").is_file() and (candidate / "images.txt").is_file():
            return candidate
    return None


def _read_cameras(path: Path) -> Iterator[tuple[str, Camera]]:
    """Reads lines `CAMERA_ID MODEL WIDTH HEIGHT PARAMS...`."""
    for i, line in _lines(path):
        if not line.strip():
            continue
        words = line.split()
        try:
            yield words[0], camera_of_words(words[1:])
        except (ValueError, KeyError, IndexError) as error:
            raise TraversalError(
                f"{path}, line {i}: expected `CAMERA_ID MODEL WIDTH HEIGHT PARAMS...` with a model of "
                f"{', '.join(_MODELS)}, found {line.strip()[:80]!r}."
            ) from error


def camera_of_words(words: Sequence[str]) -> Camera:
    """Returns the camera of the words MODEL WIDTH HEIGHT PARAMS...

    Raises KeyError, IndexError or ValueError where they are no camera of a known model.
    """
    names, model, order = _MODELS[words[0]]
    values = dict(zip(names.split(), map(float, words[3:]), strict=True))
    f = values.get("f", 0.0)
    return Camera(
        int(words[1]),
        int(words[2]),
        values.get("fx", f),
        values.get("fy", f),
        values["cx"] - 0.5,
        values["cy"] - 0.5,
        model,
        tuple(values.get(name, 0.0) for name in order.split()),
    )


def _read_images(path: Path) -> Iterator[tuple[str, str, Pose | None]]:
    """Reads name, camera and pose of each image: `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`.

    Every other line has the features of the image and may be empty, or the model was written without these
    lines: then all lines are of images.
    """
    lines = list(_lines(path))
    if any(_is_image(line) for _, line in lines[1::2]):
        lines = [(i, line) for i, line in lines if line.strip()]
    else:
        lines = lines[::2]
    for i, line in lines:
        words = line.split(maxsplit=9)
        try:
            qw, qx, qy, qz, tx, ty, tz = (float(word) for word in words[1:8])
            camera, name = words[8:]
        except ValueError as error:
            raise TraversalError(
                f"{path}, line {i}: expected `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`, "
                f"found {line.strip()[:80]!r}."
            ) from error
        try:
            yield name.strip(), camera, inverse(from_quaternion((tx, ty, tz), (qx, qy, qz, qw)))
        except ValueError:
            yield name.strip(), camera, None


def _is_image(line: str) -> bool:
    """Returns whether a line is that of an image, not one of features `X Y POINT3D_ID ...`."""
    words = line.split(maxsplit=9)
    if len(words) < 10:
        return False
    try:
        float(words[9].split()[0])
    except ValueError:
        return words[0].isdigit() and words[8].isdigit()
    return len(words[9].split()) == 1 and words[0].isdigit() and abs(_norm(words[1:5]) - 1) < 0.01


def _norm(words: Sequence[str]) -> float:
    return math.sqrt(sum(float(word) ** 2 for word in words))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Returns the lines of a file that are no comments, with their numbers."""
    lines = read_text(path, "model").rstrip().splitlines()
    return ((i, line) for i, line in enumerate(lines, 1) if not line.startswith("#"))
