"""Comparisons of systems in plain sentences."""

from __future__ import annotations

from dataclasses import dataclass

from scene_geo_loc.benchmarks.descriptors.comparisons import (
    Comparison,
    OverPairs,
    Verdict,
    of_the_paper,
    over_pairs,
)
from scene_geo_loc.benchmarks.descriptors.results import Benchmark
from scene_geo_loc.benchmarks.descriptors.systems import KINDS
from scene_geo_loc.metrics.paired import RESAMPLES, Difference

NOTE = (
    "Differences are points of recall@1, seeds averaged; in brackets the 95 % interval of a bootstrap over "
    f"the queries ({RESAMPLES:,} draws, the two systems' answers to a query staying together), which knows "
    "the luck of the queries and not that of the seeds. Queries count as better or worse where more or fewer "
    "of a system's seeds answer them rightly; p is of the exact McNemar test of one seed's pair of runs."
)


@dataclass(frozen=True)
class ComparisonWords:
    """A comparison to be read.

    Attributes:
        title: what is compared with what, and the protocol of their training.
        sentences: one for each mean or scenario.
    """

    title: str
    sentences: list[str]


def comparisons_in_words(benchmark: Benchmark) -> list[ComparisonWords]:
    """All of a benchmark: means over pairs of encoder and pooling first, then pair by pair."""
    return [
        *map(describe_over_pairs, over_pairs(benchmark)),
        *map(describe, of_the_paper(benchmark)),
    ]


def describe(comparison: Comparison) -> ComparisonWords:
    """The comparison over what the paper's abstract speaks of; over each scenario where that is not there."""
    first, second = comparison.first.system, comparison.second.system
    protocol = f", protocol {first.protocol}" if first.protocol else ""
    verdicts = comparison.means or comparison.scenarios
    return ComparisonWords(
        f"{first} against {second}{protocol}",
        [sentence(name, verdict) for name, verdict in verdicts.items()],
    )


def sentence(name: str, verdict: Verdict) -> str:
    """The verdict on one mean or scenario: "snow: +4.2 points (+0.9 to +7.6), more than luck; ..."."""
    difference = verdict.difference
    words = f"{name}: {points(difference)}; {verdict.better} queries better, {verdict.worse} worse"
    if verdict.seeds:
        words += "; " + ", ".join(
            f"{'' if one.seed is None else f'seed {one.seed}: '}{one.points:+.1f} (p = {one.p_value:.2g})"
            for one in verdict.seeds
        )
    return f"{words}."


def points(difference: Difference) -> str:
    """A difference and what it is worth: "+4.2 points (+0.9 to +7.6), more than the luck of the queries"."""
    told = "more than the luck of the queries" if difference.is_told_from_luck else "may be luck alone"
    return f"{difference.points:+.1f} points ({difference.low:+.1f} to {difference.high:+.1f}), {told}"


def describe_over_pairs(over: OverPairs) -> ComparisonWords:
    """The gain averaged over pairs of encoder and pooling, as the paper's abstract gives it."""
    return ComparisonWords(
        f"{KINDS[over.first]} against {KINDS[over.second]}, mean over {len(over.pairs)} pairs "
        f"({', '.join(over.pairs)}), protocol {over.protocol}",
        [f"{name}: {points(difference)}." for name, difference in over.means.items()],
    )
