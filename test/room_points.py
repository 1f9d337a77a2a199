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

"""A room reconstructed from known depth, in place of triangulation, which needs pycolmap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from room import Room
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.mapping.structure_from_motion.reconstruction import MatchedImages, Reconstruction
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.skipped import Skipped


def walk(room: Room, count: int = 24) -> list[Frame]:
    """Frames along the room that look ahead and a little to both sides, and do not stay on one line."""
    return [
        room.frame(-4.0 + 4.0 * i / count, 0.4 * np.sin(0.7 * i), 15.0 * np.sin(0.4 * i), 10**8 * (i + 1))
        for i in range(count)
    ]


@dataclass
class FrameTraversal:
    """Given frames."""

    given: list[Frame]
    name: str = "room"
    map_frame: str = "map"
    skipped: Skipped = field(default_factory=Skipped)

    def __len__(self) -> int:
        return len(self.given)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        yield from self.given

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        return iter(())


def from_known_depth(room: Room, images: MatchedImages) -> Reconstruction:
    """Points of the features that match, at the room's own depth."""
    first = np.cumsum([0, *(len(features) for features in images.features)])
    linked = [rows + np.array([first[i], first[j]]) for (i, j), rows in images.matches.items()]
    i, j = np.concatenate([*linked, np.zeros((0, 2), np.intp)]).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(first[-1], first[-1]))
    _, component = connected_components(graph, directed=False)
    is_shared = np.bincount(component)[component] > 1
    points: list[np.ndarray] = []
    track: list[tuple[int, int, int]] = []
    for component_number in np.unique(component[is_shared]):
        features = np.flatnonzero(component == component_number)
        seen_in = np.searchsorted(first, features, side="right") - 1
        image, feature = seen_in[0], features[0] - first[seen_in[0]]
        frame = room.view(images.T_map_camera[image])
        u, v = np.rint(images.features[image].pixels[feature]).astype(int)
        pixel = images.features[image].pixels[feature][None].astype(np.float64)
        local = images.cameras[image].back_project(pixel, frame.depth[v, u].reshape(1))
        track += [(len(points), k, f - first[k]) for k, f in zip(seen_in, features, strict=True)]
        points.append(transform(images.T_map_camera[image], local)[0])
    columns = np.array(track, np.int64).reshape(-1, 3)
    return Reconstruction(
        np.array(points).reshape(-1, 3),
        images.T_map_camera,
        columns[:, 0],
        columns[:, 1],
        columns[:, 2],
        0.5,
    )


def without_pycolmap(patch: pytest.MonkeyPatch, room: Room) -> None:
    """Reconstructs from known depth."""
    module = "scene_geo_loc.training.structure_from_motion.run"
    seen: dict[bytes, Frame] = {}
    view = room.view

    def once(T_map_camera: np.ndarray, stamp_ns: int = 0) -> Frame:
        key = T_map_camera.tobytes()
        if key not in seen:
            seen[key] = view(T_map_camera, stamp_ns)
        return seen[key]

    patch.setattr(room, "view", once)
    patch.setattr(f"{module}.check_available", lambda: None)
    patch.setattr(f"{module}.reconstruct", lambda images, adjust: from_known_depth(room, images))
