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

"""Results of a pose benchmark: the error of every query by every method, and the numbers derived from them.

Protocol: medians are the paper's, over all queries, where one that is not localized keeps the pose of the
keyframe retrieved, and one for which nothing was retrieved is infinitely far off.  Shares are over all
queries and count localized ones only; of the row "retrieval" all, for it claims nothing.  A wrong fix is
a localized pose farther from the truth than `WRONG_FIX_M`.  Queries without known truth are left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scene_geo_loc import __version__
from scene_geo_loc.benchmarks.poses.errors import BOUNDS, Place, PoseErrors, errors_of_poses
from scene_geo_loc.benchmarks.poses.localizers.results import LocalizerResult
from scene_geo_loc.benchmarks.poses.methods import RETRIEVAL
from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.matchers import NETWORK_FEATURES
from scene_geo_loc.metrics.pose_error import QueryRecord
from scene_geo_loc.metrics.published import bmvc2019
from scene_geo_loc.metrics.published.bmvc2019 import Gain


class MethodResult(PoseErrors):
    """Results of one method on all queries of a set, in order of time: a row of the table.

    Attributes:
        network, depth, matcher, step: names of the settings; `RETRIEVAL` is a step without depth.
        keyframes: number of keyframes of the map.
    """

    network: str
    depth: str
    matcher: str = NETWORK_FEATURES
    step: str
    keyframes: int

    @classmethod
    def of(cls, records: Sequence[QueryRecord], **names: Any) -> MethodResult:
        """Returns the results of a method that verifies its poses."""
        poses = [r.T_estimated if r.is_localized else r.T_retrieved for r in records]
        latency = [record.latency_ms for record in records]
        names["localized"] = [record.is_localized for record in records]
        return cls.model_validate({**names, **errors_of_poses(records, poses, latency)})

    @classmethod
    def retrieved(cls, records: Sequence[QueryRecord], **names: Any) -> MethodResult:
        """Returns the results of the retrieved poses, which such a method starts from."""
        poses = [record.T_retrieved for record in records]
        spent = [record.timings_ms for record in records]
        ms = [one["describe"] + one["retrieve"] if "retrieve" in one else None for one in spent]
        names |= {"localized": None, "step": RETRIEVAL, "depth": ""}
        return cls.model_validate({**names, **errors_of_poses(records, poses, ms)})

    @property
    def is_retrieval(self) -> bool:
        """True if the poses are the retrieved ones, without verification."""
        return self.step == RETRIEVAL


class QuerySetResult(BaseModel):
    """Results of all methods on the queries of one source, in the maps of another.

    Attributes:
        name, map_name: names of the two sources.
        benchmark, scene: the paper's names; empty where it has no such scene.
        without_truth: number of queries left out.
        methods: rows that were run, each on the same queries.
        localizers: rows of the localizers that were compared, on the same queries.
        not_run: the reason for each row that was not run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    map_name: str
    place: Place
    benchmark: str = ""
    scene: str = ""
    without_truth: int = 0
    methods: list[MethodResult]
    localizers: list[LocalizerResult] = Field(default_factory=list)
    not_run: dict[str, str] = Field(default_factory=dict)

    @property
    def queries(self) -> int:
        """Number of queries with known truth."""
        return len(self.methods[0].position_m)

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Bounds that shares are given for."""
        return BOUNDS[self.place]

    def retrieval_of(self, method: MethodResult) -> MethodResult:
        """Returns the row of the retrieved poses that a method starts from."""
        return next(m for m in self.methods if m.is_retrieval and m.network == method.network)

    def gain(self, method: MethodResult) -> Gain | None:
        """Returns the ratio of the retrieved poses' median errors to a method's; None for retrieval."""
        if method.is_retrieval:
            return None
        return gain_of([self.retrieval_of(method)], [method])

    def summary_of(self, method: MethodResult) -> dict[str, Any]:
        """Returns the numbers of a row that are written beside its errors."""
        gain = self.gain(method)
        return {
            "position_median_m": _rounded(method.median_m),
            "rotation_median_deg": _rounded(method.median_deg),
            "within": {
                name: _rounded(float(method.within(bound).mean())) for name, bound in self.bounds.items()
            },
            "localized_share": _rounded(method.localized_share),
            "wrong_fixes": method.wrong_fixes(self.place),
            "gain": None if gain is None else [_rounded(gain.position), _rounded(gain.rotation)],
            "ms_median": _rounded(method.median_ms, 1),
        }


class PoseBenchmark(BaseModel):
    """Results of methods on one or more sets of queries, as they are written to JSON and read again.

    Attributes:
        version: version of the package.
        machine: description of the machine that it ran on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = __version__
    machine: str
    sets: list[QuerySetResult]


def gain_of(before: Sequence[MethodResult], after: Sequence[MethodResult]) -> Gain | None:
    """Returns the gain in the means over scenes of the median errors, as the paper defines it.

    None where a scene has no median.
    """

    def ratio(of: str) -> float | None:
        pairs = [(getattr(b, of), getattr(a, of)) for b, a in zip(before, after, strict=True)]
        if not pairs or any(value is None for pair in pairs for value in pair):
            return None
        total, rest = (sum(values) for values in zip(*pairs, strict=True))
        return float(total / rest) if rest > 0 else None

    position, rotation = ratio("median_m"), ratio("median_deg")
    return None if position is None or rotation is None else Gain(position, rotation)


def write_benchmark(path: Path, benchmark: PoseBenchmark) -> None:
    """Writes a benchmark as JSON, with the numbers derived from the errors. Raises SceneGeoLocError."""
    record = benchmark.model_dump(mode="json")
    record["protocol"] = " ".join(str(__doc__).split("Protocol: ")[1].split())
    for queries, written in zip(benchmark.sets, record["sets"], strict=True):
        written["summary"] = [
            {"network": m.network, "depth": m.depth, "matcher": m.matcher, "step": m.step}
            | queries.summary_of(m)
            for m in queries.methods
        ]
        written["paper"] = _printed(queries)
    write_json(path, record)


def read_benchmark(path: Path) -> PoseBenchmark:
    """Reads a file of `write_benchmark`. Raises SceneGeoLocError where it is not such a file."""
    try:
        record = json.loads(path.read_text())
        del record["protocol"]
        for written in record["sets"]:
            del written["summary"], written["paper"]
        return PoseBenchmark.model_validate(record)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise SceneGeoLocError(
            f"{path} does not hold the results of a pose benchmark ({reason_of(error)}): "
            "name the JSON file of a pose benchmark."
        ) from error


def _printed(queries: QuerySetResult) -> Any:
    """Returns the numbers that the paper prints for the scene, or None."""
    for table in bmvc2019.benchmark_tables():
        for scene in table.scenes:
            if (table.benchmark, scene.scene) == (queries.benchmark, queries.scene):
                return scene.to_dict([])["printed_full_test_split"]
    return None


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
