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

"""Lights of the town at night, and the camera's images of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from town import CAMERA, LENGTH_M, SEED, START_M

from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, make_pose
from scene_geo_loc.simulation.conditions import CONDITIONS
from scene_geo_loc.simulation.materials.textures import TextureBank
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.blur import MotionBlur
from scene_geo_loc.simulation.rendering.glare import glints
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder
from scene_geo_loc.simulation.rendering.night import NO_LAMPS, Lamps, Moment, burning_lamps
from scene_geo_loc.simulation.rendering.photo import Photographer
from scene_geo_loc.simulation.rendering.render import Scene
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.town.houses.architecture import design_house, finish_house
from scene_geo_loc.simulation.town.houses.facades import paint_front
from scene_geo_loc.simulation.vehicle.motion import Motion
from scene_geo_loc.simulation.vehicle.sensors import CameraView
from scene_geo_loc.simulation.vehicle.traffic import Traffic

pytestmark = pytest.mark.slow

NIGHT = CONDITIONS["night"]
NOBODY = np.zeros((0, 4, 4))
FORWARD = make_pose(OPTICAL_FROM_BODY.T, (0.9, 0.0, 1.6))


def moment(speed: float = 0.0, turning: float = 0.0, others: np.ndarray = NOBODY) -> Moment:
    """A vehicle at the origin that drives along x."""
    return Moment(np.eye(4), np.array([speed, 0, 0]), np.array([0, 0, turning]), others)


def oncoming(ahead_m: float) -> np.ndarray:
    """A car on the other lane that faces the vehicle."""
    return make_pose(np.diag([-1.0, -1.0, 1.0]), (ahead_m, 2.0, 0.0))[None]


def road(lamps: Lamps = NO_LAMPS, wall_at: float | None = None, wetness: float = 0.0) -> Scene:
    """A grey plain by night, with a wall across the x axis where one is wished."""
    bank, mesh = TextureBank(), MeshBuilder()
    grey = bank.add(np.full((8, 8, 3), 150, np.uint8), 0.1)
    mesh.polygon([(-90, -90, 0), (90, -90, 0), (90, 90, 0), (-90, 90, 0)], grey)
    if wall_at is not None:
        mesh.boxes((wall_at, -40, 0), (wall_at + 0.3, 40, 12), grey)
    return Scene(mesh.mesh(), bank, replace(NIGHT, wetness=wetness), seed=0, lamps=lamps)


def lamp(*position: float) -> Lamps:
    return Lamps(np.array([position], np.float32), np.ones((1, 3), np.float32))


def looked_at(scene: Scene, moment: Moment | None = None) -> np.ndarray:
    """The light (H, W, 3) that the camera gets from ahead, before lens and sensor."""
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = CAMERA.rays(np.stack([u.ravel(), v.ravel()], 1)) @ FORWARD[:3, :3].T
    directions = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)
    eye = FORWARD[:3, 3].astype(np.float32)
    dither = np.full(len(directions), 0.5, np.float32)
    light, _ = scene.radiance(eye, directions, 1 / CAMERA.fx, dither, moment)
    return light.reshape(CAMERA.height, CAMERA.width, 3)


def lit_windows(drive: str, is_night: bool = True) -> list[np.ndarray]:
    """Masks of the lit windows on the fronts of some houses, or by day of the shining ones."""
    fronts = []
    for plot in [p for p in City(SEED).plan.plots if p.kind == "building"][:12]:
        house = design_house(SEED, plot)
        finish = finish_house(SEED, house, 0, drive)
        rng = stream(SEED, "front", plot.index, drive)
        fronts.append(paint_front(house, finish, rng, 0.1, is_night, snow=False).extra > 40)
    return fronts


def share(fronts: list[np.ndarray]) -> float:
    return float(np.mean(np.concatenate([front.ravel() for front in fronts])))


def test_most_windows_are_dark() -> None:
    assert 0 < share(lit_windows("one")) < 0.3 * share(lit_windows("one", is_night=False))


def test_other_windows_are_lit_on_another_drive() -> None:
    one, again, other = (lit_windows(drive) for drive in ("one", "one", "other"))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    both = share([a & b for a, b in zip(one, other, strict=True)])
    assert both < 0.5 * min(share(one), share(other))


def test_other_lamps_burn_on_another_drive_and_none_by_day(city: City) -> None:
    places = np.random.default_rng(0).uniform(-500, 500, (400, 3))
    burning = {drive: burning_lamps(places, SEED, drive)[0] for drive in ("one", "other")}
    for burns in burning.values():
        assert 0.3 < burns.mean() < 0.7
    assert (burning["one"] != burning["other"]).mean() > 0.3
    assert np.array_equal(burning_lamps(places, SEED, "one")[0], burning["one"])
    assert not len(city.scene(CONDITIONS["overcast"], START_M, 5.0, sight=5.0).lamps.position)


def test_what_shines_by_day_does_not_glow_at_night(city: City) -> None:
    scene = city.scene(NIGHT, START_M, 5.0, sight=12.0)
    dark = Scene(scene.mesh, scene.bank, replace(NIGHT, sky=(0, 0, 0), bounce=(0, 0, 0)), seed=0)
    glass = scene.bank.shared("glass")
    assert glass is not None
    where = np.flatnonzero(scene.mesh.texture == glass)[:50]
    middle = scene.mesh.corners[where].mean(1)
    back = scene.mesh.normal[where]
    light = []
    for point, normal in zip(middle, back, strict=True):
        eye = (point + normal).astype(np.float32)
        light.append(dark.radiance(eye, -normal[None].astype(np.float32), 0.01, np.zeros(1, np.float32))[0])
    assert np.median(light) < 1e-3


def test_headlights_light_the_road_near_the_vehicle_and_little_of_it_far_away() -> None:
    lit = looked_at(road(), moment()) - looked_at(road())
    middle = lit[:, CAMERA.width // 2, 1]
    rows = {distance: round(59.5 + 104 * 1.6 / distance) for distance in (5, 12, 40)}
    assert middle[rows[5]] > middle[rows[12]] > 4 * middle[rows[40]] > 0
    assert middle[20] == pytest.approx(0, abs=1e-6)


def test_headlights_leave_what_is_high_on_a_wall_in_the_dark() -> None:
    lit = (looked_at(road(wall_at=12.0), moment()) - looked_at(road(wall_at=12.0)))[:, CAMERA.width // 2, 1]
    foot, high = round(59.5 + 104 * 1.0 / 11), round(59.5 - 104 * 4.0 / 11)
    assert lit[foot] > 20 * lit[high]


def test_a_lamp_has_a_halo_and_is_hidden_by_what_stands_before_it() -> None:
    lamps = lamp(30.0, 0.0, 6.0)
    from_lamp = np.hypot(*(np.indices((40, CAMERA.width)) - np.array([44.4, 79.5])[:, None, None]))
    halo, sky = (from_lamp > 4) & (from_lamp < 8), from_lamp > 35
    for wall_at, is_seen in ((None, True), (20.0, False)):
        picture = CameraView(road(lamps, wall_at), CAMERA).take(FORWARD, 0)
        ratio = picture[:40][halo].mean() / picture[:40][sky].mean()
        assert ratio > 1.5 if is_seen else ratio < 1.2


def test_wet_ground_mirrors_a_lamp_towards_the_eye() -> None:
    lamps = lamp(30.0, 0.0, 6.0)
    wet, dry = (looked_at(road(lamps, wetness=w))[60:, :, 1] for w in (1.0, 0.0))
    gained = (wet - dry).sum(0)
    middle = CAMERA.width // 2
    assert gained[middle - 8 : middle + 8].mean() > 5 * gained[:40].mean() >= 0


def test_an_oncoming_car_dazzles_and_one_that_drives_on_shows_red() -> None:
    eye = FORWARD[:3, 3].astype(np.float32)
    front = glints(NO_LAMPS, moment(others=oncoming(25.0)), eye).intensity
    rear = glints(NO_LAMPS, moment(others=oncoming(-25.0)), eye).intensity
    assert front.shape == rear.shape == (2, 3)
    assert front.sum() > 10 * rear.sum()
    assert (rear[:, 0] > 5 * rear[:, 1]).all()


def test_others_come_towards_the_vehicle_and_are_elsewhere_on_another_drive(city: City) -> None:
    motion = Motion(city.plan, START_M, LENGTH_M, 8.0, seed=1)
    traffic = [Traffic(city.plan, motion, seed) for seed in range(12)]
    now, soon = ([t.moment(seconds) for t in traffic] for seconds in (0.5, 0.6))
    counts = [len(m.others) for m in now]
    assert 0 < np.mean(counts) < 8
    assert len({m.others[0, 0, 3] for m in now if len(m.others)}) == sum(count > 0 for count in counts)
    for before, after in zip(now, soon, strict=True):
        for T in before.others:
            way = np.linalg.norm(after.others[:, :3, 3] - T[:3, 3], axis=1)
            if len(way) and way.min() < 2:
                moved = after.others[way.argmin(), :3, 3] - T[:3, 3]
                assert moved @ T[:3, 0] > 0
                assert moved @ before.T_map_base[:3, 0] < 0


def test_a_long_exposure_smears_what_is_near_along_the_way_and_leaves_its_middle() -> None:
    blur = MotionBlur(CAMERA, 0.05)
    to_the_left = make_pose(OPTICAL_FROM_BODY.T @ np.array([[0, 0, -1.0], [0, 1, 0], [1, 0, 0]]), (0, 0, 1.5))
    dot = np.zeros((CAMERA.height, CAMERA.width, 3), np.float32)
    dot[60, 80] = 1.0
    half = np.full(dot.shape[:2], 0.5, np.float32)
    spread = {}
    for distance in (2.5, 20.0):
        flow = blur.flow(np.full(dot.shape[:2], distance, np.float32), to_the_left, moment(speed=8.0))
        smeared = blur.smear(dot, flow, half)[..., 0]
        rows, columns = np.nonzero(smeared > 1e-4)
        assert smeared.sum() == pytest.approx(1.0, rel=0.1)
        assert (smeared.sum(0) * np.arange(CAMERA.width)).sum() / smeared.sum() == pytest.approx(80, abs=0.6)
        assert np.ptp(rows) <= 1
        spread[distance] = np.ptp(columns)
    assert spread[2.5] > 12 > spread[20.0] > 0


def test_nothing_is_smeared_while_the_vehicle_stands_and_the_sky_only_while_it_turns() -> None:
    blur = MotionBlur(CAMERA, 0.05)
    sky = np.full((CAMERA.height, CAMERA.width), np.inf, np.float32)
    assert blur.flow(np.full_like(sky, 5.0), FORWARD, moment()) == pytest.approx(0)
    assert np.abs(blur.flow(sky, FORWARD, moment(speed=8.0))).max() < 0.05
    assert np.abs(blur.flow(sky, FORWARD, moment(turning=0.3))[..., 0]).min() > 1


def test_noise_grows_with_gain_and_differs_between_frames() -> None:
    grey = np.full((60, 80, 3), 0.05, np.float32)
    noise = []
    for gain in (1.0, 3.0, 9.0):
        photographer = Photographer(replace(NIGHT, gain=gain), 80, 60, seed=3)
        pictures = [photographer.develop(grey, frame).astype(float) for frame in (0, 1)]
        noise.append(float(np.std(pictures[0] - pictures[1])))
        assert np.array_equal(pictures[0], photographer.develop(grey, 0))
    assert 0 < noise[0] < noise[1] < noise[2]
