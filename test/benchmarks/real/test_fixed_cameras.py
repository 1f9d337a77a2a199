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

"""Fixed cameras by day and night: pairs, homographies and the score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textured import textured, write

from scene_geo_loc.benchmarks.real.experiment import Tools
from scene_geo_loc.benchmarks.real.fixed_cameras import (
    PAIRS,
    RIGHT_PX,
    WARPS,
    WIDTH,
    FixedCameras,
    day_night_pairs,
    homography,
    is_fixed_cameras,
    warp,
)
from scene_geo_loc.benchmarks.real.image_matcher import ImageFeatures, ImageMatcher
from scene_geo_loc.core.errors import SceneGeoLocError


def camera(folder: Path, seed: int, count: int = 9) -> Path:
    """A camera whose images get brighter from one to the next."""
    for i in range(count):
        image = (textured(seed) * (0.2 + 0.8 * i / count)).astype(np.uint8)
        write(folder / f"20240102_{i:02}0000.png", image)
    return folder


def test_the_darkest_third_is_paired_with_the_brightest(tmp_path: Path) -> None:
    pairs = list(day_night_pairs(camera(tmp_path, 1)))
    assert len(pairs) == 3
    assert all(night.shape == day.shape == (480, WIDTH, 3) for night, day in pairs)
    assert max(night.mean() for night, _ in pairs) < min(day.mean() for _, day in pairs)


def test_cameras_are_recognised_by_images_that_are_named_by_their_time(tmp_path: Path) -> None:
    camera(tmp_path / "one", 1)
    assert is_fixed_cameras(tmp_path)
    for file in (tmp_path / "one").iterdir():
        file.rename(file.with_name(f"frame{file.name[9:]}"))
    assert not is_fixed_cameras(tmp_path)


@given(st.integers(0, PAIRS), st.sampled_from(WARPS))
def test_a_homography_stays_within_its_range(number: int, warps: object) -> None:
    assert warps in WARPS
    H = homography(number, (640, 480), warps)
    np.testing.assert_array_equal(H, homography(number, (640, 480), warps))
    centre = np.array([[319.5, 239.5]])
    shift = warp(H, centre)[0] - centre[0]
    assert (np.abs(shift) <= np.array([64, 48]) + 1e-6).all()
    across = warp(H, centre + np.array([1e-3, 0]))[0] - warp(H, centre)[0]
    scale = np.linalg.norm(across) / 1e-3
    # The perspective also changes the scale at the shifted centre a little.
    assert warps.least_scale * 0.99 <= scale <= warps.scale * 1.01 + 0.1


class Oracle(ImageMatcher):
    """Matches features where they are: half of them right, half of them 100 pixels off."""

    H: np.ndarray

    def __init__(self, *_: object) -> None:
        pass

    def features(self, image: np.ndarray) -> ImageFeatures:
        return None

    def match(self, query: ImageFeatures, reference: ImageFeatures) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.stack(np.meshgrid(np.linspace(50, 500, 6), np.linspace(50, 400, 4)), -1).reshape(-1, 2)
        moved = warp(self.H, pixels) + np.array([0, RIGHT_PX - 0.1])
        moved[::2] += 100
        return moved, pixels


def test_the_share_is_that_of_the_matches_within_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import scene_geo_loc.benchmarks.real.fixed_cameras as module

    for name in ("one", "two"):
        camera(tmp_path / name, 1, 30)
    Oracle.H = homography(0, (640, 480), WARPS[0])
    monkeypatch.setattr(module, "homography", lambda *_: Oracle.H)
    monkeypatch.setattr(module, "ImageMatcher", Oracle)
    parts = FixedCameras(tmp_path).run("network", Tools(tmp_path))
    assert [part.name for part in parts[:2]] == [f"all cameras, {warps.name}" for warps in WARPS]
    assert len(parts) == 6
    assert parts[0].queries == 2 * PAIRS
    assert all(part.values["right"] == pytest.approx(0.5) for part in parts)
    assert all(part.values["matches"] == 24 for part in parts)


def test_images_that_cannot_be_read_are_too_few_in_one_sentence(tmp_path: Path) -> None:
    for file in camera(tmp_path, 1).iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(SceneGeoLocError, match="0 readable images of one size < 6"):
        list(day_night_pairs(tmp_path))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 20))
def test_unwarped_pixels_are_the_original_ones(number: int) -> None:
    H = homography(number, (640, 360), WARPS[1])
    pixels = np.random.default_rng(number).uniform(0, 300, (7, 2))
    back = warp(np.asarray(np.linalg.inv(H), np.float64), warp(H, pixels))
    assert np.abs(back - pixels).max() < 1e-6
