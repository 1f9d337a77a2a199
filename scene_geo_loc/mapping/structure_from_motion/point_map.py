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

"""The points of a place with their descriptors, sorted by visual words.

| file | part | contents |
|---|---|---|
| points.safetensors | metadata `scene_geo_loc_points` | JSON: `Description` |
| | `centre` | (3,) float64, of the points in the map, metres |
| | `points` | (P, 3) float32, from the centre |
| | `sigma` | (P, 3) float32, shift of a point by a standard deviation along its least certain axis, metres |
| | `first_seen`, `seen_by` | (P + 1,) uint32 and (O,) uint32, keyframes that each point was seen by |
| | `words` | (K, 128) float16, the vocabulary |
| | `first_entry`, `entry_point` | (K + 1,) uint32 and (E,) uint32, points that show each word |
| point_descriptors.npy | | (E, 128) uint8, mean SIFT histogram of the point's features of that word |
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scene_geo_loc.core.atomic import write_aside, written_aside
from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.mapping.map_info import POINT_DESCRIPTORS, POINTS
from scene_geo_loc.mapping.structure_from_motion.reconstruction import MatchedImages, Reconstruction
from scene_geo_loc.visual_words.features import LENGTH
from scene_geo_loc.visual_words.words import Words, root_sift

FORMAT = FileFormat("scene_geo_loc points", 1, again="reconstruct the place again", error=MapError)
METADATA_KEY = "scene_geo_loc_points"
ENTRIES_PER_WORD = 40
"""Descriptors that a word has on average."""
PIXEL_STD = 1.0
"""Standard deviation of a feature along each axis of the image, pixels at the working size."""
_ARRAYS = {
    "centre": np.float64,
    "points": np.float32,
    "sigma": np.float32,
    "first_seen": np.uint32,
    "seen_by": np.uint32,
    "words": np.float16,
    "first_entry": np.uint32,
    "entry_point": np.uint32,
}


class Description(BaseModel):
    """Description of the points of a place.

    Attributes:
        image_width: largest width at which images are read, pixels.
        features: largest number of features of an image.
        error_px: mean reprojection error of the points.
        track_length: mean number of images that show a point.
        provenance: where the points come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = FORMAT.name
    format_version: int = FORMAT.version
    image_width: int = Field(ge=16, le=1 << 14)
    features: int = Field(ge=1, le=1 << 20)
    error_px: float
    track_length: float
    provenance: dict[str, Any] = {}


@dataclass(frozen=True)
class PointMap:
    """Points with their descriptors by visual words.

    Attributes:
        description: of the points.
        centre: (3,) metres in the map.
        points: (P, 3) metres from the centre.
        sigma: (P, 3) metres, shift by a standard deviation along the least certain axis.
        first_seen, seen_by: keyframes of point p are `seen_by[first_seen[p]:first_seen[p + 1]]`.
        words: the vocabulary.
        first_entry, entry_point: points of word w are `entry_point[first_entry[w]:first_entry[w + 1]]`.
        descriptors: (E, 128) uint8 SIFT histograms of the entries.
    """

    description: Description
    centre: NDArray[np.float64]
    points: NDArray[np.float32]
    sigma: NDArray[np.float32]
    first_seen: NDArray[np.int64]
    seen_by: NDArray[np.int64]
    words: Words
    first_entry: NDArray[np.int64]
    entry_point: NDArray[np.int64]
    descriptors: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def make(cls, found: Reconstruction, images: MatchedImages, description: Description) -> PointMap:
        """Returns the points of a reconstruction with the descriptors of the features that show them."""
        histograms = np.concatenate(
            [
                images.features[i].histograms[found.track_feature[found.track_image == i]]
                for i in range(len(images.features))
            ]
        )
        # In the order of the images, as the histograms are.
        by_image = np.argsort(found.track_image, kind="stable")
        point = found.track_point[by_image]
        words = Words.fit(histograms, max(1, len(histograms) // ENTRIES_PER_WORD))
        if len(words) == 0:
            words = Words(root_sift(histograms[:1]).astype(np.float16))
        word = words.nearest(root_sift(histograms))
        keys, entry, counts = np.unique(
            word * len(found.points) + point, return_inverse=True, return_counts=True
        )
        total = np.zeros((len(keys), LENGTH), np.float32)
        np.add.at(total, entry.ravel(), histograms.astype(np.float32))
        order = np.lexsort((found.track_image, found.track_point))
        centre = found.points.mean(axis=0)
        return cls(
            description,
            centre,
            (found.points - centre).astype(np.float32),
            uncertain_axes(found, images).astype(np.float32),
            _starts(found.track_point[order], len(found.points)),
            found.track_image[order],
            words,
            _starts(keys // len(found.points), len(words)),
            keys % len(found.points),
            np.rint(total / counts[:, None]).astype(np.uint8),
        )

    @cached_property
    def entry_of_point(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The entries in the order of their points, and where those of each point begin (P + 1,)."""
        order = np.argsort(self.entry_point, kind="stable")
        return order, _starts(self.entry_point[order], len(self))

    def save_points(self, path: Path) -> None:
        """Writes all but the descriptors."""
        arrays: dict[str, NDArray] = {
            name: np.ascontiguousarray(self.words.centres if name == "words" else getattr(self, name), dtype)
            for name, dtype in _ARRAYS.items()
        }
        write_aside(path, save(arrays, {METADATA_KEY: self.description.model_dump_json()}))

    def save_descriptors(self, path: Path) -> None:
        """Writes the descriptors."""
        with written_aside(path) as aside, aside.open("wb") as file:
            np.save(file, self.descriptors, allow_pickle=False)

    @classmethod
    def read(cls, folder: Path) -> PointMap:
        """Reads the points of a map; the descriptors stay on the disk.

        Raises MapError where a file is missing, damaged or of a newer format.
        """
        path = folder / POINTS
        try:
            with safe_open(str(regular(path)), framework="numpy") as file:
                values = json.loads((file.metadata() or {}).get(METADATA_KEY, "null"))
                FORMAT.check(values, path)
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
            description = Description.model_validate(values)
            descriptors = np.load(regular(folder / POINT_DESCRIPTORS), mmap_mode="r", allow_pickle=False)
            _check(arrays, descriptors)
        except MapError:
            raise
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, ValidationError) as error:
            raise MapError(f"{path} is damaged ({reason_of(error)}): {FORMAT.again}.") from error
        indices = ("first_seen", "seen_by", "first_entry", "entry_point")
        wide = {name: arrays[name].astype(np.int64) for name in indices}
        return cls(
            description,
            arrays["centre"],
            arrays["points"],
            arrays["sigma"],
            wide["first_seen"],
            wide["seen_by"],
            Words(arrays["words"]),
            wide["first_entry"],
            wide["entry_point"],
            np.asarray(descriptors),
        )


def uncertain_axes(found: Reconstruction, images: MatchedImages) -> NDArray[np.float64]:
    """Returns shifts (P, 3) of the points by a standard deviation along their least certain axes, metres.

    A point's covariance is the inverse of the information of its features' pixels, whose standard deviation
    is `PIXEL_STD`.
    """
    T_camera_map = inverse(found.T_map_camera)
    rotations = T_camera_map[found.track_image, :3, :3]
    local = np.einsum("oij,oj->oi", rotations, found.points[found.track_point])
    local += T_camera_map[found.track_image, :3, 3]
    focal = np.array([(camera.fx, camera.fy) for camera in images.cameras])[found.track_image]
    depth = np.maximum(local[:, 2], 1e-3)
    by_local = np.zeros((len(local), 2, 3))
    by_local[:, 0, 0], by_local[:, 1, 1] = (focal / depth[:, None]).T
    by_local[:, :, 2] = -focal * local[:, :2] / depth[:, None] ** 2
    J = by_local @ rotations / PIXEL_STD
    information = np.zeros((len(found.points), 3, 3))
    np.add.at(information, found.track_point, np.swapaxes(J, 1, 2) @ J)
    values, vectors = np.linalg.eigh(information)
    return np.asarray(vectors[:, :, 0] / np.sqrt(np.maximum(values[:, :1], 1e-9)))


def _starts(sorted_numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Returns where each number below `count` begins in a sorted array, and its end (count + 1,)."""
    return np.searchsorted(sorted_numbers, np.arange(count + 1)).astype(np.int64)


def _check(arrays: dict[str, NDArray], descriptors: NDArray) -> None:
    """Raises ValueError where the arrays do not fit each other."""
    points, entries, words = len(arrays["points"]), len(arrays["entry_point"]), len(arrays["words"])
    shapes = {
        "centre": (3,),
        "points": (points, 3),
        "sigma": (points, 3),
        "first_seen": (points + 1,),
        "seen_by": arrays["seen_by"].shape[:1],
        "words": (words, LENGTH),
        "first_entry": (words + 1,),
        "entry_point": (entries,),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != _ARRAYS[name]:
            raise ValueError(f"{name} has the shape {arrays[name].shape} of {arrays[name].dtype}")
    if descriptors.shape != (entries, LENGTH) or descriptors.dtype != np.uint8:
        raise ValueError(f"the descriptors have the shape {descriptors.shape} of {descriptors.dtype}")
    if points == 0 or words == 0:
        raise ValueError("there are no points")
    for starts, items in (("first_seen", "seen_by"), ("first_entry", "entry_point")):
        steps = np.diff(arrays[starts].astype(np.int64))
        if arrays[starts][0] != 0 or (steps < 0).any() or arrays[starts][-1] != len(arrays[items]):
            raise ValueError(f"{starts} does not fit {items}")
    if entries and arrays["entry_point"].max() >= points:
        raise ValueError("an entry is of a point that there is not")
    if not all(np.isfinite(arrays[name]).all() for name in ("centre", "points", "sigma", "words")):
        raise ValueError("a point is not finite")
