"""Fixtures that the tests of several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from room import Room

LIVE_ROOMS = ("launch", "ros")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the tests that start nodes last, since the others fail faster."""
    items.sort(key=lambda item: item.path.parent.name in LIVE_ROOMS)


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
    """A reference map of the room, built once."""
    from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder

    builder = MapBuilder(
        tmp_path_factory.mktemp("maps") / "room", BuilderSettings(keyframe_distance_m=0.2), device="cpu"
    )
    for frame in room.drive():
        builder.add_frame(frame)
    return builder.finish()
