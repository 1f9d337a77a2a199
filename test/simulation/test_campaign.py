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

"""Runs and areas of a simulated RobotCar dataset."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.simulation.recordings.campaign import (
    LOOP_M,
    RUNS,
    CampaignSettings,
    RunDrive,
    area_boxes,
)
from scene_geo_loc.simulation.town.plan import StreetPlan
from scene_geo_loc.traversals.robotcar.calibration import CAMERAS


@pytest.fixture(scope="module")
def plan() -> StreetPlan:
    return StreetPlan(7, LOOP_M)


@pytest.mark.parametrize("seed", [0, 7, 12345])
def test_the_areas_are_disjoint_whatever_their_length(seed: int) -> None:
    plan = StreetPlan(seed, LOOP_M)
    for length in (6.0, 300.0, 2110.0):
        settings = CampaignSettings(length=length)
        boxes = {name: np.array(of) for name, of in area_boxes(plan, settings).items()}
        street = {name: plan.at(np.arange(*span, 2.0)) for name, span in settings.spans().items()}
        for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
            low = np.maximum(boxes[one][:, None, :2], boxes[other][None, :, :2])
            high = np.minimum(boxes[one][:, None, 2:], boxes[other][None, :, 2:])
            assert not (low < high).all(2).any()
            apart = np.linalg.norm(street[one][:, None] - street[other][None], axis=2).min()
            assert apart > 100.0
        assert (street["test"].max(0) - street["test"].min(0)).max() < 2200


def test_at_the_papers_scale_the_test_area_has_their_422_places_and_spreads_beyond_700_m(
    plan: StreetPlan,
) -> None:
    start, end = CampaignSettings(length=2110.0).spans()["test"]
    assert (end - start) / 5.0 == 422
    street = plan.at(np.linspace(start, end, 423))
    farthest = np.linalg.norm(street[:, None] - street[None], axis=2).max(1)
    assert (farthest > 700).all()


def test_runs_have_the_papers_dates_and_none_of_those_to_train_with_sees_the_test_area() -> None:
    conditions = {run.name: (run.condition, run.areas) for run in RUNS}
    assert conditions["2014-06-26-09-31-18"] == ("overcast", ("test",))
    assert conditions["2014-12-16-18-44-24"] == ("night", ("test",))
    for name in ("2015-05-19-14-06-38", "2015-08-28-09-50-22", "2015-11-10-14-15-57"):
        condition, areas = conditions[name]
        assert condition not in ("snow", "night")
        assert areas == ("train", "validation")
    assert len({run.drive_seed for run in RUNS}) == len(RUNS) == len(conditions)


def test_a_run_is_one_drive_with_images_in_its_areas_and_scans_all_the_way(plan: StreetPlan) -> None:
    settings = CampaignSettings(length=30.0)
    drive = RunDrive(RUNS[5], settings, plan)
    spans = [settings.spans()[area] for area in ("train", "validation")]
    for shot in drive.shots_of("mono_rear"):
        place, _ = plan.nearest(drive.motion.poses(drive.seconds([shot.stamp_us]))[:, :2, 3])
        assert any(begin <= place[0] <= end for begin, end in spans)
    scans = [shot.stamp_us for shot in drive.shots_of("lms_front")]
    assert set(np.diff(scans)) == {20_000}
    assert drive.seconds(scans)[[0, -1]] == pytest.approx([0.0, drive.motion.duration], abs=0.03)
    assert {shot.stamp_us for shot in drive.shots_of("stereo/centre")} <= set(drive.vo_stamps_us())
    pieces = drive.pieces
    assert pieces[0][0] == drive.start
    assert pieces[-1][1] == pytest.approx(drive.start + drive.length)
    assert sum(shot.sensor in CAMERAS for _, _, shots in pieces for shot in shots) == drive.image_count()
    assert all(end - begin <= 300 for begin, end, _ in pieces)


def test_two_runs_through_one_area_do_not_follow_one_line(plan: StreetPlan) -> None:
    settings = CampaignSettings()
    one, other = (RunDrive(run, settings, plan) for run in RUNS[:2])
    a = one.motion.poses(np.linspace(5, one.motion.duration - 5, 200))[:, :2, 3]
    b = other.motion.poses(np.linspace(5, other.motion.duration - 5, 2000))[:, :2, 3]
    aside = np.linalg.norm(a[:, None] - b[None], axis=2).min(1)
    assert 0.1 < np.median(aside) < 1.5


def test_what_cannot_be_simulated_is_said_in_a_sentence() -> None:
    with pytest.raises(SceneGeoLocError, match="2110"):
        CampaignSettings(length=5000.0)
    with pytest.raises(SceneGeoLocError, match="negative"):
        CampaignSettings(seed=-1)
    with pytest.raises(SceneGeoLocError, match="even width"):
        CampaignSettings(width=321)
    with pytest.raises(SceneGeoLocError, match="positive speed"):
        CampaignSettings(camera_rate_hz=0.0)
