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

"""Indices of panoramas: what is written is read again, and what is damaged is counted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.streetview.index import (
    IndexRow,
    degrees_of,
    nanoseconds_of,
    read_index,
    write_index,
)

NAMES = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), blacklist_characters=";"),
    min_size=1,
    max_size=12,
)
NUMBERS = st.floats(-1e4, 1e4)
ROWS = st.builds(
    IndexRow,
    NAMES,
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    NUMBERS,
    NUMBERS,
    st.none() | st.integers(0, 8 * 10**18),
    st.lists(NAMES, max_size=3).map(tuple),
    st.none() | NAMES,
    st.none() | st.floats(0, 100),
    st.none() | st.floats(0, 100),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=4), st.sampled_from(["panoramas.csv", "panoramas.geojson"]))
def test_an_index_is_read_as_it_was_written(rows: list[IndexRow], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder) / name, rows)
        index = read_index(Path(folder))
    assert index.rows == rows
    assert not index.skipped


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("48.8738", 48.8738),
        ("48,8738", 48.8738),
        ("-2.5", -2.5),
        ("48°52'25.68\"N", 48.8738),
        ("48 52 25.68", 48.8738),
        ("48° 52.428' N", 48.8738),
        ("W 2° 30'", -2.5),
        ("2°30′0″W", -2.5),
        ("-2 30", -2.5),
    ],
)
def test_degrees_may_have_minutes_and_seconds(text: str, degrees: float) -> None:
    assert degrees_of(text) == pytest.approx(degrees, abs=1e-9)


@pytest.mark.parametrize(
    "text", ["", "north", "48°71'N", "1 2 3 4", "nan", "inf", "--3", "N", "1e400", "1-2"]
)
def test_what_is_no_angle_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no angle|not a finite"):
        degrees_of(text)


def test_times_are_iso_8601_or_nanoseconds() -> None:
    assert nanoseconds_of("2020-09-13T12:26:40Z") == 1_600_000_000 * 10**9
    assert nanoseconds_of("2020-09-13T14:26:40.25+02:00") == 1_600_000_000_250_000_000
    assert nanoseconds_of("2020-09-13T12:26:40.123456789Z") == 1_600_000_000_123_456_000
    assert nanoseconds_of("2020-09") == nanoseconds_of("2020-09-01T00:00:00+00:00")
    assert nanoseconds_of(" 1600000000000000001 ") == 1_600_000_000_000_000_001
    for wrong in ("yesterday", "1950-01-01", "9" * 25, "-5", ""):
        with pytest.raises(ValueError, match=r"range|Invalid|format"):
            nanoseconds_of(wrong)


def test_damaged_rows_are_counted(tmp_path: Path) -> None:
    (tmp_path / "panoramas.csv").write_text(
        "File;Latitude;Longitude;Heading;position_std;time\n"
        "a.jpg;48,5;2,5;90;;yesterday\n"
        "b.jpg;48,5\n"
        ";48,5;2,5;90\n"
        "c.jpg;far;2,5;90\n"
        "d.jpg;48,5;2,5;east\n"
        "e.jpg;999;2,5;90\n"
        "f.jpg;48,5;2,5;90;-1\n"
        "\n",
        encoding="utf-8-sig",
    )
    index = read_index(tmp_path)
    assert index.rows == [IndexRow("a.jpg", 48.5, 2.5, heading=90.0)]
    assert index.skipped.counts == {
        "damaged rows of panoramas.csv": 6,
        "times of panoramas.csv that cannot be read": 1,
    }


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("panoramas.csv", b"", "no column 'file'"),
        ("panoramas.csv", b"image,lat,lon\na.jpg,1,2\n", "no column 'file'"),
        ("panoramas.csv", "file,latitude,longitude\nä.jpg,1,2\n".encode("latin-1"), "no text in UTF-8"),
        ("panoramas.csv", "file,latitude,longitude\n".encode("utf-16"), "no text in UTF-8"),
        ("panoramas.geojson", b"", "no GeoJSON"),
        ("panoramas.geojson", b"[]", "no GeoJSON"),
        ("panoramas.geojson", b'{"features": 3}', "no GeoJSON"),
        ("panoramas.geojson", b"[" * 100_000, "no GeoJSON"),
    ],
)
def test_an_index_that_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TraversalError, match=problem):
        read_index(tmp_path)
