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

"""Errors of inferred depth: known errors, depth in metres without rescaling, and the pictures."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
import torch

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.metrics.depth_error import DepthErrors
from scene_geo_loc.metrics.learned_depth import (
    DepthComparison,
    DepthEstimator,
    add_depth_error,
    compare_depth,
    decoder_of,
)
from scene_geo_loc.networks.architecture.checkpoint import save_checkpoint
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.plots.depth_pictures import depth_colours
from scene_geo_loc.plots.learned_depth_pictures import (
    MEASURED,
    RENDERING,
    DepthRow,
    depth_figure,
    write_depth_pictures,
)
from scene_geo_loc.plots.style import STYLE

pytestmark = pytest.mark.slow

NAN = np.float32(np.nan)
GREY = np.full((48, 64, 3), 120, np.uint8)


def network(descriptor: str = "rgbtd") -> SceneNetwork:
    torch.manual_seed(0)
    return SceneNetwork(
        NetworkConfig(
            descriptor=descriptor,
            pooling="mac",
            depth_encoder="efficientnet_lite0",
            depth_scale="linear",
            input_width=64,
            input_height=64,
        )
    )


def telling(share: float) -> DepthEstimator:
    """An estimator that infers one depth everywhere, a share of 100 m."""
    told = network()
    decoder = decoder_of(told)
    assert decoder is not None
    last = decoder.to_image[-1]  # type: ignore[index]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, float(np.log(share / (1 - share))))
    return DepthEstimator(f"{100 * share:g} m", told, "cpu")


def test_errors_have_known_values_in_metres_and_within_80_m() -> None:
    truth = np.array([[10.0, 20.0, 80.0, 90.0, NAN]], np.float32)
    estimate = np.array([[11.0, 30.0, 80.0, 20.0, 50.0]], np.float32)
    errors = DepthErrors()
    add_depth_error(errors, estimate, truth)
    assert errors.compared == 3
    assert errors.summary() == {
        "coverage": 1.0,
        "abs_rel": pytest.approx((0.1 + 0.5 + 0.0) / 3),
        "rmse_m": pytest.approx(np.sqrt((1 + 100 + 0) / 3)),
        "within_1_25": pytest.approx(2 / 3),
    }


def test_a_depth_that_is_right_up_to_scale_is_wrong() -> None:
    truth = np.linspace(5, 70, 48 * 64, dtype=np.float32).reshape(48, 64)
    errors = DepthErrors()
    add_depth_error(errors, 2 * truth, truth)
    assert errors.summary()["abs_rel"] == pytest.approx(1.0)


def test_an_output_of_one_tenth_is_ten_metres_at_every_pixel_of_the_image() -> None:
    depth = telling(0.1).depth(GREY)
    assert depth.shape == (48, 64)
    np.testing.assert_allclose(depth, 10.0, atol=0.01)


def test_estimators_are_compared_on_the_same_pairs_condition_by_condition() -> None:
    far, near = np.full((48, 64), 20.0, np.float32), np.full((48, 64), 10.0, np.float32)
    near[:24] = NAN
    told = []
    compared = compare_depth(
        [telling(0.1), telling(0.2)],
        {"day": [(GREY, near), (GREY, near)], "night": [(GREY, far)]},
        lambda done, total: told.append((done, total)),
    )
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    numbers = compared.to_dict()["conditions"]
    assert numbers["day"]["pairs"] == 2
    assert numbers["day"]["pixels"] == 48 * 64
    assert numbers["day"]["errors"]["10 m"]["abs_rel"] == pytest.approx(0.0, abs=1e-3)
    assert numbers["day"]["errors"]["20 m"]["abs_rel"] == pytest.approx(1.0, abs=1e-3)
    assert numbers["night"]["errors"]["10 m"]["rmse_m"] == pytest.approx(10.0, abs=0.02)
    assert numbers["night"]["errors"]["20 m"]["within_1_25"] == 1.0
    json.dumps(compared.to_dict(), allow_nan=False)


def test_a_condition_without_a_known_pixel_is_told() -> None:
    with pytest.raises(SceneGeoLocError, match=r"night: none of the 1 depth maps .* within 80 m"):
        compare_depth([telling(0.1)], {"night": [(GREY, np.full((48, 64), NAN))]})


def test_a_comparison_of_nothing_is_an_empty_record() -> None:
    assert DepthComparison().to_dict()["conditions"] == {}


@pytest.mark.parametrize("descriptor", ["rgb", "rgb_plus", "hallucination"])
def test_a_network_that_learned_no_depth_is_one_sentence(descriptor: str, tmp_path: Path) -> None:
    save_checkpoint(network(descriptor), tmp_path / "net.safetensors", {})
    with pytest.raises(CheckpointError, match=f"infers no depth: its descriptor is '{descriptor}'"):
        DepthEstimator.load(tmp_path / "net.safetensors", "cpu")


def test_an_estimator_is_called_after_its_file_or_by_a_name(tmp_path: Path) -> None:
    save_checkpoint(network(), tmp_path / "best.safetensors", {})
    assert DepthEstimator.load(tmp_path / "best.safetensors", "cpu").name == "best"
    assert DepthEstimator.load(tmp_path / "best.safetensors", "cpu", "night").name == "night"


def rows() -> list[DepthRow]:
    ramp = np.linspace(3, 80, 48 * 64, dtype=np.float32).reshape(48, 64)
    return [
        DepthRow("day", GREY, {"before": ramp, "after": ramp}, truth=ramp),
        DepthRow("night", GREY[:, :48], {"before": ramp[:, :48], "after": ramp[:, :48]}, rendering=GREY),
    ]


def test_a_picture_has_a_column_for_each_thing_known_and_a_bar_in_metres() -> None:
    figure = depth_figure(rows())
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes[:5]]
    assert titles == ["image", MEASURED, RENDERING, "before", "after"]
    bar = figure.axes[-1]
    assert [label.get_text() for label in bar.get_yticklabels()][0::7] == ["0.5 m", "100 m"]
    assert len(depth_figure(rows()[:1]).axes) == 4 + 1


def test_headings_do_not_run_into_each_other() -> None:
    ramp = rows()[0].truth
    names = ["runs/rgbtd_alexnet_mac_0/checkpoints/best.safetensors", "night fine-tuned by a thousand pairs"]
    with mpl.rc_context(STYLE):
        figure = depth_figure([DepthRow("day", GREY, dict.fromkeys(names, ramp))])
        figure.canvas.draw()
    drawn = [title for axes in figure.axes for title in (axes.title, axes._left_title) if title.get_text()]  # type: ignore[attr-defined]
    assert len(drawn) == 3
    assert drawn[1].get_text().replace("\n", "") == names[0]
    boxes = [title.get_window_extent() for title in drawn]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


def test_the_bars_marks_stand_beside_the_colours_of_their_depths() -> None:
    bar = depth_figure(rows()).axes[-1]
    colours = bar.collections[-1].cmap
    for place, label in zip(bar.get_yticks(), bar.get_yticklabels(), strict=True):
        metres = float(label.get_text().removesuffix(" m"))
        drawn = depth_colours(np.array([[metres]], np.float32))[0, 0] / 255
        np.testing.assert_allclose(colours(place)[:3], drawn, atol=0.03)


@pytest.mark.parametrize("name", ["depth.png", "depth.jpg"])
def test_pictures_are_written_as_the_suffix_says(name: str, tmp_path: Path) -> None:
    write_depth_pictures(tmp_path / name, rows())
    picture = cv2.imread(str(tmp_path / name))
    assert min(picture.shape[:2]) > 200


def test_a_suffix_that_is_no_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match=r"suffix of a picture must be one of \.png"):
        write_depth_pictures(tmp_path / "depth.txt", rows())
