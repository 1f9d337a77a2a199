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

"""Sets of panoramas with faults: what can be used is used, and the rest is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panorama_sets import (
    LATITUDE,
    LONGITUDE,
    add_segments,
    coloured_panorama,
    direction_of,
    gpano_xmp,
    rows_along_a_street,
    write_image,
    write_street,
)

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.skipped import SkipReason
from scene_geo_loc.traversals.streetview import image_file, panorama
from scene_geo_loc.traversals.streetview.datum import write_datum
from scene_geo_loc.traversals.streetview.index import IndexRow, write_index
from scene_geo_loc.traversals.streetview.panorama import Panorama, PanoramaArea, read_panorama_image

CAMERA = "80x60@60"


@pytest.fixture
def rows(tmp_path: Path) -> list[IndexRow]:
    """Rows of a sound set in the folder."""
    rows = rows_along_a_street(3)
    write_street(tmp_path, rows)
    return rows


def read(
    folder: Path, rows: list[IndexRow] | None = None, views: int = 1
) -> tuple[Traversal, dict[str, int]]:
    """Reads a set, with other rows if they are given; returns the traversal and what was left out."""
    if rows is not None:
        write_index(folder / "panoramas.csv", rows)
    traversal = open_traversal(folder, views=views, view_camera=CAMERA)
    assert list(traversal.frames())
    return traversal, traversal.skipped.counts


def test_nothing_is_left_out_of_a_sound_set(tmp_path: Path, rows: list[IndexRow]) -> None:
    assert read(tmp_path)[1] == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file": "images/none.png"}, SkipReason.IMAGE_MISSING),
        ({"file": "i" * 400}, SkipReason.IMAGE_MISSING),
        ({"file": "images/1.png"}, SkipReason.PANORAMA_TWICE),
        ({"heading": None}, SkipReason.PANORAMA_WITHOUT_HEADING),
        ({"latitude": rows_along_a_street(1)[0].latitude}, SkipReason.PANORAMA_TWICE),
        ({"latitude": LONGITUDE, "longitude": LATITUDE}, SkipReason.ROW_SWAPPED),
        ({"latitude": -33.0}, SkipReason.ROW_FAR),
        ({"latitude": 0.0, "longitude": 0.0}, SkipReason.ROW_WITHOUT_POSITION),
        ({"altitude": 1e9}, SkipReason.ROW_WITHOUT_POSITION),
    ],
)
def test_a_row_with_a_fault_is_left_out(
    tmp_path: Path, rows: list[IndexRow], change: dict[str, Any], reason: SkipReason
) -> None:
    traversal, skipped = read(tmp_path, [*rows[:2], replace(rows[2], **change)])
    assert skipped[reason.value.format("panoramas.csv")] == 1
    assert len(traversal) == 2


def test_latitudes_that_are_longitudes_are_noticed_where_they_are_impossible(
    tmp_path: Path, rows: list[IndexRow]
) -> None:
    swapped = [replace(row, latitude=139.7, longitude=35.6 + i / 1e4) for i, row in enumerate(rows)]
    with pytest.raises(
        TraversalError, match=r"3 rows of panoramas.csv whose latitude and longitude seem to be"
    ):
        read(tmp_path, swapped)


def test_latitudes_that_are_longitudes_are_noticed_by_the_datum(tmp_path: Path, rows: list[IndexRow]) -> None:
    swapped = [replace(row, latitude=row.longitude, longitude=row.latitude) for row in rows]
    write_datum(tmp_path, Datum(LATITUDE, LONGITUDE, 0.0))
    with pytest.raises(TraversalError, match=r"3 rows of panoramas.csv whose latitude and longitude seem"):
        read(tmp_path, swapped)


def test_a_street_may_cross_the_antimeridian(tmp_path: Path, rows: list[IndexRow]) -> None:
    sides = [replace(row, longitude=(180.0 - 1e-4 + i * 1e-4)) for i, row in enumerate(rows)]
    sides[2] = replace(sides[2], longitude=-180.0 + 1e-4)
    traversal, skipped = read(tmp_path, sides)
    assert not skipped
    places = np.array([frame.T_map_camera[:3, 3] for frame in traversal.frames()])
    assert np.linalg.norm(places[2] - places[0]) < 30


def test_depth_is_left_out_where_it_cannot_be_used(tmp_path: Path, rows: list[IndexRow]) -> None:
    write_image(tmp_path / "depth/wide.png", np.full((32, 90), 500, np.uint16))
    (tmp_path / "depth/empty.png").write_bytes(b"")
    (tmp_path / "depth/text.json").write_text('{"depth_map": "AAAA"}')
    write_image(tmp_path / "depth/sky.png", np.zeros((32, 64), np.uint16))
    names = ("depth/wide.png", "depth/empty.png", "depth/none.png", "depth/text.json", "depth/sky.png")
    more = [replace(rows[0], latitude=LATITUDE + i / 1e3, depth=name) for i, name in enumerate(names)]
    for i, row in enumerate(more):
        more[i] = replace(row, file=f"images/more{i}.png")
        write_image(tmp_path / more[i].file, coloured_panorama(64))
    traversal, skipped = read(tmp_path, [rows[1], *more])
    assert len(traversal) == 6
    assert skipped[SkipReason.DEPTH_INCOMPLETE] == 1
    assert skipped[SkipReason.DEPTH_EMPTY] == 1
    assert skipped[SkipReason.DEPTH_UNREADABLE] == 2
    assert skipped[SkipReason.DEPTH_MISSING] == 1
    assert sum(frame.depth is not None for frame in traversal.frames()) == 1


def test_a_depth_map_of_too_many_pixels_is_not_decoded(
    tmp_path: Path, rows: list[IndexRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panorama, "MAX_DEPTH_PIXELS", 100)
    assert read(tmp_path)[1] == {SkipReason.DEPTH_TOO_LARGE: 3}


def test_images_without_a_row_are_counted(tmp_path: Path, rows: list[IndexRow]) -> None:
    write_image(tmp_path / "images/unlisted.png", coloured_panorama(64))
    assert read(tmp_path)[1] == {SkipReason.PANORAMA_WITHOUT_ROW: 1}


def test_an_image_must_be_a_whole_panorama_or_say_its_part(tmp_path: Path, rows: list[IndexRow]) -> None:
    cropped = coloured_panorama(512)[64:192]
    for name in ("says", "says_not"):
        write_image(tmp_path / f"images/{name}.jpg", cropped)
    tags = {"FullPanoWidthPixels": 1024, "FullPanoHeightPixels": 512, "CroppedAreaLeftPixels": 0}
    tags |= {
        "CroppedAreaTopPixels": 128,
        "CroppedAreaImageWidthPixels": 1024,
        "CroppedAreaImageHeightPixels": 256,
    }
    add_segments(tmp_path / "images/says.jpg", xmp=gpano_xmp(PoseHeadingDegrees=180, **tags))
    more = [
        replace(row, file=f"images/{name}.jpg") for row, name in zip(rows, ("says", "says_not"), strict=False)
    ]
    traversal, skipped = read(tmp_path, [replace(more[0], heading=None), more[1], rows[2]])
    assert skipped[SkipReason.PANORAMA_INCOMPLETE] == 1
    level = next(traversal.frames())
    assert level.name == "images/says.jpg@180"
    assert level.visible.all()
    assert np.abs(direction_of(level.image)[30, 40] - [0, 0, 1]).max() < 0.05
    steep = open_traversal(tmp_path, views=1, view_camera=CAMERA, view_pitch=40.0)
    view = next(steep.frames())
    assert 0.5 < view.visible.mean() < 0.9
    assert not view.image[~view.visible].any()
    assert view.image[view.visible].any(axis=1).all()
    up = open_traversal(tmp_path, views=1, view_camera=CAMERA, view_pitch=90.0)
    assert len(list(up.frames())) == 1
    assert up.skipped.counts[SkipReason.VIEW_OUTSIDE] == 1


def test_a_small_part_of_a_sphere_takes_no_more_memory_than_the_views_need(tmp_path: Path) -> None:
    write_image(tmp_path / "part.jpg", coloured_panorama(64))
    area = PanoramaArea(2**20, 2**19, 2**19, 2**18, 2, 1)
    pixels = read_panorama_image(Panorama("part", tmp_path / "part.jpg", np.eye(4), 0, area=area), 512)
    assert pixels.image.shape == (256, 512, 3)


def test_an_image_that_is_no_panorama_is_left_out(tmp_path: Path, rows: list[IndexRow]) -> None:
    write_image(tmp_path / "images/cylinder.jpg", coloured_panorama(64))
    xmp = gpano_xmp().replace(b"equirectangular", b"cylindrical")
    add_segments(tmp_path / "images/cylinder.jpg", xmp=xmp)
    _, skipped = read(tmp_path, [*rows[:2], replace(rows[2], file="images/cylinder.jpg")])
    assert skipped[SkipReason.PANORAMA_NOT_SPHERICAL] == 1


def test_an_image_of_too_many_pixels_is_not_decoded(
    tmp_path: Path, rows: list[IndexRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "images/2.jpg", coloured_panorama(1100))
    write_image(tmp_path / rows[1].file, coloured_panorama(1100))
    monkeypatch.setattr(image_file, "MAX_PIXELS", 200_000)
    # A JPEG can be decoded at a fraction of its size.
    _, skipped = read(tmp_path, [*rows[:2], replace(rows[2], file="images/2.jpg")])
    assert skipped[SkipReason.PANORAMA_TOO_LARGE] == 1
    with pytest.raises(image_file.TooLarge, match=r"1100 x 550 pixels.*1 million"):
        image_file.read_reduced(tmp_path / rows[1].file, 100)


def test_a_damaged_image_is_left_out(tmp_path: Path, rows: list[IndexRow]) -> None:
    path = tmp_path / rows[2].file
    path.write_bytes(path.read_bytes()[:40])
    assert read(tmp_path)[1] == {SkipReason.IMAGE_UNREADABLE: 1}


def test_a_set_without_a_usable_panorama_is_refused(tmp_path: Path) -> None:
    (tmp_path / "panoramas.csv").write_text("file,latitude,longitude\nnone.jpg,48,2\n")
    with pytest.raises(TraversalError, match=r"no panorama that can be used.*1 missing images"):
        open_traversal(tmp_path)
