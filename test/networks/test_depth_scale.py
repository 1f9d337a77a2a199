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

"""Depth scales: metres to 0..1 and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES, MIN_DEPTH_M


def test_the_linear_scale_is_in_units_of_100_m_and_the_unknown_is_far() -> None:
    metres = torch.tensor([0.0, 12.5, 50.0, 100.0, 250.0, math.inf, math.nan])
    normalised = DEPTH_SCALES["linear"].normalise(metres)
    np.testing.assert_array_equal(normalised, [0, 0.125, 0.5, 1, 1, 1, 1])


def test_the_logarithmic_scale_takes_equal_steps_for_equal_ratios_and_the_unknown_is_far() -> None:
    metres = torch.tensor([0.0, 0.3, 1.0, 10**0.5, 10.0, 100.0, 250.0, math.inf, math.nan])
    normalised = DEPTH_SCALES["log"].normalise(metres)
    np.testing.assert_allclose(normalised, [0, 0, 0, 0.25, 0.5, 1, 1, 1, 1], atol=1e-6)


def test_the_inverse_scale_is_one_over_a_sigmoid_less_one_bounded() -> None:
    sigmoid = torch.tensor([1.0, 0.5, 0.25, 0.1])
    np.testing.assert_allclose(DEPTH_SCALES["inverse"].metres(1 - sigmoid), [0, 1, 3, 9], rtol=0.02)
    metres = torch.tensor([0.0, 20.0, 50.0, math.inf, math.nan])
    normalised = DEPTH_SCALES["inverse_20m"].normalise(metres)
    np.testing.assert_allclose(normalised, [0, 1, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(DEPTH_SCALES["inverse_20m"].metres(torch.ones(1)), [20], rtol=1e-5)


@pytest.mark.parametrize("name", DEPTH_SCALES)
@given(share=st.floats(0, 1))
def test_metres_come_back(name: str, share: float) -> None:
    scale = DEPTH_SCALES[name]
    least_m = MIN_DEPTH_M if name == "log" else 0.1
    depth_m = least_m + share * (scale.max_m - least_m)
    assert scale.metres(scale.normalise(torch.tensor(depth_m))).item() == pytest.approx(depth_m, rel=1e-4)
