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

"""Support of retrieved keyframes by those around them that look alike."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from room import Room

from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import Candidate, LocalizerSettings, PosePrior, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.retrieval.retriever import Retriever
from scene_geo_loc.mapping.map_info import GeoTags
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.co_similarity import CoSimilarity
from scene_geo_loc.mapping.search.index import DescriptorIndex
from scene_geo_loc.networks.default import default_network

# Keyframes 0 to 2 are of one street and look alike; 3 looks most like the query and stands alone; 4 and 5
# are other streets.
ROWS = np.eye(6, 8, dtype=np.float32)
QUERY = np.array([0.5, 0.45, 0.1, 0.55, 0.2, 0.15, 0, 0])
QUERY = np.append(QUERY[:7], np.sqrt(1 - (QUERY**2).sum())).astype(np.float32)
GRAPH = CoSimilarity(
    np.array([0, 2, 4, 6, 6, 6, 6], np.int64),
    np.array([1, 2, 0, 2, 0, 1], np.uint32),
    np.full(6, 0.5, np.float16),
)


def retrieve(
    weight: float | None,
    graph: CoSimilarity | None = GRAPH,
    prior: PosePrior | None = None,
    count: int = 5,
    geo_tags: GeoTags | None = None,
) -> list[Candidate]:
    T = np.tile(np.eye(4), (6, 1, 1))
    T[:, 0, 3] = [0, 1, 2, 100, 200, 300]
    reference_map = SimpleNamespace(
        index=DescriptorIndex.build(ROWS),
        T_map_camera=T,
        within=lambda point, radius_m: np.flatnonzero(np.abs(T[:, 0, 3] - point[0]) <= radius_m),
        place_keypoints=None,
        co_similarity=graph,
        info=SimpleNamespace(geo_tags=geo_tags, all_drives=[]),
    )
    settings = LocalizerSettings(co_similarity=weight, compared=0, retrieved=count, candidates=1)
    features = SimpleNamespace(global_descriptor=QUERY)
    retriever = Retriever(reference_map, default_network()[0])  # type: ignore[arg-type]
    found = retriever.retrieve(features, settings, prior, np.eye(4), lambda: ())  # type: ignore[arg-type]
    return found.candidates


def test_what_stands_alone_comes_after_keyframes_that_look_alike() -> None:
    assert [candidate.keyframe for candidate in retrieve(0.0)] == [3, 0, 1, 4, 5]
    # Votes are what is above the median of the five, 0.45: 0 has 0.05 and 3 has 0.1.  The mean of the votes
    # for 0 and 2, which are co-similar to 1, is 0.025.
    supported = retrieve(5.0)
    assert [candidate.keyframe for candidate in supported[:3]] == [1, 3, 0]
    of = {candidate.keyframe: candidate for candidate in supported}
    assert of[1].support == pytest.approx(5 * 0.025, abs=1e-3)
    assert of[3].support == 0
    assert of[1].score == pytest.approx(0.45 + 0.125, abs=1e-3)


def test_keyframes_around_the_best_come_in() -> None:
    assert 2 not in [candidate.keyframe for candidate in retrieve(0.0)]
    of = {candidate.keyframe: candidate for candidate in retrieve(10.0)}
    assert of[2].similarity == pytest.approx(0.1, abs=1e-3)
    assert of[2].support > 0


def test_a_prior_keeps_others_out() -> None:
    near = PosePrior(np.eye(4), 1.5)
    assert {candidate.keyframe for candidate in retrieve(10.0, prior=near)} == {0, 1}


def test_by_default_only_keyframes_of_panoramas_support_each_other() -> None:
    assert retrieve(None) == retrieve(0.0)
    assert retrieve(None, geo_tags=GeoTags(tags=6)) == retrieve(1.0) != retrieve(0.0)


def test_a_map_without_co_similarity_is_searched_as_before() -> None:
    assert retrieve(1.0, graph=None) == retrieve(0.0)


def test_a_map_keeps_its_co_similarity(room_map: Path, room: Room) -> None:
    opened = ReferenceMap.open(room_map)
    assert opened.co_similarity is not None
    assert len(opened.co_similarity.keyframes) > 0
    localizer = Localizer(opened, LocalizerSettings(co_similarity=1.0), device="cpu")
    query = room.frame(-2.1, 0.4, 7.0)
    estimate = localizer.localize(query)
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.1
