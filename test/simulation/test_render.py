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

"""Images of the simulated cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from town import CAMERA, LENGTH_M, SIGHT_M, START_M

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, make_pose
from scene_geo_loc.simulation.conditions import CONDITIONS
from scene_geo_loc.simulation.materials.textures import TextureBank
from scene_geo_loc.simulation.rendering.lattice import PixelLattice
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder
from scene_geo_loc.simulation.rendering.night import Moment
from scene_geo_loc.simulation.rendering.render import Scene
from scene_geo_loc.simulation.rendering.surfaces import Surfaces
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.vehicle.sensors import CameraView

pytestmark = pytest.mark.slow


def wall(ahead_m: float, colour: tuple[int, int, int] = (200, 200, 200)) -> Scene:
    """A wall across the x axis, and nothing else."""
    bank, mesh = TextureBank(), MeshBuilder()
    texture = bank.add(np.full((64, 64, 3), colour, np.uint8), 0.05)
    y, z = np.array([-30, 30, 30, -30.0]), np.array([-20, -20, 20, 20.0])
    corners = np.stack([np.full(4, ahead_m), y, z], 1)[None]
    mesh.quads(corners, corners[..., 1:], texture)
    return Scene(mesh.mesh(), bank, CONDITIONS["overcast"], seed=0)


FORWARD = make_pose(OPTICAL_FROM_BODY.T, (0.0, 0.0, 1.0))


@pytest.mark.parametrize(
    "camera",
    [
        CAMERA,
        Camera(160, 120, 110, 110, 80, 60, "plumb_bob", (-0.25, 0.06, 0.001, -0.001, 0.0)),
        Camera(160, 120, 70, 70, 79, 61, "equidistant", (0.02, -0.004, 0.0, 0.0)),
    ],
    ids=["pinhole", "plumb_bob", "fisheye"],
)
def test_depth_of_a_wall_is_its_distance_along_the_optical_axis(camera: Camera) -> None:
    depth = CameraView(wall(12.0), camera).depth(FORWARD)
    seen = np.isfinite(depth)
    assert seen.mean() > 0.5
    assert depth.dtype == np.float32
    assert depth[seen] == pytest.approx(12.0, abs=1e-3)


def test_depth_is_nan_where_there_is_only_sky() -> None:
    backwards = make_pose(OPTICAL_FROM_BODY.T @ np.diag([-1.0, 1.0, -1.0]), (0.0, 0.0, 1.0))
    assert np.isnan(CameraView(wall(12.0), CAMERA).depth(backwards)).all()


def test_a_point_of_the_town_is_seen_where_the_distorted_camera_projects_it(
    overcast: Scene, T_map_camera: Pose
) -> None:
    camera = Camera(160, 120, 110, 110, 80, 60, "plumb_bob", (-0.25, 0.06, 0.001, -0.001, 0.0))
    depth = CameraView(overcast, camera).depth(T_map_camera)
    v, u = np.nonzero(np.isfinite(depth))
    points = camera.back_project(np.stack([u, v], 1), depth[v, u])
    assert camera.project(points) == pytest.approx(np.stack([u, v], 1), abs=0.01)


def test_the_colour_of_a_wall_comes_through() -> None:
    picture = CameraView(wall(12.0, (200, 60, 60)), CAMERA).take(FORWARD, 0)
    red, green, blue = picture.reshape(-1, 3).mean(0)
    assert red > 1.5 * green
    assert green == pytest.approx(blue, rel=0.2)


def test_a_fine_texture_far_away_shows_its_mean_and_does_not_shimmer() -> None:
    bank = TextureBank()
    board = (np.indices((256, 256)).sum(0) % 2 * 200).astype(np.uint8)
    index = bank.add(np.repeat(board[..., None], 3, 2), 0.02)
    rng = np.random.default_rng(0)
    u, v = rng.uniform(0, 5, (2, 500)).astype(np.float32)
    texture, dither = np.full(500, index, np.int32), rng.random(500, dtype=np.float32)
    near = bank.sample(
        texture, u, v, np.full(500, 0.002, np.float32), np.full(500, 0.002, np.float32), 0 * dither
    )
    far = bank.sample(texture, u, v, np.full(500, 0.4, np.float32), np.full(500, 0.4, np.float32), dither)
    assert near.shape == far.shape == (500, 4)
    assert near[:, 0].std() > 25
    assert far[:, 0] == pytest.approx(100, abs=2)


@pytest.fixture(scope="module")
def pictures(city: City, T_map_camera: Pose, overcast: Scene) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A picture and the depth of the same place in each condition."""
    scenes = {"overcast": overcast}
    for name in ("sunny", "long-term", "snow", "night"):
        scenes[name] = city.scene(CONDITIONS[name], START_M, LENGTH_M, sight=SIGHT_M)
    base = T_map_camera @ np.linalg.inv(make_pose(OPTICAL_FROM_BODY.T, (0.9, 0.0, 1.6)))
    moment = Moment(base, np.array([8.0, 0, 0]), np.zeros(3), np.zeros((0, 4, 4)))
    views = {name: CameraView(scene, CAMERA) for name, scene in scenes.items()}
    return {
        name: (view.take(T_map_camera, 0, moment), view.depth(T_map_camera)) for name, view in views.items()
    }


@pytest.mark.parametrize("name", ["sunny", "long-term", "snow", "night"])
def test_houses_stay_where_they_are_while_the_picture_changes(name: str, pictures: dict) -> None:
    (picture, depth), (reference, reference_depth) = pictures[name], pictures["overcast"]
    # Above the parked cars and away from the trees: the upper corners show fronts of houses.
    fronts = np.zeros(depth.shape, bool)
    fronts[20:50, :25] = fronts[20:50, -25:] = True
    fronts &= np.isfinite(depth) & np.isfinite(reference_depth)
    same = np.abs(depth[fronts] - reference_depth[fronts]) < 0.02
    assert fronts.sum() > 300
    assert same.mean() > 0.8
    assert np.abs(picture.astype(int) - reference).mean() > 12


def test_night_is_dark_and_snow_is_bright(pictures: dict) -> None:
    usual = {name: float(np.median(picture)) for name, (picture, _) in pictures.items()}
    assert usual["night"] < 0.6 * usual["overcast"] < usual["overcast"] < usual["snow"]


def test_the_sun_casts_shadows(city: City) -> None:
    bank, mesh = TextureBank(), MeshBuilder()
    texture = bank.add(np.full((8, 8, 3), 200, np.uint8), 0.1)
    mesh.polygon([(-50, -50, 0), (50, -50, 0), (50, 50, 0), (-50, 50, 0)], texture)
    mesh.boxes((-2, -2, 3), (2, 2, 4), texture)
    sunny = CONDITIONS["sunny"]
    scene = Scene(mesh.mesh(), bank, sunny, seed=0)
    under = -3.5 * sunny.sun_direction[:2] / sunny.sun_direction[2]
    points = np.array([(*under, 0.01), (20.0, 20.0, 0.01)], np.float32)
    assert scene.is_shadowed(points, sunny.sun_direction).tolist() == [True, False]


def test_rays_that_neighbours_save_change_nothing_but_the_narrowest_details(
    overcast: Scene, T_map_camera: Pose
) -> None:
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = CAMERA.rays(np.stack([u.ravel(), v.ravel()], 1)) @ T_map_camera[:3, :3].T
    directions = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)
    eye, dither = T_map_camera[:3, 3].astype(np.float32), np.full(len(rays), 0.5, np.float32)
    every, all_hits = overcast.radiance(eye, directions, 1 / CAMERA.fx, dither)
    lattice = PixelLattice(CAMERA.width, CAMERA.height)
    saved, hits = overcast.radiance(eye, directions, 1 / CAMERA.fx, dither, lattice=lattice)
    same = hits.surface == all_hits.surface
    assert same.mean() > 0.97
    seen = same & np.isfinite(all_hits.distance)
    np.testing.assert_allclose(hits.distance[seen], all_hits.distance[seen], rtol=1e-3)
    assert np.abs(saved - every)[same].mean() < 0.005


def test_triangles_of_one_polygon_are_one_surface_and_neighbouring_boxes_are_not() -> None:
    bank, mesh = TextureBank(), MeshBuilder()
    grey = bank.add(np.full((8, 8, 3), 200, np.uint8), 0.1)
    mesh.polygon([(0, 0, 0), (2, 0, 0), (3, 2, 0), (1, 3, 0)], grey)
    mesh.boxes([(0, 0, 1), (2, 0, 1)], [(1, 1, 2), (3, 1, 2)], grey)
    surfaces = Surfaces(mesh.mesh()).of_triangle
    assert surfaces[0] == surfaces[1]
    assert len(np.unique(surfaces)) == 1 + 2 * 6


def test_the_rows_of_a_rolling_shutter_are_seen_from_their_own_poses() -> None:
    rolling = CameraView(wall(12.0), replace(CAMERA, readout_s=0.03))
    times = rolling.row_times_s
    assert len(times) == 15
    assert np.all(np.diff(times) > 0)
    assert 0 < times[0] < times[-1] < 0.03
    # The camera drives at the wall: each band sees it from where the camera is then.
    poses = np.stack([FORWARD] * len(times))
    poses[:, 0, 3] += 20.0 * times
    depth = rolling.depth(poses)
    expected = CameraView(wall(12.0), CAMERA).depth(FORWARD) - 20.0 * np.repeat(times, 8)[:, None]
    assert np.nanmax(np.abs(depth - expected)) < 1e-3
    # At rest it sees what a global shutter does.
    still, instant = rolling.take(FORWARD, 0), CameraView(wall(12.0), CAMERA).take(FORWARD, 0)
    assert np.abs(still.astype(int) - instant).mean() < 1
