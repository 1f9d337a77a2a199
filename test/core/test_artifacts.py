"""What a command remembers to have made, so that it is made only once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scene_geo_loc.core.artifacts import Made
from scene_geo_loc.core.errors import SceneGeoLocError

ORIGIN: dict[str, Any] = {"condition": "snow", "seed": 7}


def make(made: Made, name: str = "bags/snow") -> Path:
    path = made.forget(name)
    path.mkdir(parents=True)
    (path / "snow.mcap").write_bytes(b"white")
    made.remember(name, ORIGIN)
    return path


def test_what_was_made_is_there_the_next_time(tmp_path: Path) -> None:
    make(Made(tmp_path / "demo"))
    assert Made(tmp_path / "demo").is_there("bags/snow", ORIGIN)


def test_nothing_is_there_before_it_is_made(tmp_path: Path) -> None:
    assert not Made(tmp_path / "demo").is_there("bags/snow", ORIGIN)


def test_what_was_made_from_something_else_does_not_count(tmp_path: Path) -> None:
    make(Made(tmp_path / "demo"))
    assert not Made(tmp_path / "demo").is_there("bags/snow", ORIGIN | {"seed": 8})


@pytest.mark.parametrize("damage", ["cut short", "removed", "added to"])
def test_what_was_damaged_since_does_not_count(tmp_path: Path, damage: str) -> None:
    path = make(Made(tmp_path / "demo"))
    if damage == "cut short":
        (path / "snow.mcap").write_bytes(b"wh")
    elif damage == "removed":
        (path / "snow.mcap").unlink()
    else:
        (path / "more.mcap").write_bytes(b"")
    assert not Made(tmp_path / "demo").is_there("bags/snow", ORIGIN)


def test_what_was_left_half_made_does_not_count(tmp_path: Path) -> None:
    made = Made(tmp_path / "demo")
    make(made)
    made.forget("bags/snow").mkdir()
    assert not Made(tmp_path / "demo").is_there("bags/snow", ORIGIN)


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SceneGeoLocError, match="name another with --out"):
        Made(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
