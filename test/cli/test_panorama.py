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

"""Views of panoramas, and what a set of them has, on the command line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from panorama_sets import (
    add_segments,
    coloured_panorama,
    direction_of,
    gpano_xmp,
    rows_along_a_street,
    write_image,
    write_street,
)
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError


def run(*arguments: object) -> str:
    """Returns the output of a command. Raises its error."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None:
        raise done.exception
    return done.output


def direction_at_the_centre(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    height, width = image.shape[:2]
    around = image[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1, ::-1]
    return np.asarray(direction_of(around).mean(axis=(0, 1)))


def test_a_view_looks_where_it_is_told(tmp_path: Path) -> None:
    image, out = tmp_path / "panorama.jpg", tmp_path / "view.png"
    write_image(image, coloured_panorama())
    assert "640 x 320 pixels" in run("panorama", "view", image, out)
    assert cv2.imread(str(out)).shape == (320, 640, 3)
    assert_allclose(direction_at_the_centre(out), [0, 0, 1], atol=0.03)
    run("panorama", "view", image, out, "--heading", 90, "--size", "64x48", "--fov", 60)
    assert_allclose(direction_at_the_centre(out), [1, 0, 0], atol=0.03)
    run("panorama", "view", image, out, "--heading", 90, "--panorama-heading", 90, "--size", "64x48")
    assert_allclose(direction_at_the_centre(out), [0, 0, 1], atol=0.03)
    add_segments(image, xmp=gpano_xmp(PoseHeadingDegrees=180, PosePitchDegrees=30))
    run("panorama", "view", image, out, "--heading", 180, "--pitch", 30, "--size", "64x48")
    assert_allclose(direction_at_the_centre(out), [0, 0, 1], atol=0.03)


def test_a_view_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    image = tmp_path / "photo.jpg"
    write_image(image, coloured_panorama()[:100])
    with pytest.raises(SceneGeoLocError, match="no whole panorama"):
        run("panorama", "view", image, tmp_path / "view.png")
    write_image(image, coloured_panorama())
    with pytest.raises(SceneGeoLocError, match=r"ends in \.png or \.jpg"):
        run("panorama", "view", image, tmp_path / "view.bin")
    with pytest.raises(SceneGeoLocError, match="field of view"):
        run("panorama", "view", image, tmp_path / "view.png", "--fov", 180)


def test_a_set_is_described(tmp_path: Path) -> None:
    write_street(tmp_path, rows_along_a_street(3))
    write_image(tmp_path / "images/unlisted.png", coloured_panorama(64))
    shown = " ".join(run("panorama", "info", tmp_path, "--views", 8).split())
    assert "panoramas 3, 3 with depth, 0 with links" in shown
    assert "median 10.0 m" in shown
    assert "24 of 640 x 480 pixels and 57.6°, 8 around" in shown
    assert "1 images without a row in the index" in shown


def test_a_single_panorama_has_no_spacing(tmp_path: Path) -> None:
    write_street(tmp_path, rows_along_a_street(1))
    shown = " ".join(run("panorama", "info", tmp_path, "--views", 8).split())
    assert "panoramas 1," in shown
    assert "single panorama" in shown
    assert "nan" not in shown
