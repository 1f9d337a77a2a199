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

"""Numbers printed in Perspective-n-Learned-Point (Piasco et al., BMVC 2019), for comparison with ours.

Its Tables 1 and 2 give the median position and rotation error in each scene of 7-Scenes, 12-Scenes and
Cambridge Landmarks.  Protocol: the training split is the map and the whole test split the queries.  Every
query has a pose: if none is verified, the retrieved pose counts.  `medians_of` computes our errors by this
protocol, which differs from that of `pose_error.summarize`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.metrics.pose_error import QueryRecord

PAPER = "Perspective-n-Learned-Point (BMVC 2019)"


@dataclass(frozen=True)
class MedianErrors:
    """Median errors of one method over all queries; None if at least half of the queries have no pose."""

    method: str
    position_m: float | None
    rotation_deg: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "method": self.method,
            "position_median_m": None if self.position_m is None else round(self.position_m, 4),
            "rotation_median_deg": None if self.rotation_deg is None else round(self.rotation_deg, 4),
        }


@dataclass(frozen=True)
class Gain:
    """Ratios of the median errors of retrieved poses to those of refined poses."""

    position: float
    rotation: float

    def __str__(self) -> str:
        return f"×{self.position:.1f} / ×{self.rotation:.1f}"


@dataclass(frozen=True)
class SceneTable:
    """Errors that the paper prints for one scene of a benchmark.

    Attributes:
        benchmark, scene: names as printed.
        table: name of the table in the paper.
        printed: errors of each method.
    """

    benchmark: str
    scene: str
    table: str
    printed: tuple[MedianErrors, ...]

    def to_dict(self, ours: Sequence[MedianErrors]) -> dict[str, Any]:
        """Returns the record that is written as JSON, with our errors beside the printed ones."""
        return {
            "paper": PAPER,
            "table": self.table,
            "benchmark": self.benchmark,
            "scene": self.scene,
            "printed_full_test_split": [row.to_dict() for row in self.printed],
            "this_run": [row.to_dict() for row in ours],
        }


@dataclass(frozen=True)
class BenchmarkTable:
    """Errors that the paper prints for one benchmark.

    Attributes:
        benchmark: name as printed.
        table: name of the table in the paper.
        scenes: in the paper's order.
        gains: by network, the gain in the mean of the median errors over the scenes, from the paper's text.
    """

    benchmark: str
    table: str
    scenes: tuple[SceneTable, ...]
    gains: dict[str, Gain]

    @property
    def methods(self) -> list[str]:
        """Methods that have a number in any scene, in the paper's order."""
        return list(dict.fromkeys(row.method for scene in self.scenes for row in scene.printed))


def benchmark_tables() -> list[BenchmarkTable]:
    """Returns the tables of all benchmarks in the paper: 7-Scenes, 12-Scenes and Cambridge Landmarks."""
    return [
        BenchmarkTable(
            table["benchmark"],
            table["table"],
            tuple(_scene(table, folder) for folder in table["scenes"]),
            {network: Gain(*gain) for network, gain in table["gains"].items()},
        )
        for table in _tables().values()
    ]


def scene_table(format: str, folder: Path) -> SceneTable | None:
    """Returns the errors that the paper prints for the scene of a source, or None if it has no such scene.

    Args:
        format: format of the source.
        folder: folder of the scene (for 12-Scenes, of the room within the scene) or of a sequence in it.
    """
    if format not in _tables():
        return None
    table = _tables()[format]
    names = folder.resolve().parts
    for name in ("/".join(names[-2:]), *names[:-3:-1]):
        if name in table["scenes"]:
            return _scene(table, name)
    return None


def _scene(table: dict[str, Any], folder: str) -> SceneTable:
    scene = table["scenes"][folder]
    rows = tuple(MedianErrors(method, *errors) for method, errors in scene["errors"].items())
    return SceneTable(table["benchmark"], scene["name"], table["table"], rows)


def medians_of(records: Sequence[QueryRecord]) -> list[MedianErrors]:
    """Returns our median errors by the paper's protocol: of the retrieved poses, and of the refined poses.

    The list is empty if no record has a retrieved pose, as in a live run.
    """
    scored = [record for record in records if record.T_true is not None]
    if all(record.T_retrieved is None for record in scored):
        return []
    answers = {
        "Retrieved": [record.T_retrieved for record in scored],
        "Localized, else retrieved": [
            record.T_estimated if record.is_localized else record.T_retrieved for record in scored
        ],
    }
    rows = []
    for method, poses in answers.items():
        errors = np.full((len(scored), 2), np.inf)  # infinite error without a pose
        for i, (record, pose) in enumerate(zip(scored, poses, strict=True)):
            if pose is not None and record.T_true is not None:
                errors[i] = position_error_m(record.T_true, pose), rotation_error_deg(record.T_true, pose)
        position, rotation = (float(median) for median in np.median(errors, axis=0))
        known = np.isfinite(position)
        rows.append(MedianErrors(method, position if known else None, rotation if known else None))
    return rows


@cache
def _tables() -> dict[str, Any]:
    """Returns by format: benchmark, table, gains, and each scene's name and errors by method (m, degrees)."""
    text = files("scene_geo_loc.metrics.published").joinpath("bmvc2019.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables
