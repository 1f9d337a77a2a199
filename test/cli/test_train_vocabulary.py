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

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from textured import textured, write
from trees import rgbd
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.visual_words.vocabulary import Vocabulary


def test_a_vocabulary_is_fitted_to_a_source(tmp_path: Path) -> None:
    rgbd(tmp_path / "walk")
    for seed, path in enumerate(sorted((tmp_path / "walk" / "images").iterdir())):
        height, width = cv2.imread(str(path)).shape[:2]
        write(path, textured(seed, (width, height)))
    out = tmp_path / "words.safetensors"
    words = ["train", "vocabulary", str(tmp_path / "walk"), str(out), "--point-words", "2"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    vocabulary = Vocabulary.read(out)
    assert len(vocabulary.points) == 2
    assert f"{vocabulary.images} images" in done.output
    with pytest.raises(CheckpointError, match="exists already"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    with pytest.raises(CheckpointError, match="safetensors"):
        CliRunner().invoke(app, [*words[:3], str(tmp_path / "words.npz")], catch_exceptions=False)
