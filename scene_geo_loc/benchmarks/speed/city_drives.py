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
"""The drives that the descriptors of a city are drawn like: one street by two lights, and twice by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scene_geo_loc.benchmarks.speed.city_cost import CityCost, measure_cities
from scene_geo_loc.benchmarks.speed.descriptor_model import DescriptorModel
from scene_geo_loc.core.progress import ProgressCallback, ProgressDisplay, ignore_progress, no_display
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.simulation.recordings.drive import DriveSettings, simulate
from scene_geo_loc.simulation.vehicle.sensors import Rig
from scene_geo_loc.traversals.opening import open_traversal

LENGTH_M = 320.0
DRIVES = {
    "mapped": DriveSettings(length=LENGTH_M, rig=Rig(pushbroom=None)),
    "other_light": DriveSettings(length=LENGTH_M, rig=Rig(pushbroom=None), condition="sunny"),
    "same_light": DriveSettings(length=LENGTH_M, rig=Rig(pushbroom=None), drive_seed=101),
}
"""The drive that the network's projection is fitted to, and two others of the same street."""


def measure_simulated_cities(
    out: Path, sizes: Sequence[int], show: ProgressDisplay = no_display
) -> list[CityCost]:
    """Measures maps of cities like a simulated street; its drives and maps are made once, in a folder."""
    maps = [_map_of(name, out, show) for name in DRIVES]
    with show("maps of cities", "maps") as on_progress:
        return measure_like(maps, sizes, out, on_progress)


def measure_like(
    maps: Sequence[ReferenceMap],
    sizes: Sequence[int],
    out: Path,
    on_progress: ProgressCallback = ignore_progress,
) -> list[CityCost]:
    """Measures maps of cities like the street of three maps, and writes `map_size.json`.

    Args:
        maps: of three drives of the street: that which the projection of the descriptors was fitted to, and
            two built like it, by other and by the same light.
        sizes: numbers of keyframes.
        out: folder of the maps of cities.
        on_progress: receives the sizes measured and their number.
    """
    mapped, other_light, same_light = maps
    other = model_of(mapped, other_light)
    kinds = {"same light": model_of(mapped, same_light), "other light": other}
    return measure_cities(mapped, other, kinds, sizes, out, on_progress)


def model_of(mapped: ReferenceMap, drive: ReferenceMap) -> DescriptorModel:
    """Returns the model of a drive's descriptors, and of what differs from the nearest keyframes of a map."""
    places = np.array([mapped.nearest(T[:3, 3])[0] for T in drive.T_map_camera])
    rows, others = (
        np.stack([opened.index.descriptor(int(row)) for row in chosen])
        for opened, chosen in ((drive, range(len(drive))), (mapped, places))
    )
    return DescriptorModel.fit(rows, others)


def _map_of(name: str, out: Path, show: ProgressDisplay) -> ReferenceMap:
    folder, bag = out / "city_maps" / name, out / "city_drives" / name
    if folder.exists():
        return ReferenceMap.open(folder)
    if not bag.exists():
        bag.parent.mkdir(parents=True, exist_ok=True)
        with show(f"simulating the drive {name}", "frames") as on_progress:
            simulate(bag, DRIVES[name], on_progress=on_progress)
    folder.parent.mkdir(parents=True, exist_ok=True)
    like = None if name == "mapped" else ReferenceMap.open(folder.with_name("mapped"))
    traversal = open_traversal(bag)
    builder = MapBuilder(folder, BuilderSettings(), map_frame=traversal.map_frame, source=name, like=like)
    for frame in traversal.frames():
        builder.add_frame(frame)
    builder.finish()
    return ReferenceMap.open(folder)
