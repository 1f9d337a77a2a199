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

"""Recall of place recognition by global descriptors.

Protocol of Learning Scene Geometry for Visual Localization (ICRA 2019, section IV-A): for every query, all
references are ranked by the cosine between their descriptor and the query's.

- recall@N: share of queries with at least one of the N most similar references within 25 m.
- top-1 recall@D: share of queries whose most similar reference lies within D metres.

Distances are between camera positions on the ground; viewing directions are ignored.  Shares are over all
queries.  As in the paper, a query without a reference within 25 m counts as missed; the number of such
queries is reported, since it limits the recall.  Equally similar references are ranked in the given order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RADIUS_M = 25.0
MOST = 25
"""Largest N of recall@N."""

DISTANCES_M = tuple(range(15, 51))
"""Values of D in recall@D, metres."""

PROTOCOL = {
    "recall_at_n": f"recall@N: share of queries of which one of the N most similar references lies within "
    f"{RADIUS_M:g} m; cosine; all references",
    "recall_at_d": "top-1 recall@D: share of queries of which the most similar reference lies within D m "
    "(distance <= D); cosine; all references",
    "recall_at_d_as_plotted": "top-1 recall@D as the paper plots it: what stands at D is the share with a "
    "distance < D - 1 m; only to compare with its printed curves and its columns @15, @30 and @50",
    "mean_recall_1_to_5": "mean of recall@1 to recall@5",
    "chance_at_1": "recall@1 to expect of a reference picked at random",
    "shares": f"over all queries; one without a reference within {RADIUS_M:g} m is missed",
}
"""Definitions of the numbers, written beside them."""

_CHUNK = 256
"""Number of queries ranked at a time, to bound memory."""

TIE_DIGITS = 10
"""Decimal places that cosines are rounded to: equal descriptors differ in the last digits of their cosine."""


@dataclass(frozen=True)
class PlaceRecall:
    """Recall of one set of queries.

    Attributes:
        references: number of references.
        without_reference: number of queries without a reference within 25 m.
        chance: expected recall@1 of a reference drawn at random.
        top1: (Q,) index of the most similar reference of each query.
        top1_distance_m: (Q,) distance from each query to that reference.
        first_right: (Q,) rank, from 1, of the first reference within 25 m; 0 if none of the first 25 is.
    """

    references: int
    without_reference: int
    chance: float
    top1: NDArray[np.int64]
    top1_distance_m: NDArray[np.float64]
    first_right: NDArray[np.int64]

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.first_right)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Mask (Q,) of the queries whose most similar reference lies within 25 m."""
        return self.first_right == 1

    @property
    def recall_at_n(self) -> NDArray[np.float64]:
        """Recall@N (25,) for N = 1 .. 25, as shares."""
        ranks = np.arange(1, MOST + 1)
        return ((self.first_right[:, None] > 0) & (self.first_right[:, None] <= ranks)).mean(axis=0)

    @property
    def recall_at_d(self) -> NDArray[np.float64]:
        """Top-1 recall@D (36,) for D = 15 .. 50 m, as shares; distance <= D."""
        return (self.top1_distance_m[:, None] <= np.array(DISTANCES_M)).mean(axis=0)

    @property
    def recall_at_d_as_plotted(self) -> NDArray[np.float64]:
        """Top-1 recall (36,) as the paper plots it at D = 15 .. 50: shares with a distance < D - 1 m."""
        return (self.top1_distance_m[:, None] < np.array(DISTANCES_M) - 1).mean(axis=0)

    @property
    def mean_recall_1_to_5(self) -> float:
        """Mean of recall@1 to recall@5, the number by which the paper's authors selected networks."""
        return float(self.recall_at_n[:5].mean())

    def at_n(self, n: int) -> float:
        """Returns recall@N for one N of 1 .. 25."""
        return float(self.recall_at_n[n - 1])

    def at_d(self, metres: int) -> float:
        """Returns top-1 recall@D for one D of 15 .. 50 metres."""
        return float(self.recall_at_d[DISTANCES_M.index(metres)])

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "queries": self.queries,
            "references": self.references,
            "queries_without_reference": self.without_reference,
            "chance_at_1": round(self.chance, 4),
            "recall_at_n": _rounded(self.recall_at_n),
            "recall_at_d": _rounded(self.recall_at_d),
            "recall_at_d_as_plotted": _rounded(self.recall_at_d_as_plotted),
            "mean_recall_1_to_5": round(self.mean_recall_1_to_5, 4),
            "top1_distance_median_m": round(float(np.median(self.top1_distance_m)), 2),
        }


def measure_recall(
    query_descriptors: NDArray[np.float32],
    query_positions: NDArray[np.float64],
    reference_descriptors: NDArray[np.float32],
    reference_positions: NDArray[np.float64],
) -> PlaceRecall:
    """Measures the recall of unit descriptors by the protocol at the head of this module.

    Args:
        query_descriptors, reference_descriptors: (Q, D) and (R, D).
        query_positions, reference_positions: (Q, 2) and (R, 2) metres, on the ground.

    Raises ValueError if there are no queries or no references, or if shapes do not fit.
    """
    if len(query_descriptors) == 0 or len(reference_descriptors) == 0:
        raise ValueError("recall needs at least one query and one reference")
    if query_positions.shape != (len(query_descriptors), 2) or reference_positions.shape != (
        len(reference_descriptors),
        2,
    ):
        raise ValueError("every descriptor needs the position (x, y) of its image")
    ranked = rank_references(query_descriptors, reference_descriptors, MOST)
    distances = np.linalg.norm(reference_positions[ranked] - query_positions[:, None], axis=2)
    near = distances <= RADIUS_M
    first_right = np.where(near.any(axis=1), near.argmax(axis=1) + 1, 0)
    shares_near = np.array([np.mean(_near(reference_positions, position)) for position in query_positions])
    return PlaceRecall(
        references=len(reference_descriptors),
        without_reference=int((shares_near == 0).sum()),
        chance=float(shares_near.mean()),
        top1=ranked[:, 0],
        top1_distance_m=distances[:, 0],
        first_right=first_right.astype(np.int64),
    )


def rank_references(
    query_descriptors: NDArray[np.float32], reference_descriptors: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """Returns the indices (Q, count) of the references most similar to each query, best first.

    There are fewer columns if there are fewer references. Equally similar references stay in the given order.
    Raises ValueError if the descriptors differ in length or are not finite.
    """
    queries = query_descriptors.astype(np.float64)
    references = reference_descriptors.astype(np.float64)
    if queries.ndim != 2 or references.ndim != 2 or queries.shape[1] != references.shape[1]:
        raise ValueError(f"descriptors of shapes {queries.shape} and {references.shape} cannot be compared")
    if not (np.isfinite(queries).all() and np.isfinite(references).all()):
        raise ValueError("descriptors that are not finite cannot be compared")
    ranked = []
    for begin in range(0, len(queries), _CHUNK):
        similarity = np.round(queries[begin : begin + _CHUNK] @ references.T, TIE_DIGITS)
        ranked.append(np.argsort(-similarity, axis=1, kind="stable")[:, :count])
    return np.concatenate(ranked)


def _near(references: NDArray[np.float64], position: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.linalg.norm(references - position, axis=1) <= RADIUS_M


def _rounded(shares: Sequence[float] | NDArray[np.float64]) -> list[float]:
    return [round(float(share), 4) for share in shares]
