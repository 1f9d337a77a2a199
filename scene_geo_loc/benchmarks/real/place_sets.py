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

"""Place recognition on real sets: queries, a database, and which of its images are right for each query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.real.experiment import Tools, check_count
from scene_geo_loc.benchmarks.real.image_matcher import ImageFeatures, ImageMatcher
from scene_geo_loc.benchmarks.real.results import DESCRIPTOR, RETRIEVAL, Kind, Part
from scene_geo_loc.benchmarks.real.retrieval import (
    NO_KEYPOINTS,
    Comparison,
    compare,
    describe_database,
    fitted_extractor,
)
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import tracked
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.localization.query import Stopwatch
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImage, KeyframeVotes, sequence_votes
from scene_geo_loc.traversals.folder import read_image

RERANKED = 10
"""Number of most similar images that matchers re-rank."""
SEQUENCES = {f"{RETRIEVAL}, sequence of {images}": images for images in (3, 5)}
"""Methods that rank by several consecutive images of a run, with the number of them."""
_RANKS = (1, 5, 10)
_KEPT_FEATURES = 400
"""Number of database images whose local features are kept in memory."""

PROTOCOL = (
    "R@N is the share of all queries of which one of the N highest-ranked database images is right. The "
    "descriptor ranks by cosine; its head is fitted to the database where the network comes without. With "
    "place keypoints, the share of the best keypoints that match and lie alike is added for the first "
    f"{LocalizerSettings().compared}, as in the localizer, which sequences and matchers begin with. A "
    f"matcher re-ranks the first {RERANKED} by the number of matches that agree with one epipolar geometry. "
    f"The time is that of a query's features and, with a matcher, of {RERANKED} checks."
)
RUN_PROTOCOL = (
    PROTOCOL + " A sequence is a query with the frames before it: they vote for database images as in the "
    "localizer, with frame numbers in place of odometry, as SeqSLAM does where both runs have one speed. "
    "It is another task than that of single images."
)


@dataclass(frozen=True)
class Places:
    """Queries and database of one part of a set.

    Attributes:
        name: name of the part.
        folder: that the names are relative to.
        database, queries: names of the images.
        right: for each query, the indices of the right database images.
        are_runs: whether both are runs in which equal numbers are one place.
    """

    name: str
    folder: Path
    database: Sequence[str]
    queries: Sequence[str]
    right: Sequence[NDArray[np.intp]]
    are_runs: bool = False

    @classmethod
    def by_number(
        cls, name: str, folder: Path, database: Sequence[str], queries: Sequence[str], tolerance: int
    ) -> Places:
        """Makes places of two runs with as many frames: right are those within `tolerance` of a query's
        number.

        Raises SceneGeoLocError where the runs differ in length.
        """
        if len(database) != len(queries):
            raise SceneGeoLocError(
                f"{folder}: {len(queries)} queries and {len(database)} database images ({name}): the runs "
                "should have as many frames; images are missing."
            )
        right = [
            np.arange(max(0, i - tolerance), min(len(database), i + tolerance + 1))
            for i in range(len(queries))
        ]
        return cls(name, folder, database, queries, right, are_runs=True)

    @classmethod
    def by_distance(
        cls,
        name: str,
        folder: Path,
        database: Sequence[tuple[str, float, float]],
        queries: Sequence[tuple[str, float, float]],
        radius_m: float,
    ) -> Places:
        """Makes places of names with positions (east, north) in metres: right are those within `radius_m`."""
        positions = np.array([row[1:] for row in database], np.float64).reshape(-1, 2)
        right = [
            np.flatnonzero(np.hypot(positions[:, 0] - east, positions[:, 1] - north) <= radius_m)
            for _, east, north in queries
        ]
        return cls(name, folder, [row[0] for row in database], [row[0] for row in queries], right)


@dataclass(frozen=True)
class Ranking:
    """The most similar database images of each query.

    Attributes:
        ranked: (Q, K) their indices, best first.
        ms: median time of a query, milliseconds.
    """

    ranked: NDArray[np.int64]
    ms: float


@dataclass(frozen=True)
class SimilarityRanking(Ranking):
    """A ranking by similarity.

    Attributes:
        similarities: (Q, K) of the ranked images.
    """

    similarities: NDArray[np.float64]


@dataclass(frozen=True)
class PlaceSet:
    """The parts of a set of places; see `Experiment`."""

    folder: Path
    parts: Sequence[Places]
    kind: Kind = Kind.PLACES
    # The same for every method.
    _rankings: list[dict[str, SimilarityRanking]] = field(default_factory=list, repr=False)

    def methods(self, matchers: Sequence[str]) -> list[str]:
        """See `Experiment.methods`."""
        sequences = SEQUENCES if all(places.are_runs for places in self.parts) else ()
        return [DESCRIPTOR, RETRIEVAL, *sequences, *matchers]

    def run(self, method: str, tools: Tools) -> list[Part]:
        """Returns the recall of each part.

        Raises SceneGeoLocError where an image cannot be read, or queries are few.
        """
        for places in self.parts:
            check_count(len(places.queries), "queries", places.folder)
        if not self._rankings:
            self._rankings.extend(rank(self.parts, tools))
        found = []
        for places, rankings in zip(self.parts, self._rankings, strict=True):
            retrieved = rankings.get(RETRIEVAL, rankings[DESCRIPTOR])
            if method in (DESCRIPTOR, RETRIEVAL):
                if method not in rankings:
                    raise SceneGeoLocError(NO_KEYPOINTS)
                ranking: Ranking = rankings[method]
            elif method in SEQUENCES:
                ranking = rank_sequences(retrieved, SEQUENCES[method])
            else:
                ranking = _rerank(places, retrieved.ranked[:, :RERANKED], method, tools)
            recalls = {f"recall_{n}": recall_at(ranking.ranked, places.right, n) for n in _RANKS}
            found.append(
                Part(
                    name=places.name,
                    queries=len(places.queries),
                    references=len(places.database),
                    values={**recalls, "ms": ranking.ms},
                )
            )
        return found


def rank(parts: Sequence[Places], tools: Tools) -> Iterator[dict[str, SimilarityRanking]]:
    """Yields the rankings of each part by descriptor and, where keypoints are found, by retrieval.

    Parts in succession that share a database describe it once.
    """
    count = max(RERANKED, LocalizerSettings().compared)

    def best(_: int, cosines: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.argsort(-cosines, kind="stable")[:count]

    described: Sequence[str] | None = None
    for places in parts:
        if places.database != described:
            extractor = fitted_extractor([places.folder / name for name in places.database], tools)
            database = describe_database(extractor, places.folder, places.database, tools)
            described = places.database
        compared = list(compare(extractor, places.folder, places.queries, database, best, tools))
        methods = [DESCRIPTOR] if database.keypoints is None else [DESCRIPTOR, RETRIEVAL]
        yield {method: _ranking(compared, method) for method in methods}


def _ranking(compared: Sequence[Comparison], method: str) -> SimilarityRanking:
    images = np.array([comparison.images for comparison in compared])
    similarities = np.array([comparison.similarity(method) for comparison in compared])
    order = np.argsort(-similarities, axis=1, kind="stable")
    return SimilarityRanking(
        np.take_along_axis(images, order, axis=1),
        float(np.median([comparison.ms(method) for comparison in compared])),
        np.take_along_axis(similarities, order, axis=1),
    )


def rank_sequences(ranking: SimilarityRanking, images: int) -> Ranking:
    """Returns the ranking by each query together with those before it.

    Args:
        ranking: of queries and database images that are runs through the same places.  From one
            place to the next is as far as from one image of the localizer's sequences to the next.
        images: number of images of a sequence.
    """
    spacing_m = LocalizerSettings().sequence_spacing_m

    def at(places: float) -> NDArray[np.float64]:
        return make_pose(np.eye(3), (0.0, 0.0, spacing_m * places))

    T_map_image = np.array([at(i) for i in range(int(ranking.ranked.max()) + 1)])
    votes = list(map(KeyframeVotes.of, ranking.ranked, ranking.similarities))
    ranked = ranking.ranked.copy()
    for i, row in enumerate(ranking.ranked):
        earlier = [EarlierImage(at(j - i), votes[j]) for j in range(max(0, i - images + 1), i)]
        total = ranking.similarities[i] + sequence_votes(row, np.eye(4), earlier, T_map_image)
        ranked[i] = row[np.argsort(-total, kind="stable")]
    return Ranking(ranked, ranking.ms)


def recall_at(ranked: NDArray[np.int64], right: Sequence[NDArray[np.intp]], n: int) -> float:
    """Returns the share of queries with a right image among the first `n` of their ranking (Q, K)."""
    hits = [bool(np.isin(row[:n], of_query).any()) for row, of_query in zip(ranked, right, strict=True)]
    return float(np.mean(hits))


def _rerank(places: Places, ranked: NDArray[np.int64], method: str, tools: Tools) -> Ranking:
    """Returns the ranking of the images `ranked` (Q, K) by inliers."""
    matcher = ImageMatcher(method, tools.network, tools.device)

    @lru_cache(maxsize=_KEPT_FEATURES)
    def reference(index: int) -> ImageFeatures:
        return matcher.features(read_image(places.folder / places.database[index]))

    out, ms = ranked.copy(), []
    with tools.show(f"{method} on {places.name}", "queries") as on_progress:
        for i, name in enumerate(tracked(places.queries, len(places.queries), on_progress)):
            image = read_image(places.folder / name)
            candidates = [reference(int(index)) for index in ranked[i]]
            stopwatch = Stopwatch()
            with stopwatch.step("check"):
                query = matcher.features(image)
                inliers = np.array([matcher.inliers(query, candidate) for candidate in candidates])
            out[i] = ranked[i][np.argsort(-inliers, kind="stable")]
            ms.append(stopwatch.times_ms["total"])
    return Ranking(out, float(np.median(ms)))
