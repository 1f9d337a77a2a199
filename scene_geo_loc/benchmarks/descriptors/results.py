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

"""Results of the descriptor benchmark: recall of each run, and of systems over their seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scene_geo_loc.benchmarks.descriptors.scenario_images import ScenarioViews
from scene_geo_loc.benchmarks.descriptors.systems import SystemName
from scene_geo_loc.metrics.published.icra2019 import DAYTIME
from scene_geo_loc.metrics.recall import PROTOCOL, PlaceRecall

Protocols = Mapping[str, Mapping[str, Any]]
"""Settings of training protocols, by name."""

Number = Callable[[PlaceRecall], float]
"""Computes one number of a scenario, for example recall@1."""


@dataclass(frozen=True)
class RunResult:
    """Recall of one run in all scenarios, and its costs.

    Attributes:
        seed: seed of its training, or None.
        digest, parent: digests of its network and of the one that it was fine-tuned from; empty if unknown.
        parameters: number of parameters of its networks.
        bytes_an_image: size of a descriptor in float32.
        ms_an_image: median time per image over batches, from pixels at the size of the network's input to the
            descriptor, including the other outputs of the same pass.
        backend: name of the backend that ran the network.
    """

    seed: int | None
    digest: str
    parent: str
    parameters: int
    bytes_an_image: int
    ms_an_image: float
    backend: str
    recalls: Mapping[str, PlaceRecall]


@dataclass(frozen=True)
class Spread:
    """Mean and spread of a number over seeds.

    Attributes:
        mean: over the seeds.
        deviation: sample standard deviation; None for a single seed.
    """

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Returns the spread of one or more values."""
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), deviation)


@dataclass(frozen=True)
class SystemResult:
    """Results of one system with all its seeds: a row of the table.

    Attributes:
        traits: encoder, pooling and so on, by name.
        runs: at least one.
    """

    system: SystemName
    traits: Mapping[str, Any]
    runs: list[RunResult]

    def over_seeds(self, scenario: str, number: Number) -> Spread:
        """Returns the spread of a number in one scenario over the seeds."""
        return Spread.of([number(run.recalls[scenario]) for run in self.runs])

    def mean_over(self, scenarios: Sequence[str], number: Number) -> Spread | None:
        """Returns the spread of a number's mean over scenarios; None if one of them is missing."""
        if not set(scenarios) <= set(self.runs[0].recalls):
            return None
        return Spread.of(
            [float(np.mean([number(run.recalls[name]) for name in scenarios])) for run in self.runs]
        )

    def by_day(self, number: Number) -> Spread | None:
        """Returns the spread of the mean over the three scenarios by day, as in the paper's Table I."""
        return self.mean_over(DAYTIME, number)

    @property
    def ms_an_image(self) -> float:
        """Median time per image over the seeds, which differ only by noise, in milliseconds."""
        return float(np.median([run.ms_an_image for run in self.runs]))

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs that have one."""
        return [run.seed for run in self.runs if run.seed is not None]


@dataclass(frozen=True)
class Benchmark:
    """Results of systems in the scenarios of a folder of runs.

    Attributes:
        name: name of the folder.
        scenarios: queries and references.
        systems: at least one; all others are compared with the first.
        left_out: a sentence for each scenario and each run that is excluded.
        protocols: settings of the systems' training protocols.
        is_simulated: True if the runs are simulated.
        begun_with: initial weights of each part of a trained system, by name of system and part.
    """

    name: str
    scenarios: Sequence[ScenarioViews]
    systems: Sequence[SystemResult]
    left_out: Sequence[str] = field(default_factory=list)
    protocols: Protocols = field(default_factory=dict)
    is_simulated: bool = False
    begun_with: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def recall(self, scenario: str) -> PlaceRecall:
        """Returns the first system's recall, for the numbers that are the same for all systems."""
        return self.systems[0].runs[0].recalls[scenario]

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "runs": self.name,
            "is_simulated": self.is_simulated,
            "protocol": PROTOCOL,
            "left_out": list(self.left_out),
            "begun_with": {name: dict(parts) for name, parts in self.begun_with.items()},
            "scenarios": {
                views.name: {
                    "queries": len(views.queries),
                    "references": len(views.references),
                    "left_out": views.skipped.counts,
                }
                for views in self.scenarios
            },
            "training_protocols": {name: dict(settings) for name, settings in self.protocols.items()},
            "systems": [_record(result) for result in self.systems],
        }


def run_to_dict(result: RunResult) -> dict[str, Any]:
    """Returns a result as a record for `run_from_dict`, without seed and parent."""
    return {
        "digest": result.digest,
        "parameters": result.parameters,
        "bytes_an_image": result.bytes_an_image,
        "ms_an_image": result.ms_an_image,
        "backend": result.backend,
        "recalls": {
            name: {
                "references": recall.references,
                "without_reference": recall.without_reference,
                "chance": recall.chance,
                "top1": recall.top1.tolist(),
                "top1_distance_m": recall.top1_distance_m.tolist(),
                "first_right": recall.first_right.tolist(),
            }
            for name, recall in result.recalls.items()
        },
    }


def run_from_dict(record: dict[str, Any], seed: int | None, parent: str) -> RunResult:
    """Reads a record of `run_to_dict`. Raises KeyError, TypeError or ValueError if it is not one."""
    recalls = {
        name: PlaceRecall(
            int(values["references"]),
            int(values["without_reference"]),
            float(values["chance"]),
            np.array(values["top1"], np.int64),
            np.array(values["top1_distance_m"], np.float64),
            np.array(values["first_right"], np.int64),
        )
        for name, values in record["recalls"].items()
    }
    return RunResult(
        seed,
        str(record["digest"]),
        parent,
        int(record["parameters"]),
        int(record["bytes_an_image"]),
        float(record["ms_an_image"]),
        str(record["backend"]),
        recalls,
    )


def _record(result: SystemResult) -> dict[str, Any]:
    return {
        "name": str(result.system),
        "training_protocol": result.system.protocol or None,
        "whitened_to": result.system.whitened,
        "traits": dict(result.traits),
        "parameters": result.runs[0].parameters,
        "bytes_an_image": result.runs[0].bytes_an_image,
        "ms_an_image": round(result.ms_an_image, 2),
        "backend": result.runs[0].backend,
        "seeds": [
            {
                "seed": run.seed,
                "network": run.digest or None,
                "scenarios": {name: recall.to_dict() for name, recall in run.recalls.items()},
            }
            for run in result.runs
        ],
        "recall_at_1": {
            name: _spread(result.over_seeds(name, lambda r: r.at_n(1))) for name in result.runs[0].recalls
        },
    }


def _spread(spread: Spread) -> dict[str, float | None]:
    deviation = None if spread.deviation is None else round(spread.deviation, 4)
    return {"mean": round(spread.mean, 4), "standard_deviation": deviation}
