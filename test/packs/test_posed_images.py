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

"""Packs of images of known pose, and their neighbouring views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.packs.posed_images import PosedImages, PosedPairs, pack_posed_images, undistorted
from scene_geo_loc.training.scene.batches import NEIGHBOURS, SceneBatches
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.skipped import Skipped

pytestmark = pytest.mark.slow

CAMERA = Camera(80, 60, 60.0, 60.0, 39.5, 29.5)


def at(x: float, yaw: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[0, 3] = x
    T[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    return T


class Walk:
    """A traversal along x, a frame each 0.5 m, of noise before a wall at 4 m."""

    map_frame = "map"

    def __init__(self, name: str = "walk", count: int = 10, depth: bool = True, posed: bool = True) -> None:
        self.name, self._count, self._depth, self._posed = name, count, depth, posed
        self.skipped = Skipped()

    def __len__(self) -> int:
        return self._count

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        for k in range(self._count):
            image = rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)
            depth = np.full((60, 80), 4.0, np.float32) if self._depth else None
            yield Frame(k, image, CAMERA, at(0.5 * k) if self._posed else None, depth)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        yield from ()


def packed(tmp_path: Path, *walks: Walk) -> PosedImages:
    return pack_posed_images(walks, tmp_path / "packs" / "images", (40, 30))


def test_images_have_the_size_asked_for_and_their_camera_with_them(tmp_path: Path) -> None:
    images = packed(tmp_path, Walk())
    assert images.images.shape == (10, 30, 40, 3)
    assert images.depth.shape == (10, 30, 40)
    assert (images.depth == 4).all()
    np.testing.assert_allclose(images.T_map_camera[3], at(1.5))
    small = CAMERA.resized(40, 30)
    np.testing.assert_allclose(images.K[0], [small.fx, small.fy, small.cx, small.cy])


def test_holes_of_images_are_filled(tmp_path: Path) -> None:
    class Masked(Walk):
        def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
            for frame in super().frames(pass_over):
                visible = np.ones((60, 80), bool)
                visible[20:40, 20:60] = False
                yield replace(
                    frame,
                    image=np.full((60, 80, 3), np.uint8(9)) + visible[..., None] * frame.image,
                    visible=visible,
                )

    hole = packed(tmp_path, Masked()).images[:, 12:18, 14:26]
    assert 60 < hole.mean() < 200  # as the noise around


def test_what_was_made_is_opened_again_and_others_are_refused(tmp_path: Path) -> None:
    first = packed(tmp_path, Walk())
    stamp = (first.folder / "images.npy").stat().st_mtime_ns
    packed(tmp_path, Walk())
    assert (first.folder / "images.npy").stat().st_mtime_ns == stamp
    with pytest.raises(SceneGeoLocError, match=r"holds images of walk \(10 frames\).*name another folder"):
        packed(tmp_path, Walk("another"))


def test_a_damaged_folder_is_told(tmp_path: Path) -> None:
    first = packed(tmp_path, Walk())
    (first.folder / "poses.npy").write_bytes(b"no array")
    with pytest.raises(SceneGeoLocError, match=r"is damaged .*: remove it, and it is made again"):
        packed(tmp_path, Walk())


def test_without_poses_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="walk: there is no image with a pose"):
        packed(tmp_path, Walk(posed=False))


def test_depth_is_unknown_where_nothing_measured_it_and_cannot_be_judged_by(tmp_path: Path) -> None:
    images = packed(tmp_path, Walk(depth=False))
    assert np.isnan(images.depth).all()
    with pytest.raises(SceneGeoLocError, match="no image has depth to validate by"):
        PosedPairs(images)


def test_neighbours_are_about_the_baseline_away_and_of_the_same_traversal_where_asked(tmp_path: Path) -> None:
    images = packed(tmp_path, Walk(), Walk("again"))
    near = images.neighbours(4, 0.5, 2, same_source=True)
    assert sorted(near) == [3, 5]
    of_any = images.neighbours(4, 0.5, 4, same_source=False)
    assert sorted(of_any) == [3, 5, 13, 15]
    assert not len(images.neighbours(4, 100.0, 4, same_source=False))


def test_batches_are_the_same_each_time_and_take_each_image_once(tmp_path: Path) -> None:
    images = packed(tmp_path, Walk())
    batches = SceneBatches(images, 5, 0.5, augmentation=True, seed=3)
    assert len(batches) == 2
    once, again = list(batches.epoch(1)), list(batches.epoch(1))
    for one, other in zip(once, again, strict=True):
        assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True))
    seen = torch.cat([one.plain for one in once]).flatten(1).unique(dim=0)
    assert len(seen) == 10
    assert once[0].neighbours.shape == (5, NEIGHBOURS, 30, 40, 3)


def test_poses_of_a_batch_take_an_image_s_points_to_its_neighbours(tmp_path: Path) -> None:
    batch = next(iter(SceneBatches(packed(tmp_path, Walk()), 5, 0.5, augmentation=False, seed=0).epoch(0)))
    shifts = batch.T_neighbour_image[:, 0, :3, 3]
    np.testing.assert_allclose(shifts[:, 0].abs(), 0.5, atol=1e-6)
    np.testing.assert_allclose(shifts[:, 1:], 0, atol=1e-6)
    to_partner = batch.T_partner_image[:, :3, 3].norm(dim=1)
    np.testing.assert_allclose(batch.apart_m.diagonal(), to_partner, atol=1e-5)


def test_images_without_others_beside_them_make_no_batch(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="0 images with a neighbour about 50 m away < "):
        SceneBatches(packed(tmp_path, Walk()), 5, 50.0, augmentation=False, seed=0)


@pytest.mark.parametrize(
    ("model", "distortion"), [("plumb_bob", (-0.3, 0.1, 0.0, 0.0)), ("equidistant", (0.1, 0.0, 0.0, 0.0))]
)
def test_a_distorted_image_becomes_a_pinholes(model: str, distortion: tuple[float, ...]) -> None:
    camera = Camera(160, 120, 120.0, 120.0, 79.5, 59.5, model, distortion)
    point = np.array([[0.25, 0.2, 1.0]])
    (x, y), (u, v) = camera.project(point)[0], CAMERA.resized(80, 60).project(point)[0]
    image = np.zeros((120, 160, 3), np.uint8)
    image[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4] = 255
    depth = np.where(image[..., 0] > 0, np.float32(7), np.float32(2))
    moved, far, pinhole = undistorted(image, depth, camera, (80, 60))
    assert not pinhole.is_distorted
    np.testing.assert_allclose(pinhole.project(point)[0], [u, v], atol=1e-6)
    assert moved[round(v), round(u)].min() > 200
    assert far[round(v), round(u)] == 7
    assert moved[5, 5].max() == 0
