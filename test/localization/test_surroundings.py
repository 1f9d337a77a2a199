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

"""Rejected poses in maps of drives are looked at again with the keyframes around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from seen import CAMERA

from scene_geo_loc.geometry.pose import make_pose, position_error_m
from scene_geo_loc.localization.estimate import LocalizerSettings, Matches, PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.second_look.surroundings import Surroundings
from scene_geo_loc.localization.solution import Solution
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.matchers.scene_keypoints import SceneKeypointMatcher
from scene_geo_loc.matchers.sift import SiftMatcher
from scene_geo_loc.matchers.xfeat import XFeatMatcher
from scene_geo_loc.traversals.opening import open_traversal


def map_with(has_rays: bool, has_panoramas: bool) -> Any:
    geo_tags = object() if has_panoramas else None
    return SimpleNamespace(info=SimpleNamespace(has_rays=has_rays, geo_tags=geo_tags))


def test_drives_need_features_that_are_looked_for_near_a_pose_and_have_points() -> None:
    keypoints: Any = SceneKeypointMatcher
    xfeat: Any = XFeatMatcher
    sift: Any = SiftMatcher
    assert Surroundings.help_in(map_with(has_rays=False, has_panoramas=False), keypoints)
    assert not Surroundings.help_in(map_with(has_rays=True, has_panoramas=False), keypoints)
    assert not Surroundings.help_in(map_with(has_rays=False, has_panoramas=False), sift)
    # No poses by such matches of XFeat were collected on drives.
    assert not Surroundings.help_in(map_with(has_rays=False, has_panoramas=False), xfeat)
    assert Surroundings.help_in(map_with(has_rays=True, has_panoramas=True), sift)


@pytest.mark.parametrize(
    ("status", "confidence", "is_asked"),
    [
        (Status.LOCALIZED, 0.95, False),
        (Status.LOCALIZED, 0.7, True),
        (Status.LOCALIZED, None, False),
        (Status.RETRIEVED_ONLY, None, True),
    ],
)
def test_rejected_poses_and_doubted_ones_are_looked_at_again(
    status: Status, confidence: float | None, is_asked: bool
) -> None:
    surroundings: Any = SimpleNamespace(guided_verifier=object())
    rejection = Rejection(RejectionKind.INLIER_RATIO) if status is Status.RETRIEVED_ONLY else None
    estimate = PoseEstimate(status, np.eye(4), confidence=confidence, rejection=rejection)
    assert Surroundings.are_asked_about(surroundings, estimate) is is_asked
    lost = PoseEstimate(Status.LOST, rejection=Rejection(RejectionKind.NO_CONTRAST))
    assert not Surroundings.are_asked_about(surroundings, lost)


@pytest.mark.parametrize(
    ("status", "apart_m", "is_replaced"),
    [
        (Status.RETRIEVED_ONLY, 0.1, True),
        (Status.LOCALIZED, 0.1, False),
        (Status.LOCALIZED, 2.3, True),
    ],
)
def test_an_accepted_pose_gives_way_only_to_one_elsewhere(
    status: Status, apart_m: float, is_replaced: bool
) -> None:
    first, other = Solution(np.eye(4), [], []), Solution(make_pose(np.eye(3), (0, 0, apart_m)), [], [])
    confirmed: Any = PoseEstimate(Status.LOCALIZED, other.T_map_base), other, []
    surroundings: Any = SimpleNamespace(verify=lambda solution, queries: confirmed)
    found = Surroundings.second_opinion(surroundings, PoseEstimate(status, np.eye(4)), first, [])
    assert found == (confirmed if is_replaced else None)


@pytest.mark.parametrize(
    ("precise", "asks"),
    [
        ({0.9: 30, 1.0: 64, 1.1: 72}, False),
        ({0.9: 30, 1.0: 64, 1.1: 73}, True),
        ({0.9: 90, 1.0: 64, 1.1: 20}, True),
        ({0.9: 12, 1.0: 9, 1.1: 9}, False),
    ],
)
def test_clearly_more_precise_matches_by_another_focal_length_tell_of_another_lens(
    precise: dict[float, int], asks: bool
) -> None:
    query, solution = QueryMatches(np.eye(4), CAMERA), Solution(np.eye(4), [], [])
    surroundings: Any = SimpleNamespace(
        _best_guided=lambda T_map_base, queries: (solution, queries),
        _precise_count=lambda fit: precise[round(fit[1][0].camera.fx / CAMERA.fx, 3)],
    )
    assert Surroundings._asks_for_other_lens(surroundings, (solution, [query]), [query]) is asks


@pytest.mark.parametrize(
    ("inliers_of", "matches", "precise", "suffice"),
    [
        # Two views of the first panorama and one of the second, which enough matches agree with.
        ({0: 40, 1: 30, 2: 15}, 400, 10, True),
        ({0: 40, 1: 30, 2: 14}, 400, 10, False),
        # Those of one panorama alone.
        ({0: 60, 1: 40}, 200, 40, True),
        ({0: 60, 1: 39}, 150, 40, False),
        ({0: 60, 1: 40}, 201, 41, False),
        ({0: 60, 1: 40}, 200, 39, False),
    ],
)
def test_one_panorama_alone_confirms_a_pose_by_many_of_its_matches_only(
    inliers_of: dict[int, int], matches: int, precise: int, suffice: bool
) -> None:
    keyframe = np.repeat(list(inliers_of), list(inliers_of.values()))
    inlier = np.arange(matches) < len(keyframe)
    query: Any = SimpleNamespace(matches=replace(Matches.none(), keyframe=np.resize(keyframe, matches)))
    surroundings: Any = SimpleNamespace(
        _map=SimpleNamespace(info=SimpleNamespace(geo_tags=object()), tag_number=np.array([0, 0, 2])),
        _precise_count=lambda fit: precise,
    )
    solution = Solution(np.eye(4), [np.ones(matches, bool)], [inlier])
    assert Surroundings._panoramas_suffice(surroundings, (solution, [query])) is suffice
    surroundings._map.info.geo_tags = None
    assert Surroundings._panoramas_suffice(surroundings, (solution, [query]))


@pytest.mark.slow
def test_a_sparse_map_of_a_real_walk_localizes_most_frames_and_none_of_them_wrong(
    data_dir: Path, tmp_path: Path
) -> None:
    frames = list(open_traversal(data_dir / "rgbd_hololens").frames())
    builder = MapBuilder(tmp_path / "map", BuilderSettings(keyframe_distance_m=0.0), device="cpu")
    for frame in frames[::5]:
        builder.add_frame(frame)
    localizer = Localizer(
        ReferenceMap.open(builder.finish()), LocalizerSettings(second_look_share=0), device="cpu"
    )
    asked = [frame for i, frame in enumerate(frames) if i % 5]
    estimates = [localizer.localize(frame) for frame in asked]
    found = [e.status is Status.LOCALIZED for e in estimates]
    again = ["surroundings" in e.timings_ms for e in estimates]
    # SIFT localizes 47 of them, XFeat 60.
    assert sum(found) >= 65
    assert sum(localized and looked for localized, looked in zip(found, again, strict=True)) >= 5
    for frame, estimate in zip(asked, estimates, strict=True):
        if estimate.status is Status.LOCALIZED:
            assert frame.T_map_camera is not None
            assert estimate.T_map_base is not None
            assert position_error_m(frame.T_map_camera, estimate.T_map_base) < 0.6
