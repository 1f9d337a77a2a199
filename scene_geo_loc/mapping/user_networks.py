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

"""The user's networks of a map: read from the files that settings name, and recorded in `map.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.map_info import UserNetworkRecord
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings, is_network_file
from scene_geo_loc.networks.user.description import (
    AnyDescription,
    GlobalDescriptor,
    Keypoints,
    PairMatches,
)
from scene_geo_loc.networks.user.user_network import UserNetwork


@dataclass(frozen=True)
class UserNetworks:
    """The user's networks of a new map, by the setting that names them; None where it names none."""

    descriptor: UserNetwork[GlobalDescriptor] | None = None
    local_features: UserNetwork[Keypoints] | None = None
    matcher: UserNetwork[PairMatches] | None = None

    @classmethod
    def of(cls, settings: BuilderSettings, like: ReferenceMap | None = None) -> UserNetworks:
        """Returns the networks that settings name.

        Args:
            settings: names of files.
            like: a map; a name without a folder, of a network that the map keeps a copy of, is that copy.

        Raises CheckpointError where a file is missing, damaged or not as its description says, MapError where
        a copy is of another network than the map was built with.
        """
        return cls(
            _read(settings.descriptor, "descriptor", GlobalDescriptor, like),
            _read(settings.local_features, "local_features", Keypoints, like),
            _read(settings.matcher, "matcher", PairMatches, like),
        )

    def records(self) -> dict[str, UserNetworkRecord]:
        """Returns the records for `MapInfo`."""
        return {
            name: UserNetworkRecord(file=network.name, sha256=network.sha256)
            for name, network in vars(self).items()
            if network is not None
        }

    def digests(self) -> dict[str, str]:
        """Returns the digests of files and descriptions."""
        return {name: network.digest for name, network in vars(self).items() if network is not None}


def network_of_map(
    reference_map: ReferenceMap, role: str, kind: type[AnyDescription]
) -> UserNetwork[AnyDescription] | None:
    """Returns a user's network from its copy in a map; None where the map was built without one.

    Args:
        reference_map: the map.
        role: setting that named the network: `descriptor`, `local_features` or `matcher`.
        kind: of its description.

    Raises CheckpointError where the copy is damaged, MapError where the map was built with another.
    """
    record = reference_map.info.user_networks.get(role)
    path = {
        "descriptor": reference_map.descriptor_file,
        "local_features": reference_map.matcher_file,
        "matcher": reference_map.pair_matcher_file,
    }[role]
    if path is None and record is None:
        return None
    if record is None and role != "descriptor":  # weights of a matcher of the package
        return None
    network = None if path is None else UserNetwork.read_copy(path, kind)
    if network is None or record is None or record.sha256 != network.sha256:
        raise MapError(
            f"{reference_map.path} was built with another network than its {path.name if path else role}: "
            "copy the map again, or build it again."
        )
    return network


def _read(
    file: str | None, role: str, kind: type[AnyDescription], like: ReferenceMap | None
) -> UserNetwork[AnyDescription] | None:
    if file is None or not is_network_file(file):
        return None
    record = None if like is None else like.info.user_networks.get(role)
    if like is not None and record is not None and record.file == file:
        return network_of_map(like, role, kind)
    return UserNetwork.read(Path(file), kind)
