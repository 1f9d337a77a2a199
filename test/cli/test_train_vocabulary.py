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
import numpy as np
import pytest
from textured import textured, write
from trees import rgbd
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.runtime.image_descriptors import Descriptors
from scene_geo_loc.visual_words.features import extract
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


def test_a_vocabulary_describes_a_folder(tmp_path: Path) -> None:
    images = [textured(seed, (160, 120)) for seed in range(3)]
    for seed, image in enumerate(images):
        write(tmp_path / "photos" / f"{seed}.png", image)
    write(tmp_path / "photos" / "sky.png", np.full((120, 160, 3), 200, np.uint8))
    file, out = tmp_path / "words.safetensors", tmp_path / "d.npz"
    vocabulary = Vocabulary.fit([extract(image) for image in images])
    vocabulary.save(file)
    words = ["describe", str(tmp_path / "photos"), "--out", str(out), "--vocabulary", str(file)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "1 images that show nothing" in done.output
    described = Descriptors.load(out)
    assert described.names.tolist() == ["0.png", "1.png", "2.png"]
    assert described.network == vocabulary.digest
    rgb = np.ascontiguousarray(images[1][..., ::-1])  # the files are written from BGR
    np.testing.assert_allclose(described.descriptors[1], vocabulary.describe(extract(rgb)), atol=1e-6)
    with pytest.raises(CheckpointError, match="omit --network"):
        CliRunner().invoke(app, [*words, "--network", str(file)], catch_exceptions=False)
