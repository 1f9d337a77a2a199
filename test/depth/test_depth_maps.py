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

"""Folders of depth maps: round trips, and errors for damaged files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from lidar_room import LidarRoom

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.depth.depth_maps import DepthMaps, decode_depth, encode_depth
from scene_geo_loc.depth.make_depth_maps import make_depth_maps
from scene_geo_loc.depth.window import SPINNING


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_depth_maps(LidarRoom(3), tmp_path / "maps", SPINNING, workers=1)
    return tmp_path / "maps"


depths = st.one_of(
    st.just(np.nan), st.floats(0.0078125, 100.0, width=32), st.floats(100.0078125, 1e6, width=32)
)


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=depths))
def test_a_depth_map_comes_back_to_half_a_centimetre_and_ends_at_100_m(depth: Any) -> None:
    back = decode_depth(encode_depth(depth))
    assert back.dtype == np.float32
    told = depth <= 100.0
    np.testing.assert_array_equal(
        np.isfinite(back)[np.abs(depth - 100) > 0.01], told[np.abs(depth - 100) > 0.01]
    )
    both = told & np.isfinite(back)
    np.testing.assert_allclose(back[both], depth[both], atol=0.00501)


def test_files_are_16_bit_centimetres_with_zero_for_unknown(folder: Path) -> None:
    maps = DepthMaps.load(folder)
    pixels = cv2.imread(str(folder / maps.maps[0].png), cv2.IMREAD_UNCHANGED)
    depth = maps.depth(0)
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels == 0, np.isnan(depth))
    np.testing.assert_allclose(pixels[pixels > 0] / 100, depth[pixels > 0], rtol=1e-6)


def test_maps_are_found_by_the_stamp_of_their_image(folder: Path) -> None:
    maps = DepthMaps.load(folder)
    frames = list(LidarRoom(3).frames())
    assert len(maps) == 3
    assert [maps.find(frame.stamp_ns) for frame in frames] == [0, 1, 2]
    assert maps.find(5) is None
    np.testing.assert_allclose(maps.maps[1].T_map_camera, frames[1].T_map_camera)
    assert maps.maps[1].camera == frames[1].camera
    assert maps.maps[1].image == frames[1].name


def test_depth_maps_are_right(folder: Path) -> None:
    maps = DepthMaps.load(folder)
    for i, frame in enumerate(LidarRoom(3, with_depth=True).frames()):
        depth = maps.depth(i)
        assert np.isfinite(depth).mean() > 0.9
        assert np.nanmedian(np.abs(depth / frame.depth - 1)) < 0.01
        assert maps.maps[i].known == pytest.approx(np.isfinite(depth).mean(), abs=1e-4)


def test_a_folder_without_an_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match=r"no index\.json of depth maps"):
        DepthMaps.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"version": 9, "maps": []}', '{"version": 1, "maps": [{}]}'])
def test_a_damaged_index_is_told(folder: Path, text: str) -> None:
    (folder / "index.json").write_text(text)
    with pytest.raises(SceneGeoLocError, match=r"damaged|version 9"):
        DepthMaps.load(folder)


def test_a_damaged_or_missing_png_is_told(folder: Path) -> None:
    maps = DepthMaps.load(folder)
    png = folder / maps.maps[0].png
    png.write_bytes(png.read_bytes()[:50])
    (folder / maps.maps[1].png).unlink()
    cv2.imwrite(str(folder / maps.maps[2].png), np.zeros((120, 160), np.uint8))
    for i in range(3):
        with pytest.raises(SceneGeoLocError, match="missing or is no grey 16-bit PNG"):
            maps.depth(i)


def test_a_depth_map_of_another_size_than_its_image_is_told(folder: Path) -> None:
    maps = DepthMaps.load(folder)
    (folder / maps.maps[0].png).write_bytes(encode_depth(np.ones((5, 4), np.float32)))
    with pytest.raises(SceneGeoLocError, match="4 x 5 pixels, its camera 160 x 120"):
        maps.depth(0)


def test_an_index_cannot_lead_out_of_its_folder(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    index["maps"][0]["png"] = "../../secret.png"
    (folder / "index.json").write_text(json.dumps(index))
    assert DepthMaps.load(folder).maps[0].png == "secret.png"
