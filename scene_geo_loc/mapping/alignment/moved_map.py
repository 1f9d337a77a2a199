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

"""A copy of a reference map in another frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.geometry.pose import Pose, inverse, to_quaternion, transform
from scene_geo_loc.mapping.keyframe_table import read_table, write_large_tables
from scene_geo_loc.mapping.map_info import CODES, KEYFRAMES, LARGE_TABLES, record_of, write_info
from scene_geo_loc.mapping.map_output import link_or_copy, writing_map
from scene_geo_loc.mapping.reference_map import ReferenceMap


def write_moved_map(reference_map: ReferenceMap, out: Path, T_new_map: Pose) -> None:
    """Writes a map whose poses, and datum, are those of another frame.

    The large files are the same ones under a second name where the file system allows that.

    Args:
        out: folder of the new map; it must not exist.
        T_new_map: pose of the old map's frame in the new one.

    Raises MapError where nothing can be written there.
    """
    georeference = reference_map.georeference and _moved(reference_map.georeference, T_new_map)
    write_map_with_poses(
        reference_map, out, T_new_map @ reference_map.T_map_camera, {"georeference": georeference}
    )


def write_map_with_poses(
    reference_map: ReferenceMap, out: Path, T_map_camera: NDArray[np.float64], changes: Mapping[str, Any]
) -> None:
    """Writes a map whose keyframes have other poses.

    The large files are the same ones under a second name where the file system allows that.

    Args:
        out: folder of the new map; it must not exist.
        T_map_camera: (N, 4, 4).
        changes: what else changes in `map.json`, by the names of `MapInfo`.

    Raises MapError where nothing can be written there.
    """
    info = reference_map.info
    values = np.c_[T_map_camera[:, :3, 3], to_quaternion(T_map_camera)]
    table = read_table(reference_map.path)
    for column, name in enumerate(("x", "y", "z", "qx", "qy", "qz", "qw")):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values[:, column]))
    if out.exists():
        raise MapError(f"{out} exists already: name another folder.")
    with writing_map(out, "writing a map in another frame") as folder:
        for name in info.files:
            if name == KEYFRAMES:
                pq.write_table(table, folder / name)
            elif name not in LARGE_TABLES:
                link_or_copy(reference_map.path / name, folder / name)
        if CODES in info.files:
            write_large_tables(folder)
        changed = [name for name in info.files if name in (KEYFRAMES, *LARGE_TABLES)]
        files = {**info.files, **{name: record_of(folder / name) for name in changed}}
        write_info(folder, info.model_copy(update={**changes, "files": files}))


def _moved(georeference: Georeference, T_new_map: Pose) -> Georeference:
    datum = Datum.of_ecef(georeference.datum.T_ecef_map @ inverse(T_new_map))
    fit = georeference.fit
    if fit is not None:
        x, y, z = (float(value) for value in transform(T_new_map, np.array(fit.centre_m)))
        fit = replace(fit, centre_m=(x, y, z))
    return replace(georeference, datum=datum, fit=fit)
