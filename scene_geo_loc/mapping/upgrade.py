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

"""Upgrades checkpoints and maps of older releases: the forward pass, and what a map keeps for retrieval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import written_aside
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.core.growing_array import write_blocks
from scene_geo_loc.mapping.map_info import (
    ARRAYS,
    DESCRIPTOR,
    MATCHER_ARRAYS,
    NO_LONGER_READ,
    PLACE_KEYPOINTS,
    VOCABULARY,
    FileRecord,
    MapInfo,
    read_info,
    sha256_of,
    write_info,
)
from scene_geo_loc.mapping.search.place_keypoints import row_shape, stored_row
from scene_geo_loc.matchers import make_matcher
from scene_geo_loc.matchers.scene_keypoints import SceneKeypointMatcher
from scene_geo_loc.networks.checkpoint import FORMAT, load_network, read_checkpoint, save_network
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.strongest_cells import StrongestCells

NETWORK, MATCHER = "network.safetensors", "matcher.safetensors"


def upgrade(path: Path) -> bool:
    """Rewrites a checkpoint, or the network and the matcher of a map, in the present format.

    Keyframes and features stay as they are.  A map whose features are the keypoints of its network gets place
    keypoints of them.  An upgrade that was interrupted is completed by the next one.

    Returns:
        False where nothing had to be done.

    Raises CheckpointError or MapError where the file or the folder cannot be read.
    """
    if not path.is_dir():
        return _upgrade_checkpoint(path)
    with changing(path, "upgrade", MapError):
        return _upgrade_map(path)


def _upgrade_checkpoint(path: Path) -> bool:
    if read_checkpoint(path).version == FORMAT.version:
        return False
    network, provenance = load_network(path)
    save_network(network, path, provenance)
    return True


def _upgrade_map(folder: Path) -> bool:
    info = read_info(folder)
    changed = _upgrade_checkpoint(folder / NETWORK)
    network, _ = load_network(folder / NETWORK)
    if network.digest != info.network_digest:
        raise MapError(
            f"{folder} was built with another network than its {NETWORK}: copy the map again, or build it "
            "again."
        )
    if MATCHER in info.files:
        make_matcher(info.matcher, network, folder / MATCHER).save(folder / MATCHER)
    names = [name for name in info.files if name not in NO_LONGER_READ]
    if _lacks_place_keypoints(info):
        _write_place_keypoints(folder, info, network)
        names.append(PLACE_KEYPOINTS)
    files = {
        name: info.files[name]
        if name in info.files and name not in (NETWORK, MATCHER)
        else FileRecord(bytes=(folder / name).stat().st_size, sha256=sha256_of(folder / name))
        for name in names
    }
    if not changed and files == info.files:
        return False
    write_info(folder, info.model_copy(update={"files": files}))
    for name in NO_LONGER_READ:
        (folder / name).unlink(missing_ok=True)
    return True


def _lacks_place_keypoints(info: MapInfo) -> bool:
    """Returns whether a map has no place keypoints, and its features are such as they are made of."""
    is_described = not {DESCRIPTOR, VOCABULARY} & info.files.keys()
    return is_described and PLACE_KEYPOINTS not in info.files and info.matcher == SceneKeypointMatcher.name


def _write_place_keypoints(folder: Path, info: MapInfo, network: InferenceNetwork) -> None:
    """Writes the place keypoints of all keyframes, made of their features, which come strongest first."""
    matcher = SceneKeypointMatcher(network)
    stored = {
        name.removesuffix(".npy"): np.load(folder / name, mmap_mode="r", allow_pickle=False)
        for name in (ARRAYS[0], *MATCHER_ARRAYS)
        if name in info.files
    }

    def rows() -> Iterator[NDArray[np.uint8]]:
        for i in range(info.keyframes):
            features = matcher.storage.read({name: array[i] for name, array in stored.items()})
            is_used = np.linalg.norm(features.descriptors, axis=1) > 0.5  # the others are zero
            places = (features.pixels[is_used] + 0.5) / matcher.input_size
            cells = StrongestCells(features.descriptors[is_used, None], places.astype(np.float32))
            yield stored_row(cells)[None]

    shape = (info.keyframes, *row_shape(network.signature.local_features.channels))
    with written_aside(folder / PLACE_KEYPOINTS) as aside:
        write_blocks(aside, shape, np.uint8, rows())
