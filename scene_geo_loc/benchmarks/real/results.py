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

"""Results of the benchmark on real images: for each set, method and part of the set a few named numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel, ConfigDict

from scene_geo_loc.benchmarks.poses.errors import BOUNDS, Place

DESCRIPTOR = "descriptor"
"""Method that compares global descriptors alone, without local features."""
RETRIEVAL = "descriptor and place keypoints"
"""Method that compares images as retrieval does: by descriptor, and by the layout of the best keypoints."""


class Kind(str, Enum):
    """Kind of a set, which decides its numbers."""

    MATCHES = "matches"
    PAIRS = "pairs"
    PLACES = "places"
    INDOORS = "indoor poses"
    OUTDOORS = "outdoor poses"
    SUBMISSION = "poses without public ground truth"


@dataclass(frozen=True)
class Column:
    """A number of a part: its key in `Part.values`, its heading, and how it is written.

    Attributes:
        factor: the number is multiplied by it, 100 for a share in percent.
        digits: decimal places.
    """

    key: str
    heading: str
    factor: float = 1.0
    digits: int = 1

    def text(self, value: float | None) -> str:
        """Returns the number as it is written in tables; a dash if there is none."""
        return "–" if value is None else f"{self.factor * value:.{self.digits}f}"


MS = Column("ms", "ms", digits=0)


def _pose_columns(place: Place) -> tuple[Column, ...]:
    return (
        Column("localized", "localized", digits=0),
        Column("median_m", "median cm", 100.0)
        if place is Place.INDOORS
        else Column("median_m", "median m", 1, 2),
        Column("median_deg", "median °", digits=2),
        *(Column(name, f"within {name}, %", 100.0) for name in BOUNDS[place]),
        Column("wrong", "wrong poses", digits=0),
        MS,
    )


COLUMNS: dict[Kind, tuple[Column, ...]] = {
    Kind.MATCHES: (
        Column("right", "right, %", 100.0),
        Column("right_8px", "within 8 px, %", 100.0),
        Column("right_count", "right a pair", digits=0),
        Column("matches", "matches a pair", digits=0),
        MS,
    ),
    Kind.PAIRS: (
        Column("average_precision", "average precision, %", 100.0),
        Column("best_is_match", "best is a match, %", 100.0),
        MS,
    ),
    Kind.PLACES: (
        Column("recall_1", "R@1", 100.0),
        Column("recall_5", "R@5", 100.0),
        Column("recall_10", "R@10", 100.0),
        MS,
    ),
    Kind.INDOORS: _pose_columns(Place.INDOORS),
    Kind.OUTDOORS: _pose_columns(Place.OUTDOORS),
    Kind.SUBMISSION: (Column("localized", "localized", digits=0), MS),
}
"""The numbers of each kind of set, the one that methods are compared by first."""


class Part(BaseModel):
    """Numbers of one method on a part of a set: a scene, a camera, a condition.

    Attributes:
        name: name of the part; empty if the set has only one.
        queries: number of queries, labelled pairs, or pairs of images.
        references: number of images that they are compared with; 0 where each has its own.
        values: numbers by the keys of `COLUMNS`; None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    queries: int
    references: int = 0
    values: dict[str, float | None]


class MethodParts(BaseModel):
    """Results of one method on the parts of a set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    parts: list[Part]


class SetResult(BaseModel):
    """Results of a set.

    Attributes:
        name: its name in `SETS`.
        kind: which numbers it has.
        folders: folders that it was read from, relative to the root.
        methods: the methods, each with the parts of all folders.
        left_out: a sentence for each folder, or method of a folder, that could not be scored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    folders: list[str]
    methods: list[MethodParts]
    left_out: list[str] = []

    def part_names(self) -> list[str]:
        """Returns the names of the parts, each once."""
        return list(dict.fromkeys(part.name for method in self.methods for part in method.parts))

    def find(self, method: str, part: str) -> Part | None:
        """Returns the part of a method, or None if it was not run."""
        found = (p for m in self.methods if m.method == method for p in m.parts if p.name == part)
        return next(found, None)


class RealResults(BaseModel):
    """Results of a run.

    Attributes:
        version, machine, network: what ran; the network by its name.
        sets: the sets that were found.
        missing: names of the sets that were not found.
        missing_methods: a sentence for each matcher that does not run on this machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    machine: str
    network: str
    sets: list[SetResult]
    missing: list[str] = []
    missing_methods: list[str] = []


def mean_part(name: str, parts: Sequence[Part]) -> Part:
    """Returns the mean of the numbers of several parts, each with the same weight.

    A number that one of the parts lacks is left out.
    """
    values: dict[str, float | None] = {}
    for key in parts[0].values:
        numbers = [value for part in parts if (value := part.values.get(key)) is not None]
        values[key] = sum(numbers) / len(numbers) if len(numbers) == len(parts) else None
    return Part(
        name=name,
        queries=sum(part.queries for part in parts),
        references=sum(part.references for part in parts),
        values=values,
    )
