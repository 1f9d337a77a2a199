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

"""`scene-geo-loc train descriptor`: its output and its errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.cli.results.training import descriptor_epoch_text
from scene_geo_loc.core.errors import SceneGeoLocError

pytestmark = pytest.mark.slow


def test_an_epoch_is_one_line_with_losses_recall_and_pace() -> None:
    record = {
        "epoch": 3,
        "losses": {"image": 0.08, "depth map": 0.2},
        "recall_at_n": [0.5, 0.6, 0.7, 0.75, 0.8],
        "seconds": 61.2,
        "images_a_second": 52.4,
    }
    assert descriptor_epoch_text(record) == (
        "epoch 3: losses image 0.0800, depth map 0.2000; "
        "validation recall@1..5 50.0 60.0 70.0 75.0 80.0 %; 61 s, 52 images/s"
    )


def test_before_training_there_are_no_losses() -> None:
    assert descriptor_epoch_text({"epoch": 0, "losses": {}}) == "epoch 0: not validated"


def run(*arguments: str) -> SceneGeoLocError:
    result = CliRunner().invoke(app, ["train", "descriptor", *arguments])
    assert isinstance(result.exception, SceneGeoLocError)
    return result.exception


def test_triplets_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = str(tmp_path / "none.parquet")
    error = run(path, str(tmp_path / "out"), "--config", "rgb_alexnet_mac")
    assert path in str(error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--config", "rgb_vgg"], "neither a file rgb_vgg"),
        (["--config", "rgb_alexnet_mac", "--protocol", "huge"], "protocols .*: compact, full, reduced"),
    ],
)
def test_unknown_names_are_answered_with_known_ones(tmp_path: Path, options: list[str], words: str) -> None:
    with pytest.raises(SceneGeoLocError, match=words):
        raise run(str(tmp_path / "t.parquet"), str(tmp_path / "out"), *options)
