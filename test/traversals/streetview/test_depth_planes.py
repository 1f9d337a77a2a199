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

"""Depth maps of planes and indices."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from panorama_sets import planes_text, street_planes

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.traversals.streetview.depth_planes import distances_of_planes, read_depth_planes
from scene_geo_loc.traversals.streetview.panorama import read_distance


@pytest.mark.parametrize("compress", [False, True])
def test_distances_are_those_of_the_planes(compress: bool) -> None:
    indices, planes = street_planes()
    distance = distances_of_planes(planes_text(indices, planes, compress))
    v, u = np.mgrid[:32, :64]
    points = Equirectangular(64, 32).rays(np.stack([u, v], axis=-1)) * distance[..., None]
    assert_allclose(points[indices == 1][:, 1], 2.5, rtol=1e-5)  # the ground, y down
    assert_allclose(points[indices == 2][:, 0], 6.0, rtol=1e-5)  # the wall to the right
    assert np.isnan(distance[indices == 0]).all()
    assert (indices == 0).any()


def test_services_put_the_text_into_json(tmp_path: Path) -> None:
    text = planes_text(*street_planes())
    padded = base64.b64encode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))).decode()
    for name, content in (
        ("plain.txt", text + "\n"),
        ("padded.txt", padded),
        ("text.json", json.dumps(text)),
        ("named.json", json.dumps({"depth_map": text})),
        ("model.json", json.dumps({"model": {"depth_map": text}})),
    ):
        (tmp_path / name).write_text(content)
        assert read_distance(tmp_path / name).shape == (32, 64)


def test_numbers_without_a_plane_are_unknown() -> None:
    indices, planes = street_planes()
    indices[16:] = 9
    distance = distances_of_planes(planes_text(indices, planes))
    assert np.isnan(distance[16:]).all()
    planes[2] = np.nan
    assert np.isnan(distances_of_planes(planes_text(indices, planes))[indices == 2]).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!!!",
        "AAAA",
        "ä",
        planes_text(*street_planes())[:200],
        base64.b64encode(zlib.compress(b"8")).decode(),
    ],
)
def test_what_is_no_depth_map_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "depth.txt"
    path.write_text(text)
    with pytest.raises(TraversalError, match="no depth map of planes and indices"):
        read_depth_planes(path)
