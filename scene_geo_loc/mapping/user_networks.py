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

from scene_geo_loc.mapping.map_info import UserNetworkRecord
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
    def of(cls, settings: BuilderSettings) -> UserNetworks:
        """Returns the networks that settings name.

        Raises CheckpointError where a file is missing, damaged or not as its description says.
        """
        return cls(
            _read(settings.descriptor, GlobalDescriptor),
            _read(settings.local_features, Keypoints),
            _read(settings.matcher, PairMatches),
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


def _read(file: str | None, kind: type[AnyDescription]) -> UserNetwork[AnyDescription] | None:
    return None if file is None or not is_network_file(file) else UserNetwork.read(Path(file), kind)
