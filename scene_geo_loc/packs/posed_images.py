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

"""Posed images: images of known pose, with depth where it is known, for training depth, matching and places.

A folder of memory-mapped arrays, made once from any traversals: bags, RobotCar, 7-Scenes, the simulator's.
Images are undistorted and have the size of the network's input, so that views can be warped into one another
by pinhole geometry.

| file | holds |
|---|---|
| posed_images.json | format, version, traversals, cameras |
| images.npy | (N, H, W, 3) uint8 RGB |
| depth.npy | (N, H, W) float16 metres, NaN where unknown |
| poses.npy | (N, 4, 4) float64 T_map_camera |
| sources.npy | (N,) int32, the traversal of each |
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.core.growing_array import GrowingArray
from scene_geo_loc.core.partial import PartialFolder, check_replaceable
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.depth.lidar_views import choose_window, lidar_views
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.networks.runtime.extractor import has_contrast
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.holes import without_holes
from scene_geo_loc.traversals.skipped import Skipped

KIND = "folder of posed images"
FORMAT = FileFormat("scene_geo_loc posed images", 1, again="remove the folder, and it is made again")
INFO = "posed_images.json"
_ARRAYS = ("images", "depth", "poses", "sources")


class PosedImages:
    """Images of known pose.

    Attributes:
        folder: of the arrays.
        images: (N, H, W, 3) uint8 RGB, memory-mapped.
        depth: (N, H, W) float16 metres, NaN where unknown, memory-mapped.
        T_map_camera: (N, 4, 4).
        sources: (N,) number of the traversal of each image.
        K: (N, 4) fx, fy, cx, cy in pixels of the images.
    """

    def __init__(self, folder: Path) -> None:
        """Opens a folder. Raises SceneGeoLocError if it is missing, damaged or of another format."""
        self.folder = Path(folder)
        try:
            info = json.loads(regular(self.folder / INFO).read_text())
            FORMAT.check(info, self.folder / INFO)
            self.images, self.depth, self.T_map_camera, self.sources = (
                np.load(regular(self.folder / f"{name}.npy"), mmap_mode="r", allow_pickle=False)
                for name in _ARRAYS
            )
            self.K: NDArray[np.float64] = np.array(info["cameras"])[np.array(info["camera"])]
        except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, OverflowError) as error:
            raise SceneGeoLocError(
                f"{folder} is damaged ({reason_of(error)}): remove it, and it is made again."
            ) from error
        self.made_of: str = info["made_of"]

    def __len__(self) -> int:
        return len(self.images)

    def neighbours(self, i: int, baseline_m: float, count: int, same_source: bool) -> NDArray[np.intp]:
        """Returns images that overlap with an image, those with a distance closest to `baseline_m` first.

        Their cameras are between a quarter and four times `baseline_m` away and turned by less than
        `MAX_TURN_DEG`.

        Args:
            i: number of the image.
            baseline_m: preferred distance between the cameras.
            count: largest number of images.
            same_source: only images of the same traversal, in which light and objects are the same.
        """
        apart = np.linalg.norm(self.T_map_camera[:, :3, 3] - self.T_map_camera[i, :3, 3], axis=1)
        cosine = self.T_map_camera[:, :3, 2] @ self.T_map_camera[i, :3, 2]
        near = (apart > baseline_m / 4) & (apart < 4 * baseline_m) & (cosine > _MIN_COSINE)
        if same_source:
            near &= self.sources == self.sources[i]
        chosen = np.flatnonzero(near)
        return chosen[np.argsort(np.abs(np.log(apart[chosen] / baseline_m)), kind="stable")[:count]]


class PosedPairs:
    """The posed images that have depth, to validate inferred depth."""

    def __init__(self, images: PosedImages) -> None:
        """Raises SceneGeoLocError if no image has depth."""
        self._images = images
        self._usable = [i for i in range(len(images)) if np.isfinite(images.depth[i]).any()]
        if not self._usable:
            raise SceneGeoLocError(
                f"{images.made_of}: no image has depth to validate by: name another source."
            )

    def __len__(self) -> int:
        return len(self._usable)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        for i in self._usable:
            yield np.array(self._images.images[i]), self._images.depth[i].astype(np.float32)


MAX_TURN_DEG = 25.0
_MIN_COSINE = float(np.cos(np.radians(MAX_TURN_DEG)))


def pack_posed_images(
    traversals: Sequence[Traversal],
    folder: Path,
    size: tuple[int, int],
    on_progress: ProgressCallback = ignore_progress,
) -> PosedImages:
    """Opens the posed images of traversals, and makes them first if they are missing.

    The depth is that of the frames, else dense depth from the traversal's lidar, else unknown.  Frames
    without a pose and frames without contrast are left out.

    Args:
        traversals: at least one; their poses are in one map.
        folder: of the arrays.
        size: width and height of the images.
        on_progress: receives the frames done and their total.

    Raises SceneGeoLocError if the folder holds other images or cannot be written, or if no frame is usable.
    """
    folder = Path(folder)
    made_of = (
        f"{', '.join(f'{each.name} ({len(each)} frames)' for each in traversals)} at {size[0]}x{size[1]}"
    )
    if (folder / INFO).is_file():
        existing = PosedImages(folder)
        if existing.made_of != made_of:
            raise SceneGeoLocError(
                f"{folder} holds images of {existing.made_of}, not of {made_of}: name another folder."
            )
        return existing

    def check_empty(folder: Path) -> None:
        check_replaceable(folder, KIND, lambda _: False, ())

    if os.path.lexists(folder):
        check_empty(folder)
    partial = PartialFolder(folder, KIND)
    try:
        partial.begin()
        partial.restart()  # what a killed process left cannot be continued
        _write(traversals, partial.folder, size, made_of, on_progress)
        partial.publish(check_empty)
    except OSError as error:
        raise SceneGeoLocError(
            f"{folder} cannot be written ({reason_of(error)}): name another folder."
        ) from error
    finally:
        partial.discard()
    return PosedImages(folder)


def _write(
    traversals: Sequence[Traversal],
    folder: Path,
    size: tuple[int, int],
    made_of: str,
    on_progress: ProgressCallback,
) -> None:
    width, height = size
    total, done = sum(map(len, traversals)), 0
    cameras: dict[tuple[float, ...], int] = {}
    camera_of: list[int] = []
    poses: list[NDArray[np.float64]] = []
    sources: list[int] = []
    images = GrowingArray(folder / "images.npy", (height, width, 3), np.uint8)
    depth = GrowingArray(folder / "depth.npy", (height, width), np.float16)
    for source, traversal in enumerate(traversals):
        for frame, depth_m in _with_depth(traversal):
            done += 1
            if frame.T_map_camera is None or not has_contrast(frame.image, frame.visible):
                continue
            pixels = frame.image
            if frame.visible is not None:  # else a network would learn the outlines of holes
                pixels = without_holes(pixels, frame.visible)
            image, of_image, camera = undistorted(pixels, depth_m, frame.camera, size)
            images.append(image)
            depth.append(of_image.astype(np.float16))
            K = (camera.fx, camera.fy, camera.cx, camera.cy)
            camera_of.append(cameras.setdefault(K, len(cameras)))
            poses.append(frame.T_map_camera)
            sources.append(source)
            on_progress(min(done, total), total)
    images.close()
    depth.close()
    if not poses:
        names = ", ".join(traversal.name for traversal in traversals)
        raise SceneGeoLocError(f"{names}: there is no image with a pose to train on; name a source of poses.")
    np.save(folder / "poses.npy", np.stack(poses))
    np.save(folder / "sources.npy", np.array(sources, np.int32))
    info = {**FORMAT.header, "made_of": made_of}
    write_json(folder / INFO, {**info, "cameras": list(cameras), "camera": camera_of})


def _with_depth(traversal: Traversal) -> Iterator[tuple[Frame, NDArray[np.float32] | None]]:
    """Yields frames, each with its depth (H, W): from the sensor, else from lidar, else None."""
    first = next(traversal.frames(), None)
    if first is None or first.depth is not None or next(traversal.scans(), None) is None:
        yield from ((frame, frame.depth) for frame in traversal.frames())
        return
    window = choose_window(traversal)
    yield from ((view.frame, view.dense(window)) for view in lidar_views(traversal, window, Skipped()))


def undistorted(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32] | None,
    camera: Camera,
    size: tuple[int, int],
) -> tuple[NDArray[np.uint8], NDArray[np.float32], Camera]:
    """Converts an image and its depth to those of a pinhole camera of another size.

    Args:
        image: RGB (H, W, 3).
        depth: (h, w) metres of the same view, NaN where unknown, of any size; None: unknown.
        camera: of the image.
        size: width and height of the result.

    Returns:
        The image, the depth, NaN where unknown or from beyond the image, and the camera without distortion.
    """
    width, height = size
    pinhole = Camera(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy).resized(
        width, height
    )
    if depth is None:
        depth = np.full((height, width), np.nan, np.float32)
    if not camera.is_distorted:
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        near = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return small, np.asarray(near, np.float32), pinhole
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    taken = camera.resized(width, height).project(pinhole.rays(pixels))
    maps = taken.astype(np.float32).reshape(height, width, 2)
    # Resized first, by areas: sampling the large image would alias.
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    near = np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
    moved = cv2.remap(small, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    unknown = (float("nan"),)
    far = cv2.remap(near, maps[..., 0], maps[..., 1], cv2.INTER_NEAREST, borderValue=unknown)
    return np.asarray(moved, np.uint8), np.asarray(far, np.float32), pinhole
