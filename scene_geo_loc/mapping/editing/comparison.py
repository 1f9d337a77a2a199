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

"""Differences of two maps: keyframes, poses, networks, settings and frames."""

from __future__ import annotations

from dataclasses import dataclass

from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.mapping.reference_map import AnyMap

SAME_M, SAME_DEG = 1e-4, 1e-3
"""Poses of a keyframe that differ by less are the same."""


@dataclass(frozen=True)
class MapDifference:
    """Differences of a second map from a first.

    Attributes:
        common: number of keyframes that both have: same stamp, name and camera.
        removed, added: number of keyframes that only the first, or only the second map has.
        moved: number of the common keyframes whose poses differ.
        largest_move_m: of these.
        changed: names of what else differs, with both values.
    """

    common: int
    removed: int
    added: int
    moved: int
    largest_move_m: float
    changed: dict[str, tuple[str, str]]

    @property
    def is_none(self) -> bool:
        """True if the maps do not differ."""
        return not (self.removed or self.added or self.moved or self.changed)


def compare_maps(first: AnyMap, second: AnyMap) -> MapDifference:
    """Returns the differences of two maps."""
    rows = [_rows_by_key(opened) for opened in (first, second)]
    common = rows[0].keys() & rows[1].keys()
    moves = []
    for key in common:
        before, after = first.T_map_camera[rows[0][key]], second.T_map_camera[rows[1][key]]
        move_m, turn_deg = float(position_error_m(before, after)), float(rotation_error_deg(before, after))
        if move_m > SAME_M or turn_deg > SAME_DEG:
            moves.append(move_m)
    return MapDifference(
        common=len(common),
        removed=len(rows[0]) - len(common),
        added=len(rows[1]) - len(common),
        moved=len(moves),
        largest_move_m=max(moves, default=0.0),
        changed=_changed(first, second),
    )


def _rows_by_key(opened: AnyMap) -> dict[tuple[int, str, str], int]:
    names = opened.names.to_pylist()
    return {
        (int(stamp), name, str(opened.info.cameras[camera])): row
        for row, (stamp, name, camera) in enumerate(
            zip(opened.stamps_ns, names, opened.camera_index, strict=True)
        )
    }


def _changed(first: AnyMap, second: AnyMap) -> dict[str, tuple[str, str]]:
    described = []
    for opened in (first, second):
        info = opened.info
        described.append(
            {
                "localizer": info.localizer,
                "network": info.network_digest[:16],
                "matcher": info.matcher,
                "map frame": info.map_frame,
                "datum": str(info.georeference or "unknown"),
                "drives": ", ".join(f"{drive.source} ({drive.keyframes})" for drive in info.all_drives),
                "accuracy": str(info.accuracy or "not measured"),
                **{f"setting {name}": str(value) for name, value in info.settings.items()},
            }
        )
    names = dict.fromkeys([*described[0], *described[1]])
    pairs = {name: tuple(values.get(name, "–") for values in described) for name in names}
    return {name: (a, b) for name, (a, b) in pairs.items() if a != b}
