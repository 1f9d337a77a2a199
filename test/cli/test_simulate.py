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

"""The command `simulate` and the layouts it writes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.datum import Datum

pytest.importorskip("embreex")

pytestmark = pytest.mark.slow


def simulate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["simulate", *(str(argument) for argument in arguments)])


def refused(result: Result) -> str:
    assert isinstance(result.exception, SceneGeoLocError)
    return str(result.exception)


def test_an_option_that_is_not_for_robotcar_is_refused_rather_than_ignored(tmp_path: Path) -> None:
    result = simulate(tmp_path / "twin", "--layout", "robotcar", "--drive-seed", "3")
    assert "--drive-seed cannot be used with --layout robotcar" in refused(result)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_layout_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    assert "layout 'kitti': choose bag, robotcar or streetview" in refused(
        simulate(tmp_path, "--layout", "kitti")
    )


def test_the_lengths_that_robotcar_can_have_are_said(tmp_path: Path) -> None:
    result = simulate(tmp_path / "twin", "--layout", "robotcar", "--length", "9000")
    assert "2110 m" in refused(result)


def test_a_bag_keeps_its_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scene_geo_loc.simulation.recordings import drive
    from scene_geo_loc.simulation.vehicle.sensors import pinhole

    def record(out: Path, settings: drive.DriveSettings, **_: object) -> drive.DriveSummary:
        assert (settings.start, settings.length, settings.rig.camera_rate_hz) == (5.0, 320.0, 10.0)
        assert settings.rig.cameras[0].camera == pinhole(640, 480, 75.0)
        return drive.DriveSummary(10, 1.0, settings.length)

    monkeypatch.setattr(drive, "simulate", record)
    assert "10 frames, 320 m in 1 s" in simulate(tmp_path / "bag", "--start", "5").output


def test_the_errors_of_gps_and_the_place_of_the_town_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scene_geo_loc.simulation.recordings import drive
    from scene_geo_loc.simulation.vehicle.satellite import GpsSettings

    given: list[GpsSettings] = []

    def record(out: Path, settings: drive.DriveSettings, **_: object) -> drive.DriveSummary:
        given.append(settings.gps)
        return drive.DriveSummary(10, 1.0, settings.length)

    monkeypatch.setattr(drive, "simulate", record)
    simulate(tmp_path / "plain")
    simulate(
        tmp_path / "bag",
        *("--gps", "noise=0.5,wander=0, bias=100:-20, outliers=0.1,drop-outs=0.2"),
        *("--datum", "48,11,500,25"),
    )
    town = Datum(48.0, 11.0, 500.0, 25.0)
    assert given == [GpsSettings(), GpsSettings(town, 0.5, 0.0, (100.0, -20.0), 0.1, drop_out_share=0.2)]


@pytest.mark.parametrize(
    ("gps", "words"),
    [
        ("bais=3", "'bais' is none of noise, wander, bias, outliers, drop-outs"),
        ("noise=much", "could not convert"),
        ("bias=100", "'bias=100' has 1 numbers"),
        ("outliers=2", "shares 0 to 1"),
    ],
)
def test_errors_of_gps_that_cannot_be_are_refused(tmp_path: Path, gps: str, words: str) -> None:
    assert words in refused(simulate(tmp_path / "bag", "--gps", gps))


def test_panoramas_get_what_the_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scene_geo_loc.simulation.recordings import streetview
    from scene_geo_loc.simulation.recordings.streetview_plan import (
        ErrorShape,
        StreetviewSettings,
        TagErrors,
    )

    taken: list[StreetviewSettings] = []

    def record(out: Path, settings: StreetviewSettings, **_: object) -> streetview.SetSummary:
        taken.append(settings)
        return streetview.SetSummary(28, 3)

    monkeypatch.setattr(streetview, "simulate_streetview", record)
    assert "28 panoramas, 3 of them" in simulate(tmp_path / "set", "--layout", "streetview").output
    options = "--seams --no-depth --no-side-streets --tag-errors 2:1:uniform --spacing 18 --datum 1,2,3,4"
    simulate(tmp_path / "set", "--layout", "streetview", "--condition", "snow", *options.split())
    assert taken == [
        StreetviewSettings(),
        StreetviewSettings(
            "snow",
            spacing=18.0,
            side_streets=False,
            is_stitched=True,
            depth=None,
            tag_errors=TagErrors(2.0, 1.0, ErrorShape.UNIFORM),
            datum=Datum(1.0, 2.0, 3.0, 4.0),
        ),
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--layout streetview --gps noise=1", "--gps cannot be used with --layout streetview"),
        ("--spacing 10", "--spacing cannot be used with --layout bag"),
        ("--layout streetview --tag-errors 1", "--tag-errors 1:"),
        ("--layout streetview --tag-errors 1:2:round", "'round'"),
        ("--layout streetview --depth-form jpeg", "choose one of png, planes"),
    ],
)
def test_options_that_a_layout_does_not_have_are_refused(tmp_path: Path, options: str, words: str) -> None:
    assert words in refused(simulate(tmp_path / "out", *options.split()))


def test_a_simulator_without_its_ray_caster_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embreex.mesh_construction", None)
    monkeypatch.delitem(sys.modules, "scene_geo_loc.simulation.rendering.rays", raising=False)
    with pytest.raises(SceneGeoLocError, match="extra `simulation`"):
        importlib.import_module("scene_geo_loc.simulation.rendering.rays")
