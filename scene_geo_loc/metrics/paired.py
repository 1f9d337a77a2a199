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

"""Paired comparisons of two systems on the same queries: McNemar's test and bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

RESAMPLES = 10_000
"""Number of bootstrap resamples."""

_CHUNKS = 20
"""Number of parts that the resamples are drawn in, to bound memory."""


@dataclass(frozen=True)
class PairedComparison:
    """Outcome of McNemar's test on two systems.

    Attributes:
        better: indices of the queries that only the first system answers correctly.
        worse: indices of the queries that only the second system answers correctly.
        p_value: of the exact two-sided test: probability of a difference at least this large if both
            outcomes are equally likely for each of these queries.
    """

    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {"better": len(self.better), "worse": len(self.worse), "p_value": round(self.p_value, 4)}


def compare_paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedComparison:
    """Compares the correct answers (Q,) of two systems by McNemar's exact test.

    Raises ValueError if the shapes differ.

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
    """A number with its 95 % confidence interval over the queries.

    Attributes:
        value: for the given queries.
        low, high: bounds of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """True if the interval does not contain 0."""
        return self.low > 0 or self.high < 0


class Difference(Interval):
    """Mean difference between two systems in percentage points, positive if the first is better."""

    @property
    def points(self) -> float:
        """Difference for the given queries, percentage points."""
        return self.value

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {"points": round(self.points, 2), "interval_95": [round(self.low, 2), round(self.high, 2)]}


def paired_difference(by_query: Sequence[NDArray[np.float64]]) -> Difference:
    """Returns the mean over sets of queries of the mean difference in each, with a bootstrap interval.

    Queries are resampled within each set; both systems' answers to a query stay together.

    Args:
        by_query: for each set, the differences (Q,) between the shares of seeds that answer a query
            correctly.

    Raises ValueError if there is no set, or a set has no queries.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, percentile interval.
    """
    if not by_query or any(len(differences) == 0 for differences in by_query):
        raise ValueError("a difference needs at least one set of at least one query")
    random = np.random.default_rng(0)
    drawn = np.zeros(RESAMPLES)
    for differences in by_query:
        # There are few distinct values and many queries: counts of the values are enough.
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
    """Returns a statistic of `first` (Q,) minus that of `second` (Q,) for queries along a drive.

    Neighbouring images of a drive are similar, so stretches of consecutive queries are resampled, not single
    queries. Both systems' answers to a query stay together.

    Args:
        statistic: maps numbers (N, Q) to (N,), for example their median.

    Returns None if the difference or one of its resamples is not finite, because too many queries have no
    answer. Raises ValueError if the shapes differ or there are no queries.

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
