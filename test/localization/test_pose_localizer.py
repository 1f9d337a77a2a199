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

"""A map's folder names its localizer, and what uses poses takes any of them."""

import sys
from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from room import Room
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.localization.estimate import LocalizerSettings, PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.pose_localizer import LOCALIZERS, PoseLocalizer, open_localizer
from scene_geo_loc.localization.query import Query, camera_images
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, no_images
from scene_geo_loc.mapping.map_info import FORMAT, MAP_JSON, MapInfo, write_info
from scene_geo_loc.mapping.reference_map import AnyMap, ReferenceMap
from scene_geo_loc.traversals.rosbag.writer import BagWriter


class Origin(PoseLocalizer):
    """Takes every camera to be at the map's origin."""

    device, backend_name = "cpu", "none"

    def __init__(self, opened: AnyMap) -> None:
        self.map, self.settings = opened, LocalizerSettings()

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: LocalizerSettings | None = None,
        device: str = "auto",
        *,
        verified: Collection[str] = (),
    ) -> "Origin":
        return cls(AnyMap.open(folder, verified=verified))

    def localize(
        self, query: Query, prior: PosePrior | None = None, earlier: EarlierImages = no_images
    ) -> PoseEstimate:
        camera_images(query)
        return PoseEstimate(Status.LOCALIZED, np.eye(4), np.eye(6))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A map of that localizer, without keyframes and without any other file."""
    module = ModuleType("origin_localizer")
    module.Origin = Origin  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "origin_localizer", module)
    monkeypatch.setitem(LOCALIZERS, "origin", "origin_localizer:Origin")
    folder = tmp_path / "bare"
    folder.mkdir()
    info = MapInfo(
        format=FORMAT.name,
        format_version=FORMAT.version,
        map_frame="map",
        keyframes=0,
        cameras=[],
        network_digest="0" * 64,
        built=datetime.now(timezone.utc),
        source="nothing",
        settings={},
        skipped={},
        package_version="0",
        files={},
        localizer="origin",
    )
    write_info(folder, info)
    return folder


def test_a_map_is_opened_with_the_localizer_that_it_names(bare: Path, room_map: Path, room: Room) -> None:
    assert '"localizer"' not in (room_map / MAP_JSON).read_text()  # as in older maps
    assert isinstance(open_localizer(room_map, device="cpu"), Localizer)
    localizer = open_localizer(bare)
    assert isinstance(localizer, Origin)
    assert localizer.localize(room.drive()[0]).status is Status.LOCALIZED
    assert localizer.map.info.localizer == "origin"
    assert len(localizer.map) == 0


def test_a_map_of_another_localizer_is_refused_where_keyframes_are_needed(bare: Path) -> None:
    with pytest.raises(MapError, match="origin"):
        ReferenceMap.open(bare)


def test_a_localizer_that_this_release_does_not_have_is_named(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(LOCALIZERS, "origin")
    with pytest.raises(MapError, match=r"'origin'.*retrieval"):
        open_localizer(bare)


def test_commands_cope_with_a_map_without_keyframes(bare: Path, room: Room, tmp_path: Path) -> None:
    frames, recorded = room.drive(4), tmp_path / "bag"
    with BagWriter(recorded) as bag:
        for frame in frames:
            assert frame.T_map_camera is not None
            bag.camera_info("/camera/camera_info", frame.stamp_ns, "camera", frame.camera)
            bag.image("/camera/image_raw", frame.stamp_ns, "camera", frame.image)
            bag.pose("/ground_truth/pose", frame.stamp_ns, "map", frame.T_map_camera)

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output + repr(result.exception)
        return result.output

    assert "origin" in run("map", "info", bare)
    run("map", "verify", bare)
    poses = tmp_path / "poses.tum"
    run("localize", bare, recorded, "--out", poses, "--view", tmp_path / "view")
    assert len(poses.read_text().splitlines()) == len(frames)
    run("evaluate", bare, recorded, "--report", tmp_path / "report", "--json", tmp_path / "numbers.json")
    assert (tmp_path / "report" / "index.html").is_file()
