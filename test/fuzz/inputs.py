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

"""Kinds of input that users have: a small sound one of each, and how the package reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drive import base_at, stamp, write_drive
from lidar_room import LidarRoom
from panorama_sets import write_photos, write_street
from pictures import readers_for, write_pictures
from robotcar_run import RUN, write_run
from room import Room
from small_graphs import write_descriptor
from traversals.test_bad_bags import as_sqlite
from traversals.test_camera_files import CALIBRATIONS
from trees import (
    ace,
    cambridge,
    colmap,
    euroc,
    kitti_odometry,
    kitti_raw,
    rgbd,
    seven_scenes,
    tum_rgbd,
    twelve_scenes,
)


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: its name in reports.
        write: writes a sound one at a path, a file or a folder.
        read: reads all of it as the package does, and returns what must stay the same where a damaged one is
            read without an error; None where damage cannot be noticed, as in a text without a checksum.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]


def _frames_of(source: str) -> Callable[[Path], None]:
    return lambda path: read_frames(path / source)


def read_frames(path: Path) -> None:
    """Reads all frames and scans of a source."""
    from scene_geo_loc.traversals.opening import open_traversal

    traversal = open_traversal(path)
    for frame in traversal.frames():
        assert frame.image.dtype == "uint8", "images are of 8 bits"
    for _ in traversal.scans():
        pass


def _read_panoramas(path: Path) -> None:
    from scene_geo_loc.traversals.opening import open_traversal

    for _ in open_traversal(path, views=2, view_camera="64x48@60").frames():
        pass


def write_map(path: Path) -> None:
    """Builds a map of the room."""
    from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder

    builder = MapBuilder(path, BuilderSettings(keyframe_distance_m=0.2), device="cpu")
    for frame in Room().drive():
        builder.add_frame(frame)
    builder.finish()


def read_map(path: Path) -> object:
    """Reads a map with the features of all keyframes; returns poses, cameras and points."""
    from scene_geo_loc.localization.stored_keyframes import StoredKeyframes
    from scene_geo_loc.mapping.map_info import READ_WHOLE
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.matchers import make_matcher
    from scene_geo_loc.networks.checkpoint import load_network

    found = ReferenceMap.open(path, verified=READ_WHOLE)
    found.verify()
    network, _ = load_network(path / "network.safetensors")
    matcher = make_matcher(found.info.matcher, network, found.matcher_file)
    cameras = [camera.resized(network.input_width, network.input_height) for camera in found.cameras]
    keyframes = StoredKeyframes(found, matcher.storage, cameras)
    points = [keyframes.all_features(k).points_map.tobytes() for k in range(len(found))]
    for k in range(len(found)):
        found.thumbnail(k)
    return found.T_map_camera.tobytes(), [camera.to_dict() for camera in found.cameras], points


def _read_map_with_new_checksums(path: Path) -> None:
    """Reads a map whose files were changed by somebody who renewed the checksums."""
    from scene_geo_loc.mapping.map_info import FileRecord, MapInfo, sha256_of, write_info

    description = path / "map.json"
    if description.is_symlink() or not description.is_file():
        return
    try:
        info = MapInfo.model_validate(json.loads(description.read_text()))
    except ValueError:
        return
    for name in info.files:
        if (path / name).is_file():
            info.files[name] = FileRecord(bytes=(path / name).stat().st_size, sha256=sha256_of(path / name))
    write_info(path, info)
    read_map(path)


def _write_checkpoint(path: Path) -> None:
    from scene_geo_loc.networks.default import CHECKPOINT

    shutil.copy(CHECKPOINT, path)


def _read_checkpoint(path: Path) -> None:
    from scene_geo_loc.networks.checkpoint import load_network

    load_network(path)


def _write_triplets(path: Path) -> None:
    from scene_geo_loc.places.triplet_settings import TripletSettings
    from scene_geo_loc.places.triplets import Sample, Triplet, TripletInfo, Triplets

    pictures = write_pictures(path, 3, 12, 16)
    samples = [
        Sample(RUN, "stereo/centre", stamp(i), picture.image.name, base_at(i), None)
        for i, picture in enumerate(pictures)
    ]
    triplets = [Triplet(samples[0], samples[1:2], samples[2:])] * 3
    settings = TripletSettings(triplets=3, positives=1, negatives=1)
    info = TripletInfo(runs=[RUN], triplets=3, settings=settings, areas={}, left_out={})
    Triplets(path, info, triplets).save(path / "triplets.parquet")


def _read_triplets(path: Path) -> None:
    from scene_geo_loc.places.triplets import Triplets

    Triplets.load(path / "triplets.parquet")


def _write_pack(path: Path) -> None:
    from scene_geo_loc.packs.packing import make_pack

    pictures = write_pictures(path.with_name("pictures"), 3, 12, 16)
    make_pack(path, pictures, lambda: readers_for(pictures, 12, 16), workers=1, source="pictures")


def read_pack(path: Path) -> None:
    """Reads all images and depth maps of a pack."""
    from scene_geo_loc.packs.image_pack import ImagePack

    pack = ImagePack.open(path)
    for i in range(len(pack.names)):
        pack.image(i)
        pack.depth_centimetres(i)


def _write_depth_maps(path: Path) -> None:
    from scene_geo_loc.depth.make_depth_maps import make_depth_maps
    from scene_geo_loc.depth.window import SPINNING

    make_depth_maps(LidarRoom(3), path, SPINNING, workers=1)


def read_depth_maps(path: Path) -> None:
    """Reads a folder of depth maps."""
    from scene_geo_loc.depth.depth_maps import DepthMaps

    depth_maps = DepthMaps.load(path)
    for i in range(len(depth_maps)):
        depth_maps.depth(i)


def _write_user_network(path: Path) -> None:
    path.mkdir()
    write_descriptor(path)


def _read_user_network(path: Path) -> None:
    from scene_geo_loc.networks.user.description import GlobalDescriptor
    from scene_geo_loc.networks.user.user_network import UserNetwork

    UserNetwork.read(path / "averages.onnx", GlobalDescriptor)


def _write_vocabulary(path: Path) -> None:
    from scene_geo_loc.visual_words.features import extract
    from scene_geo_loc.visual_words.vocabulary import Vocabulary

    Vocabulary.fit([extract(frame.image) for frame in Room().drive(3)], 20, 5).save(path)


def _read_vocabulary(path: Path) -> None:
    from scene_geo_loc.visual_words.features import extract
    from scene_geo_loc.visual_words.vocabulary import Vocabulary

    described = Vocabulary.read(path).describe(extract(Room().frame(-2.1, 0.4, 7.0).image))
    assert np.isfinite(described).all(), "descriptors are finite"


def _write_bag_with_tum_poses(path: Path) -> None:
    from scene_geo_loc.geometry.pose import to_quaternion

    write_drive(path / "bag", truth=False)
    rows = [[stamp(i) / 1e9, *base_at(i)[:3, 3], *to_quaternion(base_at(i))] for i in range(10)]
    np.savetxt(path / "poses.txt", np.array(rows), fmt="%.9f")


def _read_bag_with_tum_poses(path: Path) -> None:
    from scene_geo_loc.traversals.opening import open_traversal

    for _ in open_traversal(path / "bag", poses=str(path / "poses.txt")).frames():
        pass


def _write_sqlite_bag(path: Path) -> None:
    as_sqlite(write_drive(path.with_name("drive"), images=range(4)), path)


def _write_bag(path: Path) -> None:
    write_drive(path, images=range(4), tf=True, odometry=True, depth=True)


def _write_calibrations(path: Path) -> None:
    path.mkdir()
    for name, text in CALIBRATIONS.items():
        (path / name).write_text(text)


def _read_calibrations(path: Path) -> None:
    from scene_geo_loc.traversals.camera_files import read_camera_file

    for name in CALIBRATIONS:
        intrinsics = read_camera_file(path / name)
        with suppress(ValueError):  # of which whoever asks for the camera makes a sentence
            intrinsics.camera()


KINDS = {
    kind.name: kind
    for kind in (
        Kind("map", write_map, read_map),
        Kind("map-with-new-checksums", write_map, _read_map_with_new_checksums),
        Kind("checkpoint", _write_checkpoint, _read_checkpoint),
        Kind("user-network", _write_user_network, _read_user_network),
        Kind("vocabulary", _write_vocabulary, _read_vocabulary),
        Kind("triplets", _write_triplets, _read_triplets),
        Kind("pack", _write_pack, read_pack),
        Kind("depth-maps", _write_depth_maps, read_depth_maps),
        Kind("bag", _write_bag, read_frames),
        Kind("sqlite-bag", _write_sqlite_bag, read_frames),
        Kind("tum-poses", _write_bag_with_tum_poses, _read_bag_with_tum_poses),
        Kind("robotcar", write_run, _frames_of(RUN)),
        Kind("calibrations", _write_calibrations, _read_calibrations),
        Kind("rgbd", rgbd, read_frames),
        Kind("tum-rgbd", tum_rgbd, read_frames),
        Kind("7scenes", seven_scenes, read_frames),
        Kind("12scenes", twelve_scenes, read_frames),
        Kind("cambridge", cambridge, read_frames),
        Kind("colmap", colmap, read_frames),
        Kind("euroc", euroc, read_frames),
        Kind("ace", ace, read_frames),
        Kind("streetview", write_street, _read_panoramas),
        Kind("streetview-photos", write_photos, _read_panoramas),
        Kind("kitti-odometry", kitti_odometry, _frames_of("sequences/04")),
        Kind("kitti-raw", kitti_raw, _frames_of("2011_09_26/2011_09_26_drive_0001_sync")),
    )
}
"""The kinds by their names."""
