"""The printed numbers of Perspective-n-Learned-Point (Piasco et al., BMVC 2019), to stand beside ours.

Its Tables 1 and 2 give the median position and rotation error in each scene of 7-Scenes, 12-Scenes and
Cambridge Landmarks.  Protocol: the training split is the map, the whole test split the queries; every
query has an answer, since where no pose is verified the retrieved one is kept.  `medians_of` gives our
errors by that protocol, which is not that of `pose_error.summarize`.
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
    """Median errors of one method over all queries; None where half of them or more have no answer."""

    method: str
    position_m: float | None
    rotation_deg: float | None

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        return {
            "method": self.method,
            "position_median_m": None if self.position_m is None else round(self.position_m, 4),
            "rotation_median_deg": None if self.rotation_deg is None else round(self.rotation_deg, 4),
        }


@dataclass(frozen=True)
class Gain:
    """How many times smaller median errors become from the retrieved pose to the refined one."""

    position: float
    rotation: float

    def __str__(self) -> str:
        return f"×{self.position:.1f} / ×{self.rotation:.1f}"


@dataclass(frozen=True)
class SceneTable:
    """What the paper prints for one scene of a benchmark.

    Attributes:
        benchmark, scene: their names as printed.
        table: of the paper.
        printed: a row for each method.
    """

    benchmark: str
    scene: str
    table: str
    printed: tuple[MedianErrors, ...]

    def to_dict(self, ours: Sequence[MedianErrors]) -> dict[str, Any]:
        """The record that is written as JSON, ours beside the printed ones."""
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
    """What the paper prints for one benchmark.

    Attributes:
        benchmark: its name as printed.
        table: of the paper.
        scenes: in the paper's order.
        gains: by network, the gain in the mean over the scenes of the median errors, as its text gives it.
    """

    benchmark: str
    table: str
    scenes: tuple[SceneTable, ...]
    gains: dict[str, Gain]

    @property
    def methods(self) -> list[str]:
        """Those that have a number in any scene, in the paper's order."""
        return list(dict.fromkeys(row.method for scene in self.scenes for row in scene.printed))


def benchmark_tables() -> list[BenchmarkTable]:
    """All that the paper prints: 7-Scenes, 12-Scenes and Cambridge Landmarks."""
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
    """What the paper prints for a source, by its format and the name of the scene's folder.

    `folder` is that of the scene (of 12-Scenes, of the room within its scene) or of a sequence in it.
    None where the paper has no such scene.
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
    """Our median errors by the paper's protocol: of the poses retrieved, and of those refined from them.

    Empty where no record tells what was retrieved, as in a live run.
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
        errors = np.full((len(scored), 2), np.inf)  # without an answer, as far off as can be
        for i, (record, pose) in enumerate(zip(scored, poses, strict=True)):
            if pose is not None and record.T_true is not None:
                errors[i] = position_error_m(record.T_true, pose), rotation_error_deg(record.T_true, pose)
        position, rotation = (float(median) for median in np.median(errors, axis=0))
        known = np.isfinite(position)
        rows.append(MedianErrors(method, position if known else None, rotation if known else None))
    return rows


@cache
def _tables() -> dict[str, Any]:
    """By format: benchmark, table, gains, and by scene its name and each method's errors (m, degrees)."""
    text = files("scene_geo_loc.metrics.published").joinpath("bmvc2019.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables
