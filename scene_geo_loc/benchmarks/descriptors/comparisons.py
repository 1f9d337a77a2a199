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

"""Pairwise comparisons of systems over their seeds: differences of recall@1 and their significance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.descriptors.results import Benchmark, RunResult, SystemResult
from scene_geo_loc.benchmarks.descriptors.systems import KINDS, is_plain, paper_name
from scene_geo_loc.metrics.paired import RESAMPLES, Difference, compare_paired, paired_difference
from scene_geo_loc.networks.architecture.descriptors.hallucination import Hallucination
from scene_geo_loc.networks.architecture.descriptors.rgb import RGB
from scene_geo_loc.networks.architecture.descriptors.rgbtd import RGBPlus, RGBtD

PROPOSED = RGBtD.name
"""Descriptor that the paper proposes."""

BASELINES = (RGB.name, RGBPlus.name, Hallucination.name)
"""Descriptors that the paper compares with the proposed one."""

ABSTRACT_MEANS = {"sunny and long-term": ("sunny", "long-term"), "snow": ("snow",), "night": ("night",)}
"""Means over scenarios that the paper's abstract reports, by name."""

NOTE = (
    "Differences of recall@1 in percentage points, averaged over seeds. The 95 % confidence interval (CI) is "
    f"from a paired bootstrap over the queries ({RESAMPLES:,} resamples; both systems' answers to a "
    "query stay together). It covers the choice of the queries, not that of the seeds. Significant: the "
    "interval does not contain 0. A query counts as better or worse if more or fewer seeds of the first "
    "system answer it correctly. p is from the exact McNemar test of the two runs of one seed."
)
_EQUAL_SHARES = 1e-9
"""Tolerance below which two shares of seeds are equal."""


@dataclass(frozen=True)
class SeedDifference:
    """Difference between two runs of one seed, with the exact McNemar test."""

    seed: int | None
    points: float
    better: int
    worse: int
    p_value: float


@dataclass(frozen=True)
class SystemDifference:
    """Difference between two systems in one scenario, or in the mean of several.

    Attributes:
        recall_at_1: difference averaged over seeds, with its interval over the queries.
        better, worse: number of queries that the first system answers correctly with a larger, or a smaller,
            share of its seeds than the second.
        seeds: differences between runs with the same seed, or between the only run of each system.
    """

    recall_at_1: Difference
    better: int
    worse: int
    seeds: Sequence[SeedDifference]

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return self.recall_at_1.to_dict() | {
            "better": self.better,
            "worse": self.worse,
            "seeds": [
                {
                    "seed": seed.seed,
                    "points": round(seed.points, 2),
                    "better": seed.better,
                    "worse": seed.worse,
                    "p_value": round(seed.p_value, 4),
                }
                for seed in self.seeds
            ],
        }


@dataclass(frozen=True)
class Comparison:
    """Comparison of two systems of one benchmark.

    Attributes:
        first, second: the systems; differences are first minus second.
        scenarios: difference in each scenario.
        means: differences by the names of `ABSTRACT_MEANS` whose scenarios were measured.
    """

    first: SystemResult
    second: SystemResult
    scenarios: dict[str, SystemDifference]
    means: dict[str, SystemDifference]

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "system": str(self.first.system),
            "against": str(self.second.system),
            "training_protocol": self.first.system.protocol or None,
            "scenarios": {name: difference.to_dict() for name, difference in self.scenarios.items()},
            "means": {name: difference.to_dict() for name, difference in self.means.items()},
        }


@dataclass(frozen=True)
class MeanComparison:
    """Comparison of two descriptors, averaged over pairs of encoder and pooling as in the paper's abstract.

    Attributes:
        first, second: the descriptors; differences are first minus second.
        pairs: of encoder and pooling, as named in the paper.
        means: differences by the names of `ABSTRACT_MEANS`, as far as their scenarios were measured.
    """

    protocol: str
    first: str
    second: str
    pairs: Sequence[str]
    means: dict[str, Difference]

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "descriptor": self.first,
            "against": self.second,
            "training_protocol": self.protocol,
            "pairs": list(self.pairs),
            "means": {name: difference.to_dict() for name, difference in self.means.items()},
        }


@dataclass(frozen=True)
class ComparisonText:
    """A comparison as text.

    Attributes:
        title: the systems and their training protocol.
        sentences: one for each mean or scenario.
    """

    title: str
    sentences: list[str]


def compare_systems(first: SystemResult, second: SystemResult) -> Comparison:
    """Compares recall@1 of two systems on the same queries."""
    scenarios = list(first.runs[0].recalls)
    means = {
        name: _difference(first, second, parts)
        for name, parts in ABSTRACT_MEANS.items()
        if set(parts) <= set(scenarios)
    }
    return Comparison(first, second, {name: _difference(first, second, (name,)) for name in scenarios}, means)


def baseline_comparisons(benchmark: Benchmark) -> list[Comparison]:
    """Compares every other system with the first one."""
    return [compare_systems(result, benchmark.systems[0]) for result in benchmark.systems[1:]]


def paper_comparisons(benchmark: Benchmark) -> list[Comparison]:
    """Compares pairs of systems that differ in one respect, with equal protocol and descriptor size.

    The pairs are: the depth-aware descriptor and each of the paper's baselines with the same encoder, pooling
    and augmentation; the same descriptor with and without one of this package's options; and a network after
    and before fine-tuning.
    """
    return [compare_systems(first, _parents(second, first)) for first, second in _pairs(benchmark.systems)]


def mean_comparisons(benchmark: Benchmark) -> list[MeanComparison]:
    """Compares the plain depth-aware descriptor with baselines, averaged over pairs of encoder and pooling.

    A baseline is included if it was measured with at least two of these pairs.
    """
    plain = [r for r in benchmark.systems if r.system.whitened is None and is_plain(r.traits)]
    found = []
    for protocol in dict.fromkeys(result.system.protocol for result in plain if result.system.protocol):
        for baseline in BASELINES:
            pairs = [
                (first, second)
                for first, second in _pairs(plain)
                if first.system.protocol == second.system.protocol == protocol
                and (first.traits.get("descriptor"), second.traits.get("descriptor")) == (PROPOSED, baseline)
            ]
            if len(pairs) > 1:
                found.append(_mean_comparison(protocol, baseline, pairs))
    return found


def to_record(benchmark: Benchmark) -> dict[str, Any]:
    """Returns the record of the benchmark and its comparisons that is written as JSON."""
    return benchmark.to_dict() | {
        "comparisons": [comparison.to_dict() for comparison in paper_comparisons(benchmark)],
        "over_pairs": [comparison.to_dict() for comparison in mean_comparisons(benchmark)],
        "against_the_first_system": [comparison.to_dict() for comparison in baseline_comparisons(benchmark)],
    }


def comparison_texts(benchmark: Benchmark) -> list[ComparisonText]:
    """Returns all comparisons as text: means over pairs of encoder and pooling, then single pairs."""
    return [
        *map(mean_comparison_text, mean_comparisons(benchmark)),
        *map(comparison_text, paper_comparisons(benchmark)),
    ]


def comparison_text(comparison: Comparison) -> ComparisonText:
    """Returns a comparison as text: the means of the paper's abstract, or each scenario without them."""
    first, second = comparison.first.system, comparison.second.system
    protocol = f", protocol {first.protocol}" if first.protocol else ""
    differences = comparison.means or comparison.scenarios
    return ComparisonText(
        f"{first} against {second}{protocol}",
        [difference_text(name, difference) for name, difference in differences.items()],
    )


def mean_comparison_text(comparison: MeanComparison) -> ComparisonText:
    """Returns a comparison averaged over pairs of encoder and pooling as text."""
    return ComparisonText(
        f"{KINDS[comparison.first]} against {KINDS[comparison.second]}, mean over {len(comparison.pairs)} "
        f"pairs ({', '.join(comparison.pairs)}), protocol {comparison.protocol}",
        [f"{name}: {points_text(difference)}." for name, difference in comparison.means.items()],
    )


def difference_text(name: str, difference: SystemDifference) -> str:
    """Returns a difference as a sentence: "snow: +4.2 points (95 % CI +0.9 to +7.6, significant); ..."."""
    text = f"{name}: {points_text(difference.recall_at_1)}; {difference.better} queries better"
    text += f", {difference.worse} worse"
    if difference.seeds:
        text += "; " + ", ".join(
            f"{'' if seed.seed is None else f'seed {seed.seed}: '}{seed.points:+.1f} (p = {seed.p_value:.2g})"
            for seed in difference.seeds
        )
    return f"{text}."


def points_text(difference: Difference) -> str:
    """Returns a difference with its interval: "+4.2 points (95 % CI +0.9 to +7.6, significant)"."""
    significance = "significant" if difference.is_significant else "not significant"
    interval = f"95 % CI {difference.low:+.1f} to {difference.high:+.1f}"
    return f"{difference.points:+.1f} points ({interval}, {significance})"


def _mean_comparison(
    protocol: str, baseline: str, pairs: Sequence[tuple[SystemResult, SystemResult]]
) -> MeanComparison:
    scenarios = set(pairs[0][0].runs[0].recalls)
    means = {}
    for name, parts in ABSTRACT_MEANS.items():
        if set(parts) <= scenarios:
            by_query = [
                np.mean([_shares(first, part) - _shares(second, part) for first, second in pairs], axis=0)
                for part in parts
            ]
            means[name] = paired_difference(by_query)
    names = [paper_name(first.traits).split(" + ", 1)[1] for first, _ in pairs]
    return MeanComparison(protocol, PROPOSED, baseline, names, means)


def _pairs(systems: Sequence[SystemResult]) -> Iterator[tuple[SystemResult, SystemResult]]:
    for first in systems:
        for second in systems:
            if first is not second and (
                _is_tuned_from(first, second)
                or (
                    _are_alike(first, second)
                    and (_is_against_baseline(first, second) or _adds_option(first, second))
                )
            ):
                yield first, second


def _are_alike(first: SystemResult, second: SystemResult) -> bool:
    """Returns True if protocol, encoder, pooling and whitened size are equal."""
    return (
        bool(first.system.protocol)
        and (first.system.protocol, first.system.whitened) == (second.system.protocol, second.system.whitened)
        and all(first.traits.get(key) == second.traits.get(key) for key in ("encoder", "pooling"))
    )


def _is_against_baseline(first: SystemResult, second: SystemResult) -> bool:
    # Systems with an option are compared with RGB only; the plain one is compared with all baselines.
    baselines = BASELINES if is_plain(first.traits) else BASELINES[:1]
    return (
        first.traits.get("descriptor") == PROPOSED
        and second.traits.get("descriptor") in baselines
        and first.traits.get("augmentation", False) == second.traits.get("augmentation", False)
    )


def _adds_option(first: SystemResult, second: SystemResult) -> bool:
    return (
        first.traits.get("descriptor") == second.traits.get("descriptor")
        and is_plain(second.traits)
        and not is_plain(first.traits)
    )


def _is_tuned_from(first: SystemResult, second: SystemResult) -> bool:
    before = {run.digest for run in second.runs if run.digest}
    return first.system.whitened == second.system.whitened and any(run.parent in before for run in first.runs)


def _parents(second: SystemResult, first: SystemResult) -> SystemResult:
    """Returns the second system with only the runs that the first was fine-tuned from, if there are any."""
    digests = {run.parent for run in first.runs if run.parent}
    parents = [run for run in second.runs if run.digest in digests]
    return replace(second, runs=parents) if parents else second


def _difference(first: SystemResult, second: SystemResult, scenarios: Sequence[str]) -> SystemDifference:
    by_query = [_shares(first, name) - _shares(second, name) for name in scenarios]
    together = np.concatenate(by_query)
    return SystemDifference(
        paired_difference(by_query),
        int((together > _EQUAL_SHARES).sum()),
        int((together < -_EQUAL_SHARES).sum()),
        [_seed_difference(run, other, scenarios) for run, other in _runs_by_seed(first, second)],
    )


def _shares(result: SystemResult, scenario: str) -> NDArray[np.float64]:
    """Returns the share of seeds (Q,) that answer each query correctly."""
    shares: NDArray[np.float64] = np.mean([run.recalls[scenario].right for run in result.runs], axis=0)
    return shares


def _runs_by_seed(first: SystemResult, second: SystemResult) -> Iterator[tuple[RunResult, RunResult]]:
    """Yields the pairs of runs with the same seed, or the only runs if each system has just one."""
    if len(first.runs) == len(second.runs) == 1:
        yield first.runs[0], second.runs[0]
        return
    others = {run.seed: run for run in second.runs if run.seed is not None}
    for run in first.runs:
        if run.seed in others:
            yield run, others[run.seed]


def _seed_difference(run: RunResult, other: RunResult, scenarios: Sequence[str]) -> SeedDifference:
    points = [run.recalls[name].at_n(1) - other.recalls[name].at_n(1) for name in scenarios]
    right = [np.concatenate([each.recalls[name].right for name in scenarios]) for each in (run, other)]
    compared = compare_paired(*right)
    return SeedDifference(
        run.seed, 100 * float(np.mean(points)), len(compared.better), len(compared.worse), compared.p_value
    )
