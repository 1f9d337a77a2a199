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

"""Pairs, matches and points of structure from motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from room import Room
from room_points import from_known_depth, walk

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m, transform
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.mapping.structure_from_motion.features import extract_points
from scene_geo_loc.mapping.structure_from_motion.pairs import epipolar_matches, neighbour_pairs
from scene_geo_loc.mapping.structure_from_motion.point_map import uncertain_axes
from scene_geo_loc.mapping.structure_from_motion.reconstruction import (
    MatchedImages,
    Reconstruction,
    moved_back,
    reconstruct,
)


@pytest.fixture(scope="module")
def images(room: Room) -> MatchedImages:
    frames = walk(room, 10)
    features = [extract_points(frame.image, frame.camera, 500) for frame in frames]
    poses = np.stack([frame.T_map_camera for frame in frames])
    matches = {
        (i, j): epipolar_matches((features[i], features[j]), (room.camera,) * 2, (poses[i], poses[j]), 2.0)
        for i, j in neighbour_pairs(poses, 4).tolist()
    }
    return MatchedImages(features, [room.camera] * len(frames), poses, matches)


def test_images_are_paired_with_the_nearest_that_look_the_same_way(room: Room) -> None:
    poses = np.stack([room.frame(0.1 * i, 0.0, 0.0).T_map_camera for i in range(6)])
    back = room.frame(0.05, 0.0, 180.0).T_map_camera
    pairs = neighbour_pairs(np.concatenate([poses, [back, poses[0]]]), 2)
    assert {tuple(pair) for pair in pairs} >= {(0, 1), (0, 2), (1, 2), (2, 3), (1, 7)}
    assert not (pairs == 6).any()
    assert (0, 7) not in {tuple(pair) for pair in pairs}  # without a baseline


def test_matches_lie_on_epipolar_lines_and_wrong_poses_leave_few(images: MatchedImages) -> None:
    assert len(images.matches[0, 1]) > 40
    turned = images.T_map_camera[1] @ make_pose(matrix_of_vector(np.array([0.0, 0.3, 0.2])), (0, 0, 0))
    wrong = epipolar_matches(
        (images.features[0], images.features[1]),
        (images.cameras[0], images.cameras[1]),
        (images.T_map_camera[0], turned),
        2.0,
    )
    assert len(wrong) < 0.3 * len(images.matches[0, 1])


def test_hidden_pixels_give_no_features(room: Room) -> None:
    frame = room.frame(-3.0, 0.0, 0.0)
    visible = np.zeros((120, 160), bool)
    visible[:, 80:] = True
    assert extract_points(frame.image, frame.camera, 500, visible).pixels[:, 0].min() > 80


def test_points_are_least_certain_along_the_rays_from_afar() -> None:
    room = Room()
    poses = np.stack([make_pose(np.eye(3), (x, 0.0, 0.0)) for x in (-0.5, 0.5)])
    found = Reconstruction(
        np.array([[0.0, 0.0, 5.0], [0.0, 0.0, 20.0]]),
        poses,
        np.array([0, 0, 1, 1]),
        np.array([0, 1, 0, 1]),
        np.zeros(4, np.int64),
        0.0,
    )
    axes = uncertain_axes(found, MatchedImages([], [room.camera] * 2, poses, {}))
    # Of a point between two cameras: depth squared over focal length and baseline, times the root of 2.
    expected = np.array([5.0, 20.0]) ** 2 / 120 * 2**0.5
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), expected, rtol=0.05)
    np.testing.assert_allclose(np.abs(axes[:, 2]), expected, rtol=0.05)


def test_an_adjusted_reconstruction_is_moved_back_also_along_a_straight_route(room: Room) -> None:
    poses = np.stack([room.frame(0.3 * i, 0.0, 3.0 * (i % 2)).T_map_camera for i in range(8)])
    points = np.random.default_rng(0).normal(size=(20, 3))
    track = np.arange(8)
    turn = make_pose(matrix_of_vector(np.array([0.3, -0.2, 0.5])), (4.0, 1.0, -2.0))
    moved = turn @ poses
    moved[:, :3, 3] *= 1.7
    drifted = Reconstruction(1.7 * transform(turn, points), moved, track, track, track, 0.0)
    found = moved_back(drifted, poses)
    np.testing.assert_allclose(found.points, points, atol=1e-9)
    np.testing.assert_allclose(found.T_map_camera, poses, atol=1e-9)


def test_colmap_triangulates_what_the_depth_shows(images: MatchedImages, room: Room) -> None:
    pytest.importorskip("pycolmap", reason="pycolmap is not installed: the extra `sfm` has it")
    found, known = reconstruct(images), from_known_depth(room, images)
    assert len(found.points) > 0.5 * len(known.points)
    to_wall = np.abs(np.abs(found.points) - Room.HALF).min(axis=1)
    assert np.median(to_wall) < 0.1
    np.testing.assert_allclose(found.T_map_camera, images.T_map_camera, atol=1e-9)
    shaken = images.T_map_camera.copy()
    rng = np.random.default_rng(0)
    for T in shaken:
        T[:3, 3] += rng.normal(0, 0.02, 3)
    adjusted = reconstruct(replace(images, T_map_camera=shaken), adjust=True)
    steps = [
        inverse(poses[:-1]) @ poses[1:] for poses in (images.T_map_camera, shaken, adjusted.T_map_camera)
    ]
    before, after = (np.median(position_error_m(steps[0], other)) for other in steps[1:])
    assert after < 0.5 * before
    with pytest.raises(MapError, match="No point"):
        reconstruct(images.without(range(10)))
