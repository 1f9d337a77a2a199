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

"""Labelled pairs of images: the same place or not, by global descriptor and by geometric check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scene_geo_loc.benchmarks.descriptors.labelled_pairs import (
    LabelledPairs,
    PairScores,
    score_similarities,
)
from scene_geo_loc.benchmarks.real.experiment import Tools, check_count
from scene_geo_loc.benchmarks.real.image_matcher import ImageFeatures, ImageMatcher
from scene_geo_loc.benchmarks.real.results import DESCRIPTOR, RETRIEVAL, Kind, Part
from scene_geo_loc.benchmarks.real.retrieval import (
    NO_KEYPOINTS,
    compare,
    describe_database,
    fitted_extractor,
)
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import tracked
from scene_geo_loc.localization.query import Stopwatch
from scene_geo_loc.traversals.folder import read_image

PAIRS_FILE = "pairs.csv"

PROTOCOL = (
    "Average precision over all labelled pairs, ranked together: by the cosine of their global descriptors, "
    "whose head is fitted to the database images where the network comes without; by that and the share of "
    "their best keypoints that match and lie alike, as in the localizer; or, with a matcher, by the "
    "number of matches that agree with one epipolar geometry, within 3 pixels of an image of 640. Best is a "
    "match: queries with a match of which the highest-ranked labelled image is one. The time is that of a "
    "query's features and of one pair's check."
)


def is_pairs(folder: Path) -> bool:
    """Returns whether a folder has labelled pairs."""
    return (folder / PAIRS_FILE).is_file()


@dataclass(frozen=True)
class PairSet:
    """Labelled pairs of the images in a folder; see `Experiment`."""

    folder: Path
    pairs: LabelledPairs
    kind: Kind = Kind.PAIRS

    @classmethod
    def open(cls, folder: Path) -> PairSet:
        """Opens a folder with `pairs.csv`. Raises SceneGeoLocError where it is invalid."""
        pairs = LabelledPairs.load(folder / PAIRS_FILE)
        check_count(len(pairs), "pairs", folder)
        return cls(folder, pairs)

    def methods(self, matchers: Sequence[str]) -> list[str]:
        """See `Experiment.methods`."""
        return [DESCRIPTOR, RETRIEVAL, *matchers]

    def run(self, method: str, tools: Tools) -> list[Part]:
        """Returns the numbers of a method.

        Raises SceneGeoLocError where an image cannot be read, or no pair is a match.
        """
        if method in (DESCRIPTOR, RETRIEVAL):
            scores, ms = self._by_retrieval(method, tools)
        else:
            scores, ms = self._by_geometry(method, tools)
        return [
            Part(
                queries=scores.pairs,
                references=len(set(self.pairs.database)),
                values={
                    "average_precision": scores.average_precision,
                    "best_is_match": scores.best_is_match / scores.queries,
                    "ms": ms,
                },
            )
        ]

    def _by_retrieval(self, method: str, tools: Tools) -> tuple[PairScores, float]:
        names, queries = sorted(set(self.pairs.database)), sorted(set(self.pairs.queries))
        extractor = fitted_extractor([self.folder / name for name in names], tools)
        database = describe_database(extractor, self.folder, names, tools)
        if method == RETRIEVAL and database.keypoints is None:
            raise SceneGeoLocError(NO_KEYPOINTS)
        number = {name: i for i, name in enumerate(names)}
        image = np.array([number[name] for name in self.pairs.database])
        rows_of = {name: np.flatnonzero(np.array(self.pairs.queries) == name) for name in queries}
        similarity, ms = np.zeros(len(self.pairs)), []
        compared = compare(
            extractor, self.folder, queries, database, lambda i, _: image[rows_of[queries[i]]], tools
        )
        for name, comparison in zip(queries, compared, strict=True):
            similarity[rows_of[name]] = comparison.similarity(method)
            ms.append(comparison.ms(method))
        scores = score_similarities(self.pairs.match, np.array(self.pairs.queries), similarity)
        return scores, float(np.median(ms))

    def _by_geometry(self, method: str, tools: Tools) -> tuple[PairScores, float]:
        matcher = ImageMatcher(method, tools.network, tools.device)
        known: dict[str, ImageFeatures] = {}
        query_ms: list[float] = []
        pair_ms: list[float] = []

        def features(name: str) -> ImageFeatures:
            if name not in known:
                image = read_image(self.folder / name)
                stopwatch = Stopwatch()
                with stopwatch.step("extract"):
                    known[name] = matcher.features(image)
                query_ms.append(stopwatch.times_ms["total"])
            return known[name]

        inliers = np.zeros(len(self.pairs))
        pairs: Iterable[tuple[str, str]] = zip(self.pairs.queries, self.pairs.database, strict=True)
        with tools.show(f"{method} on {self.folder.name}", "pairs") as on_progress:
            for i, (query, image) in enumerate(tracked(pairs, len(self.pairs), on_progress)):
                first, second = features(query), features(image)
                stopwatch = Stopwatch()
                with stopwatch.step("check"):
                    inliers[i] = matcher.inliers(first, second)
                pair_ms.append(stopwatch.times_ms["total"])
        scores = score_similarities(self.pairs.match, np.array(self.pairs.queries), inliers)
        return scores, float(np.median(query_ms) + np.median(pair_ms))
