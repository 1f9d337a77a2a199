"""Which of two systems answers more queries, over their seeds, and whether that can be told from luck."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.descriptors.results import Benchmark, RunResult, SystemResult
from scene_geo_loc.benchmarks.descriptors.systems import is_plain, paper_name
from scene_geo_loc.metrics.paired import Difference, compare_paired, paired_difference

BASELINES = ("rgb", "rgb_plus", "hallucination")
"""The descriptors that the paper compares its own, rgbtd, with."""

ABSTRACT = {"sunny and long-term": ("sunny", "long-term"), "snow": ("snow",), "night": ("night",)}
"""What the abstract of the paper speaks of: means over scenarios, by what they are called."""


@dataclass(frozen=True)
class SeedDifference:
    """Two runs of one seed: the queries that only one of them answers, and the exact McNemar test."""

    seed: int | None
    points: float
    better: int
    worse: int
    p_value: float


@dataclass(frozen=True)
class Verdict:
    """Two systems on one scenario, or on several that count alike.

    Attributes:
        difference: of recall@1, seeds averaged, with its interval over the queries.
        better, worse: queries that a larger, a smaller share of the first system's seeds answers rightly.
        seeds: of each seed that both systems have, or of their only runs.
    """

    difference: Difference
    better: int
    worse: int
    seeds: Sequence[SeedDifference]

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        return self.difference.to_dict() | {
            "better": self.better,
            "worse": self.worse,
            "seeds": [
                {
                    "seed": one.seed,
                    "points": round(one.points, 2),
                    "better": one.better,
                    "worse": one.worse,
                    "p_value": round(one.p_value, 4),
                }
                for one in self.seeds
            ],
        }


@dataclass(frozen=True)
class Comparison:
    """Two systems of one benchmark.

    Attributes:
        first, second: what is compared with what.
        scenarios: by scenario.
        means: by the names of `ABSTRACT`, as far as their scenarios are there.
    """

    first: SystemResult
    second: SystemResult
    scenarios: dict[str, Verdict]
    means: dict[str, Verdict]

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        return {
            "system": str(self.first.system),
            "against": str(self.second.system),
            "training_protocol": self.first.system.protocol or None,
            "scenarios": {name: verdict.to_dict() for name, verdict in self.scenarios.items()},
            "means": {name: verdict.to_dict() for name, verdict in self.means.items()},
        }


@dataclass(frozen=True)
class OverPairs:
    """One descriptor against another, averaged over pairs of encoder and pooling as in the paper's abstract.

    Attributes:
        first, second: the descriptors.
        pairs: of encoder and pooling, as the paper calls them.
        means: by the names of `ABSTRACT`, as far as their scenarios are there.
    """

    protocol: str
    first: str
    second: str
    pairs: Sequence[str]
    means: dict[str, Difference]

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        return {
            "descriptor": self.first,
            "against": self.second,
            "training_protocol": self.protocol,
            "pairs": list(self.pairs),
            "means": {name: difference.to_dict() for name, difference in self.means.items()},
        }


def compare_systems(first: SystemResult, second: SystemResult) -> Comparison:
    """Compares recall@1 of two systems on the same queries."""
    scenarios = list(first.runs[0].recalls)
    means = {
        name: _verdict(first, second, parts)
        for name, parts in ABSTRACT.items()
        if set(parts) <= set(scenarios)
    }
    return Comparison(first, second, {name: _verdict(first, second, (name,)) for name in scenarios}, means)


def with_the_first(benchmark: Benchmark) -> list[Comparison]:
    """Every system but the first, each with the first."""
    return [compare_systems(result, benchmark.systems[0]) for result in benchmark.systems[1:]]


def of_the_paper(benchmark: Benchmark) -> list[Comparison]:
    """The pairs that answer a question, trained by one protocol and described by as many numbers.

    The depth-aware descriptor with those that the paper compares it with, of the same encoder, pooling and
    augmentation; the same descriptor with one of this package's switches and without; and a network that
    was fine-tuned with what it was before.
    """
    return [compare_systems(first, _begun_from(second, first)) for first, second in _pairs(benchmark.systems)]


def over_pairs(benchmark: Benchmark) -> list[OverPairs]:
    """The gain of the plain depth-aware descriptor on each baseline, where several pairs have both."""
    plain = [r for r in benchmark.systems if r.system.whitened is None and is_plain(r.traits)]
    found = []
    for protocol in dict.fromkeys(result.system.protocol for result in plain if result.system.protocol):
        for baseline in BASELINES:
            pairs = [
                (first, second)
                for first, second in _pairs(plain)
                if first.system.protocol == second.system.protocol == protocol
                and (first.traits.get("descriptor"), second.traits.get("descriptor")) == ("rgbtd", baseline)
            ]
            if len(pairs) > 1:
                found.append(_over(protocol, baseline, pairs))
    return found


def _over(protocol: str, baseline: str, pairs: Sequence[tuple[SystemResult, SystemResult]]) -> OverPairs:
    scenarios = set(pairs[0][0].runs[0].recalls)
    means = {}
    for name, parts in ABSTRACT.items():
        if set(parts) <= scenarios:
            by_query = [
                np.mean([_shares(first, part) - _shares(second, part) for first, second in pairs], axis=0)
                for part in parts
            ]
            means[name] = paired_difference(by_query)
    names = [paper_name(first.traits).split(" + ", 1)[1] for first, _ in pairs]
    return OverPairs(protocol, "rgbtd", baseline, names, means)


def to_record(benchmark: Benchmark) -> dict[str, Any]:
    """The benchmark and its comparisons, as they are written as JSON."""
    return benchmark.to_dict() | {
        "comparisons": [comparison.to_dict() for comparison in of_the_paper(benchmark)],
        "over_pairs": [over.to_dict() for over in over_pairs(benchmark)],
        "against_the_first_system": [comparison.to_dict() for comparison in with_the_first(benchmark)],
    }


def _pairs(systems: Sequence[SystemResult]) -> Iterator[tuple[SystemResult, SystemResult]]:
    for first in systems:
        for second in systems:
            if first is not second and (
                _is_tuned_from(first, second)
                or (_are_alike(first, second) and (_is_paired(first, second) or _is_switched(first, second)))
            ):
                yield first, second


def _are_alike(first: SystemResult, second: SystemResult) -> bool:
    """One protocol, one encoder, one pooling, and descriptors as they are or whitened to one size."""
    return (
        bool(first.system.protocol)
        and (first.system.protocol, first.system.whitened) == (second.system.protocol, second.system.whitened)
        and all(first.traits.get(key) == second.traits.get(key) for key in ("encoder", "pooling"))
    )


def _is_paired(first: SystemResult, second: SystemResult) -> bool:
    # What a switch is worth is asked of the paper's own system; the gain on images alone, of all.
    baselines = BASELINES if is_plain(first.traits) else BASELINES[:1]
    return (
        first.traits.get("descriptor") == "rgbtd"
        and second.traits.get("descriptor") in baselines
        and first.traits.get("augmentation", False) == second.traits.get("augmentation", False)
    )


def _is_switched(first: SystemResult, second: SystemResult) -> bool:
    return (
        first.traits.get("descriptor") == second.traits.get("descriptor")
        and is_plain(second.traits)
        and not is_plain(first.traits)
    )


def _is_tuned_from(first: SystemResult, second: SystemResult) -> bool:
    before = {run.digest for run in second.runs if run.digest}
    return first.system.whitened == second.system.whitened and any(run.parent in before for run in first.runs)


def _begun_from(second: SystemResult, first: SystemResult) -> SystemResult:
    """Of a system that another one was fine-tuned from the seeds that it was; of other systems all."""
    parents = {run.parent for run in first.runs if run.parent}
    begun_from = [run for run in second.runs if run.digest in parents]
    return replace(second, runs=begun_from) if begun_from else second


def _verdict(first: SystemResult, second: SystemResult, scenarios: Sequence[str]) -> Verdict:
    by_query = [_shares(first, name) - _shares(second, name) for name in scenarios]
    together = np.concatenate(by_query)
    return Verdict(
        paired_difference(by_query),
        int((together > _NOTHING).sum()),
        int((together < -_NOTHING).sum()),
        [_of_seed(mine, theirs, scenarios) for mine, theirs in _seeds(first, second)],
    )


_NOTHING = 1e-9
"""Shares of seeds that differ by less are equal."""


def _shares(result: SystemResult, scenario: str) -> NDArray[np.float64]:
    """(Q,) the share of seeds that answer a query rightly."""
    shares: NDArray[np.float64] = np.mean([run.recalls[scenario].right for run in result.runs], axis=0)
    return shares


def _seeds(first: SystemResult, second: SystemResult) -> Iterator[tuple[RunResult, RunResult]]:
    """The runs of the seeds that both have; their only ones where each has but one."""
    if len(first.runs) == len(second.runs) == 1:
        yield first.runs[0], second.runs[0]
        return
    theirs = {run.seed: run for run in second.runs if run.seed is not None}
    for run in first.runs:
        if run.seed in theirs:
            yield run, theirs[run.seed]


def _of_seed(mine: RunResult, theirs: RunResult, scenarios: Sequence[str]) -> SeedDifference:
    points = [mine.recalls[name].at_n(1) - theirs.recalls[name].at_n(1) for name in scenarios]
    right = [np.concatenate([run.recalls[name].right for name in scenarios]) for run in (mine, theirs)]
    compared = compare_paired(*right)
    return SeedDifference(
        mine.seed, 100 * float(np.mean(points)), len(compared.better), len(compared.worse), compared.p_value
    )
