"""Whether one of two systems is better on the same queries, or only luckier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

RESAMPLES = 10_000
"""Sets of queries that the bootstrap draws."""

_CHUNKS = 20
"""Parts that they are drawn in, for the sake of memory."""


@dataclass(frozen=True)
class PairedComparison:
    """Two systems on the same queries.

    Attributes:
        better: indices of the queries that only the first one answers rightly.
        worse: indices of those that only the second one does.
        p_value: of the exact McNemar test, two-sided: how likely a difference at least this large is
            if each of these queries might as well have gone the other way.
    """

    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        return {"better": len(self.better), "worse": len(self.worse), "p_value": round(self.p_value, 4)}


def compare_paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedComparison:
    """Compares the right answers (Q,) of two systems; raises ValueError where the queries are not the same.

    Source: McNemar, Psychometrika 1947, with the binomial distribution in place of its approximation.
    """
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} are not answers to the same queries")
    better, worse = np.flatnonzero(first & ~second), np.flatnonzero(second & ~first)
    differing = len(better) + len(worse)
    p_value = float(binomtest(len(better), differing, 0.5).pvalue) if differing else 1.0
    return PairedComparison(better, worse, p_value)


@dataclass(frozen=True)
class Interval:
    """A number, and how far other queries might have moved it.

    Attributes:
        value: of the queries at hand.
        low, high: its 95 % interval.
    """

    value: float
    low: float
    high: float

    @property
    def is_told_from_luck(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


class Difference(Interval):
    """A mean difference between two systems in points of per cent, positive where the first is better."""

    @property
    def points(self) -> float:
        """The difference of the queries at hand."""
        return self.value

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        return {"points": round(self.points, 2), "interval_95": [round(self.low, 2), round(self.high, 2)]}


def paired_difference(by_query: Sequence[NDArray[np.float64]]) -> Difference:
    """The mean over sets of queries of the mean difference in each, with a bootstrap over the queries.

    `by_query` has for each set the differences (Q,) between the shares of seeds that answer a query
    rightly.  Queries are drawn anew within each set, the systems' answers to one staying together.
    Raises ValueError where there is no set, or one without queries.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, percentile interval.
    """
    if not by_query or any(len(differences) == 0 for differences in by_query):
        raise ValueError("a difference needs at least one set of at least one query")
    random = np.random.default_rng(0)
    drawn = np.zeros(RESAMPLES)
    for differences in by_query:
        # How often each value occurs is all that matters: there are few of them, and many queries.
        values, counts = np.unique(differences, return_counts=True)
        queries = len(differences)
        drawn += random.multinomial(queries, counts / queries, RESAMPLES) @ values / queries
    low, high = np.percentile(100 * drawn / len(by_query), (2.5, 97.5))
    points = 100 * float(np.mean([differences.mean() for differences in by_query]))
    return Difference(points, float(low), float(high))


def difference_along(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Interval | None:
    """A statistic of `first` (Q,) less that of `second` (Q,), answers to the same queries along a drive.

    Neighbouring images of a drive are alike, so that stretches of queries are drawn, not single ones; the
    two systems' answers to a query stay together.

    Args:
        statistic: takes numbers (N, Q) to (N,), such as their median.

    Returns None where the difference, or one of those drawn, is not finite: too many are without an answer.
    Raises ValueError where the queries are not the same, or none.

    Source: Politis and Romano, A circular block-resampling procedure for stationary data, 1992.
    """
    if first.shape != second.shape or len(first) == 0:
        raise ValueError(f"{first.shape} and {second.shape} are not answers to the same queries")
    count = len(first)
    length = math.ceil(math.sqrt(count))
    random = np.random.default_rng(0)
    drawn = []
    with np.errstate(invalid="ignore"):
        value = float((statistic(first[None]) - statistic(second[None]))[0])
        for _ in range(_CHUNKS):
            starts = random.integers(0, count, (RESAMPLES // _CHUNKS, math.ceil(count / length), 1))
            rows = ((starts + np.arange(length)) % count).reshape(len(starts), -1)[:, :count]
            drawn.append(statistic(first[rows]) - statistic(second[rows]))
    differences = np.concatenate(drawn)
    if not np.isfinite([value, *differences]).all():
        return None
    low, high = np.percentile(differences, (2.5, 97.5))
    return Interval(value, float(low), float(high))
