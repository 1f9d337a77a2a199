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

"""Upgrades checkpoints, and those in maps, to the format that carries a forward pass."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.mapping.map_info import FileRecord, read_info, sha256_of, write_info
from scene_geo_loc.matchers import make_matcher
from scene_geo_loc.networks.checkpoint import FORMAT, load_network, read_checkpoint, save_network

NETWORK, MATCHER = "network.safetensors", "matcher.safetensors"


def upgrade(path: Path) -> bool:
    """Rewrites a checkpoint, or the network and the matcher of a map, in the present format.

    Keyframes and features stay as they are, so a map localizes as before.  An upgrade that was interrupted is
    completed by the next one.

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
    files = {
        name: FileRecord(bytes=(folder / name).stat().st_size, sha256=sha256_of(folder / name))
        if name in (NETWORK, MATCHER)
        else record
        for name, record in info.files.items()
    }
    if not changed and files == info.files:
        return False
    write_info(folder, info.model_copy(update={"files": files}))
    return True
