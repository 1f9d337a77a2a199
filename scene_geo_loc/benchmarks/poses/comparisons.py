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

"""Paired comparisons of pose methods on the same queries, with the significance of each difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.poses.methods import ODOMETRY_METHODS, RIG_METHOD
from scene_geo_loc.benchmarks.poses.results import MethodResult, QuerySetResult
from scene_geo_loc.benchmarks.poses.table import label
from scene_geo_loc.metrics.paired import RESAMPLES, Interval, difference_along

NOTE = (
    "Differences of the median errors and of the share within a bound, with the 95 % confidence "
    f"interval (CI) of a paired block bootstrap over the queries ({RESAMPLES:,} resamples of stretches of "
    "the drive; both methods' answers to a query stay together). Significant: the interval "
    "does not contain 0."
)

_NOT_ALONE = {method.name for method in (*ODOMETRY_METHODS, RIG_METHOD)}
"""Methods that take more than a single image."""


def pairs(queries: QuerySetResult) -> Iterator[tuple[MethodResult, MethodResult]]:
    """Yields pairs of methods that differ in one step, depth, matcher or network; the later one first."""
    verified = [method for method in queries.methods if not method.is_retrieval]
    configs = dict.fromkeys((m.network, m.matcher, m.depth) for m in verified)
    last = []
    for config in configs:
        own = [m for m in verified if (m.network, m.matcher, m.depth) == config]
        for before, after in pairwise([queries.retrieval_of(own[0]), *own]):
            yield after, before
        last.append([method for method in own if method.step not in _NOT_ALONE][-1])
    for i, before in enumerate(last):
        for after in last[i + 1 :]:
            traits = ((before.network, after.network), (before.matcher, after.matcher))
            if sum(a != b for a, b in (*traits, (before.depth, after.depth))) == 1:
                yield after, before


def comparisons_in_words(queries: QuerySetResult) -> list[str]:
    """Returns a sentence for each pair."""
    return [_sentence(queries, after, before) for after, before in pairs(queries)]


def _sentence(queries: QuerySetResult, first: MethodResult, second: MethodResult) -> str:
    name, bound = next(iter(queries.bounds.items()))
    differences = {
        "position {} cm": (difference_along(100 * first.position, 100 * second.position, _median), 1),
        "rotation {}°": (difference_along(first.rotation, second.rotation, _median), 2),
        f"within {name} {{}} points": (
            difference_along(_points(first.within(bound)), _points(second.within(bound)), _mean),
            1,
        ),
    }
    among: Sequence[MethodResult] = queries.methods
    words = [_in_words(form, *difference) for form, difference in differences.items()]
    return f"{label(first, among)} against {label(second, among)}: {'; '.join(words)}."


def _in_words(form: str, difference: Interval | None, digits: int) -> str:
    """Returns a difference with its interval: `position -3.1 cm (95 % CI -4.4 to -2.0, significant)`."""
    if difference is None:
        return f"{form.split()[0]}: too many queries are without an answer"
    if difference.low == difference.high == 0:
        return f"{form.rpartition(' {}')[0]} the same"
    value, low, high = (f"{one:+.{digits}f}" for one in (difference.value, difference.low, difference.high))
    significance = "significant" if difference.is_significant else "not significant"
    return f"{form.format(value)} (95 % CI {low} to {high}, {significance})"


def _points(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(hits, 100.0, 0.0)


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.median(values, axis=1), dtype=np.float64)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.mean(values, axis=1), dtype=np.float64)
