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

"""The perspective that views are drawn in."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from scene_geo_loc.plots.view_picture import Eye


@pytest.fixture
def eye() -> Eye:
    """An eye at (0, -10, 0) that looks along y, and sees 45 degrees up and down."""
    return Eye(np.array([0.0, -10.0, 0.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]), fov_deg=90.0)


def test_points_are_seen_right_of_and_above_the_middle_and_none_behind_the_eye(eye: Eye) -> None:
    xyz = np.array([[0.0, 0, 0], [10, 0, 0], [0, 0, 10], [5, 10, 5], [0, -20, 0]])
    places, depth = eye.points(xyz)
    expected = np.array([[0, 0], [1, 0], [0, 1], [0.25, 0.25]])
    np.testing.assert_allclose(places[:4], expected, atol=1e-12)
    np.testing.assert_allclose(depth[:4], [10, 10, 10, 20])
    assert np.isnan(places[4]).all()


def test_lines_are_cut_off_where_they_pass_the_eye(eye: Eye) -> None:
    through, behind = np.array([(0.0, 0, 1), (0, -20, 1)]), np.array([(0.0, -20, 0), (1, -20, 0)])
    (line,) = eye.lines(np.stack([through, behind]))
    np.testing.assert_allclose(line[0], np.array([0, 0.1]), atol=1e-12)
    assert np.isfinite(line).all()
    assert line[1, 1] > line[0, 1]
