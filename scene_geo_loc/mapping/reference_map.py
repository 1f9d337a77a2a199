"""The reference map: a folder that opens in milliseconds, whatever its size.

| file | holds |
|---|---|
| map.json | format version, map frame, cameras, network digest, provenance, size and SHA-256 of each file |
| keyframes.parquet | a row a keyframe: stamp, pose, camera, name, source of depth, place of thumbnail |
| descriptors.npy | (N, D) float16 unit global descriptors |
| index.faiss | the index over them |
| local_features.npy | (N, F, C) int8, the directions of F features; see `Matcher.arrays` |
| coarse_features.npy | (N, F', C') int8, those of the late map; of the matcher encoder, not in format 1 |
| keypoints.npy | (N, F, 2) uint16, where in the image the features lie; of matchers of keypoints |
| depth.npy | (N, F) float16 metres at the features, NaN where unknown |
| depth_sigma.npy | (N, F) float16, standard deviations of the depth as parts of it; not of every map |
| thumbnails.bin | JPEG pictures, one after the other |
| network.safetensors | the network that made descriptors and features |
| matcher.safetensors | what the matcher has learned, of those that have |
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.spatial.transform import Rotation

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.partial import check_replaceable
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.mapping.index import DescriptorIndex

KIND = "reference map"
FORMAT = FileFormat(
    "scene_geo_loc reference map", 2, again="copy the map again, or build it again", error=MapError
)
"""Version 1 knew the matcher "encoder" alone; its maps are opened all the same."""
ARRAYS = ("descriptors.npy", "local_features.npy", "depth.npy")
FILES = ("keyframes.parquet", *ARRAYS, "index.faiss", "thumbnails.bin", "network.safetensors")
MATCHER_ARRAYS = ("coarse_features.npy", "keypoints.npy")
OPTIONAL_FILES = (*MATCHER_ARRAYS, "matcher.safetensors", "depth_sigma.npy")
"""Files of some maps."""
WORK = "work"
"""Folder of a map that is being built for what the finished map does not need."""


class FileRecord(BaseModel):
    """What a file of the map must be."""

    bytes: int
    sha256: str


class MapInfo(BaseModel):
    """The contents of map.json."""

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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        total = hashlib.sha256()
        while block := file.read(1 << 22):
            total.update(block)
    return total.hexdigest()


class ReferenceMap:
    """Keyframes of a place with their poses, descriptors, local features and depth.

    Attributes:
        path: the folder.
        info: what map.json says.
        map_frame: id of the frame that poses are given in.
        cameras: the cameras of the keyframes.
        T_map_camera: (N, 4, 4) float64.
        stamps_ns: (N,) int64.
        camera_index: (N,) int32 into `cameras`.
        index: search over the global descriptors.
        features: what the matcher stores of the keyframes, (N, ...), by name, memory-mapped.
        depth: (N, F) float16 metres, memory-mapped.
        depth_sigma: (N, F) float16, parts of the depth, memory-mapped; None where the map does not tell.
    """

    def __init__(self, path: Path, info: MapInfo) -> None:
        """Use `ReferenceMap.open`."""
        self.path = path
        self.info = info
        self.map_frame = info.map_frame
        self.cameras = [Camera.from_dict(values) for values in info.cameras]
        table = pq.read_table(path / "keyframes.parquet")
        if not table.schema.equals(KEYFRAME_SCHEMA):
            raise MapError(
                f"{path / 'keyframes.parquet'} has other columns than a map of this format: build it again."
            )
        column = {name: table[name].to_numpy() for name in table.column_names if name != "name"}
        self.stamps_ns: NDArray[np.int64] = column["stamp_ns"]
        self.camera_index: NDArray[np.int32] = column["camera"]
        self.names = table["name"]
        self.depth_source = table["depth_source"]
        self.T_map_camera = np.tile(np.eye(4), (len(table), 1, 1))
        if len(table):
            quaternions = np.stack([column[name] for name in ("qx", "qy", "qz", "qw")], axis=1)
            self.T_map_camera[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix()
        self.T_map_camera[:, :3, 3] = np.stack([column[name] for name in "xyz"], axis=1)
        self._thumbnail_offset = column["thumbnail_offset"]
        self._thumbnail_bytes = column["thumbnail_bytes"]
        self.index = DescriptorIndex.read(path / "index.faiss")
        files = [name for name in ("local_features.npy", *MATCHER_ARRAYS) if name in info.files]
        self.features = {name.removesuffix(".npy"): _array(path / name) for name in files}
        self.depth = _array(path / "depth.npy")
        has_sigma = "depth_sigma.npy" in info.files
        self.depth_sigma = _array(path / "depth_sigma.npy") if has_sigma else None
        lengths = {len(array) for array in (table, self.index, self.depth, *self.features.values())}
        room = {self.depth.shape, self.features["local_features"].shape[:2]}
        room |= set() if self.depth_sigma is None else {self.depth_sigma.shape}
        if lengths != {info.keyframes} or len(room) != 1:
            raise MapError(
                f"The files of {path} disagree on how many keyframes or features there are: "
                "build the map again."
            )

    @classmethod
    def open(cls, path: Path | str) -> ReferenceMap:
        """Opens a map; the large arrays stay on the disk.

        Checks that every file is there with its right size; `verify` checks their contents.
        Raises MapError where the folder is no map, is incomplete, or is of a newer format.
        """
        path = Path(path)
        info = read_info(path)
        for name, record in info.files.items():
            file = path / name
            if not file.is_file():
                raise MapError(f"{path} lacks {name}: copy the map again, or build it again.")
            if file.stat().st_size != record.bytes:
                raise MapError(
                    f"{file} has {file.stat().st_size} bytes and should have {record.bytes}: "
                    "copy the map again, or build it again."
                )
        try:
            return cls(path, info)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise MapError(
                f"{path} cannot be read ({str(error).splitlines()[0]}): run `scene-geo-loc map verify`."
            ) from error

    def verify(self) -> None:
        """Compares every file with its checksum. Raises MapError at the first that differs."""
        for name, record in self.info.files.items():
            if sha256_of(self.path / name) != record.sha256:
                raise MapError(
                    f"{self.path / name} has changed since the map was built: "
                    "copy it again, or build it again."
                )

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def camera_of(self, keyframe: int) -> Camera:
        """The camera of a keyframe, at the size of its images."""
        return self.cameras[self.camera_index[keyframe]]

    @property
    def matcher_file(self) -> Path | None:
        """What the map's matcher has learned, where it is one that learns."""
        return self.path / "matcher.safetensors" if "matcher.safetensors" in self.info.files else None

    @property
    def array_files(self) -> list[str]:
        """Names of the files that have a row of features, or of their depth, for each keyframe."""
        names = ("local_features.npy", *MATCHER_ARRAYS, "depth.npy", "depth_sigma.npy")
        return [name for name in names if name in self.info.files]

    def features_of(self, keyframe: int) -> dict[str, NDArray]:
        """What the matcher has stored of a keyframe, for `Matcher.read`."""
        return {name: array[keyframe] for name, array in self.features.items()}

    def thumbnail(self, keyframe: int) -> NDArray[np.uint8]:
        """A small RGB picture (h, w, 3) of a keyframe, of its camera's shape."""
        with (self.path / "thumbnails.bin").open("rb") as file:
            file.seek(int(self._thumbnail_offset[keyframe]))
            jpeg = np.frombuffer(file.read(int(self._thumbnail_bytes[keyframe])), np.uint8)
        picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR) if len(jpeg) else None
        if picture is None:
            raise MapError(
                f"The picture of keyframe {keyframe} of {self.path} is damaged: "
                "run `scene-geo-loc map verify`."
            )
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _array(path: Path) -> NDArray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def check_replaceable_map(path: Path) -> None:
    """Raises MapError unless a folder is a reference map and holds nothing else."""
    check_replaceable(path, KIND, _is_map, ("map.json", WORK, *FILES, *OPTIONAL_FILES), MapError)


def _is_map(path: Path) -> bool:
    try:
        values = json.loads((path / "map.json").read_text())
    except (OSError, ValueError):
        return False
    return FORMAT.is_format_of(values)


def read_info(path: Path) -> MapInfo:
    """What map.json of a map says. Raises MapError where there is none, or none that can be read."""
    file = path / "map.json"
    try:
        values = json.loads(file.read_text())
    except FileNotFoundError as error:
        partial = path.with_name(path.name + ".partial")
        hint = (
            "its build was not finished: run the same `map build` again"
            if partial.is_dir()
            else "name a map's folder"
        )
        raise MapError(f"There is no reference map at {path}: {hint}.") from error
    except (OSError, ValueError) as error:
        raise MapError(f"{file} cannot be read ({error}): copy the map again, or build it again.") from error
    FORMAT.check(values, file)
    try:
        return MapInfo.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise MapError(
            f"{file} is damaged at {'.'.join(map(str, first['loc']))!r}: "
            "copy the map again, or build it again."
        ) from error
