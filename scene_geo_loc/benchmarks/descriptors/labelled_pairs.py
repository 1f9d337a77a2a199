"""Scores descriptors on pairs of images of which it is known whether they show one place."""

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
"""What the numbers mean, in words that are written beside them."""

_LABELS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs of a query and a database image by name, and whether they match (P,)."""

    queries: list[str]
    database: list[str]
    match: NDArray[np.bool_]

    @classmethod
    def load(cls, path: Path) -> LabelledPairs:
        """Reads a CSV file with the columns query, database and one of labels, 1 or 0.

        Raises SceneGeoLocError with the line where it is something else.
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
    """How descriptors did on labelled pairs.

    Attributes:
        pairs, matches: how many were scored, and how many of them are matches.
        left_out: pairs of which an image has no descriptor.
        average_precision: see `PROTOCOL`.
        queries: those that have a match.
        best_is_match: how many of these have one as their most similar labelled image.
    """

    pairs: int
    matches: int
    left_out: int
    average_precision: float
    queries: int
    best_is_match: int

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
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
        SceneGeoLocError: no pair has both descriptors, or none that has is a match.
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
    match = pairs.match[chosen]
    if not match.any():
        raise SceneGeoLocError(f"None of the {len(match)} pairs is labelled a match: there is no recall.")
    right = [
        bool(match[here][similarity[here] == similarity[here].max()].all())
        for here in (query_rows == row for row in np.unique(query_rows))
        if match[here].any()
    ]
    return PairScores(
        pairs=len(match),
        matches=int(match.sum()),
        left_out=len(pairs) - len(match),
        average_precision=average_precision(similarity, match),
        queries=len(right),
        best_is_match=sum(right),
    )


def average_precision(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The area under the stepwise curve of precision over recall; equal scores are one step.

    `scores` and `labels` are (P,); at least one label is true.
    """
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(labels)[last_of_ties]
    precision = hits / (last_of_ties + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / hits[-1])
