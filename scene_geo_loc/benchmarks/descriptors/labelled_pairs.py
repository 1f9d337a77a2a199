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

"""Scores descriptors on pairs of images labelled as showing the same place or different places."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.metrics.recall import TIE_DIGITS
from scene_geo_loc.networks.runtime.image_descriptors import Descriptors

PROTOCOL = {
    "average_precision": "over all labelled pairs, ranked together by cosine: the mean, over the matches, of "
    "the precision among the pairs that are ranked at least as high",
    "best_is_match": "share of the queries with a match of which the most similar labelled image is one; "
    "a tie with an image that is none is no match",
}
"""Definitions of the numbers, written beside them."""

_LABELS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs of a query and a database image.

    Attributes:
        queries, database: names of the images, P each.
        match: (P,) labels, True if both images show the same place.
    """

    queries: list[str]
    database: list[str]
    match: NDArray[np.bool_]

    @classmethod
    def load(cls, path: Path) -> LabelledPairs:
        """Reads a CSV file with the columns query, database and a label, which is 1 or 0.

        Raises SceneGeoLocError if the file cannot be read or is invalid, with the line if it is known.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SceneGeoLocError(f"{path} cannot be read as a CSV file: {error}.") from error
        if not rows or rows[0][:2] != ["query", "database"] or len(rows[0]) != 3:
            raise SceneGeoLocError(f"{path} should begin with the columns query, database and a label.")
        queries, database, match = [], [], []
        for number, row in enumerate(rows[1:], start=2):
            if not row:
                continue
            label = _LABELS.get(row[2].strip().lower()) if len(row) == 3 else None
            if label is None:
                raise SceneGeoLocError(f"{path}, line {number}: expected two names and a label, 1 or 0.")
            queries.append(row[0])
            database.append(row[1])
            match.append(label)
        return cls(queries, database, np.array(match, bool))

    def __len__(self) -> int:
        return len(self.match)


@dataclass(frozen=True)
class PairScores:
    """Scores of descriptors on labelled pairs.

    Attributes:
        pairs, matches: number of pairs scored, and number of these that are matches.
        left_out: number of pairs with an image that has no descriptor.
        average_precision: see `PROTOCOL`.
        queries: number of queries that have a match.
        best_is_match: number of these queries whose most similar labelled image is a match.
    """

    pairs: int
    matches: int
    left_out: int
    average_precision: float
    queries: int
    best_is_match: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "protocol": PROTOCOL,
            "pairs": self.pairs,
            "matches": self.matches,
            "pairs_left_out": self.left_out,
            "average_precision": round(self.average_precision, 4),
            "queries_with_a_match": self.queries,
            "best_is_match": self.best_is_match,
            "best_is_match_share": round(self.best_is_match / self.queries, 4),
        }


def score_pairs(pairs: LabelledPairs, descriptors: Descriptors) -> PairScores:
    """Scores descriptors on labelled pairs.

    Raises:
        SceneGeoLocError: no pair has both descriptors, or no pair with both descriptors is a match.
    """
    rows = {name: i for i, name in enumerate(descriptors.names.tolist())}
    both = [
        (i, rows[query], rows[image])
        for i, (query, image) in enumerate(zip(pairs.queries, pairs.database, strict=True))
        if query in rows and image in rows
    ]
    if not both:
        named = f" such as {pairs.queries[0]}" if len(pairs) else ""
        raise SceneGeoLocError(
            f"The descriptors are of none of the pairs' images{named}: describe the folder that the names "
            "are relative to."
        )
    chosen, query_rows, image_rows = np.array(both).T
    unit = descriptors.descriptors.astype(np.float64)
    similarity = np.round((unit[query_rows] * unit[image_rows]).sum(axis=1), TIE_DIGITS)
    return score_similarities(pairs.match[chosen], query_rows, similarity, left_out=len(pairs) - len(chosen))


def score_similarities(
    match: NDArray[np.bool_], queries: NDArray, similarity: NDArray[np.float64], left_out: int = 0
) -> PairScores:
    """Scores any similarity of labelled pairs.

    Args:
        match: (P,) labels.
        queries: (P,) query of each pair, as a number or name.
        similarity: (P,) the higher, the more likely a match.
        left_out: number of pairs without a similarity, for the record.

    Raises SceneGeoLocError where no pair is a match.
    """
    if not match.any():
        raise SceneGeoLocError(f"None of the {len(match)} pairs is labelled a match: there is no recall.")
    right = [
        bool(match[here][similarity[here] == similarity[here].max()].all())
        for here in (queries == query for query in np.unique(queries))
        if match[here].any()
    ]
    return PairScores(
        pairs=len(match),
        matches=int(match.sum()),
        left_out=left_out,
        average_precision=average_precision(similarity, match),
        queries=len(right),
        best_is_match=sum(right),
    )


def average_precision(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Returns the area under the stepwise curve of precision over recall; equal scores form one step.

    `scores` and `labels` are (P,); at least one label is true.
    """
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(labels)[last_of_ties]
    precision = hits / (last_of_ties + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / hits[-1])
