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

"""Triplets of views for training a descriptor, and their file.

A triplet is an anchor with positives, which show the same place, and negatives, which show another one.  The
file is Parquet with one row for each image; its metadata hold the settings it was made with.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from scene_geo_loc import __version__
from scene_geo_loc.core.atomic import written_aside
from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.geometry.pose import Pose, from_quaternion, to_quaternion
from scene_geo_loc.places.triplet_settings import TripletSettings

FORMAT = FileFormat("scene_geo_loc triplets", 1, again="make the triplets again")
ROLES = ("anchor", "positive", "negative")

_KEY = b"scene_geo_loc"
_TEXT = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        ("triplet", pa.int32()),
        ("role", _TEXT),
        ("run", _TEXT),
        ("camera", _TEXT),
        ("stamp_ns", pa.int64()),
        ("image", pa.string()),
        *((name, pa.float64()) for name in ("x", "y", "z", "qx", "qy", "qz", "qw")),
        ("depth", pa.string()),
    ]
)
"""One row for each image, with the rows of a triplet one after the other.

`role` is one of `ROLES`; x to qw are T_map_camera; `image` and `depth` are files relative to the folder of
the dataset; `depth` is null if there is no training depth map.
"""


@dataclass(frozen=True, eq=False)
class Sample:
    """One image of a triplet.

    Attributes:
        run, camera: names of the run and of its camera.
        stamp_ns: time of the image.
        image: its file, relative to the folder of the dataset; the camera's traversal reads it, see
            `scene_geo_loc.places.views.open_cameras`.
        T_map_camera: its pose.
        depth: the file of its training depth map, relative to the folder of the dataset, if there is one.
    """

    run: str
    camera: str
    stamp_ns: int
    image: str
    T_map_camera: Pose
    depth: str | None


@dataclass(frozen=True, eq=False)
class Triplet:
    """An anchor with its positives and negatives."""

    anchor: Sample
    positives: Sequence[Sample]
    negatives: Sequence[Sample]

    @property
    def samples(self) -> list[Sample]:
        """All samples, the anchor first."""
        return [self.anchor, *self.positives, *self.negatives]


class TripletInfo(BaseModel):
    """The metadata of the file, JSON under the key `scene_geo_loc`.

    Attributes:
        root: folder of the dataset, relative to that of the file.
        runs: runs of the views; anchors are from the first.
        triplets: number of triplets.
        areas: boxes of the areas, which keep validation and test apart.
        left_out: what was not used, by reason.
    """

    format: str = FORMAT.name
    format_version: int = FORMAT.version
    package_version: str = __version__
    root: str = "."
    runs: list[str]
    triplets: int
    settings: TripletSettings
    areas: dict[str, list[list[float]]]
    left_out: dict[str, int]


@dataclass(frozen=True, eq=False)
class Triplets:
    """Triplets with the metadata of their file.

    Attributes:
        root: folder of the dataset.
        info: metadata of the file.
        items: the triplets.
    """

    root: Path
    info: TripletInfo
    items: Sequence[Triplet]

    def __len__(self) -> int:
        return len(self.items)

    def save(self, path: Path) -> None:
        """Writes the file; equal triplets give equal bytes. Raises SceneGeoLocError if it cannot be
        written.
        """
        info = self.info.model_copy(update={"root": relative(self.root, path.parent)})
        rows = [
            _row(number, role, sample)
            for number, triplet in enumerate(self.items)
            for role, samples in zip(
                ROLES, ([triplet.anchor], triplet.positives, triplet.negatives), strict=True
            )
            for sample in samples
        ]
        table = pa.Table.from_pylist(rows, SCHEMA.with_metadata({_KEY: info.model_dump_json().encode()}))
        with written_aside(path) as aside:
            pq.write_table(table, aside, compression="zstd")

    @property
    def images(self) -> dict[str, Sample]:
        """Each image once, by its file."""
        return {sample.image: sample for triplet in self.items for sample in triplet.samples}

    @classmethod
    def load(cls, path: Path, root: Path | None = None) -> Triplets:
        """Reads a file of triplets and checks that the files it names exist.

        Args:
            path: the file.
            root: folder of the dataset, if it is no longer where the file says.

        Raises:
            SceneGeoLocError: the file is not a file of triplets or damaged, or its images or depth maps are
                missing.
        """
        try:
            table = pq.read_table(regular(path))
        except (OSError, pa.ArrowException) as error:
            reason = reason_of(error)
            raise SceneGeoLocError(f"{path}: the triplets cannot be read ({reason}).") from error
        info = _info(path, table.schema)
        root = root or path.parent / info.root
        try:
            items = _triplets(table.to_pylist(), info)
        except ValueError as error:
            raise SceneGeoLocError(f"{path}: {error}; make the triplets again.") from error
        triplets = cls(root, info, items)
        triplets._check_files(path)
        return triplets

    def _check_files(self, path: Path) -> None:
        images = self.images
        depths = [sample.depth for sample in images.values() if sample.depth is not None]
        for kind, files in (("images", list(images)), ("depth maps", depths)):
            missing = [file for file in files if not (self.root / file).is_file()]
            if missing:
                raise SceneGeoLocError(
                    f"{path}: {len(missing)} of {len(files)} {kind} are missing below {self.root} (first "
                    f"{missing[0]}); make the triplets again, or name the folder of the dataset."
                )


def relative(path: Path, folder: Path) -> str:
    """Returns the path of a file relative to a folder, with `/` on every system."""
    return Path(os.path.relpath(path, folder)).as_posix()


def _row(number: int, role: str, sample: Sample) -> dict[str, Any]:
    x, y, z = sample.T_map_camera[:3, 3]
    qx, qy, qz, qw = to_quaternion(sample.T_map_camera)
    return {
        "triplet": number,
        "role": role,
        "run": sample.run,
        "camera": sample.camera,
        "stamp_ns": sample.stamp_ns,
        "image": sample.image,
        **{"x": x, "y": y, "z": z, "qx": qx, "qy": qy, "qz": qz, "qw": qw},
        "depth": sample.depth,
    }


def _info(path: Path, schema: pa.Schema) -> TripletInfo:
    text = (schema.metadata or {}).get(_KEY)
    if text is None or not schema.equals(SCHEMA):
        raise SceneGeoLocError(f"{path}: this Parquet file does not hold triplets; name another file.")
    try:
        info = TripletInfo.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SceneGeoLocError(
            f"{path}: its description is damaged ({where}: {first['msg']}); make the triplets again."
        ) from error
    FORMAT.check(info.model_dump(include={"format", "format_version"}), path)
    return info


def _triplets(rows: Sequence[dict[str, Any]], info: TripletInfo) -> list[Triplet]:
    """Returns the triplets of the rows of a table. Raises ValueError if they do not match the metadata."""
    settings = info.settings
    triplets = []
    for number, group in groupby(rows, lambda row: row["triplet"]):
        samples: dict[str, list[Sample]] = {role: [] for role in ROLES}
        for row in group:
            if row["role"] not in samples:
                raise ValueError(f"triplet {number} has an image of the role {row['role']!r}")
            samples[row["role"]].append(_sample(row))
        counts = tuple(len(of_role) for of_role in samples.values())
        if counts != (1, settings.positives, settings.negatives):
            raise ValueError(
                f"triplet {number} has {counts[0]} anchors, {counts[1]} positives and {counts[2]} negatives "
                f"instead of 1, {settings.positives} and {settings.negatives}"
            )
        triplets.append(Triplet(samples["anchor"][0], samples["positive"], samples["negative"]))
    if len(triplets) != info.triplets:
        raise ValueError(f"it has {len(triplets)} triplets instead of {info.triplets}")
    return triplets


def _sample(row: dict[str, Any]) -> Sample:
    if any(row[name] is None for name in SCHEMA.names if name != "depth"):
        raise ValueError(f"an image of triplet {row['triplet']} has no file, stamp or pose")
    pose = np.array([row[name] for name in ("x", "y", "z", "qx", "qy", "qz", "qw")])
    T = from_quaternion(pose[:3], pose[3:])
    return Sample(row["run"], row["camera"], row["stamp_ns"], row["image"], T, row["depth"])
