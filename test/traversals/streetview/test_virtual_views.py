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
"""Virtual views between panoramas: their positions, what is left out, and how they look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from room import Room
from room_panoramas import VIEW_CAMERA, write_panoramas

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import inverse, transform
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.streetview.traversal import StreetViewTraversal, open_streetview
from scene_geo_loc.traversals.streetview.virtual_views import (
    distances_of,
    street_directions,
    virtual_positions,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ()), (4, (4.0,)), ("4,2", (2.0, 4.0)), ([8, 2.0], (2.0, 8.0)), ("4,4", (4.0,))],
)
def test_distances_are_a_number_or_several(value: object, expected: tuple[float, ...]) -> None:
    assert distances_of(value) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["-2", "0", "x", "2,,4", "nan", "inf", -1.0])
def test_other_distances_are_refused(value: float | str) -> None:
    with pytest.raises(TraversalError, match="no distances of virtual views"):
        distances_of(value)


def test_positions_are_ahead_and_behind_along_the_street_unless_another_panorama_is_nearer(
    street: Path,
) -> None:
    panoramas = open_streetview(street).panoramas  # every 10 m to the north, looking east
    skipped = Skipped()
    planned = virtual_positions(panoramas, (4.0, 6.0), skipped)
    assert [len(positions) for positions in planned] == [3, 2, 3]
    assert skipped.counts == {SkipReason.VIRTUAL_POSITION_NEARER.value: 4}
    for panorama, positions in zip(panoramas, planned, strict=True):
        for position in positions:
            moved = panorama.T_map_panorama[:3, :3] @ position.shift
            assert np.linalg.norm(moved) == pytest.approx(abs(position.distance_m))
            assert abs(moved[1]) == pytest.approx(abs(position.distance_m), abs=1e-3)
    away = sorted(position.distance_m for position in planned[1])
    assert away == [-4.0, 4.0]


def test_the_street_goes_along_links_else_times_else_the_heading(street: Path) -> None:
    panoramas = list(open_streetview(street).panoramas)
    north, east = np.array([0, 1, 0]), np.array([1, 0, 0])
    ahead, behind = street_directions(panoramas, 1)
    assert abs(ahead @ north) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(ahead, -behind, atol=1e-3)
    ahead, behind = street_directions(panoramas[:1], 0)
    np.testing.assert_allclose([ahead @ east, behind @ east], [1, -1], atol=1e-3)
    far = panoramas[2].T_map_panorama.copy()
    far[:3, 3] = panoramas[1].T_map_panorama[:3, 3] + [20.0, 0, 0]
    panoramas[2] = replace(panoramas[2], T_map_panorama=far)
    panoramas[1] = replace(panoramas[1], links=(panoramas[2].name,))
    ahead, behind = street_directions(panoramas, 1)
    np.testing.assert_allclose([ahead @ east, behind @ east], [1, -1], atol=1e-3)


def test_a_set_gives_virtual_views_after_the_views_of_each_panorama(street: Path) -> None:
    opened = open_traversal(street, views=8, view_camera="64x48@60", virtual_views="2")
    frames = list(opened.frames())
    assert len(frames) == len(opened) == 3 * 3 * 8
    assert [frame.stamp_ns for frame in frames] == sorted(frame.stamp_ns for frame in frames)
    assert isinstance(opened, StreetViewTraversal)
    for number, panorama in enumerate(opened.panoramas):
        group = frames[24 * number : 24 * (number + 1)]
        away = [np.linalg.norm(frame.T_map_camera[:3, 3] - panorama.T_map_panorama[:3, 3]) for frame in group]
        np.testing.assert_allclose(away, [0.0] * 8 + [2.0] * 16, atol=1e-9)
        labels = [frame.name.removeprefix(panorama.name).split("@")[0] for frame in group]
        assert labels == [""] * 8 + ["+2m"] * 8 + ["-2m"] * 8
        for plain, ahead in zip(group[:8], group[8:16], strict=True):
            np.testing.assert_allclose(plain.T_map_camera[:3, :3], ahead.T_map_camera[:3, :3])
            assert ahead.visible is not None
            assert ahead.image.shape == (48, 64, 3)


def test_positions_inside_of_something_are_counted_once(street: Path) -> None:
    opened = open_streetview(street, views=4, view_camera="64x48@60", virtual_views=4.5)
    frames = list(opened.frames())  # all things are 5 m away, less than 4.5 m and the margin
    assert len(frames) == 3 * 4
    assert opened.skipped.counts == {SkipReason.VIRTUAL_POSITION_INSIDE.value: 6}


def test_panoramas_without_depth_have_no_virtual_views_and_are_counted(street: Path) -> None:
    opened = open_streetview(street, views=4, view_camera="64x48@60")
    bare = replace(
        opened,
        panoramas=[replace(panorama, depth=None) for panorama in opened.panoramas],
        virtual_m=(2.0,),
    )
    assert len(list(bare.frames())) == 3 * 4
    assert bare.skipped.counts[SkipReason.PANORAMA_WITHOUT_DEPTH.value] == 3


@pytest.fixture(scope="module")
def room_views(room: Room, tmp_path_factory: pytest.TempPathFactory) -> StreetViewTraversal:
    folder = write_panoramas(tmp_path_factory.mktemp("room") / "set", room, [(0.0, 0.0), (2.5, 0.0)])
    return open_streetview(folder, views=6, view_camera=VIEW_CAMERA, virtual_views=1)


def test_virtual_views_look_like_views_taken_there_and_have_their_depth(
    room: Room, room_views: StreetViewTraversal
) -> None:
    T_map_room = np.eye(4)
    compared = 0
    frames = list(room_views.frames())
    plain = {frame.stamp_ns % 10**9: frame for frame in frames[:6]}
    for number, frame in enumerate(frames[:18]):
        true = room.view(T_map_room @ frame.T_map_camera)
        difference = np.abs(cv2.blur(frame.image, (3, 3)).astype(int) - cv2.blur(true.image, (3, 3)))
        seen = np.ones(true.image.shape[:2], bool) if frame.visible is None else frame.visible
        assert seen.mean() > 0.95
        error = np.abs(frame.depth / true.depth - 1)[seen]
        assert np.nanquantile(error, 0.9) < 0.03
        if number >= 6:
            moved = np.abs(
                cv2.blur(plain[number % 6].image, (3, 3)).astype(int) - cv2.blur(true.image, (3, 3))
            )
            assert difference[seen].mean() < 0.5 * moved.mean()
            compared += 1
    assert compared == 12


def test_points_of_a_virtual_view_lie_on_the_walls(room: Room, room_views: StreetViewTraversal) -> None:
    frame = list(room_views.frames())[7]
    assert frame.depth is not None
    v, u = np.nonzero(np.isfinite(frame.depth))
    points = frame.camera.back_project(np.stack([u, v], axis=1), frame.depth[v, u])
    in_map = transform(frame.T_map_camera, points)
    off = np.abs(np.abs(in_map) - room.HALF).min(axis=1)
    assert np.quantile(off, 0.9) < 0.08
    assert np.allclose(inverse(frame.T_map_camera) @ frame.T_map_camera, np.eye(4))


def test_the_summary_counts_positions_and_empty_pixels(street: Path, room_views: StreetViewTraversal) -> None:
    near, far = open_streetview(street, views=8).virtual_summaries([2.0, 6.0])
    assert (near.distance_m, near.positions, near.inside, near.nearer, near.views) == (2.0, 6, 0, 0, 48)
    assert (far.positions, far.inside, far.nearer, far.views) == (6, 2, 4, 0)
    assert np.isnan(far.with_empty_pixels)
    in_room = room_views.virtual_summaries([1.0])[0]
    assert in_room.empty_pixels < 0.02
    assert in_room.empty_pixels <= in_room.with_empty_pixels


def test_the_summary_counts_a_depth_map_that_cannot_be_read(street: Path) -> None:
    next((street / "depth").iterdir()).write_bytes(b"")
    traversal = open_streetview(street, views=8)
    (summary,) = traversal.virtual_summaries([2.0])
    assert (summary.positions, summary.views) == (4, 32)
    assert traversal.skipped.counts == {SkipReason.DEPTH_UNREADABLE: 1}
