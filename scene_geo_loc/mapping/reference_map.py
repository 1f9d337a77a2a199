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

"""The reference map: a folder that opens in milliseconds, independent of its size.

| file | contents |
|---|---|
| map.json | version, map frame, cameras, provenance, size and SHA-256 of each file, digest of its own |
| keyframes.parquet | one row per keyframe: stamp, pose, camera, name, source of depth, thumbnail, geo-tag |
| index.faiss | the index over the (N, D) unit global descriptors, which holds them as float16 |
| descriptor_codes.faiss | codes of descriptors, in place of index.faiss; large maps, see `CompressedIndex` |
| global_descriptors.npy | (N, D) float16, these descriptors |
| keyframe_rows.npy | (N,) of `keyframe_table.ROW`, short columns of keyframes.parquet; large maps |
| tiles.npy, tile_keyframes.npy | keyframes by tiles, see `Tiles`; large maps |
| local_features.npy | the directions of F features; see `FeatureStorage.arrays` and below |
| cells.npy | (N, F) uint16, cells of the features, row by row; matcher "encoder" only, not in versions 1, 2 |
| coarse_features.npy | (N, F', C') int8, features of the late map; matcher "encoder" only, not in version 1 |
| keypoints.npy | (N, F, 2) uint16, places of the features in the image; matchers of keypoints only |
| depth.npy | (N, F) float16 metres at the features, NaN where unknown |
| depth_sigma.npy | (N, F) float16, relative standard deviations of the depth; only where it is refined |
| thumbnails.bin | JPEG pictures, one after the other |
| network.safetensors | the network that made descriptors and features |
| matcher.safetensors | weights of the matcher, if it has any |
| place_keypoints.npy | (N, P, B) uint8, the P best keypoints, see `place_keypoints`; not in all maps |
| descriptor.safetensors | a user's network that made the descriptors; only where there is one |
| vocabulary.safetensors | visual words that made the descriptors, of maps with such |
| word_index.safetensors | the index over these descriptors, in place of index.faiss, see `InvertedFile` |
| co_similarity.safetensors | keyframes that look alike and are near each other; older maps have none |
| pair_matcher.safetensors | a user's network that matches keypoints; only where there is one |

local_features.npy of uint8 is (N, F, C/2): two numbers a byte, the first in the lower four bits, plus 8.
Else it is (N, F, C) int8.  Versions 1 and 2 have the features of all cells, and
descriptors.npy, (N, D) float16, which is not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.mapping.keyframe_table import (
    KeyframePoses,
    check_schema,
    map_rows,
    poses_of,
    read_table,
    rows_of,
    text_of,
)
from scene_geo_loc.mapping.localizer_names import RETRIEVAL
from scene_geo_loc.mapping.map_info import (
    CO_SIMILARITY,
    DESCRIPTOR,
    FORMAT,
    KEYFRAME_ROWS,
    KEYFRAME_SCHEMA,
    KEYFRAMES,
    MATCHER_ARRAYS,
    PAIR_MATCHER,
    PARTLY_READ_IF_LARGE,
    PLACE_KEYPOINTS,
    READ_WHOLE,
    THUMBNAILS,
    TILE_KEYFRAMES,
    TILES,
    VOCABULARY,
    MapInfo,
    read_info,
    sha256_of,
)
from scene_geo_loc.mapping.search.co_similarity import CoSimilarity
from scene_geo_loc.mapping.search.stored_index import read_index
from scene_geo_loc.mapping.search.tiles import Tiles
from scene_geo_loc.mapping.search.vector_index import VectorIndex

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_THUMBNAIL_SIDE = 4096
"""Pixels; a larger picture is damaged, and decoding it might take all memory."""


class AnyMap:
    """A map of any localizer: its description, its files, and the poses and cameras of its keyframes.

    Only a map for retrieval has features of its keyframes, see `ReferenceMap`; another may have no keyframes.

    Attributes:
        path: the folder.
        info: contents of map.json.
        map_frame: id of the frame that poses are given in.
        cameras: the cameras of the keyframes.
        T_map_camera: (N, 4, 4) float64; of a large map `KeyframePoses`, which is used like an array.
        stamps_ns: (N,) int64.
        camera_index: (N,) int32 into `cameras`.
        is_large: whether rows of its tables stay on the disk until they are asked for.
    """

    def __init__(self, path: Path, info: MapInfo) -> None:
        """Use `open`."""
        self.path = path
        self.info = info
        self.map_frame = info.map_frame
        self.cameras = [Camera.from_dict(values) for values in info.cameras]
        self.is_large = KEYFRAME_ROWS in info.files
        self._table: pa.Table | None = None
        if self.is_large:
            self._rows = map_rows(path)
            self.T_map_camera = cast("NDArray[np.float64]", KeyframePoses(self._rows))
        else:
            self._table = KEYFRAME_SCHEMA.empty_table()
            if KEYFRAMES in info.files:
                self._table = read_table(path)
            check_schema(path, self._table.schema)
            self._rows = rows_of(self._table)
            self.T_map_camera = poses_of(self._rows["pose"])
        self.tag_number: NDArray[np.int64] = self._rows["first_of_tag"]
        self.tag_std: NDArray[np.float64] = self._rows["tag_std"]
        self.stamps_ns: NDArray[np.int64] = self._rows["stamp_ns"]
        self.camera_index: NDArray[np.int32] = self._rows["camera"]
        self._thumbnail_offset = self._rows["thumbnail_offset"]
        self._thumbnail_bytes = self._rows["thumbnail_bytes"]
        self._check_keyframes()

    @property
    def names(self) -> pa.ChunkedArray:
        """Names of the keyframes (N,); of a large map they are read from the disk."""
        return self._texts("name")

    @property
    def depth_source(self) -> pa.ChunkedArray:
        """Sources of the keyframes' depth (N,); of a large map they are read from the disk."""
        return self._texts("depth_source")

    def _texts(self, column: str) -> pa.ChunkedArray:
        table = read_table(self.path, [column]) if self._table is None else self._table
        return table[column]

    def name_of(self, keyframe: int) -> str:
        """Returns the name of a keyframe."""
        if self._table is None:
            return text_of(self.path, "name", keyframe)
        return str(self._table["name"][keyframe])

    @cached_property
    def tiles(self) -> Tiles:
        """The keyframes by the places where they are."""
        if self.is_large:
            return Tiles.read(self.path / TILES, self.path / TILE_KEYFRAMES, len(self))
        return Tiles.of(self._rows["pose"])

    def within(self, point: NDArray[np.float64], radius_m: float) -> NDArray[np.int64]:
        """Returns the keyframes within a distance of a point (3,), or (2,) horizontally, in ascending order.

        Only the tiles around it are looked at.
        """
        found = self.tiles.around(float(point[0]), float(point[1]), radius_m)
        away = np.linalg.norm(self._rows["pose"][found][:, : len(point)] - point, axis=1)
        return found[away <= radius_m]

    def nearest(self, point: NDArray[np.float64]) -> tuple[int | None, float]:
        """Returns the keyframe nearest to a point (3,), or (2,) horizontally, and its distance in metres.

        Without keyframes these are None and infinity.
        """
        return self.tiles.nearest(point, self._rows["pose"][:, :3])

    @property
    def georeference(self) -> Georeference | None:
        """Place of the map on the Earth; None where it is not known."""
        return self.info.georeference

    def _check_keyframes(self) -> None:
        """Raises MapError where the table of keyframes holds impossible values."""
        if len(self._rows) != self.info.keyframes:
            raise MapError(
                f"The files of {self.path} disagree on how many keyframes there are, {len(self._rows)} or "
                f"{self.info.keyframes}: {FORMAT.again}."
            )
        if self.is_large:
            _ = self.tiles  # refused here where they do not fit
            return  # a row is looked at when it is read
        thumbnails = self.info.files.get(THUMBNAILS)
        thumbnails_bytes = 0 if thumbnails is None else thumbnails.bytes
        end = self._thumbnail_offset + self._thumbnail_bytes.astype(np.int64)
        wrong = {
            "a pose that is not finite": ~np.isfinite(self.T_map_camera).all(axis=(1, 2)),
            "a camera that is not in map.json": (self.camera_index < 0)
            | (self.camera_index >= len(self.cameras)),
            "a thumbnail outside of thumbnails.bin": (self._thumbnail_offset < 0)
            | (self._thumbnail_bytes < 0)
            | (end > thumbnails_bytes),
        }
        for fault, rows in wrong.items():
            if rows.any():
                raise MapError(
                    f"Keyframe {np.flatnonzero(rows)[0]} of {self.path} has {fault}: {FORMAT.again}."
                )

    @classmethod
    def open(cls, path: Path | str, *, verified: Collection[str] = ()) -> Self:
        """Opens a map; the large arrays stay on the disk.

        Checks that every file is there with its right size and that their values fit together; `verify`
        checks every byte. A large map opens in the same time whatever its size, so the values of its rows are
        not looked at.

        Args:
            verified: files that are compared with their checksums before anything is read of them, for
                example `READ_WHOLE`; of a large map those of `PARTLY_READ_IF_LARGE` are not.

        Raises MapError where the folder is no map, is damaged, has a version that cannot be read, or is for
        another localizer than the class can be used by.
        """
        path = Path(path)
        info = read_info(path)
        cls._check_localizer(path, info)
        for name, record in info.files.items():
            file = path / name
            if not file.is_file():
                raise MapError(f"{path} lacks {name}: {FORMAT.again}.")
            if file.stat().st_size != record.bytes:
                raise MapError(
                    f"{file} has {file.stat().st_size} bytes and should have {record.bytes}: {FORMAT.again}."
                )
        partly = PARTLY_READ_IF_LARGE if KEYFRAME_ROWS in info.files else ()
        _verify(path, info, [name for name in verified if name not in partly])
        try:
            return cls(path, info)
        except MapError:
            raise
        except Exception as error:  # damaged files make the libraries raise any exception
            reason = reason_of(error)
            raise MapError(f"{path} cannot be read ({reason}): {FORMAT.again}.") from error

    @classmethod
    def _check_localizer(cls, path: Path, info: MapInfo) -> None:
        """Raises MapError where a map is not for the localizer of the class."""

    def verify(
        self, names: Collection[str] | None = None, after_block: Callable[[], None] = lambda: None
    ) -> None:
        """Compares files with their checksums. Raises MapError at the first that differs.

        Args:
            names: the files; default: all.
            after_block: called after every megabyte; it may pause, or raise to stop.
        """
        _verify(self.path, self.info, self.info.files if names is None else names, after_block)

    @property
    def large_files(self) -> list[str]:
        """Names of the files of which a query reads some rows only."""
        partly = PARTLY_READ_IF_LARGE if self.is_large else ()
        return [name for name in self.info.files if name not in READ_WHOLE or name in partly]

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def camera_of(self, keyframe: int) -> Camera:
        """Returns the camera of a keyframe, at the size of its images."""
        number = int(self.camera_index[keyframe])
        if not 0 <= number < len(self.cameras):
            raise MapError(f"Keyframe {keyframe} of {self.path} has a camera that is not in map.json.")
        return self.cameras[number]

    def thumbnail(self, keyframe: int) -> NDArray[np.uint8]:
        """Returns a small RGB picture (h, w, 3) of a keyframe, of its camera's shape.

        Raises MapError where it is damaged, or where the map has no pictures.
        """
        if THUMBNAILS not in self.info.files:
            raise MapError(f"{self.path} has no pictures of its keyframes.")
        offset, size = int(self._thumbnail_offset[keyframe]), int(self._thumbnail_bytes[keyframe])
        jpeg = b""
        if offset >= 0 and 0 <= size <= self.info.files[THUMBNAILS].bytes - offset:
            with (self.path / THUMBNAILS).open("rb") as file:
                file.seek(offset)
                jpeg = file.read(size)
        picture = None
        if 0 < max(_jpeg_size(jpeg)) <= MAX_THUMBNAIL_SIDE:
            try:
                picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            except cv2.error:
                picture = None
        if picture is None:
            raise MapError(f"The thumbnail of keyframe {keyframe} of {self.path} is damaged: {FORMAT.again}.")
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


class ReferenceMap(AnyMap):
    """Keyframes of a place with their poses, descriptors, local features and depth.

    Attributes:
        tag_number: (N,) first keyframe with the geo-tag that each keyframe has its pose by; those of one tag
            share its error.  Keyframes with poses of their own have their own numbers.
        tag_std: (N, 2) standard deviations that the tags state of position and heading, metres and radians;
            `ASSUMED_TAG_STD` where they state none, and 0 for poses of their own.
        index: search over the global descriptors.
        features: arrays of the matcher (N, ...) by name, memory-mapped.
        depth: (N, F) float16 metres, memory-mapped.
        depth_sigma: (N, F) float16 relative standard deviations, memory-mapped; None where depth is exact.
        place_keypoints: (N, P, B) uint8, see `stored_row`, memory-mapped; None where the map has none.
        co_similarity: keyframes that look alike and are near each other; None where the map has none.
    """

    def __init__(self, path: Path, info: MapInfo) -> None:
        super().__init__(path, info)
        self.index: VectorIndex = read_index(path, info.files)
        files = [name for name in ("local_features.npy", *MATCHER_ARRAYS) if name in info.files]
        self.features = {name.removesuffix(".npy"): _array(path / name) for name in files}
        self.depth = _array(path / "depth.npy")
        has_sigma = "depth_sigma.npy" in info.files
        self.depth_sigma = _array(path / "depth_sigma.npy") if has_sigma else None
        self.place_keypoints = _array(path / PLACE_KEYPOINTS) if PLACE_KEYPOINTS in info.files else None
        self.co_similarity = None
        if CO_SIMILARITY in info.files:
            self.co_similarity = CoSimilarity.read(path / CO_SIMILARITY, info.keyframes, self.is_large)
        self._check_features()

    @classmethod
    def _check_localizer(cls, path: Path, info: MapInfo) -> None:
        if info.localizer != RETRIEVAL:
            raise MapError(
                f"{path} finds poses by {info.localizer.replace('_', ' ')} and holds no features of "
                "keyframes, which are needed here: name a map that was built of keyframes."
            )

    def _check_features(self) -> None:
        """Raises MapError where the files contradict each other."""
        lengths = {len(self), len(self.index), len(self.depth), *map(len, self.features.values())}
        lengths |= set() if self.place_keypoints is None else {len(self.place_keypoints)}
        shapes = {self.depth.shape, self.features["local_features"].shape[:2]}
        shapes |= set() if self.depth_sigma is None else {self.depth_sigma.shape}
        if lengths != {self.info.keyframes} or len(shapes) != 1:
            raise MapError(
                f"The files of {self.path} disagree on how many keyframes or features there are: "
                "build the map again."
            )
        depths = [self.depth, *([] if self.depth_sigma is None else [self.depth_sigma])]
        if any(array.dtype != np.float16 for array in depths):
            raise MapError(f"The depth of {self.path} is not of 16-bit floats: {FORMAT.again}.")

    @property
    def matcher_file(self) -> Path | None:
        """The weights of the map's matcher, or None if it has none."""
        return self.path / "matcher.safetensors" if "matcher.safetensors" in self.info.files else None

    @property
    def descriptor_file(self) -> Path | None:
        """The user's network that made the map's descriptors, or None where `network.safetensors` did."""
        return self.path / DESCRIPTOR if DESCRIPTOR in self.info.files else None

    @property
    def vocabulary_file(self) -> Path | None:
        """The visual words that made the map's descriptors, or None where a network did."""
        return self.path / VOCABULARY if VOCABULARY in self.info.files else None

    @property
    def pair_matcher_file(self) -> Path | None:
        """The user's network that matches the map's keypoints, or None."""
        return self.path / PAIR_MATCHER if PAIR_MATCHER in self.info.files else None

    @property
    def array_files(self) -> list[str]:
        """Names of the files with one row per keyframe of features, of their depth or of place keypoints."""
        names = ("local_features.npy", *MATCHER_ARRAYS, "depth.npy", "depth_sigma.npy", PLACE_KEYPOINTS)
        return [name for name in names if name in self.info.files]

    def features_of(self, keyframe: int) -> dict[str, NDArray]:
        """Returns the features that the matcher has stored of a keyframe, for `FeatureStorage.read`."""
        return {name: array[keyframe] for name, array in self.features.items()}


def _verify(
    path: Path, info: MapInfo, names: Collection[str], after_block: Callable[[], None] = lambda: None
) -> None:
    for name in names:
        record = info.files.get(name)
        if record is None:
            continue
        try:
            has_changed = sha256_of(path / name, after_block) != record.sha256
        except OSError as error:
            raise MapError(f"{path / name} cannot be read ({reason_of(error)}): {FORMAT.again}.") from error
        if has_changed:
            raise MapError(f"{path / name} has changed since the map was built: {FORMAT.again}.")


def _array(path: Path) -> NDArray:
    # A plain array of the same memory: rows of np.memmap are slow to take.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Returns width and height in the header of a JPEG (ITU T.81, B.2.2); zeros where there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
    return 0, 0
