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

"""The model of a pose's confidence: its fit, and its test on places that it was not fitted on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room, write_rgbd
from typer.testing import CliRunner

from scene_geo_loc.benchmarks.confidence import (
    ScoredPose,
    benchmark_confidence,
    fit_confidence,
    scored_poses,
)
from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.verification.confidence import ConfidenceModel, PoseSupport
from scene_geo_loc.mapping.reference_map import ReferenceMap

TRUE = ConfidenceModel(16.0, PoseSupport(2.0, 4.0, 3.0, -1.0))


def drawn(count: int, seed: int = 0, place: str = "street") -> list[ScoredPose]:
    """Poses that are right as often as a model says."""
    rng = np.random.default_rng(seed)
    poses = []
    for _ in range(count):
        ratio = float(np.exp(rng.uniform(-3, -0.3)))
        support = PoseSupport(
            ratio,
            ratio * float(rng.uniform(0.2, 0.9)),
            float(rng.uniform(0.05, 0.3)),
            float(np.exp(rng.uniform(-7, -3))),
        )
        poses.append(ScoredPose(place, support, bool(rng.random() < TRUE.probability(support)), True))
    return poses


def test_the_fit_recovers_the_probabilities_that_poses_were_drawn_with() -> None:
    fitted = fit_confidence(drawn(4000))
    fresh = [pose.support for pose in drawn(500, seed=1)]
    off = [abs(fitted.probability(support) - TRUE.probability(support)) for support in fresh]
    assert np.mean(off) < 0.03


def test_a_value_that_tells_nothing_gets_no_weight_of_the_wrong_sign() -> None:
    poses = [
        replace(pose, support=replace(pose.support, rotation_std=0.002 if pose.is_right else 0.001))
        for pose in drawn(400)
    ]
    weights = fit_confidence(poses).weights
    assert weights.rotation_std == 0.0
    assert weights.precise_ratio > 0


def test_right_and_wrong_poses_are_needed() -> None:
    right = [pose for pose in drawn(50) if pose.is_right]
    with pytest.raises(SceneGeoLocError, match=f"{len(right)} are right"):
        fit_confidence(right)


def test_probabilities_are_by_a_model_of_other_places() -> None:
    street, office = drawn(600), drawn(300, seed=2, place="office")
    result = benchmark_confidence([*street, *office])
    of_street = fit_confidence(street)
    assert list(result.confidences[600:]) == [of_street.probability(pose.support) for pose in office]
    assert sum(part.poses for part in result.bins) == 900
    assert result.accepted(True, 0.5) <= result.accepted(True) == sum(p.is_right for p in result.poses)


def test_images_of_the_place_are_right_and_those_of_others_wrong(room_map: Path) -> None:
    localizer = Localizer(ReferenceMap.open(room_map), device="cpu")
    frames = [Room().frame(x, 0.1, 3.0) for x in (-3.1, -2.1, -1.3)]
    own = scored_poses(localizer, "room", frames, is_same_place=True)
    assert [pose.is_right for pose in own] == [True] * len(own)
    assert any(pose.is_accepted for pose in own)
    elsewhere = scored_poses(localizer, "room", frames, is_same_place=False)
    assert [pose.support for pose in elsewhere] == [pose.support for pose in own]
    assert not any(pose.is_right for pose in elsewhere)


@pytest.mark.slow
def test_the_command_writes_the_model_and_a_diagram(room_map: Path, tmp_path: Path) -> None:
    walk = write_rgbd(tmp_path / "walk", Room(), 0.1)
    # The same map and images by other names are those of another place.
    maps = [word for name in ("room", "hall") for word in ("--map", f"{name}={room_map}")]
    sources = [word for name in ("room", "hall", "street") for word in ("--source", f"{name}={walk}")]
    written = tmp_path / "confidence.json", tmp_path / "reliability.png"
    command = ["benchmark", "confidence", *maps, *sources, "--json", str(written[0]), "--picture"]
    result = CliRunner().invoke(app, [*command, str(written[1]), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    (numbers,) = json.loads(written[0].read_text()).values()
    assert set(numbers) == {"model", "poses", "right", "bins"}
    assert numbers["right"] * 3 == numbers["poses"]
    assert written[1].read_bytes().startswith(b"\x89PNG")
    wrong = CliRunner().invoke(app, ["benchmark", "confidence", "--map", "street", "--source", "a=b"])
    assert wrong.exit_code == 2
    assert "PLACE=PATH" in wrong.output
