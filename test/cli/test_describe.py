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

"""`scene-geo-loc describe`: an archive of the descriptors of a folder of images, and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.networks import default
from scene_geo_loc.networks.architecture.checkpoint import (
    digest,
    imagenet_network,
    load_checkpoint,
    save_checkpoint,
    untrained_network,
)
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig
from scene_geo_loc.networks.runtime.image_descriptors import Descriptors

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def untrained_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of the package is one that is to be fitted on the images."""
    monkeypatch.setattr(default, "CHECKPOINT", tmp_path / "default.safetensors")
    save_checkpoint(untrained_network(), default.CHECKPOINT, {})


def run(*arguments: object) -> str:
    command = ["describe", *(str(a) for a in arguments), "--device", "cpu"]
    return CliRunner().invoke(app, command, catch_exceptions=False).output


def picture(seed: int) -> NDArray[np.uint8]:
    """Blobs that no other seed has."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (128, 96), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images in three formats and two folders, beside a text."""
    root = tmp_path / "photos"
    (root / "deep" / "er").mkdir(parents=True)
    for seed, name in enumerate(("b.png", "a.JPG", "deep/c.bmp", "deep/er/d.png")):
        cv2.imwrite(str(root / name), picture(seed))
    (root / "notes.txt").write_text("no image")
    return root


def test_every_image_below_the_folder_is_described_under_its_sorted_name(
    folder: Path, tmp_path: Path
) -> None:
    shown = run(folder, "--out", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
        assert archive["names"].tolist() == ["a.JPG", "b.png", "deep/c.bmp", "deep/er/d.png"]
        assert archive["descriptors"].shape == (4, 512)
        assert archive["descriptors"].dtype == np.float32
        assert np.linalg.norm(archive["descriptors"], axis=1) == pytest.approx(np.ones(4), abs=1e-5)
        assert str(archive["input_size"]) == "320x240"
        assert len(str(archive["network"])) == 64
    assert "4 descriptors of size 512" in shown


def test_images_that_cannot_be_read_are_left_out_and_counted(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    (folder / "empty.png").write_bytes(b"")
    shown = run(folder, "--out", tmp_path / "out.npz")
    assert "Skipped: 2 images that cannot be read." in shown
    assert len(Descriptors.load(tmp_path / "out.npz").names) == 4


def test_the_kept_network_describes_other_images_comparably(folder: Path, tmp_path: Path) -> None:
    run(folder, "--out", tmp_path / "all.npz", "--save-network", tmp_path / "nets" / "fitted.safetensors")
    network, provenance = load_checkpoint(tmp_path / "nets" / "fitted.safetensors")
    assert network.is_fitted
    assert provenance == {"fitted_on": "photos"}
    run(
        folder / "deep", "--out", tmp_path / "deep.npz", "--network", tmp_path / "nets" / "fitted.safetensors"
    )
    all_, deep = Descriptors.load(tmp_path / "all.npz"), Descriptors.load(tmp_path / "deep.npz")
    assert deep.names.tolist() == ["c.bmp", "er/d.png"]
    assert deep.descriptors == pytest.approx(all_.descriptors[2:], abs=1e-5)
    assert deep.network == all_.network == digest(network)


def test_a_network_can_be_fitted_on_other_images_than_those_described(folder: Path, tmp_path: Path) -> None:
    run(folder / "deep", "--out", tmp_path / "own.npz")
    run(folder / "deep", "--out", tmp_path / "fitted.npz", "--fit", folder)
    own, fitted = Descriptors.load(tmp_path / "own.npz"), Descriptors.load(tmp_path / "fitted.npz")
    assert own.names.tolist() == fitted.names.tolist()
    assert own.network != fitted.network


def test_the_same_image_is_the_most_similar_one(folder: Path, tmp_path: Path) -> None:
    (folder / "deep" / "copy.png").write_bytes((folder / "b.png").read_bytes())
    run(folder, "--out", tmp_path / "out.npz")
    found = Descriptors.load(tmp_path / "out.npz")
    row = dict(zip(found.names.tolist(), found.descriptors @ found.descriptors[1], strict=True))
    assert row["deep/copy.png"] == pytest.approx(1.0, abs=1e-5)
    assert sorted(row, key=row.__getitem__)[-2:] in (["b.png", "deep/copy.png"], ["deep/copy.png", "b.png"])


def test_a_folder_that_gives_nothing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="is not a folder"):
        run(tmp_path / "nowhere", "--out", tmp_path / "out.npz")
    with pytest.raises(SceneGeoLocError, match="no image files"):
        run(tmp_path, "--out", tmp_path / "out.npz")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(SceneGeoLocError, match="None of the images can be read"):
        run(tmp_path, "--out", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_a_named_network_that_is_not_fitted_is_fitted_on_the_images(folder: Path, tmp_path: Path) -> None:
    network = imagenet_network(NetworkConfig(input_width=96, input_height=64, descriptor_size=8))
    save_checkpoint(network, tmp_path / "bare.safetensors", {"system": "mine"})
    run(
        folder,
        *("--out", tmp_path / "out.npz", "--network", tmp_path / "bare.safetensors"),
        *("--save-network", tmp_path / "fitted.safetensors"),
    )
    described = Descriptors.load(tmp_path / "out.npz")
    assert described.input_size == "96x64"
    assert described.descriptors.shape == (4, 8)
    fitted, provenance = load_checkpoint(tmp_path / "fitted.safetensors")
    assert digest(fitted) == described.network
    assert provenance == {"system": "mine", "fitted_on": "photos"}


def test_a_network_that_would_be_fitted_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    run(folder, "--out", tmp_path / "out.npz", "--save-network", tmp_path / "fitted.safetensors")
    with pytest.raises(CheckpointError, match="fitted already: omit --fit"):
        run(
            folder, "--out", tmp_path / "o.npz", "--network", tmp_path / "fitted.safetensors", "--fit", folder
        )


def test_a_network_whose_images_are_all_broken_describes_nothing(folder: Path, tmp_path: Path) -> None:
    run(folder, "--out", tmp_path / "all.npz", "--save-network", tmp_path / "fitted.safetensors")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "broken.png").write_bytes(b"no image")
    with pytest.raises(SceneGeoLocError, match="None of the images can be read"):
        run(tmp_path / "other", "--out", tmp_path / "x.npz", "--network", tmp_path / "fitted.safetensors")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"names": np.array(["a"])}, "not an archive with the arrays"),
        ({"names": np.array(["a", "b"]), "descriptors": np.ones((1, 4))}, "should be"),
        ({"names": np.array(["a"]), "descriptors": np.zeros((1, 4))}, "zero or not finite"),
        ({"names": np.array(["a"]), "descriptors": np.full((1, 4), np.inf)}, "zero or not finite"),
        ({"names": np.array([{}], object), "descriptors": np.ones((1, 4))}, "not an archive with the arrays"),
    ],
)
def test_an_archive_without_usable_descriptors_is_refused(
    tmp_path: Path, arrays: dict[str, Any], reason: str
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(SceneGeoLocError, match=reason):
        Descriptors.load(tmp_path / "x.npz")


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04 a damaged archive"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(SceneGeoLocError, match="not an archive with the arrays"):
        Descriptors.load(tmp_path / "x.npz")


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="no descriptors at"):
        Descriptors.load(tmp_path / "x.npz")


def test_descriptors_of_another_program_are_made_unit_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", names=np.array(["a", "b"]), descriptors=np.array([[3.0, 4.0], [0.0, 2.0]]))
    loaded = Descriptors.load(tmp_path / "x.npz")
    assert loaded.descriptors == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]))
    assert (loaded.network, loaded.input_size) == ("", "")
