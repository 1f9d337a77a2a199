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

"""Colourings: the jet table and its differentiable twin."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from scene_geo_loc.networks.architecture.colouring import COLOURINGS, jet, smooth_jet

ALL = (torch.arange(256) / 255).view(1, 1, 1, 256)
"""A depth of each entry of the table."""


@pytest.mark.parametrize("name", COLOURINGS)
@pytest.mark.parametrize(
    ("depth", "colour"),
    [(0.0, (0, 0, 0.5)), (0.25, (0, 0.5, 1)), (0.5, (0.5, 1, 0.5)), (0.75, (1, 0.5, 0)), (1.0, (0.5, 0, 0))],
)
def test_near_is_blue_and_far_is_red(name: str, depth: float, colour: tuple[float, float, float]) -> None:
    colours = COLOURINGS[name](torch.full((2, 1, 3, 4), depth))
    assert colours.shape == (2, 3, 3, 4)
    np.testing.assert_allclose(colours[1, :, 2, 3], colour, atol=0.01)


def test_the_table_is_opencv_s_within_rounding() -> None:
    theirs = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_JET)[0, :, ::-1]
    np.testing.assert_allclose(255 * jet(ALL)[0, :, 0].T, theirs, atol=3)


def test_the_table_has_256_colours_and_no_others() -> None:
    fine = jet(torch.linspace(0, 1, 10_001).view(1, 1, 1, -1))[0, :, 0].T
    assert len({tuple(colour.tolist()) for colour in fine}) == 256
    np.testing.assert_array_equal(jet(ALL), smooth_jet(ALL))


def test_no_gradient_passes_the_table() -> None:
    depth = torch.rand(1, 1, 4, 4, requires_grad=True)
    assert not jet(depth).requires_grad


def test_all_depths_have_a_gradient_through_the_smooth_colours() -> None:
    depth = ((torch.arange(500) + 0.3) / 500).view(1, 1, 1, -1).requires_grad_()  # and no corner
    slopes = [
        torch.autograd.grad(channel.sum(), depth, retain_graph=True)[0].abs()
        for channel in smooth_jet(depth).unbind(dim=1)
    ]
    assert torch.stack(slopes).amax(dim=0).min() == pytest.approx(4)
