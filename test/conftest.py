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

"""Settings and fixtures that the tests of several rooms share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Two test processes share two cores.  Before NumPy and torch are imported, which read this once.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Programs that tests start import torch and SciPy: where no bytecode is kept, each compiles them for seconds.
os.environ["PYTHONDONTWRITEBYTECODE"] = ""

import pytest
from hypothesis import settings
from room import Room
from shared_files import made_once

sys.dont_write_bytecode = False
# A busy machine is no failure.
settings.register_profile("default without deadline", deadline=None)
settings.load_profile("default without deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that start nodes, and begins with the files that take longest.

    Two processes take a file each at a time: a long one must not be the last.
    """
    slow_in_file: dict[Path, int] = {}
    for item in items:
        live = item.path.parent.name == "launch" or "context" in getattr(item, "fixturenames", ())
        if live:
            item.add_marker(pytest.mark.ros)
        if live or item.get_closest_marker("slow"):
            slow_in_file[item.path] = slow_in_file.get(item.path, 0) + 1
    items.sort(key=lambda item: slow_in_file.get(item.path, 0), reverse=True)


@pytest.fixture(autouse=True)
def _networks_compiled_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles equal networks once, but in the tests of the networks themselves."""
    extractor = sys.modules.get("scene_geo_loc.networks.runtime.extractor")
    if extractor is not None and request.path.parent.name != "networks":
        from compiled_networks import start_backend_once

        monkeypatch.setattr(extractor, "start_backend", start_backend_once)


@pytest.fixture(autouse=True)
def _processes_of_usual_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside other tests a process of the lowest priority hardly gets a core."""
    monkeypatch.setattr("scene_geo_loc.core.background_process.NICENESS", 0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data: SCENE_GEO_LOC_DATA, else shared/data beside the checkout."""
    named = os.environ.get("SCENE_GEO_LOC_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SCENE_GEO_LOC_DATA")
    return folder


@pytest.fixture(scope="session")
def room() -> Room:
    """A room to take frames of."""
    return Room()


@pytest.fixture(scope="session")
def room_map(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference map of the room."""

    def build(path: Path) -> None:
        from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder

        builder = MapBuilder(path, BuilderSettings(keyframe_distance_m=0.2), device="cpu")
        for frame in room.drive():
            builder.add_frame(frame)
        builder.finish()

    return made_once(tmp_path_factory, "room_map", build)


@pytest.fixture(scope="session")
def wall_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The map of a pose regressor of the wall of `pose_place`."""

    def build(path: Path) -> None:
        from pose_place import PROTOCOL, WallTraversal, add_tiny_encoder

        from scene_geo_loc.training.pose_regression.run import train_pose
        from scene_geo_loc.training.pose_regression.systems import PoseSystem

        with pytest.MonkeyPatch.context() as patch:
            add_tiny_encoder(patch)
            train_pose(WallTraversal(), path, PoseSystem.POSENET_LEARNED, PROTOCOL, device="cpu")

    return made_once(tmp_path_factory, "wall_map", build)


@pytest.fixture(scope="session")
def walk_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of scene coordinates of the walk of `coordinate_place`."""

    def build(path: Path) -> None:
        from coordinate_place import NETWORK, WalkTraversal

        from scene_geo_loc.training.scene_coordinates.run import train_coordinates

        train_coordinates(WalkTraversal(), path, NETWORK, device="cpu")

    return made_once(tmp_path_factory, "walk_map", build)


@pytest.fixture(scope="session")
def point_map(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The map of a room's points, of known depth instead of triangulated."""

    def build(path: Path) -> None:
        from room_points import FrameTraversal, walk, without_pycolmap

        from scene_geo_loc.training.structure_from_motion.run import reconstruct_map
        from scene_geo_loc.training.structure_from_motion.settings import ReconstructionProtocol

        with pytest.MonkeyPatch.context() as patch:
            without_pycolmap(patch, room)
            reconstruct_map(FrameTraversal(walk(room)), path, ReconstructionProtocol(neighbours=6))

    return made_once(tmp_path_factory, "point_map", build)


@pytest.fixture(scope="session")
def cells_map(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference map of the room whose features belong to cells, of a network without keypoints."""

    def build(path: Path) -> None:
        from cells_network import write_cells_network

        from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder

        network = write_cells_network(path.with_name("cells.safetensors"))
        builder = MapBuilder(path, BuilderSettings(keyframe_distance_m=0.2), network=network, device="cpu")
        for frame in room.drive():
            builder.add_frame(frame)
        builder.finish()

    return made_once(tmp_path_factory, "cells_map", build)
