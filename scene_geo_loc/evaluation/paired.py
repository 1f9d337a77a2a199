"""Whether one of two systems is better on the same queries, or only luckier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest


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
