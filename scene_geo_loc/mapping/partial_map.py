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

"""A map that is being built: its keyframes so far are on the disk, so that a build can be resumed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.growing_array import GrowingArray
from scene_geo_loc.core.journal import Journal
from scene_geo_loc.core.parallel import ReadAhead
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, to_quaternion
from scene_geo_loc.mapping.map_info import (
    GEO_TAG_FIELDS,
    KEYFRAME_SCHEMA,
    KIND,
    PLACE_KEYPOINTS,
    TAGGED_KEYFRAME_SCHEMA,
    WORK,
    check_replaceable_map,
)
from scene_geo_loc.mapping.search.place_keypoints import keeps_place_keypoints, row_shape
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.features import LocalFeatures
from scene_geo_loc.matchers.storage import FeatureStorage, FittedStorage, Rows
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.traversals.frame import Frame

THUMBNAIL_WIDTH = 200
THUMBNAIL_QUALITY = 50


@dataclass
class KeyframeRecord:
    """A keyframe in the journal: everything about it that is not an array."""

    stamp_ns: int
    T_map_camera: Pose
    camera: Camera
    name: str
    depth_source: str
    thumbnail_offset: int = 0
    thumbnail_bytes: int = 0
    geo_tag: str = ""
    position_std_m: float | None = None
    heading_std_deg: float | None = None

    @classmethod
    def of(cls, frame: Frame, depth_source: str) -> KeyframeRecord:
        """Returns the record of a frame with a known pose."""
        assert frame.T_map_camera is not None
        record = cls(frame.stamp_ns, frame.T_map_camera, frame.camera, frame.name, depth_source)
        tag = frame.geo_tag
        if tag is None:
            return record
        return replace(
            record,
            geo_tag=tag.name,
            position_std_m=tag.position_std_m,
            heading_std_deg=tag.heading_std_deg,
        )


def _encode(record: KeyframeRecord) -> dict[str, Any]:
    return {
        **vars(record),
        "T_map_camera": record.T_map_camera.tolist(),
        "camera": record.camera.to_dict(),
    }


def _decode(values: dict[str, Any]) -> KeyframeRecord:
    T_map_camera, camera = np.array(values["T_map_camera"]), Camera.from_dict(values["camera"])
    return KeyframeRecord(**{**values, "T_map_camera": T_map_camera, "camera": camera})


class PartialMap:
    """A map that is being built, in the folder `<map>.partial`.

    The journal `work/journal.jsonl` has a line for the inputs of the build and a line for each keyframe,
    written after the keyframe's arrays.  Data that a killed build has written beyond its last complete
    line is removed when the build continues.

    Attributes:
        folder: where the files are.
        refines_depth: whether depth that was not measured is refined when the map is completed; known from
            `begin` on.
        capacity: number of features of a keyframe while the map is built; known from `begin` on.
    """

    refines_depth: bool
    capacity: int

    def __init__(self, out: Path) -> None:
        """Takes up and locks what an earlier build of the map `out` left; creates nothing before `begin`.

        Raises MapError where another process builds this map, or where something else is in the way.
        """
        self._output = PartialFolder(out, KIND, error=MapError)
        self.folder = self._output.folder
        self._arrays: tuple[GrowingArray, ...] = ()
        self._output.take_up()
        self._journal = Journal(self.folder / WORK / "journal.jsonl", _decode)

    @property
    def records(self) -> list[KeyframeRecord]:
        """The keyframes so far."""
        return self._journal.records

    @property
    def has_geo_tags(self) -> bool:
        """True if keyframes have their poses by geo-tags."""
        return any(record.geo_tag for record in self.records)

    def begin(
        self, begun_with: dict[str, Any], extractor: Extractor, matcher: Matcher, *, refines_depth: bool
    ) -> None:
        """Opens the files to append to them.

        Args:
            begun_with: inputs of the build; an earlier build is resumed only with the same inputs.
            extractor: describes the keyframes.
            matcher: gives their features.
            refines_depth: whether depth is refined in the end: then its errors are stored too, and
                `write_depth` writes both again.

        Raises MapError where an earlier build began with something else, or lost data.
        """
        self.refines_depth = refines_depth
        begun = self._journal.head
        if begun is not None and begun != begun_with:
            other = [key for key, value in begun_with.items() if begun.get(key) != value]
            raise MapError(
                f"{self.folder} was begun with another {' and '.join(other)}: "
                "build with the same again, or remove that folder to start anew."
            )
        self._output.begin()
        if begun is None and self._journal.path.exists():
            raise MapError(f"{self._journal.path} cannot be continued: remove {self.folder} and build again.")
        (self.folder / WORK).mkdir(exist_ok=True)
        self._open_arrays(extractor, matcher)
        if len(self.records) > min(map(len, self._arrays)):
            raise MapError(f"{self.folder} lacks data of its keyframes: remove it and build again.")
        for array in self._arrays:
            array.truncate(len(self.records))
        self._thumbnails = (self.folder / "thumbnails.bin").open("ab")
        last = self.records[-1] if self.records else None
        self._thumbnails.truncate(last.thumbnail_offset + last.thumbnail_bytes if last else 0)
        self._thumbnails.seek(0, 2)
        self._journal.open(begun_with, _encode)

    def _open_arrays(self, extractor: Extractor, matcher: Matcher) -> None:
        self._features = _open_features(
            self.folder / WORK if isinstance(matcher.storage, FittedStorage) else self.folder, matcher.storage
        )
        self.capacity = matcher.storage.capacity
        self._refined: list[GrowingArray] = []
        is_rewritten = self.refines_depth or isinstance(matcher.storage, FittedStorage)
        self._depth = _open_depth(
            self.folder / WORK if is_rewritten else self.folder, self.capacity, self.refines_depth
        )
        self._open_described(extractor)
        self._arrays = (*self._depth, *self._features.values(), *self._described)

    def _open_described(self, extractor: Extractor) -> None:
        """Opens the global descriptors, or what they will be made of, and the place keypoints."""
        work, network = self.folder / WORK, extractor.network
        self._pooled: tuple[GrowingArray, ...] = ()
        self._descriptors: tuple[GrowingArray, ...] = ()
        if (descriptor := extractor.unfitted_descriptor) is not None:
            self._descriptors = (
                GrowingArray(work / "descriptor_features.npy", descriptor.row_shape, np.uint8),
            )
        elif extractor.is_fitted:
            self._descriptors = (
                GrowingArray(work / "descriptors.npy", (extractor.descriptor_size,), np.float32),
            )
        else:
            self._pooled = tuple(
                GrowingArray(work / f"pooled_{name}.npy", shape, np.float16)
                for name, shape in zip(network.signature.pooled, network.pooled_shapes(), strict=True)
            )
        self._described = (*self._descriptors, *self._pooled)
        if keeps_place_keypoints(extractor):
            shape = row_shape(network.signature.local_features.channels)
            self._described += (GrowingArray(self.folder / PLACE_KEYPOINTS, shape, np.uint8),)

    def descriptor_rows(self) -> NDArray:
        """Returns the global descriptors, or the features they are made of, memory-mapped.

        There are none of a network that is not fitted.
        """
        return self._descriptors[0].rows()

    def pooled_rows(self) -> list[NDArray[np.floating]]:
        """Returns the pooled maps that a network is to be fitted to, memory-mapped, by part."""
        return [array.rows() for array in self._pooled]

    def fit_features(self, storage: FittedStorage, chosen: Iterable[int]) -> None:
        """Fits a storage to the chosen keyframes."""
        storage.fit([self._rows_of(i) for i in chosen])

    def features_of(self, keyframe: int, storage: FeatureStorage) -> LocalFeatures:
        """Returns all features of a keyframe that are known while the map is built, after the fit if any."""
        rows = self._rows_of(keyframe)
        return storage.fitted(rows) if isinstance(storage, FittedStorage) else storage.read(rows)

    def _rows_of(self, keyframe: int) -> dict[str, NDArray]:
        return {name: rows[keyframe] for name, rows in self._feature_rows().items()}

    def _feature_rows(self) -> dict[str, NDArray]:
        return {name: array.rows() for name, array in self._features.items()}

    def depth_rows(self) -> list[NDArray[np.float16]]:
        """Returns depth (N, F) at the features and, where it is refined, its relative errors (N, F)."""
        return [array.rows() for array in self._depth]

    def write_depth(self, rows: Iterable[tuple[NDArray, NDArray]], matcher: Matcher) -> int:
        """Writes the refined depth and relative errors (F,) of each keyframe.

        Returns how many keyframes have no depth at all.
        """
        is_final = not isinstance(matcher.storage, FittedStorage)
        folder = self.folder if is_final else self.folder / WORK / "refined"
        folder.mkdir(exist_ok=True)
        refined = _open_depth(folder, self.capacity, True)
        for array in refined:
            array.truncate(0)  # of a build that was interrupted here
        without_depth = 0
        for row in rows:
            without_depth += not np.isfinite(row[0]).any()
            for array, values in zip(refined, row, strict=True):
                array.append(values)
        if is_final:
            for array in refined:
                array.close()
        else:
            self._refined = refined
            self._arrays += tuple(refined)
        return without_depth

    def write_features(self, storage: FittedStorage) -> None:
        """Writes the features of all keyframes in their final form, with the depth of those that are kept."""
        raw, depth = self._feature_rows(), [array.rows() for array in self._refined or self._depth]
        features = _open_features(self.folder, storage)
        final = _open_depth(self.folder, storage.capacity, self.refines_depth)
        for array in (*features.values(), *final):
            array.truncate(0)  # of a build that was interrupted here

        def stored_rows(i: int) -> tuple[dict[str, NDArray], NDArray[np.intp]]:
            return storage.stored_rows(
                {name: rows[i] for name, rows in raw.items()}, np.isfinite(depth[0][i])
            )

        with ReadAhead() as ahead:
            for i, (stored, chosen) in enumerate(ahead.map(stored_rows, range(len(self.records)))):
                for name, row in stored.items():
                    features[name].append(row)
                for array, rows in zip(final, depth, strict=True):
                    values = np.full(storage.capacity, np.nan, np.float16)
                    values[: len(chosen)] = rows[i][chosen]
                    array.append(values)
        for array in (*features.values(), *final):
            array.close()

    def append(
        self,
        record: KeyframeRecord,
        features: Rows,
        depth: NDArray[np.float32],
        sigma: NDArray[np.float32],
        described: Sequence[NDArray],
        image: NDArray[np.uint8],
    ) -> None:
        """Adds a keyframe.

        Args:
            record: its pose, camera and names.
            features: its row of each array of features.
            depth: (F,) metres at the features.
            sigma: (F,) relative errors of the depth.
            described: see `SceneFeatures.described_by`, and where they are kept the place keypoints.
            image: RGB (H, W, 3), stored as a thumbnail.
        """
        thumbnail = thumbnail_of(image)
        record.thumbnail_offset = self._thumbnails.tell()
        record.thumbnail_bytes = len(thumbnail)
        self._thumbnails.write(thumbnail)
        for name, array in self._features.items():
            array.append(features[name])
        for array, row in zip(self._depth, (depth, sigma), strict=False):
            array.append(row)
        for array, row in zip(self._described, described, strict=True):
            array.append(row)
        for array in self._arrays:
            array.flush()
        self._thumbnails.flush()
        self._journal.append(record)

    def write_keyframes(self) -> list[Camera]:
        """Writes keyframes.parquet and returns the cameras that its column `camera` refers to."""
        cameras = list(dict.fromkeys(record.camera for record in self.records))
        poses = np.stack([record.T_map_camera for record in self.records])
        pose_columns = np.concatenate([poses[:, :3, 3], to_quaternion(poses)], axis=1).T
        columns = [
            [record.stamp_ns for record in self.records],
            *pose_columns,
            [cameras.index(record.camera) for record in self.records],
            [record.name for record in self.records],
            [record.depth_source for record in self.records],
            [record.thumbnail_offset for record in self.records],
            [record.thumbnail_bytes for record in self.records],
        ]
        schema = KEYFRAME_SCHEMA
        if self.has_geo_tags:
            schema = TAGGED_KEYFRAME_SCHEMA
            columns += [[getattr(record, field.name) for record in self.records] for field in GEO_TAG_FIELDS]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), self.folder / "keyframes.parquet")
        return cameras

    def close(self) -> None:
        """Closes the files, which makes the arrays plain .npy files, and unlocks the folder."""
        self.close_files()
        self._output.release()

    def close_files(self) -> None:
        """Closes the files and keeps the folder locked."""
        if self._arrays:
            for array in self._arrays:
                array.close()
            self._thumbnails.close()
            self._journal.close()
            self._arrays = ()

    def publish(self, *, overwrite: bool) -> None:
        """Gives the complete map its final name; with `overwrite` a map that had it is removed.

        Raises MapError where something else has that name, or it cannot be written.
        """
        self._output.publish(check_replaceable_map if overwrite else None)
        shutil.rmtree(self._output.out / WORK)


def _open_features(folder: Path, storage: FeatureStorage) -> dict[str, GrowingArray]:
    return {
        name: GrowingArray(folder / f"{name}.npy", shape, dtype)
        for name, (shape, dtype) in storage.arrays.items()
    }


def _open_depth(folder: Path, capacity: int, has_sigma: bool) -> list[GrowingArray]:
    names = ("depth.npy", "depth_sigma.npy") if has_sigma else ("depth.npy",)
    return [GrowingArray(folder / name, (capacity,), np.float16) for name in names]


def thumbnail_of(image: NDArray[np.uint8]) -> bytes:
    """Returns a small picture of an RGB image (H, W, 3) as JPEG."""
    height = round(THUMBNAIL_WIDTH * image.shape[0] / image.shape[1])
    while image.shape[1] >= 2 * THUMBNAIL_WIDTH and image.shape[0] >= 2:
        half = (image.shape[1] // 2, image.shape[0] // 2)  # much faster than by other factors
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    small = cv2.resize(image, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY]
    )
    return jpeg.tobytes()
