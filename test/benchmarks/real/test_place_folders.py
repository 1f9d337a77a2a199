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

"""Sets of places in their published layouts, in miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textured import textured, write

from scene_geo_loc.benchmarks.real.place_folders import (
    open_gardens_point,
    open_msls,
    open_nordland,
    open_utm_named,
)
from scene_geo_loc.benchmarks.real.place_sets import Places, recall_at
from scene_geo_loc.benchmarks.real.sets import find_sets
from scene_geo_loc.core.errors import SceneGeoLocError


def found(root: Path) -> list[tuple[str, str]]:
    return [(entry.name, folder.relative_to(root).as_posix()) for entry, folder in find_sets(root)]


def numbered(folder: Path, count: int) -> None:
    for i in range(count):
        write(folder / f"Image{i:03}.jpg", textured(i))


def test_frames_of_gardens_point_are_right_within_two(tmp_path: Path) -> None:
    for run in ("day_left", "day_right", "night_right"):
        numbered(tmp_path / "any name" / run, 6)
    assert found(tmp_path) == [("gardens-point", "any name")]
    night, *_ = open_gardens_point(tmp_path / "any name").parts
    assert night.queries[0] == "night_right/Image000.jpg"
    assert night.database[0] == "day_right/Image000.jpg"
    assert [list(right) for right in night.right] == [
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [1, 2, 3, 4, 5],
        [2, 3, 4, 5],
        [3, 4, 5],
    ]


def test_runs_of_different_length_are_refused_in_one_sentence(tmp_path: Path) -> None:
    numbered(tmp_path / "day_right", 6)
    numbered(tmp_path / "night_right", 5)
    with pytest.raises(SceneGeoLocError, match="5 queries and 6 database images"):
        open_gardens_point(tmp_path)


@pytest.mark.parametrize(
    ("database", "queries"),
    [("summer", "winter"), ("ref", "query"), ("images/test/database", "images/test/queries")],
)
def test_frames_of_nordland_are_right_within_one(tmp_path: Path, database: str, queries: str) -> None:
    for folder in (database, queries):
        numbered(tmp_path / "Nordland" / folder, 4)
    assert found(tmp_path) == [("nordland", "Nordland")]
    (part,) = open_nordland(tmp_path / "Nordland").parts
    assert part.database[0] == f"{database}/Image000.jpg"
    assert [list(right) for right in part.right] == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]]


def utm_named(folder: Path, *positions: tuple[float, float]) -> None:
    for i, (east, north) in enumerate(positions):
        write(folder / f"@{east:010.2f}@{north:010.2f}@54@S@035.6@139.7@{i}@@@@@@@@.jpg", textured(i))


@pytest.mark.parametrize(
    ("name", "split", "database", "expected"),
    [
        ("tokyo247", "images/test", "database", "tokyo247"),
        ("svox", "images/test", "gallery", "svox"),
        ("msls", "val", "database", "msls"),
        ("pitts30k", "images/test", "database", "utm"),
    ],
)
def test_images_named_by_utm_are_right_within_25_m(
    tmp_path: Path, name: str, split: str, database: str, expected: str
) -> None:
    utm_named(tmp_path / name / split / database, (500000, 4000000), (500030, 4000000), (500000, 4000025))
    utm_named(tmp_path / name / split / "queries_night", (500000, 4000000), (500200, 4000000))
    assert found(tmp_path) == [(expected, name)]
    (part,) = open_utm_named(tmp_path / name).parts
    assert part.name == "night"
    positions = {
        query: [part.database[i] for i in right]
        for query, right in zip(part.queries, part.right, strict=True)
    }
    near, far = positions.values()
    assert sorted(path.split("@")[1] for path in near) == ["0500000.00", "0500000.00"]
    assert far == []


def test_a_name_without_a_position_is_refused_in_one_sentence(tmp_path: Path) -> None:
    utm_named(tmp_path / "images/test/database", (1, 2))
    utm_named(tmp_path / "images/test/queries", (1, 2))
    write(tmp_path / "images/test/queries/@x@y@.jpg", textured(0))
    with pytest.raises(SceneGeoLocError, match="UTM east"):
        open_utm_named(tmp_path)


def table(path: Path, columns: str, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([columns, *rows]) + "\n")


def test_msls_leaves_out_panoramas_and_queries_without_a_right_image(tmp_path: Path) -> None:
    root = tmp_path / "train_val" / "cph"
    columns = ",key,easting,northing,unique_cluster,night,control_panel,view_direction"
    table(
        root / "database/postprocessed.csv",
        columns,
        "0,a,100,100,1,False,False,Forward",
        "1,b,100,130,1,False,False,Forward",
    )
    table(
        root / "database/raw.csv", ",key,lon,lat,ca,captured_at,pano", "0,a,1,1,1,d,False", "1,b,1,1,1,d,True"
    )
    table(
        root / "query/postprocessed.csv",
        columns,
        "0,q,100,120,1,True,False,Forward",
        "1,r,500,500,1,True,False,Forward",
    )
    table(
        root / "query/raw.csv", ",key,lon,lat,ca,captured_at,pano", "0,q,1,1,1,d,False", "1,r,1,1,1,d,False"
    )
    assert found(tmp_path) == [("msls", ".")]
    (part,) = open_msls(tmp_path).parts
    assert part.queries == ["cph/query/images/q.jpg"]
    assert part.database == ["cph/database/images/a.jpg"]
    assert [list(right) for right in part.right] == [[0]]


def test_recall_counts_queries_with_a_right_image_among_the_first() -> None:
    ranked = np.array([[3, 1, 2], [0, 1, 2], [2, 1, 0]])
    right = [np.array([1]), np.array([], np.intp), np.array([2, 3])]
    assert [recall_at(ranked, right, n) for n in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 2 / 3])


@given(st.integers(1, 40), st.integers(0, 5))
def test_numbered_frames_are_right_where_their_numbers_are_near(count: int, tolerance: int) -> None:
    names = [str(i) for i in range(count)]
    places = Places.by_number("", Path(), names, names, tolerance)
    for i, right in enumerate(places.right):
        assert set(right) == {j for j in range(count) if abs(i - j) <= tolerance}
