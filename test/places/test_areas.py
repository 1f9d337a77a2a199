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

"""Areas for training, validation and test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.places.areas import ROBOTCAR_AREAS, Area, Areas

BOXES = {
    "train": [[0, 0, 10, 10], [10, 0, 20, 5]],
    "validation": [[30, 0, 40, 10]],
    "test": [[50, 0, 60, 10]],
}


def write(root: Path, boxes: object) -> Path:
    (root / "areas.json").write_text(json.dumps(boxes))
    return root


def test_a_dataset_brings_its_own_areas(tmp_path: Path) -> None:
    areas = Areas.load(write(tmp_path, BOXES))
    assert areas.train.contains([[5, 5], [15, 4], [15, 6], [35, 5]]).tolist() == [True, True, False, False]
    assert bool(areas.test.contains([55, 5]))
    assert areas.to_json() == BOXES


def test_boxes_that_touch_are_one_region() -> None:
    area = Area(np.array([[0, 0, 10, 10], [30, 0, 40, 10], [10, 5, 20, 9], [45, 0, 50, 5]]))
    assert area.region_of([[1, 1], [15, 6], [35, 1], [48, 1]]).tolist() == [0, 0, 1, 2]
    assert area.region_of([[22, 1], [15, 1]]).tolist() == [-1, -1]


def test_a_dataset_without_areas_is_the_real_robotcar(tmp_path: Path) -> None:
    assert Areas.load(tmp_path) is ROBOTCAR_AREAS


@pytest.mark.parametrize(
    ("northing", "easting", "part"),
    [
        # The regions that PointNetVLAD published: St Giles, South Parks Road, Holywell Street, the castle.
        (5735712.768124, 620084.402381, "train"),
        (5735611.299219, 620540.270327, "test"),
        (5735237.358209, 620543.094379, "test"),
        (5734749.303802, 619932.693364, "validation"),
    ],
)
def test_known_places_of_oxford_lie_in_the_part_that_the_authors_drew_there(
    northing: float, easting: float, part: str
) -> None:
    xy = [easting - 620000, northing - 5735000]
    holding = [name for name in ("train", "validation", "test") if getattr(ROBOTCAR_AREAS, name).contains(xy)]
    assert holding == [part]


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ({**BOXES, "test": [[5, 5, 12, 12]]}, "train box .* and the test box .* overlap"),
        ({**BOXES, "test": [[60, 0, 50, 10]]}, "is empty"),
        ({**BOXES, "test": []}, "test"),
        ({**BOXES, "train": [[0, 0, 1]]}, r"train\.0"),
        ({**BOXES, "train": [[0, 0, float("nan"), 1]]}, r"train\.0"),
        ({"train": [[0, 0, 1, 1]]}, "validation"),
        ([1, 2], "expected boxes"),
    ],
)
def test_areas_that_make_no_sense_are_one_sentence(tmp_path: Path, boxes: Any, words: str) -> None:
    with pytest.raises(SceneGeoLocError, match=words) as error:
        Areas.load(write(tmp_path, boxes))
    assert "\n" not in str(error.value)


def test_a_damaged_file_of_areas_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "areas.json").write_text('{"train": [[0,')
    with pytest.raises(SceneGeoLocError, match=r"areas\.json: expected boxes"):
        Areas.load(tmp_path)
