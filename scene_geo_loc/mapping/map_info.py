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

"""The description of a reference map, `map.json`, and the names of the files beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.core.partial import check_replaceable
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.mapping.localizer_names import RETRIEVAL
from scene_geo_loc.mapping.settings import WITHOUT_DEPTH
from scene_geo_loc.traversals.sources import SensorSource
from scene_geo_loc.visual_words.vocabulary import Vocabulary

MAP_JSON = "map.json"
KIND = "reference map"
FORMAT = FileFormat(
    "scene_geo_loc reference map", 6, again="copy the map again, or build it again", error=MapError
)
"""Format of maps.

Version 6 is for large maps, whose index and table of keyframes stay on the disk, and for maps whose index is
in a database; version 5 is for another localizer than retrieval, for features without depth, visual words or
geo-tags, and version 4 has a user's networks; a map without any of these is written as version 3, which older
releases read.  Older versions can still be read: version 2, whose keyframes have the features of all cells
and whose descriptors are stored twice, and version 1, which had only the matcher "encoder".
"""
WITHOUT_USER_NETWORKS = 3
"""Version of a map without a user's networks."""
WITH_USER_NETWORKS = 4
"""Version of a map with a user's networks."""
WITH_OTHER_FEATURES = 5
"""Version of a map for another localizer, or with features without depth, visual words or geo-tags."""
DESCRIPTOR, PAIR_MATCHER = "descriptor.safetensors", "pair_matcher.safetensors"
"""Copies of a user's networks; one that detects keypoints is the matcher's file."""
USER_NETWORKS = (DESCRIPTOR, PAIR_MATCHER)
VOCABULARY, WORD_INDEX = "vocabulary.safetensors", "word_index.safetensors"
"""The vocabulary of a map whose keyframes visual words describe, and the index of these."""
VISUAL_WORDS = (VOCABULARY, WORD_INDEX)
INDEX = "index.faiss"
"""The index of the descriptors of other maps."""
CODES, GLOBAL_DESCRIPTORS = "descriptor_codes.faiss", "global_descriptors.npy"
"""Codes of the descriptors of a large map and these, in place of `INDEX`, see `CompressedIndex`."""
INDEX_DATABASE = "index_database.json"
"""Name of the table of a database that has the descriptors, in place of an index."""
KEYFRAME_ROWS, TILES, TILE_KEYFRAMES = "keyframe_rows.npy", "tiles.npy", "tile_keyframes.npy"
"""Short columns of keyframes.parquet of a large map, and its keyframes by tiles, see `keyframe_table`."""
LARGE_TABLES = (KEYFRAME_ROWS, TILES, TILE_KEYFRAMES)
"""Files that `write_large_tables` writes anew for every large map."""
INDEX_FILES = (INDEX, WORD_INDEX, CODES, GLOBAL_DESCRIPTORS, INDEX_DATABASE)
"""Files that `write_index` writes anew for every map."""
REGRESSOR = "regressor.safetensors"
"""The network of a map for pose regression, which has no other file but keyframes.parquet."""
COORDINATE_NETWORK, COORDINATE_FOREST = "scene_coordinates.safetensors", "scene_forest.safetensors"
"""The network, or the forest, of a map of scene coordinates, which otherwise has only keyframes.parquet."""
RELATIVE_NETWORK, RELATIVE_KEYFRAMES = "relative_pose.safetensors", "relative_keyframes.npy"
"""The network of a map for relative poses, and the features of its keyframes."""
POINTS, POINT_DESCRIPTORS = "points.safetensors", "point_descriptors.npy"
"""Points of a map by structure from motion with their visual words, and descriptors of the points by word."""
PLACE_KEYPOINTS = "place_keypoints.npy"
"""The best keypoints of each keyframe in a few bytes each, see `place_keypoints`; older maps have none."""
NO_LONGER_READ = ("place_cells.npy", "place_axes.safetensors")
"""Files of older maps that are of no use any more."""
CO_SIMILARITY = "co_similarity.safetensors"
"""Keyframes that look alike and are near each other, see `CoSimilarity`; older maps have none."""
ARRAYS = ("local_features.npy", "depth.npy")
KEYFRAMES, THUMBNAILS = "keyframes.parquet", "thumbnails.bin"
FILES = (KEYFRAMES, *ARRAYS, INDEX, THUMBNAILS, "network.safetensors")
CELLS = "cells.npy"
"""Cells of the features of a matcher that is fitted to the images of each map."""
MATCHER_ARRAYS = (CELLS, "coarse_features.npy", "keypoints.npy")
OPTIONAL_FILES = (
    *MATCHER_ARRAYS,
    "matcher.safetensors",
    "depth_sigma.npy",
    "descriptors.npy",
    PLACE_KEYPOINTS,
    *NO_LONGER_READ,
    *USER_NETWORKS,
    *VISUAL_WORDS,
    INDEX_DATABASE,
    CO_SIMILARITY,
    REGRESSOR,
    COORDINATE_NETWORK,
    COORDINATE_FOREST,
    RELATIVE_NETWORK,
    RELATIVE_KEYFRAMES,
    POINTS,
    POINT_DESCRIPTORS,
    CODES,
    GLOBAL_DESCRIPTORS,
    *LARGE_TABLES,
)
"""Files of some maps."""
READ_WHOLE = (
    KEYFRAMES,
    INDEX,
    "network.safetensors",
    "matcher.safetensors",
    *USER_NETWORKS,
    *VISUAL_WORDS,
    INDEX_DATABASE,
    CO_SIMILARITY,
    REGRESSOR,
    COORDINATE_NETWORK,
    COORDINATE_FOREST,
    RELATIVE_NETWORK,
    RELATIVE_KEYFRAMES,
    POINTS,
)
"""Files that are read whole when a map is opened to localize; of the others some rows are read by a query."""
PARTLY_READ_IF_LARGE = (KEYFRAMES, CO_SIMILARITY)
"""Files of `READ_WHOLE` of which some rows are read in a large map, too."""
OTHER_LOCALIZERS = (
    REGRESSOR,
    COORDINATE_NETWORK,
    COORDINATE_FOREST,
    RELATIVE_NETWORK,
    RELATIVE_KEYFRAMES,
    POINTS,
)
"""Files of `READ_WHOLE` of maps of other localizers than retrieval."""
WORK = "work"
"""Folder of a map that is being built for what the finished map does not need."""


class FileRecord(BaseModel):
    """Size and checksum of a file of the map."""

    bytes: int
    sha256: str


class DriveRecord(BaseModel):
    """A drive whose keyframes are in a map, one after the other.

    Attributes:
        source: name of it.
        keyframes: number of keyframes that are left of it.
        built: when these were made.
    """

    source: str
    keyframes: int
    built: datetime


class UserNetworkRecord(BaseModel):
    """A user's network of a map.

    Attributes:
        file: name of the user's ONNX file.
        sha256: of that file, in hexadecimal.
    """

    file: str
    sha256: str


class VocabularyRecord(BaseModel):
    """The vocabulary of a map whose keyframes visual words describe.

    Attributes:
        point_words, region_words: numbers of words of SIFT points and of MSER regions.
        images: number of images that it was fitted to.
        file: name of the file it was read from; None where it was fitted to the map's keyframes.
        digest: of its words, see `Vocabulary.digest`.
    """

    point_words: int
    region_words: int
    images: int
    file: str | None = None
    digest: str

    @classmethod
    def of(cls, vocabulary: Vocabulary, file: str | None) -> VocabularyRecord:
        """Returns the record of a vocabulary."""
        return cls(
            point_words=len(vocabulary.points),
            region_words=len(vocabulary.regions),
            images=vocabulary.images,
            file=file,
            digest=vocabulary.digest,
        )

    def __str__(self) -> str:
        words = f"{self.point_words} words of points and {self.region_words} of regions"
        source = "the map's" if self.file is None else f"{self.file}, fitted to"
        return f"{words}, {source} {self.images} images, SHA-256 {self.digest[:16]}"


class MapAccuracy(BaseModel):
    """Agreement of the keyframes of a map with each other, measured when it was built.

    Attributes:
        position_std_m, rotation_std_deg: standard deviations of a pose along each axis, beyond those that the
            residuals of its matches show.
        keyframes: number of keyframes that they were measured on.
    """

    position_std_m: float = Field(gt=0, allow_inf_nan=False)
    rotation_std_deg: float = Field(gt=0, allow_inf_nan=False)
    keyframes: int

    def __str__(self) -> str:
        return (
            f"{self.keyframes} keyframes agree within {100 * self.position_std_m:.1f} cm and "
            f"{self.rotation_std_deg:.2f}° (standard deviations)"
        )


class GeoTags(BaseModel):
    """Geo-tags that the keyframes of a map have their poses by, and the standard deviations that they state.

    Attributes:
        tags: number of tags.
        position_std_m, heading_std_deg: root mean square of what they state; None where none does.
    """

    tags: int
    position_std_m: float | None = None
    heading_std_deg: float | None = None

    def __str__(self) -> str:
        stated = [
            f"{value:.2g}{unit}"
            for value, unit in ((self.position_std_m, " m"), (self.heading_std_deg, "°"))
            if value is not None
        ]
        errors = (
            f"state standard deviations of {' and '.join(stated)}"
            if stated
            else "state no errors, 1 m and 1° are assumed"
        )
        return f"{self.tags} geo-tags {errors}"


class LookAlikes(BaseModel):
    """Poses elsewhere in a map that its keyframes get where those of their own place are kept away.

    Attributes:
        asked: number of keyframes that were localized so.
        found: number of them that got a pose, which is wrong.
        confidence: the highest confidence of such a pose; 0 where there is none.
    """

    asked: int
    found: int
    confidence: float = Field(ge=0, le=1)

    def __str__(self) -> str:
        text = f"{self.found} of {self.asked} keyframes are localized elsewhere without their own place"
        return f"{text}, with a confidence of at most {self.confidence:.3f}" if self.found else text


class MapInfo(BaseModel):
    """The contents of map.json.

    Attributes:
        map_frame: id of the frame that poses are given in.
        keyframes: number of keyframes.
        cameras: `Camera.to_dict` of each.
        network_digest: of the network that made descriptors and features.
        matcher: name of the matcher whose features are stored.
        built: when the map was built.
        source: where the frames came from.
        settings: the builder's.
        skipped: frames left out, by reason.
        package_version: of the release that built the map.
        files: size and checksum of the other files.
        localizer: name of what finds poses in the map, see `localization.pose_localizer`.
        user_networks: the user's networks by the setting that named them: `descriptor`, `local_features` and
            `matcher`.
        vocabulary: visual words that describe the keyframes; None where a network does.
        sources: what was taken from the source for each role, and what else there was; empty in maps of older
            releases and of sources that have one place for everything.
        accuracy: of its keyframes; None where it was not measured.
        geo_tags: that the keyframes have their poses by; None where each has a pose of its own.
        look_alikes: places of the map that are taken for others; None where they were not looked for.
        georeference: place of the map on the Earth; None where it is not known.
        drives: whose keyframes the map has, in their order; empty where all are of one, see `all_drives`.
        digest: SHA-256 of all the above, see `write_info`; None in maps of older releases.
    """

    model_config = ConfigDict(extra="allow")

    format: str
    format_version: int
    map_frame: str
    keyframes: int
    cameras: list[dict[str, Any]]
    network_digest: str
    matcher: str = "encoder"
    built: datetime
    source: str
    settings: dict[str, Any]
    skipped: dict[str, int]
    package_version: str
    files: dict[str, FileRecord]
    localizer: str = RETRIEVAL
    user_networks: dict[str, UserNetworkRecord] = {}
    vocabulary: VocabularyRecord | None = None
    sources: list[SensorSource] = []
    accuracy: MapAccuracy | None = None
    geo_tags: GeoTags | None = None
    look_alikes: LookAlikes | None = None
    georeference: Georeference | None = None
    drives: list[DriveRecord] = []
    digest: str | None = None

    @property
    def all_drives(self) -> list[DriveRecord]:
        """Drives whose keyframes the map has, at least one."""
        return self.drives or [DriveRecord(source=self.source, keyframes=self.keyframes, built=self.built)]

    @property
    def has_rays(self) -> bool:
        """True if the map keeps features without depth: each is a ray from its keyframe."""
        return self.settings.get("depth") in WITHOUT_DEPTH


KEYFRAME_SCHEMA = pa.schema(
    [
        ("stamp_ns", pa.int64()),
        *((name, pa.float64()) for name in ("x", "y", "z", "qx", "qy", "qz", "qw")),
        ("camera", pa.int32()),
        ("name", pa.string()),
        ("depth_source", pa.string()),
        ("thumbnail_offset", pa.int64()),
        ("thumbnail_bytes", pa.int32()),
    ]
)
"""The columns of keyframes.parquet; poses are T_map_camera."""
GEO_TAG_FIELDS = [
    pa.field("geo_tag", pa.string()),
    pa.field("position_std_m", pa.float64()),
    pa.field("heading_std_deg", pa.float64()),
]
"""Further columns where keyframes have their poses by geo-tags; keyframes of one tag share its error."""
TAGGED_KEYFRAME_SCHEMA = pa.schema([*KEYFRAME_SCHEMA, *GEO_TAG_FIELDS])


def record_of(path: Path) -> FileRecord:
    """Returns size and checksum of a file."""
    return FileRecord(bytes=path.stat().st_size, sha256=sha256_of(path))


def sha256_of(path: Path, after_block: Callable[[], None] = lambda: None) -> str:
    """Returns the SHA-256 of a file in hexadecimal.

    Args:
        after_block: called after every megabyte; it may pause, or raise to stop.
    """
    with path.open("rb") as file:
        total = hashlib.sha256()
        while block := file.read(1 << 20):
            total.update(block)
            after_block()
    return total.hexdigest()


def write_info(folder: Path, info: MapInfo) -> None:
    """Writes `map.json` with a digest of its own contents."""
    optional = (
        "user_networks",
        "vocabulary",
        "sources",
        "accuracy",
        "geo_tags",
        "look_alikes",
        "georeference",
        "drives",
    )
    unset = {"digest", *(name for name in optional if not getattr(info, name))}
    if info.localizer == RETRIEVAL:
        unset.add("localizer")
    values = info.model_dump(mode="json", exclude=unset)
    values["digest"] = _digest(values)
    write_aside(folder / MAP_JSON, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())


def read_info(path: Path) -> MapInfo:
    """Reads the `map.json` of a map.

    Raises MapError where there is none, or where it is damaged or of a version that cannot be read.
    """
    file = path / MAP_JSON
    try:
        if file.exists() and not file.is_file():
            raise MapError(f"{file} is not a regular file: name a map's folder.")
        values = json.loads(file.read_text())
    except FileNotFoundError as error:
        hint = "name a map's folder"
        if path.with_name(path.name + ".partial").is_dir():
            hint = "its build was interrupted; build it again with the same source and settings to resume"
        raise MapError(f"There is no reference map at {path}: {hint}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise MapError(f"{file} cannot be read ({reason_of(error)}): {FORMAT.again}.") from error
    FORMAT.check(values, file)
    try:
        info = MapInfo.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise MapError(
            f"{file} is damaged at {'.'.join(map(str, first['loc']))!r}: {FORMAT.again}."
        ) from error
    if info.digest is not None and info.digest != _digest(values):
        raise MapError(f"{file} has changed since the map was built: {FORMAT.again}.")
    return info


def check_output(out: Path, overwrite: bool) -> None:
    """Raises MapError where something is at the folder of a new map that it may not replace."""
    if os.path.lexists(out):
        if not overwrite:
            raise MapError(f"{out} exists already: remove it, name another, or allow it to be overwritten.")
        check_replaceable_map(out)


def check_replaceable_map(path: Path) -> None:
    """Raises MapError unless a folder is empty, or a reference map that holds nothing else."""
    check_replaceable(path, KIND, _is_map, (MAP_JSON, WORK, *FILES, *OPTIONAL_FILES), MapError)


def _is_map(path: Path) -> bool:
    try:
        return FORMAT.is_format_of(json.loads((path / MAP_JSON).read_text()))
    except (OSError, ValueError, RecursionError):
        return False


def _digest(values: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of JSON values, independent of order and white space; it excludes their digest."""
    counted = {key: value for key, value in values.items() if key != "digest"}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
