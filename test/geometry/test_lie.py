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

"""Small motions of a pose."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm

from scene_geo_loc.geometry.lie import motion_of, skew


def test_the_product_with_a_skew_matrix_is_the_cross_product() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.testing.assert_allclose(np.einsum("nij,nj->ni", skew(a), b), np.cross(a, b), atol=1e-12)


def test_a_motion_is_the_exponential_of_its_twist_but_for_the_length_of_the_chord() -> None:
    twist = np.array([3.0, -2.0, 1.0, 0.1, -0.2, 0.15])
    algebra = np.zeros((4, 4))
    algebra[:3, :3], algebra[:3, 3] = skew(twist[None, 3:])[0], twist[:3]
    exact, motion = expm(algebra), motion_of(twist, 1.0)
    np.testing.assert_allclose(motion[:3, :3], exact[:3, :3], atol=1e-12)
    angle = np.linalg.norm(twist[3:])
    assert np.linalg.norm(motion[:3, 3] - exact[:3, 3]) < np.linalg.norm(twist[:3]) * angle**2 / 12
