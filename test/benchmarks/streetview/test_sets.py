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

"""Sets of the street-view benchmark: panoramas at a distance along the streets, and errors of their tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from room import Room, write_rgbd
from room_panoramas import write_panoramas

from scene_geo_loc.benchmarks.streetview.sets import PanoramaSet
from scene_geo_loc.benchmarks.streetview.streets import (
    OnStreets,
    distance_to,
    neighbours,
    spaced,
    street_segments,
)
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.streetview.panorama import Panorama


def along(*places: tuple[float, float], links: dict[int, list[int]] | None = None) -> list[Panorama]:
    """Panoramas at places, by default each linked to the next."""
    linked = links or {i: [i + 1] for i in range(len(places) - 1)}
    return [
        Panorama(
            str(i),
            Path(str(i)),
            make_pose(np.eye(3), (x, y, 0)),
            i,
            tuple(str(j) for j in linked.get(i, [])),
        )
        for i, (x, y) in enumerate(places)
    ]


@pytest.mark.parametrize(
    ("step_m", "spacing_m", "taken"),
    [(5, 15, [0, 3, 6, 9, 12]), (10, 15, [0, 1, 3, 4, 6]), (10, 10, list(range(7))), (2, 7, [0, 3, 7, 10])],
)
def test_panoramas_nearest_to_multiples_of_the_distance_are_taken(
    step_m: float, spacing_m: float, taken: list[int]
) -> None:
    count = max(taken) + 1
    street = along(*((step_m * i, 0.0) for i in range(count)))
    assert [int(one.name) for one in spaced(street, spacing_m)] == taken


def test_distance_counts_along_the_street_and_links_lead_past_what_is_left_out() -> None:
    # A hairpin: the ends are 10 m apart, and 70 m by the street.
    hairpin = along(*((10.0 * i, 0.0) for i in range(4)), *((10.0 * (3 - i), 10.0) for i in range(4)))
    kept = spaced(hairpin, 20.0)
    assert [one.name for one in kept] == ["0", "2", "4", "6"]
    assert {name: set(near) for name, near in neighbours(kept).items()} == {
        "0": {"2"},
        "2": {"0", "4"},
        "4": {"2", "6"},
        "6": {"4"},
    }


def test_a_side_street_is_followed_from_where_it_begins() -> None:
    main = [(10.0 * i, 0.0) for i in range(5)]
    side = [(20.0, 10.0), (20.0, 20.0)]
    links = {0: [1], 1: [2], 2: [3, 5], 3: [4], 5: [6]}
    kept = [one.name for one in spaced(along(*main, *side, links=links), 20.0)]
    assert kept == ["0", "2", "4", "6"]


def test_streets_lie_between_neighbours_and_end_at_the_last_panorama() -> None:
    streets = street_segments(along((0.0, 0.0), (20.0, 0.0), (20.0, 30.0)))
    assert streets.shape == (2, 2, 3)
    for point, away in (((10, 3, 9), 3.0), ((-4, 3, 0), 5.0), ((22, 15, 0), 2.0), ((20, 0, 0), 0.0)):
        assert distance_to(streets, np.array(point, np.float64)) == pytest.approx(away)
    assert distance_to(street_segments(along((0.0, 0.0))), np.zeros(3)) == np.inf


def test_images_off_the_streets_are_not_read(room: Room, tmp_path: Path) -> None:
    drive = open_traversal(write_rgbd(tmp_path / "drive", room, 0.0, 6))
    streets = street_segments(along((-8.5, 0.0), (-7.5, 0.0)))
    queries = OnStreets(drive, streets)
    taken = list(queries.frames())
    assert len(queries) == 6
    assert [frame.stamp_ns for frame in taken] == [frame.stamp_ns for frame in list(drive.frames())[:3]]
    assert queries.outside == 3


def test_panoramas_without_links_are_in_order_of_time() -> None:
    street = along(*((10.0 * i, 0.0) for i in range(3)), links={9: []})
    assert neighbours(street) == {"0": {"1": 10.0}, "1": {"0": 10.0, "2": 10.0}, "2": {"1": 10.0}}


def test_a_set_has_a_length_and_a_spacing(street: Path) -> None:
    info = PanoramaSet(street).info()
    assert (info.panoramas, info.name, info.has_tag_errors) == (3, "room_3m", False)
    assert (info.spacing_m, info.street_m) == pytest.approx((3.0, 6.0), abs=0.01)
    wide = PanoramaSet(street, 6.0)
    assert wide.name == "room_3m, every 6 m"
    assert wide.info().spacing_m == pytest.approx(6.0, abs=0.01)
    assert wide.origin() != PanoramaSet(street).origin()


def test_errors_of_the_tags_are_measured_by_the_truth_whatever_the_origin_of_the_map(
    room: Room, tmp_path: Path
) -> None:
    errors = np.array([[0.3, 0.0, 0.0], [0.0, -0.4, 0.0], [0.0, 0.0, 0.5]])
    folder = write_panoramas(tmp_path / "erring", room, [(0.0, 0.0), (-3.0, 0.0), (3.0, 0.0)], errors)
    info = PanoramaSet(folder).info()
    assert info.position_error_m == pytest.approx(0.4, abs=1e-3)
    assert info.heading_error_deg == pytest.approx(2.0, abs=1e-2)
    assert (info.position_std_m, info.heading_std_deg) == (0.1, 2.0)
    assert info.has_tag_errors
